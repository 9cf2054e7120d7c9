"""Whether other computers may be served, on which address, under which names, and with which certificate.

They are served over TLS only, and only where somebody asked for it by an address. They have a token of their own, which
lasts; the programs of this computer go on as always, over loopback.
"""

import ipaddress
import secrets
import socket
import ssl
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...protocol.client.endpoint import replace_file
from ...protocol.client.home import Home
from ...protocol.client.transport import trusting
from .guard import Door
from .privacy import close_to_others

DEFAULT_PORT = 7443
_TOKEN_CHARACTERS = 32  # at least; ours has 64
_HOW = (
    "A certificate is made with: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 "
    "-subj /CN=gpu.example -addext subjectAltName=DNS:gpu.example -keyout underpaint.key -out underpaint.crt "
    "(with this computer's own name, or IP:ADDRESS)."
)


class RemoteRefused(Exception):
    """Other computers can't be served so; the sentence says what to do."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """Everything that serving other computers takes."""

    listener: socket.socket
    context: ssl.SSLContext
    door: Door
    urls: tuple[str, ...]  # by which they reach it


def prepare(home: Home, *, bind: str, certificate: Path | None, key: Path | None, names: Sequence[str] = ()) -> Remote:
    """Listen. `names` are those in the certificate where none are given. Raises RemoteRefused."""
    host, port = _address(bind)
    if certificate is None or key is None:
        raise RemoteRefused(f"Other computers are served over TLS only: give --certificate and --key. {_HOW}")
    context = _context(certificate, key)
    names = [_plain(name) for name in names or _names_in(certificate, context)]
    if not names:
        raise RemoteRefused(f"{certificate} names no computer that clients could ask for. {_HOW}")
    for name in names:
        _handshake(certificate, context, name)  # a name that it is not made for would be refused by every client
    token = _token(home)
    listener = _listen(host, port)
    port = listener.getsockname()[1]
    authorities = [f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in names]
    hosts = {authority.encode("ascii") for authority in authorities}
    if port == 443:  # which an address over TLS leaves out
        hosts |= {authority.rpartition(":")[0].encode("ascii") for authority in authorities}
    return Remote(
        listener=listener,
        context=context,
        door=Door(token=token, hosts=frozenset(hosts), remote=True),
        urls=tuple(f"https://{authority}" for authority in authorities),
    )


# ---- the address


def _address(bind: str) -> tuple[str, int]:
    """`ADDRESS[:PORT]`; an IPv6 address is in brackets."""
    if bind.startswith("["):
        host, closed, port = bind[1:].partition("]")
        host = host if closed else ""
    else:
        host, _, port = bind.partition(":")
    port = port.removeprefix(":")
    if not host or not (port == "" or (port.isascii() and port.isdigit() and int(port) < 1 << 16)):
        raise RemoteRefused(f'"{bind}" is no address to listen on; it is like 192.168.1.20, 0.0.0.0:7443 or [::]:7443.')
    return host, int(port) if port else DEFAULT_PORT


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
        try:
            reuse = socket.SO_EXCLUSIVEADDRUSE if sys.platform == "win32" else socket.SO_REUSEADDR
            listener.setsockopt(socket.SOL_SOCKET, reuse, 1)
            listener.bind(address)
            listener.listen(128)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:  # the latter of a name that none can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise RemoteRefused(
            f"This computer can't listen on {host}, port {port}: {reason}. Give --bind an address of its own "
            "(0.0.0.0 for all), and another port where this one is taken."
        ) from error
    return listener


# ---- the certificate


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What the service shows itself with, over TLS 1.2 or newer."""
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise RemoteRefused(f"{path} can't be read: {error.strerror}.") from error
    if sys.platform != "win32":  # which has no modes to look at
        mode = stat.S_IMODE(key.stat().st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise RemoteRefused(
                f"Other users of this computer can use the key {key} (mode {mode:03o}). If nobody has read it, close "
                f"it to them with: chmod 600 {key}. Otherwise make a new one."
            )

    def no_password() -> str:
        raise RemoteRefused(
            f"{key} is encrypted, and nobody is there to be asked for its password. Write it without one, with: "
            f"openssl pkey -in {key} -out {key}.plain"
        )

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # which costs us much more than whoever asks for it
    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except ssl.SSLError as error:
        what = "don't belong together" if error.reason == "KEY_VALUES_MISMATCH" else "are no certificate and key (PEM)"
        raise RemoteRefused(f"{certificate} and {key} {what} ({error.reason or error}). {_HOW}") from error
    return context


def _names_in(certificate: Path, context: ssl.SSLContext) -> list[str]:
    """The names and addresses that a certificate is made for, but for patterns: which are meant has to be said."""
    shown = _handshake(certificate, context, None)
    names: list[tuple[str, str]] = list(shown.get("subjectAltName", ()))
    return [name for kind, name in names if kind in ("DNS", "IP Address") and "*" not in name]


def _plain(name: str) -> str:
    """A name as a Host header has it."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return name.lower().encode("idna").decode("ascii")
    except UnicodeError as error:
        raise RemoteRefused(f'"{name}" is no name that a computer can have ({error}).') from error


def _handshake(certificate: Path, context: ssl.SSLContext, name: str | None) -> dict[str, Any]:
    """What a client that has this certificate is shown; it need not be made for a name where that is None.

    Raises RemoteRefused where such a client would hang up.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        trust = trusting(certificate.read_text("ascii"))
        trust.check_hostname = name is not None
        client = trust.wrap_bio(to_client, to_server, server_hostname=name)
        server = context.wrap_bio(to_server, to_client, server_side=True)
        for side in (client, server, client, server, client):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        return dict(client.getpeercert() or {})
    except ssl.SSLCertVerificationError as error:
        raise RemoteRefused(f"Clients would not accept {certificate}: {error.verify_message}. {_HOW}") from error
    except (ValueError, ssl.SSLError) as error:
        raise RemoteRefused(f"{certificate} can't be used: {error}. {_HOW}") from error


# ---- the token


def _token(home: Home) -> str:
    """The token of other computers: made once, as they need it once. Deleting its file locks them out."""
    path = home.remote_token_file
    if not path.exists():
        replace_file(path, secrets.token_hex(32) + "\n")
    if sys.platform != "win32" and not close_to_others(path):
        raise RemoteRefused(f"{path} can be read by other users of this computer, and can't be closed to them.")
    token = path.read_text("ascii", errors="replace").strip()
    if len(token) < _TOKEN_CHARACTERS or not token.isalnum():
        raise RemoteRefused(f"{path} holds no token. Delete it, and a new one is made.")
    return token
