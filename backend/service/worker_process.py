"""A worker's process, seen from the service: frames in, frames out, and its death."""

import logging
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import BinaryIO, cast

from ...protocol.client import logs
from .. import pipe
from ..pipe import FromWorker, PipeBroken, ToWorker
from .tether import Tether

_UNHANDLED_FRAMES = 64  # how far a worker may talk ahead of the service before its pipe fills up
_REAP_S = 5.0
_TAIL_LINES = 4

OnFrame = Callable[["WorkerProcess", FromWorker, bytes], None]
OnGone = Callable[["WorkerProcess", str], None]

log = logging.getLogger("underpaint.service")
printed = logging.getLogger("underpaint.worker")


class WorkerProcess:
    """Owns one process and the three threads that serve its pipes.

    `on_frame` and `on_gone` are called from those threads; `on_gone` exactly once, last, with the reason
    in words. `handled` must be called once for each frame.
    """

    def __init__(self, command: Sequence[str], *, on_frame: OnFrame, on_gone: OnGone) -> None:
        """Start the process. Raises OSError."""
        self._on_frame = on_frame
        self._on_gone = on_gone
        self._killed_for: str | None = None
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._slots = threading.BoundedSemaphore(_UNHANDLED_FRAMES)
        self._outgoing: queue.SimpleQueue[ToWorker | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=sys.platform != "win32",  # Ctrl-C in the service's terminal is for the service
            creationflags=subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0,
        )
        try:
            self._tether = Tether(self._process.pid)
        except OSError:
            self._process.kill()
            raise
        self._printer = threading.Thread(target=self._copy_prints, name="worker-stderr", daemon=True)
        self._printer.start()
        threading.Thread(target=self._write, name="worker-stdin", daemon=True).start()
        threading.Thread(target=self._read, name="worker-stdout", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def send(self, message: ToWorker) -> None:
        """Send a frame, without waiting for the worker to read it."""
        self._outgoing.put(message)

    def leave(self) -> None:
        """Close the worker's stdin, which tells it to leave."""
        self._outgoing.put(None)

    def kill(self, reason: str) -> None:
        """End the process and what it started, at once."""
        if self._killed_for is None:
            self._killed_for = reason
        self._tether.end()

    def handled(self) -> None:
        """A frame was dealt with; the worker may send another."""
        self._slots.release()

    def _read(self) -> None:
        stdout = cast(BinaryIO, self._process.stdout)
        try:
            while (frame := pipe.read_frame(stdout)) is not None:
                message, payload = frame
                if not isinstance(message, FromWorker):
                    raise PipeBroken(f"a worker doesn't say {type(message).__name__}")
                self._slots.acquire()
                self._on_frame(self, message, payload)
        except (PipeBroken, OSError) as error:
            self.kill(f"it said what can't be understood ({error})")
        self._outgoing.put(None)
        stdout.close()
        self._on_gone(self, self._reap())

    def _reap(self) -> str:
        try:
            code = self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            self.kill("it closed its pipe and stayed")
            code = self._process.wait()
        self._tether.end()  # what it started and left behind
        self._printer.join(1.0)
        if self._killed_for is not None:
            return self._killed_for
        how = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it left with code {code}"
        return f"{how}: {self._tail[-1]}" if self._tail and code else how

    def _write(self) -> None:
        stdin = cast(BinaryIO, self._process.stdin)
        try:
            while (message := self._outgoing.get()) is not None:
                pipe.write_frame(stdin, message)
            stdin.close()
        except OSError as error:  # it has died; the reader finds out why
            log.debug("the worker's stdin: %s", error)

    def _copy_prints(self) -> None:
        stderr = cast(BinaryIO, self._process.stderr)
        with stderr:
            for line in iter(lambda: stderr.readline(1 << 16), b""):
                text = line.decode("utf-8", "replace").rstrip()
                if text:
                    self._tail.append(logs.without_secrets(text))
                    printed.info("%s", text, extra={"event": "printed", "speaker": self._process.pid})
