"""Taking the backend away again."""

import shutil
import time
from pathlib import Path

from ..protocol.client import Home, connect_here
from ..protocol.client.file_lock import FileLock
from ..protocol.errors import BackendError, BackendUnreachable, UninstallFailed

_LEAVES_S = 15.0


def environments(home: Home) -> list[Path]:
    """The environment, and what installations have left beside it."""
    return [path for path in (home.environment, *sorted(home.folder.glob("environment.*"))) if path.exists()]


def data(home: Home) -> list[Path]:
    """The queue, the pictures in it, the logs and the list of models; not the models."""
    queue = (*home.folder.glob("queue.*"), home.journal, home.blobs, home.logs, home.model_list)
    return [path for path in queue if path.exists()]


def size(paths: list[Path]) -> int:
    """Bytes that deleting them gives back."""
    files = (file for path in paths for file in ([path] if path.is_file() else path.rglob("*")))
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def stop_service(home: Home) -> None:
    """Have this computer's service leave, if one runs. Raises UninstallFailed when it doesn't."""
    try:
        with connect_here(home) as connection:
            connection.shutdown()
    except BackendUnreachable:
        return
    except BackendError as error:  # of another version: it can't be asked
        raise UninstallFailed(reason=str(error).rstrip(".")) from error
    with FileLock(home.lock_file) as lock:
        if not lock.acquire(_LEAVES_S):
            raise UninstallFailed(reason="the backend that runs does not leave")


def uninstall(home: Home, *, with_data: bool = False) -> None:
    """Stop the service and delete the environment; with the data too, all but the models. Raises UninstallFailed."""
    if not home.folder.is_dir():
        return
    install = FileLock(home.folder / "install.lock")
    if not install.try_acquire():
        raise UninstallFailed(reason="another program is installing it")
    with install:
        stop_service(home)
        paths = environments(home) + (data(home) if with_data else [])
        for path in paths:
            _delete(path, home)


def _delete(path: Path, home: Home) -> None:
    for attempt in range(5):
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:  # on Windows: a process that is just leaving still has it open
            if attempt == 4:
                raise UninstallFailed(reason=f"{error}") from error
            time.sleep(0.5)
        else:
            return
