"""Where a model runs and in what precision: the plan, stated before a job starts and told to the user."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..third_party import torch


class Offload(StrEnum):
    """What waits outside the device while it isn't needed."""

    NONE = "none"
    MODEL = "model"  # accelerate's: each component comes to the GPU for its turn


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a job runs."""

    device: str  # as torch calls it: "cpu", "cuda:0", "mps"
    device_name: str  # for a person: "cpu", "cuda:0 NVIDIA H200"
    dtype_name: str  # "float32", "float16"
    offload: Offload

    @property
    def dtype(self) -> Any:
        """The torch dtype."""
        return getattr(torch(), self.dtype_name)

    @property
    def words(self) -> str:
        """The plan for a person."""
        waits = ", parts wait in main memory until they are needed" if self.offload is Offload.MODEL else ""
        return f"{self.device_name}, {self.dtype_name}{waits}"


def make_plan() -> Plan:
    """The plan for this machine.

    CUDA runs in float16 with model offload, which keeps one component at a time on the GPU: 4 GB suffice for
    Stable Diffusion 1.5 with three ControlNets. MPS shares its memory with the CPU, so nothing is offloaded.
    A CPU computes in float32.
    """
    library = torch()
    if library.cuda.is_available():
        name = f"cuda:0 {library.cuda.get_device_name(0)}"
        return Plan(device="cuda:0", device_name=name, dtype_name="float16", offload=Offload.MODEL)
    if library.backends.mps.is_available():
        return Plan(device="mps", device_name="mps", dtype_name="float16", offload=Offload.NONE)
    return Plan(device="cpu", device_name="cpu", dtype_name="float32", offload=Offload.NONE)


def place(pipeline: Any, plan: Plan) -> None:
    """Put a pipeline where the plan says."""
    if plan.offload is Offload.MODEL:
        pipeline.enable_model_cpu_offload(device=plan.device)
    else:
        pipeline.to(plan.device)


def release() -> None:
    """Give cached device memory back, after a model was dropped or memory ran out."""
    library = torch()
    if library.cuda.is_available():
        library.cuda.empty_cache()
    elif library.backends.mps.is_available():
        library.mps.empty_cache()
