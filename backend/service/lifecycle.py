"""What may become of a job, as pure rules; the database enforces them and the supervisor asks them."""

from dataclasses import dataclass

from ...protocol.errors import ErrorInfo
from ...protocol.jobs import JobResult, JobState

MAX_WORKER_DEATHS = 2  # a job that killed this many workers is not tried again
MAX_ATTEMPTS_UNATTENDED = 2  # the first, and one more after an interruption

FROM: dict[JobState, tuple[JobState, ...]] = {
    JobState.QUEUED: (JobState.RUNNING,),  # again, after an interruption
    JobState.RUNNING: (JobState.QUEUED,),
    JobState.SUCCEEDED: (JobState.RUNNING,),
    JobState.FAILED: (JobState.QUEUED, JobState.RUNNING),
    JobState.CANCELLED: (JobState.QUEUED, JobState.RUNNING),
    JobState.INTERRUPTED: (JobState.RUNNING,),
}
"""The states from which each state can be entered."""

UNLESS_CANCELLED = (JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED)
"""States that a job does not enter any more once its end was asked for."""


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A job's change of state."""

    job_id: str
    to: JobState
    at: float  # Unix seconds
    error: ErrorInfo | None = None
    result: JobResult | None = None
    worker_died: bool = False


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What the queue knows of a running job, for the decision what becomes of it."""

    attempts: int
    worker_deaths: int
    retry: bool
    resumes: bool  # a download: it goes on where it was
    cancel_requested: bool


def after_loss(*, attempts: int, worker_deaths: int, retry: bool, resumes: bool, cancel_requested: bool) -> JobState:
    """What a running job becomes when its worker, or the whole service, died under it.

    `worker_deaths` counts this loss if it was the worker that died. A job that resumes may take as many attempts as
    it takes, for each brings it further: a large model on a slow line outlasts many a day's work.
    """
    if cancel_requested:
        return JobState.CANCELLED
    if worker_deaths >= MAX_WORKER_DEATHS:
        return JobState.FAILED
    if retry and (resumes or attempts < MAX_ATTEMPTS_UNATTENDED):
        return JobState.QUEUED
    return JobState.INTERRUPTED
