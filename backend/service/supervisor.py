"""Runs the queue on a worker that is started, watched and, if need be, killed.

One job after the other, and beside it one look, which needs no model and doesn't wait for pictures, and one download.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from ...protocol import arrays
from ...protocol.errors import DiskFull, ErrorInfo, InvalidArray, JobCancelled, QueueLocked, WorkerFailed
from ...protocol.events import PreviewReady, WorkerState
from ...protocol.jobs import Job, JobResult, JobState, Move
from ...protocol.request import ControlMapsRequest, DownloadRequest
from ..blobstore import BlobStore
from ..pipe import Beat, Cancel, Failed, FromWorker, MapsReady, Previewed, Ready, Reported, Run, Shutdown, Succeeded
from .database import Database
from .hub import Hub, Preview
from .lanes import Lane, Slot, fatal
from .lifecycle import Transition
from .limits import Limits
from .worker_process import WorkerProcess

_MAX_FAILED_STARTS = 2
_LOOKS = 16  # that are looked through for one that needs no torch
_WARN_EVERY_S = 60.0  # a log that tells of a full disk shouldn't be what fills it

log = logging.getLogger("underpaint.service")


class Supervisor:
    """Owns the worker. Everything here runs on the event loop; the process's threads post to it."""

    def __init__(
        self,
        *,
        database: Database,
        blobs: BlobStore,
        hub: Hub,
        command: Sequence[str],
        worker_log: Path,
        limits: Limits,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._hub = hub
        self._command = command
        self._worker_log = worker_log
        self._limits = limits
        self._worker: WorkerProcess | None = None
        self._ready = False
        self._maps_ready = False  # before that, for control images alone
        self._device = ""
        self._failed_starts = 0  # in a row
        self._deaths = 0  # in a row: since a worker last finished a job
        self._may_start_at = 0.0
        self._slots = {lane: Slot() for lane in Lane}
        self._started_at = 0.0  # monotonic, as the others
        self._heard_at = 0.0
        self._killed_at: float | None = None
        self._owed: list[Transition] = []  # ends that a full disk has kept from being recorded
        self._owed_loss: str | None = None  # the same, for a worker's death; its reason
        self._warned_at = -_WARN_EVERY_S
        self._stopping = False

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits, or has ended and could not be recorded yet."""
        runs = any(slot.job_id is not None for slot in self._slots.values())
        return runs or bool(self._owed) or self._database.next_queued() is not None

    # ---- what the clients cause

    def recover(self) -> None:
        """Deal with the jobs that were running when the last service died. Raises DiskFull, QueueLocked."""
        for job_id in self._database.running():
            self._database.lose(
                job_id, time.time(), worker_died=False, reason="the service was ended", log=self._worker_log
            )

    def wake(self) -> None:
        """A job was queued: begin it as soon as nothing else runs."""
        self._hub.wake()
        self._dispatch()

    def warm(self) -> None:
        """Somebody is about to want something: have a worker ready."""
        if self._worker is None and not self._stopping and time.monotonic() >= self._may_start_at:
            self._start()

    def cancel(self, job_id: str) -> Job:
        """End a job: at once while it waits, within a step while it runs. Raises JobUnknown, DiskFull, QueueLocked."""
        job = self._database.request_cancel(job_id)
        if job.state is JobState.QUEUED:
            job = self._change(Transition(job_id=job_id, to=JobState.CANCELLED, at=time.time())) or job
        elif job.state is JobState.RUNNING:
            slot = self._slot(job_id)
            if slot is not None and slot.cancelled_at is None:
                slot.cancelled_at = time.monotonic()
                if self._worker is not None:
                    self._worker.send(Cancel(job_id=job_id))
        return job

    def move(self, job_id: str, move: Move) -> Job:
        """Give a queued job another place. Raises JobUnknown, JobNotQueued, DiskFull, QueueLocked."""
        job = self._database.move(job_id, move)
        self._hub.wake()
        return job

    # ---- the loop

    async def run(self) -> None:
        """Watch over the worker until cancelled."""
        self._dispatch()
        last = time.monotonic()
        while True:
            await asyncio.sleep(self._limits.tick_s)
            now = time.monotonic()
            if now - last > self._limits.tick_s + 3.0:  # we, or the whole computer, slept: so did the worker
                self._heard_at = now
            last = now
            self._watch(now)
            self._settle()
            self._dispatch()

    async def stop(self) -> None:
        """Have the worker leave, and kill it if it doesn't. What it was doing is interrupted."""
        self._stopping = True
        worker = self._worker
        if worker is None:
            return
        if self._slots[Lane.PICTURES].job_id is not None:
            worker.kill("the service was stopped")
        else:
            worker.send(Shutdown())
            worker.leave()
        for _ in range(100):
            if self._worker is None:
                return
            await asyncio.sleep(0.02)
        worker.kill("the service was stopped")

    def _watch(self, now: float) -> None:
        worker = self._worker
        if worker is None:
            return
        patience = self._limits.silence_s if self._ready else self._limits.start_silence_s
        if self._killed_at is not None:
            if now - self._killed_at > self._limits.death_s:
                self._gone(worker, "it was killed and its pipe stayed open")
        elif reason := fatal(self._slots, self._limits, now, painting=self._hub.progress is not None):
            self._kill(reason)
        elif now - self._heard_at > patience:
            self._kill(f"it gave no sign of life for {patience:.0f} s")
        elif not self._ready and now - self._started_at > self._limits.start_s:
            self._kill(f"it was not ready after {self._limits.start_s:.0f} s")

    def _dispatch(self) -> None:
        """Begin each lane's next job, as far as nothing is in its way."""
        for lane, slot in self._slots.items():
            if slot.job_id is not None:
                continue
            job = self._begin(self._next_look() if lane is Lane.LOOKS else self._database.next_queued(lane))
            if job is None or self._worker is None:
                continue
            slot.begin(job, time.monotonic())
            if lane is Lane.PICTURES:
                self._hub.begin_job()
                self._hub.tell_worker(WorkerState.BUSY, device=self._device)
            self._worker.send(Run(job_id=job.id, request=job.request))

    def _next_look(self) -> Job | None:
        """The look whose turn it is; while torch is being imported a plan waits and control images go past it."""
        looks = self._database.queued(Lane.LOOKS, limit=1 if self._ready else _LOOKS)
        return next((look for look in looks if self._able(look)), looks[0] if looks else None)

    def _able(self, job: Job) -> bool:
        """Whether the worker is so far that it can do this job."""
        return self._ready or (self._maps_ready and isinstance(job.request, ControlMapsRequest | DownloadRequest))

    def _slot(self, job_id: str) -> Slot | None:
        """Where a job runs."""
        return next((slot for slot in self._slots.values() if slot.job_id == job_id), None)

    def _begin(self, job: Job | None) -> Job | None:
        """The job, if it runs from now on."""
        if job is None or self._stopping or self._owed or self._owed_loss is not None:
            return None  # what a dead worker did has to be recorded first, or it would be lost a second time
        if self._worker is None:
            self.warm()
            return None
        if not self._able(job) or self._killed_at is not None:
            return None
        try:
            running = self._change(Transition(job_id=job.id, to=JobState.RUNNING, at=time.time()))
        except (DiskFull, QueueLocked) as error:
            self._warn(error)
            return None
        if running is None:  # its end was asked for, and then the service died
            self._end(Transition(job_id=job.id, to=JobState.CANCELLED, at=time.time()))
            return None
        return job

    # ---- the worker

    def _start(self) -> None:
        loop = asyncio.get_running_loop()

        def frame(worker: WorkerProcess, message: FromWorker, payload: bytes) -> None:
            loop.call_soon_threadsafe(self._frame, worker, message, payload)

        def gone(worker: WorkerProcess, reason: str) -> None:
            loop.call_soon_threadsafe(self._gone, worker, reason)

        self._ready, self._maps_ready, self._killed_at = False, False, None
        self._started_at = self._heard_at = time.monotonic()
        try:
            self._worker = WorkerProcess(self._command, on_frame=frame, on_gone=gone)
        except OSError as error:
            self._never_ready(f"it can't be started: {error}")
            return
        log.info("started the worker %d", self._worker.pid)
        self._hub.tell_worker(WorkerState.STARTING)

    def _kill(self, reason: str) -> None:
        if self._worker is not None and self._killed_at is None:
            log.warning("killing the worker: %s", reason)
            self._killed_at = time.monotonic()
            self._worker.kill(reason)

    def _frame(self, worker: WorkerProcess, message: FromWorker, payload: bytes) -> None:
        worker.handled()
        if worker is not self._worker or self._killed_at is not None:
            return  # the last words of one that was given up
        self._heard_at = time.monotonic()
        match message:
            case Beat():
                pass  # having been heard is all it is for
            case MapsReady():
                self._maps_ready = True
                self._dispatch()
            case Ready():
                self._ready, self._device, self._failed_starts = True, message.device, 0
                log.info("the worker is ready on %s", message.device)
                state = WorkerState.READY if self._slots[Lane.PICTURES].job_id is None else WorkerState.BUSY
                self._hub.tell_worker(state, device=message.device)
                self._dispatch()
            case Reported() if (slot := self._slot(message.progress.job_id)) is not None:
                slot.told_at, slot.phase = self._heard_at, message.progress.phase
                if slot is self._slots[Lane.PICTURES]:
                    self._hub.tell_progress(message.progress)
                elif slot is self._slots[Lane.DOWNLOADS]:
                    self._hub.tell_download(message.progress)
            case Previewed() if message.job_id == self._slots[Lane.PICTURES].job_id:
                self._preview(message, payload)
            case Succeeded() if self._slot(message.job_id) is not None:
                self._succeeded(message.job_id, message.result)
            case Failed() if self._slot(message.job_id) is not None:
                cancelled = message.error.code == JobCancelled.code
                to = JobState.CANCELLED if cancelled else JobState.FAILED
                error = None if cancelled else self._with_log(message.error)
                self._finish(Transition(job_id=message.job_id, to=to, at=time.time(), error=error))
            case Reported() | Previewed():
                pass  # what was under way when its job ended
            case _:
                self._kill(f"it spoke of a job that it wasn't given ({type(message).__name__})")

    def _preview(self, message: Previewed, payload: bytes) -> None:
        try:
            picture = arrays.decode(payload)
        except InvalidArray as error:
            self._kill(f"it sent a preview that can't be read ({error})")
            return
        if picture.ndim != 3 or picture.shape[2] != 3:
            self._kill(f"it sent a preview of shape {picture.shape}")
            return
        ready = PreviewReady(job_id=message.job_id, step=message.step)
        self._hub.tell_preview(Preview(ready=ready, data=payload))

    def _succeeded(self, job_id: str, result: JobResult) -> None:
        refs = (*result.control_maps, *result.images)
        missing = [ref.sha256 for ref in refs if not arrays.is_address(ref.sha256) or not self._blobs.has(ref.sha256)]
        if missing:
            reason = f"the worker promised the result {missing[0][:64]} and did not store it"
            error = WorkerFailed(reason=reason, log=self._worker_log).info()
            self._finish(Transition(job_id=job_id, to=JobState.FAILED, at=time.time(), error=error))
        else:
            self._finish(Transition(job_id=job_id, to=JobState.SUCCEEDED, at=time.time(), result=result))

    def _gone(self, worker: WorkerProcess, reason: str) -> None:
        if worker is not self._worker:
            return
        was_ready, self._worker, self._ready, self._killed_at = self._ready, None, False, None
        log.info("the worker %d is gone: %s", worker.pid, reason)
        rest = min(self._limits.rest_s * 2**self._deaths, self._limits.longest_rest_s) if self._deaths else 0.0
        self._may_start_at = time.monotonic() + rest
        self._deaths += 1
        self._hub.tell_worker(WorkerState.STOPPED, reason=reason)
        if self._stopping:
            return  # a job that was running is recovered by the next service
        if any(slot.job_id is not None for slot in self._slots.values()):
            self._owed_loss = reason  # it died on these, ready or not; others that wait are not to blame
            self._settle()
        elif not was_ready:
            self._never_ready(reason)
        self._dispatch()

    def _with_log(self, error: ErrorInfo) -> ErrorInfo:
        """A worker doesn't know where what it prints is kept; its user should."""
        if error.code != WorkerFailed.code:
            return error
        return ErrorInfo(code=error.code, details={**error.details, "log": str(self._worker_log)})

    def _never_ready(self, reason: str) -> None:
        """A worker that can't even start, twice in a row, must not leave the queue waiting for ever."""
        self._hub.tell_worker(WorkerState.STOPPED, reason=reason)
        self._failed_starts += 1
        job = self._database.next_queued()
        if job is not None and self._failed_starts >= _MAX_FAILED_STARTS:
            error = WorkerFailed(reason=f"the worker did not start, {reason}", log=self._worker_log).info()
            self._end(Transition(job_id=job.id, to=JobState.FAILED, at=time.time(), error=error))

    # ---- recording

    def _change(self, change: Transition) -> Job | None:
        job = self._database.transition(change)
        if job is not None:
            self._hub.wake()
        return job

    def _finish(self, change: Transition) -> None:
        """The end of a job that runs, as its worker told it."""
        slot = self._slot(change.job_id)
        if slot is not None:
            slot.end()
        if slot is self._slots[Lane.PICTURES]:
            self._deaths = 0
            self._hub.end_job()
            self._hub.tell_worker(WorkerState.READY if self._ready else WorkerState.STARTING, device=self._device)
        elif slot is self._slots[Lane.DOWNLOADS]:
            self._hub.tell_download(None)
        self._end(change)
        self._dispatch()

    def _end(self, change: Transition) -> None:
        self._owed.append(change)
        self._settle()

    def _settle(self) -> None:
        """Record what has happened. While the disk is full it is kept and tried again, so that no result is lost."""
        try:
            while self._owed:
                change = self._owed[0]
                if self._change(change) is None and change.to is JobState.SUCCEEDED:
                    # Its end was asked for before it succeeded.
                    self._change(Transition(job_id=change.job_id, to=JobState.CANCELLED, at=change.at))
                del self._owed[0]
            if self._owed_loss is not None:
                alone = all(slot.job_id is None for lane, slot in self._slots.items() if lane is not Lane.DOWNLOADS)
                for lane, slot in reversed(self._slots.items()):  # downloads first: what ran beside them is still known
                    if slot.job_id is None:
                        continue
                    # Beside a picture or a look, a download is hardly what it died of.
                    self._lose(slot.job_id, self._owed_loss, to_blame=alone or lane is not Lane.DOWNLOADS)
                    slot.end()
                    if lane is Lane.PICTURES:
                        self._hub.end_job()
                self._hub.tell_download(None)
                self._owed_loss = None
                self._hub.wake()
        except (DiskFull, QueueLocked) as error:
            self._warn(error)

    def _lose(self, job_id: str, reason: str, *, to_blame: bool) -> None:
        self._database.lose(job_id, time.time(), worker_died=to_blame, reason=reason, log=self._worker_log)

    def _warn(self, error: DiskFull | QueueLocked) -> None:
        now = time.monotonic()
        if now - self._warned_at > _WARN_EVERY_S:
            self._warned_at = now
            log.warning("%s What is to be recorded is kept and tried again.", error)
