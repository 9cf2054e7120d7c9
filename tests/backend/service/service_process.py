"""A real service process with the fake worker behind the real pipe."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from underpaint.protocol.client import Connection, Home, ensure_running
from underpaint.protocol.errors import BackendUnreachable

FAKE_WORKER = Path(__file__).parents[1] / "fake_worker.py"
PATIENCE_S = 20.0


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; fails when it doesn't come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain")
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie doesn't."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return status != "Z"


class Service:
    """The service of one home, and the means to end it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.pid = 0
        self.connection: Connection | None = None

    def start(
        self,
        *,
        worker: str = "ready",
        idle_exit_s: float = 60.0,
        patience: dict[str, float] | None = None,
        more: Sequence[str] = (),
    ) -> Connection:
        """Have the launcher start or find it, with more arguments."""
        command = [sys.executable, str(FAKE_WORKER), "--blobs", str(self.home.blobs), "--start", worker]
        arguments = ["--worker-command", json.dumps(command), "--idle-exit-s", str(idle_exit_s)]
        arguments += ["--silence-s", "3", "--cancel-s", "0.5", "--patience", json.dumps(patience or {}), *more]
        if self.connection is not None:
            self.connection.close()
        self.connection = ensure_running(self.home, service_arguments=arguments)
        self.pid = self.connection.hello().pid
        return self.connection

    def kill(self) -> None:
        """End it as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)
        until(lambda: not alive(self.pid))

    def stop(self) -> None:
        """Ask it to leave, and see that it does."""
        if self.connection is None:
            return
        self.connection.close()
        if alive(self.pid):
            try:
                with Connection.to(self.home) as connection:
                    connection.shutdown()
            except BackendUnreachable:
                os.kill(self.pid, signal.SIGTERM)
        until(lambda: not alive(self.pid))

    def workers(self) -> set[int]:
        """The processes that run the fake worker for this home."""
        found: set[int] = set()
        for entry in Path("/proc").iterdir():
            try:
                command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            except (FileNotFoundError, ProcessLookupError):
                continue
            words = command.split(b"\0")
            if os.fsencode(FAKE_WORKER) in words[:2] and os.fsencode(self.home.blobs) in words:
                found.add(int(entry.name))
        return {pid for pid in found if alive(pid)}
