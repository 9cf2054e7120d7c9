"""What the service costs: calls, arrays and events beside raw loopback, and a long history beside a short one.

Every pair is measured in turns in one run, and printed as median and the range of the middle 80 %.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from underpaint.backend.service.database import Database
from underpaint.backend.service.lifecycle import Transition
from underpaint.protocol import arrays
from underpaint.protocol.client import Connection, Home, ensure_running
from underpaint.protocol.events import JobChanged
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobState, JobSubmission
from underpaint.protocol.request import GenerateRequest

FAKE_WORKER = Path(__file__).resolve().parents[1] / "tests" / "backend" / "fake_worker.py"
REQUEST = GenerateRequest(prompt="steps=0", size=Extent(width=8, height=8))
MIB = 1 << 20


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="of the quick ones; a tenth of it for 64 MiB")
    parser.add_argument("--history", type=int, default=100_000, help="jobs in the long history")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},"
          f" load {os.getloadavg()[0]:.1f}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        calls(Home(Path(folder) / "home"), options.rounds)
        histories(Path(folder), options.history, options.rounds)
    return 0


# ---------------------------------------------------------------------------------------------- calls


def calls(home: Home, rounds: int) -> None:
    """Through the client, beside the same bytes through a bare socket."""
    with served(home) as connection, echo() as bare:
        compare("empty call", rounds, {"service": connection.hello, "loopback": lambda: exchange(bare, b"\0" * 200)})
        for mib in (4, 64):
            once = max(3, rounds // (10 if mib > 4 else 2) // 2)
            random = np.random.default_rng(0)
            data = b"\0" * (mib * MIB)

            prepared = [random.integers(0, 256, mib * MIB, dtype=np.uint8).reshape(-1, 1024) for _ in range(once + 1)]

            def upload(prepared: list[np.ndarray] = prepared) -> None:
                connection.upload(prepared.pop())

            ref = connection.upload(prepared.pop())
            compare(
                f"{mib} MiB",
                once,
                {
                    "upload": upload,
                    "download": lambda ref=ref: connection.download(ref),
                    "loopback": lambda data=data: exchange(bare, data),
                    "SHA-256": lambda data=data: arrays.digest(data),
                },
            )
        compare(
            "job", max(10, rounds // 4),
            {
                "submit to its first event": lambda: event_delivery(connection),
                "submit to worker's start": lambda: submit_to(connection, JobState.RUNNING),
                "submit to picture": lambda: submit_to(connection, JobState.SUCCEEDED),
            },
        )  # fmt: skip


@contextmanager
def served(home: Home) -> Iterator[Connection]:
    """A service with a worker that paints nothing."""
    os.environ["UNDERPAINT_BACKEND_PYTHON"] = sys.executable
    command = [sys.executable, str(FAKE_WORKER), "--blobs", str(home.blobs)]
    with ensure_running(home, service_arguments=("--worker-command", json.dumps(command))) as connection:
        submit_to(connection, JobState.SUCCEEDED)  # the worker is there
        yield connection
        connection.shutdown()


def event_delivery(connection: Connection) -> float:
    """Seconds from a submission until its first event is here."""
    with closing(connection.events()) as events:
        next(events)
        began = time.perf_counter()
        job = connection.submit(REQUEST, job_id=uuid.uuid4().hex)
        for event in events:
            if isinstance(event, JobChanged) and event.job.id == job.id:
                took = time.perf_counter() - began
                while not connection.job(job.id).state.ended:
                    time.sleep(0.001)
                return took
    raise AssertionError("the events ended")


def submit_to(connection: Connection, state: JobState) -> float:
    """Seconds from a submission until its job entered a state, as an event tells."""
    with closing(connection.events()) as events:
        next(events)
        began, took = time.perf_counter(), 0.0
        job = connection.submit(REQUEST)
        for event in events:
            if isinstance(event, JobChanged) and event.job.id == job.id:
                if event.job.state is state:
                    took = time.perf_counter() - began
                if event.job.state.ended:
                    return took
    raise AssertionError("the events ended")


@contextmanager
def echo() -> Iterator[socket.socket]:
    """A bare socket whose other end takes a length and as many bytes, and answers one byte."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            buffer = bytearray(1 << 20)
            while head := peer.recv(8, socket.MSG_WAITALL):
                left = int.from_bytes(head, "big")
                while left:
                    left -= peer.recv_into(buffer, min(left, len(buffer)))
                peer.sendall(b"\0")

    threading.Thread(target=serve, daemon=True).start()
    with socket.create_connection(listener.getsockname()) as bare, listener:
        bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield bare


def exchange(bare: socket.socket, data: bytes) -> None:
    """Send so many bytes and wait for the answer."""
    bare.sendall(len(data).to_bytes(8, "big") + data if len(data) < MIB else len(data).to_bytes(8, "big"))
    if len(data) >= MIB:
        bare.sendall(data)
    bare.recv(1)


# ---------------------------------------------------------------------------------------------- histories


def histories(folder: Path, many: int, rounds: int) -> None:
    """The queue itself: the same operations after ten jobs and after very many."""
    few, long = filled(folder / "few.sqlite3", 10), filled(folder / "many.sqlite3", many)
    both = {"10 jobs": few, f"{many:,} jobs": long}
    operations: dict[str, Callable[[Database], object]] = {
        "submit and run": submit_and_run,
        "list the newest 50": lambda database: database.jobs(None, 50),
        "next in the queue": lambda database: database.next_queued(),
        "resume 20 changes behind": lambda database: database.changes(database.revision() - 20),
    }
    for name, operation in operations.items():
        compare(name, rounds, {words: lambda op=operation, db=database: op(db) for words, database in both.items()})
    for words, database in both.items():
        path = database._path
        database.close()
        began = time.perf_counter()
        Database(path).close()
        print(f"{'open the queue':<28} {words:<28} {1e3 * (time.perf_counter() - began):9.2f} ms"
              f"   {path.stat().st_size / MIB:.0f} MiB")  # fmt: skip


def filled(path: Path, jobs: int) -> Database:
    """A queue with so many jobs behind it."""
    database = Database(path)
    database._db.execute("PRAGMA synchronous = OFF")
    for number in range(jobs):
        finish(database, f"{number:032x}")
    database._db.execute("PRAGMA synchronous = NORMAL")
    return database


def finish(database: Database, job_id: str) -> None:
    """Submit a job, begin it and end it."""
    database.submit(job_id, JobSubmission(request=REQUEST), at=time.time())
    for state in (JobState.RUNNING, JobState.SUCCEEDED):
        database.transition(Transition(job_id=job_id, to=state, at=time.time()))


def submit_and_run(database: Database) -> None:
    """What a job costs the queue."""
    finish(database, uuid.uuid4().hex)


# ---------------------------------------------------------------------------------------------- printing


def compare(name: str, rounds: int, contestants: dict[str, Callable[[], object]]) -> None:
    """Run the contestants in turns; a contestant that returns seconds measured itself."""
    taken: dict[str, list[float]] = {words: [] for words in contestants}
    for contestant in contestants.values():
        if "upload" not in contestants or contestant is not contestants["upload"]:
            contestant()  # once to warm up; uploads are counted
    for _ in range(rounds):
        for words, contestant in contestants.items():
            began = time.perf_counter()
            own = contestant()
            taken[words].append(own if isinstance(own, float) else time.perf_counter() - began)
    for words, seconds in taken.items():
        ms = sorted(1e3 * value for value in seconds)
        low, high = ms[len(ms) // 10], ms[-1 - len(ms) // 10]
        print(f"{name:<28} {words:<28} {statistics.median(ms):9.3f} ms   ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    sys.exit(main())
