"""A backend on another computer, instead of this one's: where it is, its token and its certificate, in one file.

Where that file lies in the data folder, everything of that folder talks to the other computer. A service there is
neither started nor stopped from here, and this computer's own is not started for it.
"""

import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from .. import wire
from ..errors import InvalidRequest, RemoteInvalid
from .endpoint import Endpoint, replace_file
from .home import Home
from .transport import trusting

_HTTPS_PORT = 443


@dataclass(frozen=True, kw_only=True)
class Remote:
    """What `remote.json` says."""

    url: str  # https://HOST:PORT
    token: str
    certificate: str  # PEM; the one that the service shows, or the one that signed it

    def __repr__(self) -> str:
        return f"Remote(url={self.url!r})"  # tracebacks and logs are shown to others

    @property
    def endpoint(self) -> Endpoint:
        """Where to connect. Raises RemoteInvalid."""
        parts = _parts(self.url)
        return Endpoint(host=_host(parts), port=parts.port or _HTTPS_PORT, pid=0, certificate=self.certificate)


def checked(remote: Remote) -> Remote:
    """The same, if it can be right. Raises RemoteInvalid."""
    _parts(remote.url)
    if not (remote.token.isascii() and remote.token.isprintable() and len(remote.token) >= 32) or " " in remote.token:
        raise RemoteInvalid(reason='the token is none; it is the one line of the file "remote-token" over there')
    try:
        trusting(remote.certificate)
    except (ValueError, ssl.SSLError) as error:
        raise RemoteInvalid(reason=f"the certificate is no PEM file ({error})") from error
    return remote


def save(home: Home, remote: Remote) -> None:
    """Have this data folder's programs talk to it from now on. Raises RemoteInvalid, OSError."""
    home.create()
    replace_file(home.remote_file, wire.dumps(checked(remote)))


def load(home: Home) -> Remote | None:
    """The other computer that was chosen; None where it is this one. Raises RemoteInvalid."""
    try:
        text = home.remote_file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RemoteInvalid(reason=f"{home.remote_file} can't be read: {error.strerror}") from error
    try:
        return checked(wire.loads(Remote, text, ignore_unknown=True))
    except InvalidRequest as error:
        raise RemoteInvalid(reason=f"{home.remote_file} is spoiled: {error.details['reason']}") from error


def forget(home: Home) -> bool:
    """Have this computer do the work again; whether another one did."""
    if not home.remote_file.exists():
        return False
    home.remote_file.unlink()
    return True


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        named = bool(_host(parts)) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise RemoteInvalid(reason=f"{url} is no address: {error}") from error
    if parts.scheme != "https" or not named:
        raise RemoteInvalid(reason=f"{url} is no address like https://gpu.example:7443")
    if parts.username or parts.password or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise RemoteInvalid(reason="its address has only a name and a port: https://gpu.example:7443")
    return parts


def _host(parts: SplitResult) -> str:
    """As a Host header and a certificate have it. Raises ValueError for what no computer can be called."""
    return (parts.hostname or "").encode("idna").decode("ascii")
