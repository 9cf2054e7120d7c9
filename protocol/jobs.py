"""Jobs: what the queue holds, what a finished one leaves, and what may become of it."""

import re
from dataclasses import dataclass
from enum import StrEnum

from .arrays import ArrayRef
from .errors import ErrorInfo
from .models import UsedModel
from .request import Request

_JOB_ID = re.compile(r"[0-9a-f]{32}")


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # the worker or the service died under it

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the job."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class Priority(StrEnum):
    """Who goes first in the queue; among equals, who came first or was moved there."""

    LOW = "low"  # a batch that may wait
    NORMAL = "normal"
    HIGH = "high"


class Phase(StrEnum):
    """The parts of a job's way, as progress and timings name them."""

    CAPTURE = "capture"  # passes out of Blender
    CONVERT = "convert"  # passes to physical arrays
    UPLOAD = "upload"
    QUEUE = "queue"
    LOAD = "load"  # models from disk
    FETCH = "fetch"  # models from the hub
    CONDITIONING = "conditioning"  # physical arrays to control images
    ENCODE = "encode"  # prompts
    STEP = "step"  # one denoising step
    DECODE = "decode"  # latents to a picture
    STORE = "store"  # results to disk
    DOWNLOAD = "download"  # results to the client
    WRITE_BACK = "write_back"  # into Blender


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long a phase took; one entry for each denoising step."""

    phase: Phase
    ms: float


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """What a job that succeeded leaves behind; everything in it lies in the blob store by then."""

    images: tuple[ArrayRef, ...]  # (height, width, 3) uint8 sRGB, row 0 at the top, by `GenerateRequest.pictures`
    control_maps: tuple[ArrayRef, ...]  # as the nets saw them, (height, width, 3) uint8 or float32, by control
    timings: tuple[Timing, ...]
    checkpoint: str  # what was really loaded
    plan: str  # where the model ran and how, in words
    notes: tuple[str, ...] = ()  # what the user should know: that memory ran out and what was done about it
    versions: dict[str, str]  # of torch, diffusers, ...
    models: tuple[UsedModel, ...] = ()  # everything that was loaded from a file, by what it is

    @property
    def image(self) -> ArrayRef | None:
        """The first picture; None where no picture was asked for."""
        return self.images[0] if self.images else None


@dataclass(frozen=True, kw_only=True)
class JobSubmission:
    """The body of `PUT /v1/jobs/{id}`; submitting the same one twice is one job."""

    request: Request
    client: str = ""  # who asks, for the job list: "blender", "panel", "script"
    retry_interrupted: bool = True  # run it once more when the worker died under it
    transient: bool = False  # a look at something: goes before pictures, is in no history, and is soon forgotten
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, kw_only=True)
class Move:
    """The body of `POST /v1/jobs/{id}/move`: another place in the queue."""

    before: str = ""  # the queued job before which it goes, whose priority it takes; empty: behind all of its own
    priority: Priority | None = None  # None keeps it; counts where `before` is empty


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the service tells it."""

    id: str
    client: str
    state: JobState
    request: Request
    revision: int  # of its newest change
    created_at: float  # Unix seconds
    started_at: float | None = None
    ended_at: float | None = None
    attempts: int = 0  # how often a worker began it
    error: ErrorInfo | None = None
    result: JobResult | None = None
    transient: bool = False  # see JobSubmission
    priority: Priority = Priority.NORMAL
    place: float = 0.0  # queued jobs of one priority run by rising place


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """The answer to `GET /v1/jobs`: newest first."""

    jobs: tuple[Job, ...]
    next_before: int | None  # pass as `before` for the next page; None at the end


def is_job_id(text: str) -> bool:
    """Job ids come from clients: `uuid.uuid4().hex`, 32 lower-case hex digits."""
    return _JOB_ID.fullmatch(text) is not None
