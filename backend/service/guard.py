"""Who may speak to the service: nobody but programs of the same user that hold its token."""

import hmac
from collections.abc import Iterable

from ...protocol.errors import InvalidRequest, TokenRefused, UnderpaintError

Headers = Iterable[tuple[bytes, bytes]]  # names in lower case


def refusal(headers: Headers, *, token: str, port: int) -> tuple[int, UnderpaintError] | None:
    """Why a request is refused, as a status and an error; None when it is welcome.

    A web page can make a browser call loopback: it sends an Origin, and after DNS rebinding a Host of its
    own. Neither ever comes from a client of ours. The token keeps out everybody else on the computer.
    """
    hosts, authorizations = list[bytes](), list[bytes]()
    for name, value in headers:
        if name == b"origin":
            return 403, InvalidRequest(reason="requests from web pages are refused")
        if name == b"host":
            hosts.append(value)
        elif name == b"authorization":
            authorizations.append(value)
    if len(hosts) != 1 or hosts[0].lower() not in (b"127.0.0.1:%d" % port, b"localhost:%d" % port):
        return 403, InvalidRequest(reason="the Host header names another computer")
    given = authorizations[0] if len(authorizations) == 1 else b""
    if not hmac.compare_digest(given, f"Bearer {token}".encode("ascii")):
        return 401, TokenRefused(path="its token file")
    return None
