"""What a hostile program on the same computer can do with a socket: nothing."""

import gzip
import hashlib
import hmac
import io
import os
import pickle
import signal
import socket
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from raw_door import Door, answer, drip, memory_mb, send, until_closed
from service_process import Service, until
from underpaint.backend.service import guard
from underpaint.backend.service.hub import Hub
from underpaint.protocol import arrays, wire
from underpaint.protocol.client import Connection, Home
from underpaint.protocol.events import Progress, WorkerState
from underpaint.protocol.jobs import JobState, JobSubmission, Phase
from underpaint.protocol.request import GenerateRequest

Told = Callable[..., GenerateRequest]
IMPATIENT = {"head_s": 1.0, "body_s": 1.0, "stranger_s": 1.0, "strangers": 40}
HELLO = b"GET /v1/hello"


@pytest.fixture
def door(shared: Service) -> Door:
    return Door.of(shared)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, shared: Service) -> Iterator[Service]:
    """A service that waits a second where others wait ten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
        service = Service(Home(tmp_path_factory.mktemp("impatient") / "home"))
        service.start(patience=IMPATIENT)
    yield service
    service.stop()


# ---- who is there


@pytest.mark.parametrize("token", ["", "wrong", "0" * 64, "\xe9"])
@pytest.mark.parametrize(
    "path", [b"GET /v1/hello", b"GET /v1/events", b"POST /v1/shutdown", b"PUT /v1/jobs/x", b"BREW /"]
)
def test_without_the_token_nothing_is_told(door: Door, token: str, path: bytes) -> None:
    assert door.told(door.head(path, token=token)) == (401, "token_refused")


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    class Watched:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(guard, "hmac", Watched)
    headers = [(b"host", b"127.0.0.1:9"), (b"authorization", b"Bearer x")]
    door = guard.Door.on_loopback(token="secret", port=9)
    assert guard.refusal(headers, door)[0] == 401
    assert guard.refusal([headers[0], (b"authorization", b"Bearer secret")], door) is None
    assert compared == [(b"Bearer x", b"Bearer secret"), (b"Bearer secret", b"Bearer secret")]


@pytest.mark.parametrize(
    "host", [b"evil.example", b"127.0.0.1", b"127.0.0.1:1", b"[::1]:80", b"127.0.0.1:80@evil", b""]
)
def test_a_foreign_host_is_refused(door: Door, host: bytes) -> None:
    status, _ = door.told(door.head(HELLO, host=host))
    assert status in (400, 403)


def test_a_host_that_goes_on_in_the_next_line_is_foreign(door: Door) -> None:
    folded = b"127.0.0.1:%d\r\n evil.example" % door.port
    assert door.told(door.head(HELLO, host=folded))[0] in (400, 403)


@pytest.mark.parametrize("origin", [b"null", b"", b"http://127.0.0.1", b"https://evil.example", b"file://"])
def test_any_origin_is_refused(door: Door, origin: bytes) -> None:
    assert door.told(door.head(HELLO, b"Origin: " + origin)) == (403, "invalid_request")
    assert door.told(door.head(b"OPTIONS /v1/hello", b"Origin: " + origin)) == (403, "invalid_request")


# ---- too much


@pytest.mark.parametrize(
    "lines",
    [
        [b"X: " + b"a" * (300 << 10)],
        [b"X: " + b"a" * (17 << 10)],
        [b"X%d: a" % number for number in range(70)],
        [b"X%d: a" % number for number in range(20_000)],
        [b"X%d: %s" % (number, b"a" * 1000) for number in range(20)],
    ],
    ids=["line", "line-in-one-piece", "count", "huge-count", "total"],
)
def test_oversized_heads_are_refused_and_the_connection_ends(door: Door, lines: list[bytes]) -> None:
    answered = door.ask(door.head(HELLO, *lines) + door.head(HELLO))
    assert answered in ([], [400], [431])  # none: hung up before all of it was sent


def test_a_path_without_end_is_refused(door: Door) -> None:
    assert door.ask(door.head(b"GET /" + b"a" * (300 << 10))) in ([], [400], [404], [431])


@pytest.mark.parametrize("length", [b"5000000", b"1099511627776", b"9" * 19, b"9" * 400])
@pytest.mark.parametrize("path", [b"PUT /v1/jobs/" + b"0" * 32, b"POST /v1/jobs/" + b"0" * 32 + b"/move"])
def test_a_body_is_refused_by_what_it_declares(door: Door, path: bytes, length: bytes) -> None:
    assert door.told(door.head(path, b"Content-Length: " + length))[0] in (400, 413)


def test_a_body_in_chunks_is_counted_as_it_comes(door: Door) -> None:
    chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    data = door.head(b"PUT /v1/jobs/" + b"0" * 32, b"Transfer-Encoding: chunked") + chunk * 6 + b"0\r\n\r\n"
    assert door.told(data) == (413, "invalid_request")


@pytest.mark.parametrize(
    "chunk", [b"fffffffffffffffff\r\n", b"-1\r\nx", b"zz\r\n", b"5\r\nabc\r\n0\r\n\r\n" + b"x" * 70]
)
def test_chunks_that_lie_are_no_http(shared: Service, door: Door, chunk: bytes) -> None:
    data = door.head(b"PUT /v1/jobs/" + b"0" * 32, b"Transfer-Encoding: chunked") + chunk
    assert set(door.ask(data)) <= {400, 413, 422}
    assert door.told(door.head(HELLO)) == (200, "")


@pytest.mark.parametrize("length", [b"-1", b"+5", b"5, 6", b"0x10", b"5 5", b"\xd9\xa5"])
def test_lengths_that_are_none_are_refused(door: Door, length: bytes) -> None:
    assert door.ask(door.head(b"PUT /v1/jobs/" + b"0" * 32, b"Content-Length: " + length) + b"{}") == [400]


def test_a_body_shorter_than_declared_is_never_a_job(shared: Service, door: Door, told: Told) -> None:
    body = wire.dumps(JobSubmission(request=told())).encode()
    job = b"e" * 32
    with door.knock() as raw:
        send(raw, door.head(b"PUT /v1/jobs/" + job, b"Content-Length: %d" % (len(body) + 1)) + body)
    assert door.told(door.head(b"GET /v1/jobs/" + job)) == (404, "job_unknown")


# ---- too slow


def test_a_head_that_comes_byte_by_byte_is_cut(impatient: Service) -> None:
    door = Door.of(impatient)
    with door.knock() as raw:
        sent = max(drip(raw, door.head(HELLO) * 9, 0.1))
    assert sent < len(door.head(HELLO)) / 2


def test_a_second_head_that_comes_byte_by_byte_is_cut(impatient: Service) -> None:
    door = Door.of(impatient)
    with door.knock() as raw:
        send(raw, door.head(HELLO))
        assert answer(raw) == (200, "")
        sent = max(drip(raw, door.head(HELLO) * 9, 0.1))
    assert sent < len(door.head(HELLO)) / 2


def test_a_body_that_comes_byte_by_byte_is_cut_and_leaves_nothing(impatient: Service) -> None:
    door = Door.of(impatient)
    with door.knock() as raw:
        send(raw, door.head(b"PUT /v1/blobs/" + b"0" * 64, b"Content-Length: 1000000"))
        assert max(drip(raw, bytes(1000), 0.1)) < 200
    until(lambda: not list(impatient.home.blobs.glob(".incoming-*")))


def test_whoever_is_refused_may_not_go_on_for_long(impatient: Service) -> None:
    door = Door.of(impatient)
    began = time.monotonic()
    with door.knock() as raw:
        send(raw, door.head(b"PUT /v1/blobs/" + b"0" * 64, b"Content-Length: 1000000000000", token="wrong"))
        while time.monotonic() < began + 20:
            try:
                raw.sendall(bytes(100_000))
            except (BrokenPipeError, ConnectionResetError):
                return
            time.sleep(0.02)
    pytest.fail("it was listened to for ever")


def test_connections_that_say_nothing_are_cut(impatient: Service) -> None:
    with Door.of(impatient).knock() as raw:
        assert until_closed(raw) == b""


def test_a_refused_client_is_not_kept_but_one_with_the_token_is(impatient: Service) -> None:
    door = Door.of(impatient)
    with door.knock() as known, door.knock() as stranger:
        send(known, door.head(HELLO))
        assert answer(known)[0] == 200
        send(stranger, door.head(HELLO, token="wrong"))
        assert answer(stranger)[0] == 401
        assert until_closed(stranger) == b""
        send(known, door.head(HELLO))
        assert answer(known)[0] == 200


def test_hundreds_of_slow_strangers_keep_nobody_out(impatient: Service, told: Told) -> None:
    door = Door.of(impatient)
    crowd = []
    try:
        with Connection.to(impatient.home) as friend:
            friend.hello()
            for number in range(300):
                crowd.append(door.knock())
                if number % 2:
                    send(crowd[-1], b"GET /v1/hello HTTP/1.1\r\nHost")
                if number % 50 == 0:
                    with Connection.to(impatient.home) as newcomer:
                        newcomer.hello()
            job = friend.submit(told("steps=2"))
            until(lambda: friend.job(job.id).state is JobState.SUCCEEDED)
            handles = len(list(Path(f"/proc/{impatient.pid}/fd").iterdir()))
            assert handles < IMPATIENT["strangers"] + 80
    finally:
        for raw in crowd:
            raw.close()


def test_a_keep_alive_client_is_not_disturbed(impatient: Service) -> None:
    with Connection.to(impatient.home) as client:
        client.hello()
        before = client._http.sock.getsockname()
        time.sleep(3 * IMPATIENT["head_s"])
        client.hello()
        assert client._http.sock.getsockname() == before


def test_nobody_is_late_because_the_service_slept(impatient: Service) -> None:
    door = Door.of(impatient)
    head = door.head(HELLO)
    with door.knock() as raw:
        send(raw, head[:20])
        os.kill(impatient.pid, signal.SIGSTOP)
        time.sleep(4 * IMPATIENT["head_s"])
        os.kill(impatient.pid, signal.SIGCONT)
        time.sleep(0.3)
        send(raw, head[20:])
        assert answer(raw) == (200, "")


# ---- who doesn't listen


def test_readers_that_do_not_read_cost_little_memory(shared: Service, door: Door, connection: Connection) -> None:
    ref = connection.upload(np.random.default_rng(0).integers(0, 255, 32 << 20, dtype=np.uint8))
    ask = door.head(b"GET /v1/blobs/" + ref.sha256.encode())
    before = memory_mb(shared.pid)
    lazy = [door.knock() for _ in range(40)]
    try:
        for raw in lazy:
            send(raw, ask)
        until(lambda: all(raw.recv(1, socket.MSG_PEEK) == b"H" for raw in lazy))
        connection.hello()
        assert memory_mb(shared.pid) - before < 40 * 16  # where all of it were held: 40 * 32
        assert connection.download(ref).size == 32 << 20
    finally:
        for raw in lazy:
            raw.close()


def test_an_event_stream_that_nobody_reads_costs_nothing(
    shared: Service, door: Door, connection: Connection, told: Told
) -> None:
    with door.knock() as lazy:
        send(lazy, door.head(b"GET /v1/events?since=0"))
        until(lambda: lazy.recv(1, socket.MSG_PEEK) == b"H")
        before = memory_mb(shared.pid)
        job = connection.submit(told("steps=250 pause=0"))
        until(lambda: connection.job(job.id).state is JobState.SUCCEEDED)
        assert memory_mb(shared.pid) - before < 40
        heard = bytearray()
        while f'"revision":{connection.job(job.id).revision}'.encode() not in heard.replace(b" ", b""):
            heard += lazy.recv(1 << 20)


def test_a_listener_who_is_behind_is_told_the_newest_alone() -> None:
    hub = Hub()
    listener = hub.subscribe()
    for step in range(10_000):
        hub.tell_progress(Progress(job_id="x", phase=Phase.STEP, step=step))
        hub.tell_worker(WorkerState.BUSY, device=str(step))
    assert [getattr(event, "step", None) or event.device for event in listener.news()] == ["9999", 9999]
    assert listener.news() == []


# ---- paths


@pytest.mark.parametrize(
    "name",
    [
        b"../token",
        b"..%2ftoken",
        b"%2e%2e%2ftoken",
        b"%252e%252e%252ftoken",
        b"..%5c..%5ctoken",
        b"..\\..\\token",
        b"/etc/passwd",
        b"%2fetc%2fpasswd",
        b"C:%5cWindows%5cwin.ini",
        b"%00",
        b"0" * 63 + b"%00",
        b"0" * 64 + b"%00.npy",
        b"0" * 64 + b"/../../token",
        b"%ef%bc%90" * 64,
        b"0" * 63 + b"%0a",
        b".incoming-x",
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT"])
@pytest.mark.parametrize("folder", [b"blobs", b"jobs", b"models"])
def test_an_id_is_never_a_path(shared: Service, door: Door, folder: bytes, method: bytes, name: bytes) -> None:
    before = sorted(shared.home.folder.rglob("*"))
    with door.knock() as raw:
        path = b" /v1/" + folder + b"/" + name + (b"/thumbnail" if folder == b"models" else b"")
        send(raw, door.head(method + path, b"Content-Length: 0", b"Connection: close"))
        told = until_closed(raw)
    assert int(told.split()[1]) in (400, 404, 405, 422)
    assert door.token.encode() not in told
    assert b"root:" not in told
    assert [path for path in sorted(shared.home.folder.rglob("*")) if "incoming" in path.name] == []
    assert {path.name for path in shared.home.folder.rglob("*")} - {path.name for path in before} <= {
        path.name for pattern in ("queue*", "models.json") for path in shared.home.folder.glob(pattern)
    }


def test_nobody_is_sent_elsewhere(door: Door) -> None:
    assert door.told(door.head(b"GET /v1/jobs/")) == (404, "invalid_request")
    assert door.told(door.head(b"GET /v1/hello/")) == (404, "invalid_request")


# ---- arrays


def npy(shape: str, descr: str = "'<f4'", body: bytes = b"") -> bytes:
    """A .npy file with any Python in its header."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


class Payload:
    """What a pickle runs when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> object:
        return Path.touch, (self.mark,)


def test_a_pickle_in_an_array_is_never_opened(shared: Service, door: Door, tmp_path: Path) -> None:
    mark = tmp_path / "pwned"
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([Payload(mark)], object), allow_pickle=True)
    for data in (buffer.getvalue(), pickle.dumps(Payload(mark)), npy("(1,)", "'|O'", pickle.dumps(Payload(mark)))):
        assert door.told(door.put(data)) == (422, "invalid_array")
    assert not mark.exists()
    np.load(io.BytesIO(buffer.getvalue()), allow_pickle=True)
    assert mark.exists()  # the payload was a live one


@pytest.mark.parametrize(
    "data",
    [
        npy("(4,)", body=bytes(12)),
        npy("(2,)", body=bytes(12)),
        npy("(-3,)", body=bytes(12)),
        npy("(0, 1" + "0" * 30 + ")"),
        npy("(4611686018427387904, 4)"),
        npy("(4294967296, 4294967296)", body=bytes(16)),
        npy("(300000000,)"),
        npy(str((1,) * 64), body=bytes(4)),
        npy("-" * 3000 + "1"),
        npy("[" * 3000),
        npy("(3.0,)", body=bytes(12)),
        npy("__import__('os').system('true')"),
        npy("(3,)", "('<f4', (9, 9, 9))", bytes(12)),
        b"\x93NUMPY\x01\x00\xff\xff" + b" " * 70_000,
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 70_000,
    ],
    ids=range(15),
)
def test_headers_that_lie_are_refused(shared: Service, door: Door, data: bytes) -> None:
    assert door.told(door.put(data)) == (422, "invalid_array")
    chunked = door.head(
        b"PUT /v1/blobs/" + hashlib.sha256(data).hexdigest().encode(), b"Transfer-Encoding: chunked"
    ) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
    assert door.told(chunked) == (422, "invalid_array")
    assert door.told(door.head(HELLO)) == (200, "")


# ---- encodings


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"br", b"zstd", b"gzip, gzip"])
def test_nothing_is_decompressed(shared: Service, door: Door, encoding: bytes) -> None:
    whole = arrays.encode(np.zeros(64 << 20, np.uint8))
    bomb = gzip.compress(whole) if encoding != b"deflate" else zlib.compress(whole)
    before = memory_mb(shared.pid)
    assert door.told(door.put(bomb, b"Content-Encoding: " + encoding)) == (422, "invalid_array")
    job = b'{"request": {"type": "GenerateRequest", "prompt": "x", "size": {"width": 64, "height": 64}}}'
    packed = gzip.compress(job)
    head = door.head(
        b"PUT /v1/jobs/" + b"d" * 32, b"Content-Encoding: " + encoding, b"Content-Length: %d" % len(packed)
    )
    assert door.told(head + packed) == (422, "invalid_request")
    assert memory_mb(shared.pid) - before < 40
    assert not list(shared.home.blobs.glob(f"*/{hashlib.sha256(whole).hexdigest()}"))


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"chunked, gzip", b"identity", b"xchunked", b"chunked, chunked"])
def test_only_plain_chunks_are_a_transfer_encoding(door: Door, coding: bytes) -> None:
    data = door.head(b"PUT /v1/jobs/" + b"0" * 32, b"Transfer-Encoding: " + coding) + b"2\r\n{}\r\n0\r\n\r\n"
    statuses = door.ask(data)
    assert statuses in ([400], [501])


# ---- one request inside another


def smuggled(door: Door) -> bytes:
    return door.head(b"POST /v1/jobs/" + b"0" * 32 + b"/cancel")


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Content-Length: 5", b"Transfer-Encoding:\r\n chunked"],
        [b"Content-Length: 5", b"Transfer-Encoding : chunked"],
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 5, 6"],
        [b"Content-Length: 5", b"X: y\nTransfer-Encoding: chunked"],
        [b"Content-Length: 5", b"Transfer-Encoding: \x0bchunked"],
    ],
)
def test_a_request_whose_end_is_uncertain_is_the_last(door: Door, lines: list[bytes]) -> None:
    body = b"0\r\n\r\n" + smuggled(door)
    statuses = door.ask(door.head(b"PUT /v1/jobs/" + b"0" * 32, *lines) + body)
    assert statuses in ([400], [501])


# ---- links


def test_a_link_is_no_blob_nor_is_what_lies_behind_one(shared: Service, door: Door, tmp_path: Path) -> None:
    data = arrays.encode(np.full(3, 7, np.float32))
    address = hashlib.sha256(data).hexdigest()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / address).write_bytes(data)
    get = door.head(b"GET /v1/blobs/" + address.encode())
    folder = shared.home.blobs / address[:2]
    folder.symlink_to(outside)
    assert door.told(get) == (404, "blob_missing")
    assert door.told(door.put(data)) == (201, "")  # into a folder of its own
    assert not folder.is_symlink()
    assert (outside / address).read_bytes() == data
    (folder / address).unlink()
    (folder / address).symlink_to(outside / address)
    assert door.told(get) == (404, "blob_missing")
    (folder / address).unlink()
