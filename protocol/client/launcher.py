"""Finding the service, and starting it when there is none."""

import atexit
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import BackendNotInstalled, BackendNotStarted, BackendUnreachable, DiskFull
from . import endpoint as endpoints
from .connection import Connection
from .file_lock import FileLock
from .home import Home, default_home

_HELLO_TIMEOUT_S = 3.0
_POLL_S = 0.02
_TAIL_BYTES = 2000
_NEEDED_BYTES = 1 << 20  # for the queue and the logs, to begin with

# Held so that a service that ended is reaped by the next start, and isn't a zombie under a long-lived Blender.
_started: list[subprocess.Popen[bytes]] = []


@atexit.register
def _leave_running() -> None:
    """Let go of the services that outlive this process on purpose; Popen takes them for leaks, and would warn."""
    for process in _started:
        if process.poll() is None:
            process.returncode = 0


def backend_python(home: Home) -> Path:
    """The interpreter that runs the backend: `UNDERPAINT_BACKEND_PYTHON`, else that of the home's environment.

    Raises BackendNotInstalled, naming where it looked.
    """
    chosen = os.environ.get("UNDERPAINT_BACKEND_PYTHON")
    python = Path(chosen).absolute() if chosen else home.python  # the service starts in another folder
    if not python.is_file():
        raise BackendNotInstalled(python=python)
    return python


def connect(home: Home | None = None) -> Connection:
    """A conversation with the service that runs, greeted; BackendUnreachable when none does.

    With another computer's where one was chosen: then CertificateRefused and RemoteInvalid, too.
    """
    return greeted(Connection.to(home or default_home(), timeout_s=_HELLO_TIMEOUT_S))


def connect_here(home: Home) -> Connection:
    """The same with the service that runs on this computer, whatever was chosen."""
    endpoint, token = endpoints.read(home)
    return greeted(Connection(endpoint, token, timeout_s=_HELLO_TIMEOUT_S))


def greeted(connection: Connection) -> Connection:
    """Another conversation with the same service, of ordinary patience, once it has answered this one."""
    with connection:
        connection.hello()
    return connection.another()


def ensure_running(
    home: Home | None = None, *, timeout_s: float = 30.0, service_arguments: Sequence[str] = ()
) -> Connection:
    """A conversation with the user's service; it is started, apart from this process, if none runs.

    Raises BackendNotInstalled, BackendNotStarted (with what it printed), DiskFull, TokenRefused, VersionMismatch. The
    service of another computer, where one was chosen, is not started: RemoteUnreachable, and as `connect`.
    """
    home = home or default_home()
    if home.remote_file.exists():
        return connect(home)
    try:
        return connect(home)
    except BackendUnreachable:
        pass  # there is none, or the file is one that a killed service left: start one
    deadline = time.monotonic() + timeout_s
    python = backend_python(home)
    try:
        home.create()
        with FileLock(home.launch_lock_file) as lock:
            if not lock.acquire(timeout_s):
                raise BackendNotStarted(reason="another program is starting it for too long", log=home.start_log)
            try:
                return connect(home)  # whoever had the lock before us has started it
            except BackendUnreachable:
                return _launch(home, python, service_arguments, deadline)
    except OSError as error:
        raise _failure(home, str(error)) from error


def service_command(home: Home, python: Path, arguments: Sequence[str]) -> list[str]:
    """What runs the service."""
    bootstrap = Path(__file__).resolve().parents[2] / "backend" / "bootstrap.py"
    # -P: neither the script's folder nor the working directory is searched for modules, so nothing that
    # lies beside this package (another extension's numpy, say) can take the place of the environment's.
    return [str(python), "-P", str(bootstrap), "service", "--home", str(home.folder), *arguments]


def service_environment() -> dict[str, str]:
    """This process's environment, without what would lead another Python astray."""
    misleading = {"PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONSAFEPATH"}
    kept = {name: value for name, value in os.environ.items() if name not in misleading}
    return {**kept, "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"}


def _start(home: Home, python: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    _started[:] = [process for process in _started if process.poll() is None]
    with home.start_log.open("wb") as log:
        process = subprocess.Popen(
            service_command(home, python, arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=home.folder,
            env=service_environment(),
            start_new_session=sys.platform != "win32",
            creationflags=_detached_flags(),
        )
    _started.append(process)
    return process


def _launch(home: Home, python: Path, arguments: Sequence[str], deadline: float) -> Connection:
    process: subprocess.Popen[bytes] | None = None
    reason = ""
    while time.monotonic() < deadline:
        code = None if process is None else process.poll()
        try:
            return connect(home)
        except BackendUnreachable as error:
            reason = error.details["reason"]
        if code:
            raise _failure(home, _tail(home.start_log) or f"it left with code {code}")
        # Not while another still has the home, be it that it is just leaving: what is started now would
        # find the home taken and leave, or take it over after everybody had stopped waiting for it.
        if (process is None or code == 0) and _is_free(home):
            process = _start(home, python, arguments)
        time.sleep(_POLL_S)
    raise BackendNotStarted(reason=f"it did not answer in time ({reason})", log=home.start_log)


def _is_free(home: Home) -> bool:
    with FileLock(home.lock_file) as lock:
        return lock.try_acquire()


def _failure(home: Home, reason: str) -> BackendNotStarted | DiskFull:
    """Why it did not start; a full disk is looked for, because a log can't be written to one."""
    existing = next(folder for folder in (home.folder, *home.folder.parents) if folder.exists())
    if shutil.disk_usage(existing).free < _NEEDED_BYTES:
        return DiskFull(path=home.folder)
    return BackendNotStarted(reason=reason, log=home.start_log)


def _tail(log: Path) -> str:
    """The end of what it printed, as one line for a sentence."""
    lines = log.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").split("\n")
    return " | ".join(line.strip() for line in lines[-4:] if line.strip())


def _detached_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
    return 0
