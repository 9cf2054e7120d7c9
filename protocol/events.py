"""What the service tells whoever listens at `GET /v1/events`: one JSON object a line.

`JobChanged` and `WorkerChanged` follow the same stream. A JobChanged is persisted: it has a revision,
and a client that lost the connection resumes with `since=<last revision>` and misses none. The others
are latest-only: a slow reader is given the newest and never the backlog.
"""

from dataclasses import dataclass
from enum import StrEnum

from .jobs import Job, Phase


@dataclass(frozen=True, kw_only=True)
class JobChanged:
    """A job entered another state."""

    revision: int
    job: Job


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the running job is."""

    job_id: str
    phase: Phase
    step: int = 0  # of `steps` done, while phase is STEP
    steps: int = 0
    picture: int = 1  # of `pictures` being painted; of several at once the first
    pictures: int = 1
    fraction: float = 0.0  # of the whole job, 0 to 1
    note: str = ""  # for a person: "UniPC, 20 steps, cpu float32"


@dataclass(frozen=True, kw_only=True)
class PreviewReady:
    """`GET /v1/jobs/{id}/preview` has a newer picture."""

    job_id: str
    step: int


class WorkerState(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"


@dataclass(frozen=True, kw_only=True)
class WorkerChanged:
    """The process with torch in it came or went."""

    state: WorkerState
    device: str = ""  # "cpu", "cuda:0 NVIDIA H200"
    reason: str = ""  # why it stopped


@dataclass(frozen=True, kw_only=True)
class Alive:
    """Nothing happened for a while; the connection is sound."""

    revision: int


Event = JobChanged | Progress | PreviewReady | WorkerChanged | Alive
