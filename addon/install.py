"""Making the backend's own Python environment, with nothing installed into Blender's. No bpy in here.

A new environment is built beside the old one and takes its place once it has been seen to work, so a
failed, cancelled or crashed installation leaves what was there, and trying again begins anew. What was
downloaded stays in pip's own cache. (A virtual environment survives being renamed, but for the
console scripts in it, which nothing of ours uses.)
"""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

from ..protocol.client import Home
from ..protocol.client.file_lock import FileLock
from ..protocol.errors import InstallFailed, InstallNeedsSpace

REQUIREMENTS = Path(__file__).resolve().parents[1] / "constraints" / "backend.txt"
MODULES = ("torch", "torchvision", "diffusers", "transformers", "accelerate", "controlnet_aux", "starlette", "uvicorn")
NEEDED_BYTES = 14_000_000_000 if sys.platform == "linux" else 5_000_000_000
"""While it lasts: the packages, and their archives in pip's cache. On Linux CUDA's libraries are among them."""

_TERMINATE_WAIT_S = 5.0
_TAIL_LINES = 3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to install, and where."""

    home: Home
    base_python: Path = Path(sys.executable)  # whose venv module makes the environment
    requirements: Path = REQUIREMENTS  # pinned, one a line
    pip_options: tuple[str, ...] = ()
    modules: tuple[str, ...] = MODULES  # that must be importable in the end
    needed_bytes: int = NEEDED_BYTES

    @property
    def log(self) -> Path:
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
    def building_python(self) -> Path:
        return self.building / self.home.python.relative_to(self.home.environment)


class Stage(Enum):
    """The parts of an installation, by what a person is told; in this order."""

    ENVIRONMENT = "Making the environment"
    PACKAGES = "Fetching the packages"
    CHECK = "Checking that they work"
    READY = "Installed"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far it is."""

    stage: Stage
    fraction: float  # 0 to 1
    line: str = ""  # what pip said last


class Installation:
    """Owns the process that is at work. `poll` it until the stage is READY; it never blocks for long."""

    def __init__(self, plan: Plan) -> None:
        """Begin. Raises InstallNeedsSpace, or InstallFailed when another one is at work."""
        self.plan = plan
        plan.home.create()
        free = shutil.disk_usage(plan.home.folder).free
        if free < plan.needed_bytes:
            raise InstallNeedsSpace(
                needed_gb=f"{plan.needed_bytes / 1e9:.1f}", free_gb=f"{free / 1e9:.1f}", folder=plan.home.folder
            )
        self._lock = FileLock(plan.home.folder / "install.lock")
        if not self._lock.try_acquire():
            raise InstallFailed(reason="another Blender is installing it", log=plan.log)
        self._log: IO[bytes] = plan.log.open("wb")
        self._read_up_to = 0
        self._partial = b""
        self._line = ""
        self._collected = 0
        self._unpacking = False
        self._expected = max(1, _requirements_for_here(plan.requirements))
        self._stage = Stage.ENVIRONMENT
        try:
            self._process = self._start("-m", "venv", "--clear", str(plan.building), python=plan.base_python)
        except BaseException:
            self._close()
            raise

    def poll(self) -> Progress:
        """Look what has happened, and take the next step when one is done. Raises InstallFailed."""
        if self._stage is Stage.READY:
            return self._progress()
        code = self._process.poll()
        self._read_log()
        if code is None:
            return self._progress()
        try:
            if code != 0:
                raise InstallFailed(reason=self._tail() or f"it ended with code {code}", log=self.plan.log)
            self._next_step()
        except BaseException:
            self._close()
            raise
        return self._progress()

    def cancel(self) -> None:
        """Stop at once. The environment that was there before, if any, stays."""
        if self._stage is not Stage.READY:
            _end(self._process)
            self._close()

    def _next_step(self) -> None:
        plan = self.plan
        if self._stage is Stage.ENVIRONMENT:
            self._stage = Stage.PACKAGES
            self._process = self._start(
                "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off",
                *plan.pip_options, "--requirement", str(plan.requirements),
            )  # fmt: skip
        elif self._stage is Stage.PACKAGES:
            self._stage = Stage.CHECK
            self._process = self._start("-c", f"import {', '.join(plan.modules)}")
        else:
            self._take_place()
            self._stage = Stage.READY
            self._close()

    def _take_place(self) -> None:
        """Put the new environment where the old one was."""
        plan = self.plan
        try:
            if plan.replaced.exists():  # left by a crash
                shutil.rmtree(plan.replaced)
            if plan.home.environment.exists():
                plan.home.environment.rename(plan.replaced)
            plan.building.rename(plan.home.environment)
        except OSError as error:  # on Windows: a backend that runs holds the old one's files
            raise InstallFailed(reason=f"{error}. Stop the backend first", log=plan.log) from error
        shutil.rmtree(plan.replaced, ignore_errors=True)  # what is left of it is deleted next time

    def _start(self, *arguments: str, python: Path | None = None) -> subprocess.Popen[bytes]:
        # -I: neither the working directory, nor the user's packages, nor Blender's PYTHON* variables lead it astray
        command = [str(python or self.plan.building_python), "-I", *arguments]
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                cwd=self.plan.home.folder,
                env={**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"},
                start_new_session=sys.platform != "win32",
                creationflags=subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0,
            )
        except OSError as error:
            raise InstallFailed(reason=str(error), log=self.plan.log) from error

    def _read_log(self) -> None:
        with self.plan.log.open("rb") as log:
            log.seek(self._read_up_to)
            new = log.read()
        self._read_up_to += len(new)
        *lines, self._partial = (self._partial + new).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace").strip()
            if text:
                self._line = text
                self._collected += text.startswith("Collecting ")
                self._unpacking = self._unpacking or text.startswith("Installing collected packages")

    def _progress(self) -> Progress:
        packages = 1.0 if self._unpacking else min(0.9, self._collected / self._expected)
        fraction = {
            Stage.ENVIRONMENT: 0.01,
            Stage.PACKAGES: 0.05 + 0.75 * packages,
            Stage.CHECK: 0.95,
            Stage.READY: 1.0,
        }[self._stage]
        return Progress(stage=self._stage, fraction=fraction, line=self._line)

    def _tail(self) -> str:
        """The end of the log as one line, without pip's advice to upgrade itself."""
        text = self.plan.log.read_bytes()[-4000:].decode("utf-8", "replace")
        if self._stage is Stage.ENVIRONMENT and "ensurepip" in text:  # Linux distributions split Python up
            return f"{self.plan.base_python} lacks its venv module (on Debian and Ubuntu: apt install python3-venv)"
        lines = text.split("\n")
        told = [line.strip() for line in lines if line.strip() and not line.startswith("[notice]")]
        errors = [line for line in told if line.startswith("ERROR:")]
        return " | ".join((errors or told)[-_TAIL_LINES:]).rstrip(".")

    def _close(self) -> None:
        self._log.close()
        self._lock.release()


def _requirements_for_here(path: Path) -> int:
    """About how many packages a pinned list brings to this platform."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    pinned = [line for line in lines if line and not line.startswith(("#", "-"))]
    return sum(";" not in line or f"'{sys.platform}'" in line for line in pinned)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it has started."""
    if sys.platform == "win32":
        process.terminate()
    elif process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_TERMINATE_WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
