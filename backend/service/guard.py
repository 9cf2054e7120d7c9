"""Who may speak to the service: nobody but programs of the same user that hold its token."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from ...protocol.errors import InvalidRequest, TokenRefused, UnderpaintError

Headers = Iterable[tuple[bytes, bytes]]  # names in lower case

MAX_HEADERS = 64
MAX_HEAD_BYTES = 16 << 10  # of the headers' names and values


@dataclass(frozen=True, kw_only=True)
class Door:
    """A way in."""

    token: str
    hosts: frozenset[bytes]  # in lower case; what a request may call us
    remote: bool = False  # for other computers, over TLS

    @classmethod
    def on_loopback(cls, *, token: str, port: int) -> "Door":
        """The one for programs of this computer."""
        return cls(token=token, hosts=frozenset((b"127.0.0.1:%d" % port, b"localhost:%d" % port)))


def refusal(headers: Headers, door: Door) -> tuple[int, UnderpaintError] | None:
    """Why a request is refused, as a status and an error; None when it is welcome.

    A web page can make a browser call loopback: it sends an Origin, and after DNS rebinding a Host of its
    own. Neither ever comes from a client of ours. The token keeps out everybody else on the computer, and on the
    network where other computers are served.
    """
    hosts, authorizations, framings = list[bytes](), list[bytes](), set[bytes]()
    number = size = 0
    for name, value in headers:
        number, size = number + 1, size + len(name) + len(value)
        if name in (b"content-length", b"transfer-encoding"):
            framings.add(name)
        elif name == b"origin":
            return 403, InvalidRequest(reason="requests from web pages are refused")
        if name == b"host":
            hosts.append(value)
        elif name == b"authorization":
            authorizations.append(value)
    if number > MAX_HEADERS or size > MAX_HEAD_BYTES:
        return 431, InvalidRequest(reason="it has too many headers")
    if len(framings) > 1:  # where such a body ends is a matter of opinion
        return 400, InvalidRequest(reason="it has both a Content-Length and a Transfer-Encoding")
    if len(hosts) != 1 or hosts[0].lower() not in door.hosts:
        return 403, InvalidRequest(reason="the Host header names another computer")
    given = authorizations[0] if len(authorizations) == 1 else b""
    if not hmac.compare_digest(given, f"Bearer {door.token}".encode("ascii")):
        return 401, TokenRefused(path="its token file")
    return None
