"""Where the running service listens, as two small files that it writes and its clients read."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .. import wire
from ..errors import BackendUnreachable, InvalidRequest
from .home import Home

_RENAME_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What `service.json` says; or where the service of another computer is."""

    host: str
    port: int
    pid: int  # for a person who looks; whether the service lives is found out by asking it
    software_version: str = ""
    certificate: str = ""  # PEM; of another computer's, which is spoken to over TLS only

    @property
    def remote(self) -> bool:
        """Whether it is another computer's."""
        return bool(self.certificate)

    @property
    def authority(self) -> str:
        """Name and port, as a Host header has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """For a person."""
        return f"{'https' if self.remote else 'http'}://{self.authority}"


def publish(home: Home, endpoint: Endpoint, token: str) -> None:
    """Write both files, each complete or not at all; the token first, so that an endpoint always has one."""
    replace_file(home.token_file, token)
    replace_file(home.endpoint_file, wire.dumps(endpoint))


def withdraw(home: Home, pid: int) -> None:
    """Remove the files if they are those of the process `pid`."""
    try:
        endpoint, _ = read(home)
    except BackendUnreachable:
        return
    if endpoint.pid == pid:
        home.endpoint_file.unlink(missing_ok=True)
        home.token_file.unlink(missing_ok=True)


def read(home: Home) -> tuple[Endpoint, str]:
    """The endpoint and the token. Raises BackendUnreachable when no service has left any."""
    try:
        endpoint = wire.loads(Endpoint, home.endpoint_file.read_bytes(), ignore_unknown=True)
        token = home.token_file.read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise BackendUnreachable(reason="it is not running") from error
    except (OSError, InvalidRequest, UnicodeDecodeError) as error:
        raise BackendUnreachable(reason=f"{home.endpoint_file} can't be read: {error}") from error
    return endpoint, token


def replace_file(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all; the text is ASCII. Raises OSError."""
    # mkstemp creates with 0600 from the first moment; a rename on one file system is atomic.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(text)
        _rename(Path(temporary), path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _rename(temporary: Path, path: Path) -> None:
    deadline = time.monotonic() + _RENAME_S
    while True:
        try:
            temporary.replace(path)
        except PermissionError:  # on Windows: a client has the old file open for the moment it takes to read it
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
