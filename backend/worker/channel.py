"""The worker's end of the pipe: frames in from the service, frames out from several threads."""

import faulthandler
import os
import queue
import sys
import threading
import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import BinaryIO, NoReturn

from ...protocol.errors import JobCancelled
from ...protocol.request import ControlMapsRequest, DownloadRequest, PlanRequest, Request
from ...protocol.sources import Photo
from ..pipe import Beat, Cancel, Failed, FromWorker, PipeBroken, Run, Shutdown, read_frame, write_frame

_BEAT_S = 1.0
_LAST_RESORT_S = 300.0  # longer than the service waits for a beat while it lives


class Lane(Enum):
    """Where jobs go one after the other, while those of other lanes are under way."""

    PICTURES = auto()  # whatever needs a net
    LOOKS = auto()
    DOWNLOADS = auto()


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A job that has come in."""

    run: Run
    cancelled: threading.Event  # set once the job is to stop, even before it began
    arrived: float  # time.perf_counter()


class Channel:
    """Sends frames whole, whoever sends them; receives jobs, and cancels of jobs that run or wait.

    When the service is gone there is nobody left to work for, so the process ends on the spot: a blob is
    complete or absent, and nothing else needs tidying up.
    """

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._writing = threading.Lock()
        self._arrived: dict[Lane, queue.SimpleQueue[Waiting]] = {lane: queue.SimpleQueue() for lane in Lane}
        self._jobs: dict[str, Waiting] = {}  # those that have come in and have not ended
        self._begun: set[str] = set()
        self._deciding = threading.Lock()  # over whether a job begins or is dropped

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

    def next_job(self, lane: Lane) -> Waiting:
        """Wait for a lane's next job."""
        while True:
            job = self._arrived[lane].get()
            with self._deciding:
                if job.run.job_id in self._jobs:
                    self._begun.add(job.run.job_id)
                    return job

    def finish(self, job_id: str, message: FromWorker) -> None:
        """Say how a job ended. A late Cancel for it means nothing from here on."""
        with self._deciding:
            del self._jobs[job_id]
            self._begun.discard(job_id)
        self.send(message)

    def _listen(self) -> None:
        while True:
            try:
                frame = read_frame(self._incoming)
            except (PipeBroken, OSError) as error:
                _leave(f"the pipe broke: {error}", 1)
            match None if frame is None else frame[0]:
                case Run() as run:
                    self._take(run)
                case Cancel() as cancel:
                    self._cancel(cancel.job_id)
                case Shutdown() | None:
                    _leave("asked to leave", 0)
                case other:
                    _leave(f"the service sent a {type(other).__name__}", 1)

    def _take(self, run: Run) -> None:
        job = Waiting(run=run, cancelled=threading.Event(), arrived=time.perf_counter())
        self._jobs[run.job_id] = job
        self._arrived[_lane(run.request)].put(job)

    def _cancel(self, job_id: str) -> None:
        """A job that hasn't begun ends here and now; a running one looks at its event after each step."""
        with self._deciding:
            job = self._jobs.get(job_id)
            if job is None:
                return
            job.cancelled.set()
            if job_id in self._begun:
                return
            del self._jobs[job_id]
        self.send(Failed(job_id=job_id, error=JobCancelled().info()))

    def _beat(self) -> None:
        waiting = threading.Event()
        while not waiting.wait(_BEAT_S):
            if sys.platform == "darwin":
                renew_last_resort()
            self.send(Beat())


def _lane(request: Request) -> Lane:
    if isinstance(request, DownloadRequest):
        return Lane.DOWNLOADS
    return Lane.LOOKS if goes_beside(request) else Lane.PICTURES


def goes_beside(request: Request) -> bool:
    """Whether a job uses nothing that a picture does: a plan, or control images without a detector's net."""
    if isinstance(request, ControlMapsRequest):
        return not any(isinstance(control.source, Photo) for control in request.controls)
    return isinstance(request, PlanRequest)


def renew_last_resort(after_s: float = _LAST_RESORT_S) -> None:
    """Have this process end unless this is called again in time, even if a library holds Python's lock until then.

    Where a service dies nothing but a thread of Python's notices the pipe's end, and such a library would keep it from
    doing so for ever. Linux and Windows end a worker with its service by themselves; macOS has nothing like it.
    """
    faulthandler.dump_traceback_later(after_s, exit=True)


def _leave(reason: str, status: int) -> NoReturn:
    print(f"worker {os.getpid()} leaves: {reason}", file=sys.stderr, flush=True)
    os._exit(status)
