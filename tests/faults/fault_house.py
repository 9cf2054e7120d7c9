"""A data folder in which everything may be killed, its processes, and a fake worker for whoever starts its service."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from underpaint.protocol.client import Connection, Home, ensure_running
from underpaint.protocol.errors import UnderpaintError

HERE = Path(__file__).resolve().parent
FAKE_WORKER = HERE.parent / "backend" / "fake_worker.py"
PATIENCE_S = 60.0
END_S = 600.0  # in which clients come to their end as long as the queue moves, beside other suites
SERVICE, WORKER, CLIENT = "service", "worker", "client"
SEED = int(os.environ.get("UNDERPAINT_FAULT_SEED", "1"))


def until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for a condition; fails when it doesn't come true."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


class House:
    """One data folder, the processes that belong to it, and the clients that work with it."""

    def __init__(self, folder: Path, *, home: Path | None = None, real_worker: bool = False) -> None:
        self.folder = folder
        """Where the ledgers of the clients lie."""
        self.home = Home(home or folder / "home")
        """What the service is started on."""
        self.clock = folder / "clock"
        """Seconds to add to the service's clock."""
        self.home.create()
        self.clients: dict[str, subprocess.Popen[bytes]] = {}
        """By name; a name that is started again goes on with its ledger."""
        self._lives: dict[str, int] = {}  # how often a client will have got to its work once it is up
        self._python = self._disguise(real_worker)

    def _disguise(self, real_worker: bool) -> Path:
        """An interpreter for `UNDERPAINT_BACKEND_PYTHON`: whoever launches the service, it gets little patience."""
        arguments = ["--silence-s", "4", "--cancel-s", "1", "--idle-exit-s", "120"]
        if not real_worker:
            command = [sys.executable, str(FAKE_WORKER), "--blobs", str(self.home.blobs)]
            arguments += ["--worker-command", json.dumps(command)]
        script = self.folder / "python"
        python, words = shlex.quote(sys.executable), shlex.join(arguments)
        script.write_text(
            f'#!/bin/sh\ncase "$*" in *bootstrap.py\\ service*) exec {python} "$@" {words};; esac\nexec {python} "$@"\n'
        )
        script.chmod(0o755)
        return script

    @property
    def environment(self) -> dict[str, str]:
        """For clients of this house."""
        return {
            **os.environ,
            "UNDERPAINT_HOME": str(self.home.folder),
            "UNDERPAINT_BACKEND_PYTHON": str(self._python),
            "OMP_NUM_THREADS": "1",
        }

    def connect(self) -> Connection:
        """A conversation with the service, which is started if none runs."""
        before = os.environ.get("UNDERPAINT_BACKEND_PYTHON")
        os.environ["UNDERPAINT_BACKEND_PYTHON"] = str(self._python)
        try:
            return ensure_running(self.home)
        finally:
            if before is None:
                del os.environ["UNDERPAINT_BACKEND_PYTHON"]
            else:
                os.environ["UNDERPAINT_BACKEND_PYTHON"] = before

    # ---- clients

    def ledger(self, name: str) -> Path:
        """What a client has written down of its jobs."""
        return self.folder / f"{name}.ledger"

    def start_scripts(self, count: int, *arguments: str) -> None:
        """Start so many scripts, whose sequences of jobs follow from the seed."""
        for number in range(count):
            self.start_client(f"script{number}", "--seed", str(SEED * 100 + number), *arguments)

    def start_client(
        self, name: str, *arguments: str, python: str = sys.executable, script: str = "fault_client.py"
    ) -> None:
        """Start a client, or start it again."""
        command = [python, str(HERE / script), "--ledger", str(self.ledger(name)), *arguments]
        ledger = self.ledger(name)
        self._lives[name] = (ledger.read_text().count('"life"') if ledger.exists() else 0) + 1
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            self.clients[name] = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def client_is_up(self, name: str) -> None:
        """Wait until a client that was just started has got to its work."""
        lives = self._lives[name]
        until(lambda: self.ledger(name).exists() and self.ledger(name).read_text().count('"life"') >= lives, name)

    def kill_client(self, name: str) -> None:
        """End a client as a crash would, with whatever it started for itself."""
        process = self.clients[name]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def clients_end(self) -> None:
        """Have the clients finish what they have begun, and leave.

        Those who wait for a picture wait for all that are before it in the queue, however long that is by now. So
        it isn't the time that they take that tells that one is stuck, but that nothing moves any more.
        """
        (self.folder / "enough").touch()
        deadline = time.monotonic() + END_S
        moved_at, was = time.monotonic(), self._progress()
        while staying := [name for name, process in self.clients.items() if process.poll() is None]:
            now, is_ = time.monotonic(), self._progress()
            if is_ != was:
                moved_at, was = now, is_
            if now > deadline or now - moved_at > PATIENCE_S:
                for name in staying:
                    self.kill_client(name)
                said = "; ".join(f"{name}: {self.said(name)}" for name in staying)
                raise AssertionError(f"{staying} did not come to their end, {now - moved_at:.0f} s still: {said}")
            time.sleep(0.1)
        for name, process in self.clients.items():
            assert process.returncode == 0, f"{name} left with {process.returncode}: {self.said(name)}"

    def _progress(self) -> tuple[int, ...]:
        """What grows while clients and queue get on: the newest revision, and what the ledgers hold."""
        revision = 0
        with contextlib.suppress(UnderpaintError), Connection.to(self.home, timeout_s=2.0) as connection:
            revision = connection.hello().revision
        return (revision, *(self.ledger(name).stat().st_size for name in self.clients if self.ledger(name).exists()))

    def said(self, name: str) -> str:
        """The end of what a client printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]

    # ---- processes

    def processes(self, role: str | None = None) -> set[int]:
        """The living service and worker processes of this house; zombies don't count."""
        return {pid for pid, found in self._roles() if role in (None, found)}

    def _roles(self) -> Iterator[tuple[int, str]]:
        blobs = os.fsencode(self.home.blobs)
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                dead = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except (FileNotFoundError, ProcessLookupError):
                continue
            if dead:
                continue
            if b"service" in words[:7] and os.fsencode(self.home.folder) in words:
                yield int(entry.name), SERVICE
            elif blobs in words and b"service" not in words[:7]:
                yield int(entry.name), WORKER

    def kill(self, role: str) -> bool:
        """SIGKILL one process of a kind; whether there was one."""
        return self.signal(role, signal.SIGKILL)

    def signal(self, role: str, number: int) -> bool:
        """Signal one process of a kind; whether there was one."""
        for pid in sorted(self.processes(role)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                return True
        return False

    def pause(self, pids: set[int], seconds: float) -> None:
        """Stop processes for a while, as a machine that sleeps does."""
        for number, wait_s in ((signal.SIGSTOP, seconds), (signal.SIGCONT, 0.0)):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(wait_s)

    def settled(self) -> None:
        """Wait until the clients have a service."""
        until(lambda: self.home.endpoint_file.exists(), "a service")

    def close(self) -> set[int]:
        """End the service politely; the processes that stayed all the same, and are killed now."""
        for name, process in self.clients.items():
            if process.poll() is None:
                self.kill_client(name)
        with contextlib.suppress(UnderpaintError), Connection.to(self.home) as connection:
            connection.shutdown()
        deadline = time.monotonic() + 10
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        left = self.processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left
