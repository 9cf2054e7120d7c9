"""Where a job runs, in what precision, and what waits outside the device. No torch here."""

from dataclasses import dataclass
from enum import StrEnum

FORMAT_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Number formats by torch's names."""


class Backend(StrEnum):
    """What torch computes with."""

    CPU = "cpu"
    CUDA = "CUDA"
    ROCM = "ROCm"
    MPS = "MPS"


class Group(StrEnum):
    """The parts of a job's models that are needed together."""

    TEXT = "text"
    DENOISER = "denoiser"  # the UNet and the ControlNets
    VAE = "vae"


class Rung(StrEnum):
    """How much waits outside the device: the ladder, quickest first."""

    RESIDENT = "resident"  # nothing
    PHASED = "phased"  # text encoders, UNet with ControlNets, and VAE take turns
    STREAMED = "streamed"  # the same, and layers of the ControlNets or of the UNet too come when they are called
    SEQUENTIAL = "sequential"  # every layer of every part comes when it is called, and none ahead


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What there is to compute with."""

    device: str  # as torch calls it: "cpu", "cuda:0", "mps"
    name: str  # for a person: "NVIDIA H200"; empty where the device says it all
    backend: Backend
    total_bytes: int
    free_bytes: int  # what is held for earlier jobs counts as free
    host_free_bytes: int  # main memory; the same as `free_bytes` where the device has none of its own
    formats: tuple[str, ...]  # number formats in which the device was found to compute rightly, preferred first
    quick_bfloat16: bool = False  # of a CPU: it has instructions for it
    flops: float  # about, a second, in the format it is quickest in
    flops_float32: float  # the same in float32

    @property
    def shared(self) -> bool:
        """Whether the device's memory is main memory."""
        return self.backend in (Backend.CPU, Backend.MPS)

    @property
    def full_name(self) -> str:
        """ "cpu", "cuda:0 NVIDIA H200"."""
        return f"{self.device} {self.name}".strip()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a job runs."""

    machine: Machine
    dtype_name: str  # "float32", "float16", "bfloat16"
    vae_dtype_name: str  # float32 for a VAE that overflows in float16
    rung: Rung
    streamed: tuple[str, ...] = ()  # under STREAMED, of the denoiser: "nets", "unet"
    vae_tile_px: int | None = None  # side of the tiles that the VAE works in; None is the whole picture at once
    peak_bytes: int  # estimated, on the device
    limit_bytes: int  # what the job may take there: the budget, or what is free
    slowdown: float = 1.0  # estimated, against everything resident
    words: str = ""  # for a person

    @property
    def device(self) -> str:
        """As torch calls it."""
        return self.machine.device

    @property
    def device_name(self) -> str:
        """For a person: "cpu", "cuda:0 NVIDIA H200"."""
        return self.machine.full_name

    @property
    def tiled_vae(self) -> bool:
        """Whether the VAE works tile by tile, which changes the picture a little."""
        return self.vae_tile_px is not None

    @property
    def where(self) -> str:
        """The least to be said: "cpu, float32"."""
        return f"{self.device_name}, {self.dtype_name}"
