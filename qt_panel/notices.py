"""What the message bar says, and what its button does about it. Knows no Qt."""

import dataclasses
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from ..protocol.errors import (
    BackendError,
    BackendNotInstalled,
    BackendNotStarted,
    BackendUnreachable,
    DetectorMissing,
    InvalidSize,
    JobCancelled,
    JobError,
    ModelMissing,
    UnderpaintError,
)
from ..protocol.jobs import Job, JobState
from ..protocol.request import PlanRequest


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Action(Enum):
    """What a notice's button does."""

    CONNECT = auto()  # find or start the backend
    RETRY = auto()  # do again what failed
    ALLOW_DOWNLOAD = auto()  # let the backend fetch models, and do again what failed
    ROUND_SIZE = auto()
    UNDO = auto()  # what was filled in, and not by the user
    FIT_SIZE = auto()  # take the size of the reused passes


ACTION_LABELS = {
    Action.CONNECT: "Start Backend",
    Action.RETRY: "Retry",
    Action.ALLOW_DOWNLOAD: "Download and Retry",
    Action.ROUND_SIZE: "Round the Size",
    Action.UNDO: "Undo",
    Action.FIT_SIZE: "Use the Passes' Size",
}


class Topic(StrEnum):
    """What a notice is about; a newer one on the same topic replaces it, and good news removes it."""

    BACKEND = "backend"
    FORM = "form"
    JOB = "job"
    FILE = "file"
    MODELS = "models"


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A message that stays until it is closed or no longer true."""

    topic: Topic
    text: str
    severity: Severity = Severity.ERROR
    action: Action | None = None
    job_id: str = ""  # of the job that the action does again


def of_backend(error: UnderpaintError) -> Notice:
    """The notice for a backend that can't be reached or started."""
    if isinstance(error, BackendNotInstalled):
        text = f"{error} Then come back and press the button."
        return Notice(topic=Topic.BACKEND, text=text, severity=Severity.WARNING, action=Action.RETRY)
    starts = isinstance(error, BackendNotStarted | BackendUnreachable)
    return Notice(topic=Topic.BACKEND, text=str(error), action=Action.CONNECT if starts else Action.RETRY)


def of_job(error: UnderpaintError, job_id: str) -> Notice | None:
    """The notice for a job that ended otherwise than in success; None where the user asked for that."""
    if isinstance(error, JobCancelled):
        return None
    action = None
    if isinstance(error, ModelMissing | DetectorMissing):
        action = Action.ALLOW_DOWNLOAD
    elif isinstance(error, JobError | BackendError):
        action = Action.RETRY
    return Notice(topic=Topic.JOB, text=str(error), action=action, job_id=job_id)


def of_end(job: Job) -> Notice | None:
    """The notice for a job that is over; None where there is nothing to say."""
    if job.state in (JobState.FAILED, JobState.INTERRUPTED):
        error = job.error.error() if job.error is not None else UnderpaintError(reason="The job was interrupted.")
        notice = of_job(error, job.id)
        if notice is not None and notice.action is Action.ALLOW_DOWNLOAD and isinstance(job.request, PlanRequest):
            return dataclasses.replace(notice, action=None)  # a plan is made of what is here, whatever is allowed
        return notice
    if job.result is not None and job.result.notes and not job.transient:
        return Notice(topic=Topic.JOB, text=" ".join(job.result.notes), severity=Severity.INFO)
    return None


def of_form(error: UnderpaintError, *, fits: bool = True) -> Notice:
    """The notice for a form of which no request can be made; `fits` is false when passes of another size are why."""
    action = Action.ROUND_SIZE if isinstance(error, InvalidSize) else None if fits else Action.FIT_SIZE
    return Notice(topic=Topic.FORM, text=str(error), severity=Severity.WARNING, action=action)
