"""The service's door as somebody finds it who has nothing but a socket."""

import contextlib
import hashlib
import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service_process import Service
from underpaint.protocol.client import endpoint as endpoints

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_WAIT_S = 10.0


@dataclass(frozen=True)
class Door:
    """Where the service listens and what opens it."""

    host: str
    port: int
    token: str

    @classmethod
    def of(cls, service: Service) -> "Door":
        endpoint, token = endpoints.read(service.home)
        return cls(host=endpoint.host, port=endpoint.port, token=token)

    def head(self, start: bytes, *lines: bytes, host: bytes | None = None, token: str | None = None) -> bytes:
        """A request's head with the right host and token, unless told otherwise; an empty one leaves the line out."""
        host = b"%s:%d" % (self.host.encode(), self.port) if host is None else host
        token = self.token if token is None else token
        own = [b"Host: " + host] if host else []
        own += [b"Authorization: Bearer " + token.encode("latin-1")] if token else []
        return b"\r\n".join([start + b" HTTP/1.1", *own, *lines]) + b"\r\n\r\n"

    def put(self, data: bytes, *lines: bytes) -> bytes:
        """A whole upload of a blob."""
        path = b"PUT /v1/blobs/" + hashlib.sha256(data).hexdigest().encode()
        return self.head(path, b"Content-Length: %d" % len(data), *lines) + data

    def knock(self) -> socket.socket:
        """A connection that has said nothing yet."""
        return socket.create_connection((self.host, self.port), timeout=_WAIT_S)

    def ask(self, data: bytes) -> list[int]:
        """The statuses of everything that is answered to these bytes, up to the end of the connection."""
        with self.knock() as raw:
            send(raw, data)
            with contextlib.suppress(OSError):  # it has hung up already
                raw.shutdown(socket.SHUT_WR)
            return [int(status) for status in _STATUS.findall(until_closed(raw))]

    def told(self, data: bytes) -> tuple[int, str]:
        """The first answer's status, and its error code; empty where it is no error."""
        with self.knock() as raw:
            send(raw, data)
            return answer(raw)


def send(raw: socket.socket, data: bytes) -> None:
    """Send; that the other side hangs up in the middle of it is for whoever reads to find out."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        raw.sendall(data)


def answer(raw: socket.socket) -> tuple[int, str]:
    """One answer's status and error code."""
    stream = raw.makefile("rb")
    status = int(stream.readline().split()[1])
    length = 0
    while (line := stream.readline().strip().lower()) != b"":
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    body = stream.read(length)
    try:
        return status, json.loads(body)["code"] if status >= 400 else ""
    except ValueError:  # uvicorn's own words for what is no HTTP
        return status, "no http"


def until_closed(raw: socket.socket) -> bytes:
    """Everything until the other side hangs up; fails where it doesn't."""
    data = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := raw.recv(1 << 16):
            data += piece
    return bytes(data)


def drip(raw: socket.socket, data: bytes, every_s: float) -> Iterator[int]:
    """Send a byte at a time; how many went, for each, until the other side hangs up."""
    raw.settimeout(every_s)
    for number in range(len(data)):
        try:
            raw.sendall(data[number : number + 1])
            if raw.recv(1) == b"":
                return
        except TimeoutError:
            yield number + 1
        except (BrokenPipeError, ConnectionResetError):
            return
        time.sleep(0)


def memory_mb(pid: int) -> float:
    """What a process holds in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
