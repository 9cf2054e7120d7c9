"""Ten thousand requests that no client would send, from raw sockets: no crash, no 500, no unauthorised answer."""

import os
import random
import re
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from service_process import alive
from underpaint.backend.service.openapi import document
from underpaint.protocol import wire
from underpaint.protocol.client import Connection
from underpaint.protocol.client import endpoint as endpoints
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobSubmission, Move
from underpaint.protocol.request import GenerateRequest

REQUESTS = int(os.environ.get("UNDERPAINT_FUZZ", "10000"))
THREADS = 4
TOLD = {400, 401, 403, 404, 405, 409, 413, 422, 503, 507}
PATHS = [path for path in document("")["paths"] if path not in ("/v1/shutdown", "/v1/events")]
BODIES = (
    wire.dumps(JobSubmission(request=GenerateRequest(prompt="steps=1", size=Extent(width=8, height=8)))).encode(),
    wire.dumps(Move(before="0" * 32)).encode(),
    b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }".ljust(128) + b"\0" * 16,
    b"",
)
PARAMETERS = (b"before", b"limit", b"since", b"kind", b"family", b"x")
SNIPPETS = (b"\0", b"\r\n", b"\r\n\r\n", b"%2e%2e%2f", b"../", b"\xff\xfe", b"1e999", b"NaN", b"[" * 2000, b'"', b"-1")


class Fuzz:
    """Requests made of sound ones by a few accidents each."""

    def __init__(self, seed: int, host: str, token: str) -> None:
        self._random = random.Random(seed)
        self._host, self._token = host, token

    def request(self) -> tuple[bytes, bool]:
        """The bytes to send, and whether the right token is in them and nothing forbids an answer."""
        choose = self._random
        method = choose.choice((b"GET", b"GET", b"PUT", b"PUT", b"POST", b"HEAD", b"DELETE", b"PATCH", b"BREW", b""))
        path = choose.choice(PATHS).encode()
        path = re.sub(rb"{(job|model)_id}", lambda _: self._hex(32), path).replace(b"{sha256}", self._hex(64))
        if choose.random() < 0.3:
            path += b"?" + choose.choice(PARAMETERS) + b"=" + choose.choice(SNIPPETS)
        body = choose.choice(BODIES)
        authorised = choose.random() < 0.7
        token = (
            self._token if authorised else choose.choice(("", "0" * 64, self._token[:-1], self._token.upper() + "x"))
        )
        headers = [
            (b"Host", self._host.encode()),
            (b"Authorization", b"Bearer " + token.encode()),
            (b"Content-Length", str(len(body)).encode()),
        ]
        if choose.random() < 0.15:
            name = choose.choice((b"Origin", b"Transfer-Encoding", b"Expect", b"Content-Encoding", b"Upgrade"))
            headers.append((name, choose.choice((b"null", b"chunked", b"100-continue", b"gzip", b"websocket"))))
            authorised = False  # perhaps: some of these forbid an answer, and none makes one due
        if choose.random() < 0.1:
            headers.pop(choose.randrange(len(headers)))
            authorised = False
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        data = method + b" " + path + b" HTTP/1.1\r\n" + lines + b"Connection: close\r\n\r\n" + self._spoiled(body)
        if choose.random() < 0.15:
            data = self._spoiled(data)
            authorised = False
        return data, authorised

    def _hex(self, length: int) -> bytes:
        digits = bytes(self._random.choices(b"0123456789abcdef", k=length))
        return digits if self._random.random() < 0.8 else self._spoiled(digits)

    def _spoiled(self, data: bytes) -> bytes:
        spoiled = bytearray(data)
        for _ in range(self._random.choice((0, 0, 1, 1, 2, 5))):
            place = self._random.randrange(len(spoiled) + 1)
            match self._random.randrange(4):
                case 0:
                    spoiled[place:place] = self._random.choice(SNIPPETS)
                case 1:
                    del spoiled[place : place + self._random.randrange(20)]
                case 2:
                    spoiled[place : place + 1] = self._random.randbytes(1)
                case _:
                    spoiled[place:place] = spoiled[: self._random.randrange(50)]
        return bytes(spoiled)


def answer(port: int, data: bytes) -> int:
    """The status of the answer; 0 where the service hung up without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        try:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            line = raw.makefile("rb").readline(200)
        except (BrokenPipeError, ConnectionResetError):
            return 0
    words = line.split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


@pytest.mark.parametrize("seed", [1])
def test_nonsense_is_answered_politely_and_lets_nobody_in(shared, seed):
    endpoint, token = endpoints.read(shared.home)
    seen: Counter[tuple[bool, int]] = Counter()
    wrong: list[tuple[int, bytes]] = []
    lock = threading.Lock()

    def send(number: int) -> None:
        fuzz = Fuzz(seed * 1000 + number, f"127.0.0.1:{endpoint.port}", token)
        for _ in range(REQUESTS // THREADS):
            data, authorised = fuzz.request()
            status = answer(endpoint.port, data)
            with lock:
                seen[authorised, status // 100] += 1
                let_in = status and status < 300 and f"Bearer {token}".encode() not in data
                if let_in or (status >= 300 and status not in TOLD):
                    wrong.append((status, data))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(send, range(THREADS)))
    assert not wrong, wrong[:3]
    assert sum(seen.values()) == REQUESTS // THREADS * THREADS
    assert seen[True, 2] > REQUESTS / 50, seen  # some were sound, or the rest proves little
    assert alive(shared.pid)
    with Connection.to(shared.home) as connection:
        assert connection.hello().pid == shared.pid
