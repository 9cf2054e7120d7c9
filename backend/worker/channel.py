"""The worker's end of the pipe: frames in from the service, frames out from several threads."""

import os
import queue
import sys
import threading
from typing import BinaryIO, NoReturn

from ..pipe import Beat, Cancel, FromWorker, PipeBroken, Run, Shutdown, read_frame, write_frame

_BEAT_S = 1.0


class Channel:
    """Sends frames whole, whoever sends them; receives jobs, and cancels of jobs that run or wait.

    When the service is gone there is nobody left to work for, so the process ends on the spot: a blob is
    complete or absent, and nothing else needs tidying up.
    """

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._writing = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Run, threading.Event]] = queue.SimpleQueue()
        self._tokens: dict[str, threading.Event] = {}

    def start(self) -> None:
        """Begin to listen and to beat, each in a thread of its own."""
        for target in (self._listen, self._beat):
            threading.Thread(target=target, name=f"pipe{target.__name__}", daemon=True).start()

    def send(self, message: FromWorker, payload: bytes = b"") -> None:
        """Send one frame; from any thread."""
        try:
            with self._writing:
                write_frame(self._outgoing, message, payload)
        except OSError:
            _leave("the service closed the pipe", 0)

    def next_job(self) -> tuple[Run, threading.Event]:
        """Wait for a job. Its event is set once the job is to be cancelled, even before it began."""
        return self._jobs.get()

    def forget(self, job_id: str) -> None:
        """The job is over; a late Cancel for it means nothing."""
        self._tokens.pop(job_id, None)

    def _listen(self) -> None:
        while True:
            try:
                frame = read_frame(self._incoming)
            except (PipeBroken, OSError) as error:
                _leave(f"the pipe broke: {error}", 1)
            match None if frame is None else frame[0]:
                case Run() as run:
                    self._tokens[run.job_id] = threading.Event()
                    self._jobs.put((run, self._tokens[run.job_id]))
                case Cancel() as cancel:
                    token = self._tokens.get(cancel.job_id)
                    if token is not None:
                        token.set()
                case Shutdown() | None:
                    _leave("asked to leave", 0)
                case other:
                    _leave(f"the service sent a {type(other).__name__}", 1)

    def _beat(self) -> None:
        waiting = threading.Event()
        while not waiting.wait(_BEAT_S):
            self.send(Beat())


def _leave(reason: str, status: int) -> NoReturn:
    print(f"worker {os.getpid()} leaves: {reason}", file=sys.stderr, flush=True)
    os._exit(status)
