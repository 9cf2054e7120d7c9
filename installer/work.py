"""Steps that run one after another, each a process of its own, watched from outside. Nothing here blocks for long."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

from ..protocol.client import logs
from ..protocol.client.file_lock import FileLock
from ..protocol.client.logs import Program
from ..protocol.errors import InstallFailed
from .plan import Plan

_TERMINATE_WAIT_S = 5.0
_TAIL_LINES = 3
_UNITS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
# pip: "Downloading torch-2.15.0-cp311-cp311-linux_x86_64.whl (520.5 MB)"; the 2nd time "Using cached ..."
_FILE = re.compile(r"(Downloading|Using cached) (\S+?)(\.metadata)? \(([\d.]+) (bytes|kB|MB|GB)\)")

log = logs.logger(Program.INSTALLER)


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
    line: str = ""  # what is being done, or what pip said last


@dataclass(frozen=True, kw_only=True)
class Step:
    """A process to run."""

    stage: Stage
    python: Path
    arguments: tuple[str, ...]
    before: Callable[[], None] | None = None  # done first


class Work:
    """Owns the process that is at work. `poll` it until the stage is READY."""

    def __init__(self, plan: Plan, steps: Iterator[Step], *, expected: int) -> None:
        """Begin. Raises InstallFailed, also when another one is at work for this data folder."""
        self.plan = plan
        plan.home.create()
        self._lock = FileLock(plan.home.folder / "install.lock")
        if not self._lock.try_acquire():
            raise InstallFailed(reason="another program is installing it", log=plan.log)
        self._handler = logs.write_to_home(Program.INSTALLER, plan.home)
        self._log: IO[bytes] = plan.log.open("wb")
        plan.log.chmod(0o600)
        self._steps = steps
        self._expected = max(1, expected)  # packages
        self._partial = b""
        self._read_up_to = 0
        self._line = ""
        self._collected = 0
        self._fetched = 0.0  # bytes
        self._file: tuple[str, float] | None = None  # that pip is fetching, and its bytes
        self._unpacking = False
        self._fraction = 0.0
        self._stage = Stage.ENVIRONMENT
        try:
            self._process = self._start(next(self._steps))
        except BaseException:
            self._end_of_it("failed to start")
            raise

    @property
    def stage(self) -> Stage:
        """What is being done."""
        return self._stage

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
                raise InstallFailed(reason=self._reason(code), log=self.plan.log)
            self._go_on()
        except BaseException as error:
            self._end_of_it(f"failed: {error}")
            raise
        return self._progress()

    def cancel(self) -> None:
        """Stop at once. The environment that was there before, if any, stays."""
        if self._stage is not Stage.READY:
            _end(self._process)
            self._end_of_it("cancelled")

    def _go_on(self) -> None:
        try:
            following = next(self._steps, None)
        except OSError as error:
            raise InstallFailed(reason=str(error), log=self.plan.log) from error
        if following is not None:
            self._process = self._start(following)
        else:
            self._finish()
            self._stage = Stage.READY
            self._end_of_it("ready")

    def _finish(self) -> None:
        """What is left to do when every step has succeeded."""

    def _start(self, step: Step) -> subprocess.Popen[bytes]:
        # -I: neither the working directory, nor the user's packages, nor Blender's PYTHON* variables lead it astray
        plan = self.plan
        self._stage = step.stage
        log.info("%s", step.stage.value, extra={"event": "stage"})
        plan.downloads.mkdir(mode=0o700, exist_ok=True)
        temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(plan.downloads))
        try:
            if step.before is not None:
                step.before()
            return subprocess.Popen(
                [str(step.python), "-I", *step.arguments],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                cwd=plan.home.folder,
                env={**os.environ, **temporary, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"},
                start_new_session=sys.platform != "win32",
                creationflags=subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0,
            )
        except OSError as error:
            raise InstallFailed(reason=str(error), log=plan.log) from error

    def _read_log(self) -> None:
        with self.plan.log.open("rb") as stream:
            stream.seek(self._read_up_to)
            new = stream.read()
        self._read_up_to += len(new)
        *lines, self._partial = (self._partial + new).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace").strip())

    def _take(self, line: str) -> None:
        """What a line that was printed says about how far it is."""
        if not line:
            return
        self._line = line
        self._collected += line.startswith("Collecting ")
        self._unpacking = self._unpacking or line.startswith("Installing collected packages")
        found = _FILE.search(line)
        if (found or self._unpacking or line.startswith("Collecting ")) and self._file is not None:
            self._fetched += self._file[1]
            self._file = None
        if found and not found[3]:
            size = float(found[4]) * _UNITS[found[5]]
            self._file = (found[2].rpartition("/")[2], size)
            if found[1] == "Using cached":
                self._fetched += size
                self._file = None

    def _arrived(self) -> float:
        """Bytes of the file that is being fetched which lie on the disk."""
        if self._file is None:
            return 0.0
        sizes = [path.stat().st_size for path in self.plan.downloads.glob(f"pip-*/{self._file[0]}")]
        return min(max(sizes, default=0), self._file[1])

    def _unpacked(self) -> int:
        """How many packages lie in the environment that is made."""
        inside = ("lib/python*/site-packages/*.dist-info", "Lib/site-packages/*.dist-info")
        found = max(sum(1 for _ in self.plan.building.glob(pattern)) for pattern in inside)
        return min(found, self._expected)

    def _progress(self) -> Progress:
        try:
            arrived = self._arrived()
        except OSError:  # pip has moved it at this moment
            arrived = 0.0
        line = self._line
        if self._file is not None:
            line = f"{self._file[0]}: {arrived / 1e6:.0f} of {self._file[1] / 1e6:.0f} MB"
        unpacked = self._unpacked() if self._unpacking and self._stage is Stage.PACKAGES else 0
        if unpacked:
            line = f"Unpacking: {unpacked} of {self._expected} packages"
        fetched = self._fetched + arrived
        packages = fetched / self.plan.download_bytes if fetched and self.plan.download_bytes else 0.0
        packages = min(1.0, packages or self._collected / self._expected)
        fraction = {
            Stage.ENVIRONMENT: 0.01,
            Stage.PACKAGES: 0.05 + (0.70 + 0.2 * unpacked / self._expected if self._unpacking else 0.7 * packages),
            Stage.CHECK: 0.95,
            Stage.READY: 1.0,
        }[self._stage]
        self._fraction = max(self._fraction, fraction)
        return Progress(stage=self._stage, fraction=self._fraction, line=line)

    def _reason(self, code: int) -> str:
        """The end of the log as one line, without pip's advice to upgrade itself."""
        text = self.plan.log.read_bytes()[-4000:].decode("utf-8", "replace")
        if self._stage is Stage.ENVIRONMENT and "ensurepip" in text:  # Linux distributions split Python up
            return f"{self.plan.base_python} lacks its venv module (on Debian and Ubuntu: apt install python3-venv)"
        told = [line.strip() for line in text.split("\n") if line.strip() and not line.startswith("[notice]")]
        errors = [line for line in told if line.startswith("ERROR:")]
        return " | ".join((errors or told)[-_TAIL_LINES:]).rstrip(".") or f"it ended with code {code}"

    def _end_of_it(self, how: str) -> None:
        log.info("%s", how, extra={"event": "end"})
        self._log.close()
        self._tidy()
        logs.take_back(self._handler, Program.INSTALLER)
        self._lock.release()

    def _tidy(self) -> None:
        """Leave nothing half-made behind; what can't be deleted now is deleted next time."""
        shutil.rmtree(self.plan.downloads, ignore_errors=True)
        shutil.rmtree(self.plan.building, ignore_errors=True)


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
