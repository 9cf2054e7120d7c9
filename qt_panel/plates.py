"""Which pictures a job has to show, and which job to look at. Knows no Qt."""

from collections.abc import Collection
from dataclasses import dataclass

from ..protocol.arrays import ArrayRef
from ..protocol.events import WorkerChanged
from ..protocol.jobs import Job, JobState
from ..protocol.request import ControlMapsRequest, DownloadRequest, GenerateRequest, PlanRequest, Variant
from . import words
from .form import pictured
from .job_table import JobTable, unended

STARTING = ("Starting…", "The first preview comes with the first step.")
NOTHING_YET = (
    "Nothing painted yet",
    "Write a prompt and press Ctrl+Return.\nDrop a picture here to steer it with a control.",
)
"""A title and a line for where there is no picture."""


@dataclass(frozen=True, kw_only=True)
class Plate:
    """One of the pictures of a job: a result, or a control map."""

    label: str
    ref: ArrayRef
    picture: Variant | None = None  # what the job asked for it by; None for a control map
    tooltip: str = ""


def plates(job: Job) -> tuple[Plate, ...]:
    """The results first, then the control maps in the order of the controls."""
    request, result = job.request, job.result
    if result is None or isinstance(request, PlanRequest | DownloadRequest):
        return ()
    found: list[Plate] = []
    if isinstance(request, GenerateRequest):
        several = len(result.images) > 1
        for number, (picture, ref) in enumerate(zip(request.pictures, result.images, strict=False), start=1):
            label = f"Picture {number}" if several else "Picture"
            tooltip = f"{words.one_line(picture.prompt)}\nSeed {picture.seed}"
            found.append(Plate(label=label, ref=ref, picture=picture, tooltip=tooltip))
    for control, ref in zip(request.controls, result.control_maps, strict=False):
        found.append(Plate(label=words.KINDS[control.kind], ref=ref))
    return tuple(found)


def expects_several(job: Job) -> bool:
    """Whether a job that is not over will have more than one plate."""
    request = pictured(job.request)
    if request is None:
        return False
    several = bool(request.controls) or (isinstance(request, GenerateRequest) and bool(request.variants))
    return several and not job.state.ended


def next_looked_at(table: JobTable, own: Collection[str], looked_at: str) -> str:
    """The job to look at now: when the one that was watched is over and the next of ours runs, that one.

    Control maps are looked at beside a running picture, for as long as the user wants to.
    """
    current = table.row(looked_at)
    if current is not None and (current.job.transient or not current.job.state.ended):
        return looked_at
    waiting = unended(table, own)
    if waiting and waiting[0].job.state is JobState.RUNNING:
        return waiting[0].job.id
    return looked_at


def no_picture_words(job: Job, worker: WorkerChanged | None) -> tuple[str, str]:
    """A title and a line for a job that has no picture (yet)."""
    what = "Control maps" if isinstance(job.request, ControlMapsRequest) else "The picture"
    match job.state:
        case JobState.QUEUED if words.is_starting(worker):
            return "Starting…", "The backend loads PyTorch; it does so once."
        case JobState.QUEUED:
            return "Waiting in the queue", "It begins when the jobs before it are done."
        case JobState.RUNNING:
            return STARTING
        case JobState.SUCCEEDED if isinstance(job.request, PlanRequest):
            return "Memory check", "\n".join(words.how(job))
        case JobState.SUCCEEDED if isinstance(job.request, DownloadRequest):
            return "Downloaded", "The model is on this computer now."
        case JobState.SUCCEEDED:
            return "Fetching…", ""
        case JobState.CANCELLED:
            return "Cancelled", "Double click the job to bring its settings back."
        case _:
            reason = str(job.error.error()) if job.error is not None else f"{what} could not be made."
            return words.STATES[job.state], reason
