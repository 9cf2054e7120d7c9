"""Which PyTorch this computer wants, and what it costs: one row for each build, chosen by what is found here."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from platform import machine

from ..protocol.errors import InstallImpossible

_ASK_S = 10.0
_NVIDIA = ("cuda-bindings", "cuda-pathfinder", "cuda-toolkit", "nvidia-", "triton")

CUDA_DRIVER = 580
"""The first driver for CUDA 13, which torch is built with, on Linux: NVIDIA's CUDA compatibility table."""

HOW_TO_NAME_AN_INDEX = (
    "PyTorch's page Get Started tells the address of the index that has it. Name it with --torch-index, in "
    "UNDERPAINT_TORCH_INDEX, or as PyTorch Index in Blender's preferences"
)


class Build(StrEnum):
    """What PyTorch computes with."""

    CUDA = "cuda"
    ROCM = "rocm"
    MPS = "mps"
    CPU = "cpu"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to install the backend."""

    build: Build
    system: str  # sys.platform
    torch_index: bool  # whether its torch is in PyTorch's own index and not among the ordinary wheels
    leaves_out: tuple[str, ...] = ()  # what the pinned names begin with that it doesn't need
    download_bytes: int
    installed_bytes: int

    @property
    def needed_bytes(self) -> int:
        """What must be free: pip holds what it fetches twice while it works, once of it in its cache."""
        return 2 * self.download_bytes + self.installed_bytes


# Bytes. Measured, with torch 2.15.0: the wheels of constraints/backend.txt for Python 3.11 as pip fetches them, and the
# files of the environment that they make; for Windows and macOS, what is in the wheels. Estimated: what comes from
# PyTorch's own index, where a wheel of torch 2.x takes about 0.2 GB for processors, and 3 to 4.5 GB for ROCm or for
# CUDA on Windows.
VARIANTS = (
    Variant(
        build=Build.CUDA,
        system="linux",
        torch_index=False,
        download_bytes=2_660_000_000,
        installed_bytes=6_350_000_000,
    ),
    Variant(
        build=Build.CUDA,
        system="win32",
        torch_index=True,
        download_bytes=3_300_000_000,
        installed_bytes=6_500_000_000,
    ),
    Variant(
        build=Build.ROCM,
        system="linux",
        torch_index=True,
        leaves_out=_NVIDIA,
        download_bytes=4_800_000_000,
        installed_bytes=16_000_000_000,
    ),
    Variant(
        build=Build.MPS,
        system="darwin",
        torch_index=False,
        download_bytes=290_000_000,
        installed_bytes=1_200_000_000,
    ),
    Variant(
        build=Build.CPU,
        system="linux",
        torch_index=False,
        leaves_out=("triton",),  # compiles for graphics cards; nothing else of torch is missed without it
        download_bytes=2_380_000_000,
        installed_bytes=5_300_000_000,
    ),
    Variant(
        build=Build.CPU,
        system="linux",
        torch_index=True,
        leaves_out=_NVIDIA,
        download_bytes=350_000_000,
        installed_bytes=1_400_000_000,
    ),
    Variant(
        build=Build.CPU,
        system="win32",
        torch_index=False,
        download_bytes=290_000_000,
        installed_bytes=1_200_000_000,
    ),
)

TITLES = {
    Build.CUDA: "for NVIDIA graphics cards (CUDA)",
    Build.ROCM: "for AMD graphics cards (ROCm)",
    Build.MPS: "for Apple silicon (Metal)",
    Build.CPU: "for processors",
}


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What there is to compute with."""

    system: str  # sys.platform
    machine: str  # x86_64, AMD64, arm64, aarch64
    nvidia: str = ""  # the card and its driver, "" where there is none
    amd: str = ""  # how it was found, "" where there is none


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What fits this computer."""

    variant: Variant
    notes: tuple[str, ...] = ()  # what a person should know before


def find_hardware(*, root: Path = Path("/"), which: Callable[[str], str | None] = shutil.which) -> Hardware:
    """Look which graphics cards there are, by their drivers; torch isn't needed for it."""
    return Hardware(system=sys.platform, machine=machine(), nvidia=_nvidia(root, which), amd=_amd(root, which))


def choose(hardware: Hardware, *, torch_index: bool = False, wanted: Build | None = None) -> Choice:
    """The variant for a computer, or the one that is `wanted`. Raises InstallImpossible.

    `torch_index` says that an index of PyTorch's own builds was named: it holds the build that fits here.
    """
    if hardware.system == "darwin" and hardware.machine != "arm64":
        raise InstallImpossible(reason="PyTorch is no longer made for Macs with Intel processors")
    build = wanted or _best(hardware, torch_index=torch_index)
    rows = [row for row in VARIANTS if (row.build, row.system) == (build, hardware.system)]
    if not rows:
        raise InstallImpossible(reason=f"there is no PyTorch {TITLES[build]} on this system")
    fitting = [row for row in rows if torch_index or not row.torch_index]
    if not fitting:
        raise InstallImpossible(
            reason=f"PyTorch {TITLES[build]} is not among the ordinary packages here. {HOW_TO_NAME_AN_INDEX}"
        )
    variant = max(fitting, key=lambda row: row.torch_index)
    return Choice(variant=variant, notes=tuple(_notes(hardware, variant)))


def _best(hardware: Hardware, *, torch_index: bool) -> Build:
    if hardware.system == "darwin":
        return Build.MPS
    if hardware.nvidia and (torch_index or hardware.system == "linux"):
        return Build.CUDA
    if hardware.amd and torch_index and hardware.system == "linux":
        return Build.ROCM
    return Build.CPU


def _notes(hardware: Hardware, variant: Variant) -> list[str]:
    notes: list[str] = []
    driver = re.search(r"driver (\d+)\.", hardware.nvidia)
    if variant.build is Build.CUDA and hardware.system == "linux" and driver and int(driver[1]) < CUDA_DRIVER:
        notes.append(
            f"The card's driver is older than PyTorch wants ({hardware.nvidia}; {CUDA_DRIVER} or newer): update it, or "
            "the processor will paint."
        )
    if variant.build is Build.CPU:
        if hardware.nvidia:
            notes.append(
                f"There is an NVIDIA card ({hardware.nvidia}), but this installation won't use it."
                + ("" if hardware.system == "linux" else f" {HOW_TO_NAME_AN_INDEX}.")
            )
        elif hardware.amd:
            what = "" if hardware.system == "linux" else ", and PyTorch has none for this system"
            how = f" {HOW_TO_NAME_AN_INDEX}." if hardware.system == "linux" else ""
            notes.append(f"There is an AMD card ({hardware.amd}); it wants the ROCm build{what}.{how}")
        else:
            notes.append("No graphics card was found that PyTorch can use. The processor paints, in minutes a picture.")
        if hardware.system == "linux" and not variant.torch_index:
            notes.append(
                "On Linux the ordinary PyTorch comes with NVIDIA's libraries (about 3 GB when installed) and does "
                f"not start without them. There is a smaller one for processors: {HOW_TO_NAME_AN_INDEX}."
            )
    return notes


def _nvidia(root: Path, which: Callable[[str], str | None]) -> str:
    tool = which("nvidia-smi")
    if tool is not None:
        try:
            done = subprocess.run(
                [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_ASK_S,
                creationflags=subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0,
            )
        except (OSError, subprocess.TimeoutExpired):
            return "its driver does not answer"
        if done.returncode == 0 and done.stdout.strip():
            name, _, driver = done.stdout.strip().splitlines()[0].partition(",")
            return f"{name.strip()}, driver {driver.strip()}"
    return "its driver is loaded" if (root / "proc/driver/nvidia/version").exists() else ""


def _amd(root: Path, which: Callable[[str], str | None]) -> str:
    # /dev/kfd alone is there with every AMD processor that has graphics; those who paint with it have ROCm's tools
    if not (root / "dev/kfd").exists():
        return ""
    if which("rocminfo") is not None:
        return "rocminfo is there"
    return "/opt/rocm is there" if (root / "opt/rocm").is_dir() else ""
