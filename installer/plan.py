"""What is going to be installed, where, and what it takes; known before anything is done."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from ..protocol.client import Home
from .variants import TITLES, Build, Hardware, choose, find_hardware

REQUIREMENTS = Path(__file__).resolve().parents[1] / "constraints" / "backend.txt"
MODULES = ("torch", "torchvision", "diffusers", "transformers", "accelerate", "controlnet_aux", "starlette", "uvicorn")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to install, and where."""

    home: Home
    base_python: Path = Path(sys.executable)  # whose venv module makes the environment
    requirements: Path = REQUIREMENTS  # pinned, one a line, and all that is needed: nothing beyond them is looked for
    leaves_out: tuple[str, ...] = ()  # what names among them begin with that stay out
    torch_index: str = ""  # of PyTorch's own builds; "" takes torch from where everything comes from
    pip_options: tuple[str, ...] = ()
    modules: tuple[str, ...] = MODULES  # that must be importable in the end
    build: Build = Build.CPU
    download_bytes: int
    installed_bytes: int
    needed_bytes: int  # while it lasts
    notes: tuple[str, ...] = ()  # what a person should know before

    @property
    def log(self) -> Path:
        """What venv and pip print."""
        return self.home.logs / "install.log"

    @property
    def building(self) -> Path:
        """The environment while it is made."""
        return self.home.folder / "environment.new"

    @property
    def replaced(self) -> Path:
        """The environment that a new one has replaced, until it is deleted."""
        return self.home.folder / "environment.old"

    @property
    def downloads(self) -> Path:
        """What pip is fetching; here, because a system's own folder for such things is often too small."""
        return self.home.folder / "environment.downloads"

    @property
    def building_python(self) -> Path:
        """Its interpreter."""
        return self.building / self.home.python.relative_to(self.home.environment)

    @property
    def free_bytes(self) -> int:
        """What the disk of the data folder has left."""
        existing = next(folder for folder in (self.home.folder, *self.home.folder.parents) if folder.exists())
        return shutil.disk_usage(existing).free

    @property
    def wheels_only(self) -> bool:
        """Whether nothing is fetched over the network."""
        return "--no-index" in self.pip_options

    @property
    def lines(self) -> tuple[str, ...]:
        """The plan for a person, in plain words."""
        fetched = "nothing, the packages are on this computer" if self.wheels_only else gigabytes(self.download_bytes)
        return (
            f"PyTorch {TITLES[self.build]}",
            f"Folder: {self.home.environment}",
            f"To download: {fetched}; what pip has kept from before is not fetched again",
            f"Installed: {gigabytes(self.installed_bytes)}",
            f"Free: {gigabytes(self.free_bytes)}; while it installs it takes up to {gigabytes(self.needed_bytes)}",
            *self.notes,
        )


def plan_for(
    home: Home,
    *,
    hardware: Hardware | None = None,
    wanted: Build | None = None,
    torch_index: str | None = None,
    wheels: Path | None = None,
) -> Plan:
    """What this computer wants. Raises InstallImpossible.

    `torch_index` None takes UNDERPAINT_TORCH_INDEX; with `wheels`, a folder of wheels, there is no network at all.
    """
    index = os.environ.get("UNDERPAINT_TORCH_INDEX", "") if torch_index is None else torch_index
    choice = choose(hardware or find_hardware(), torch_index=bool(index) or wheels is not None, wanted=wanted)
    variant = choice.variant
    return Plan(
        home=home,
        leaves_out=variant.leaves_out,
        torch_index="" if wheels is not None else index,
        pip_options=() if wheels is None else ("--no-index", "--find-links", str(wheels)),
        build=variant.build,
        download_bytes=0 if wheels is not None else variant.download_bytes,
        installed_bytes=variant.installed_bytes,
        needed_bytes=variant.installed_bytes if wheels is not None else variant.needed_bytes,
        notes=choice.notes,
    )


def pins(requirements: Path, leaves_out: tuple[str, ...] = ()) -> list[str]:
    """The lines of a pinned list, without what stays out."""
    lines = [line.strip() for line in requirements.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith(("#", *leaves_out))]


def gigabytes(size: int) -> str:
    """A size as a person reads it."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
