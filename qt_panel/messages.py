"""What the window and the threads that talk to the backend say to each other. Knows no Qt.

Commands go to the caller's thread, reports come back to the window's; both are frozen.
"""

from dataclasses import dataclass
from enum import Enum, auto

from ..protocol.arrays import AnyArray, ArrayRef, UInt8Array
from ..protocol.errors import UnderpaintError
from ..protocol.events import Event
from ..protocol.jobs import Job, JobPage, Priority
from ..protocol.models import Catalogue, ModelPage
from ..protocol.request import Request
from .form import Form


class Want(Enum):
    """What a form is to become."""

    PICTURES = auto()
    MAPS = auto()  # control maps alone, to look at
    PLAN = auto()  # where and how the pictures would be painted


# ---- commands


@dataclass(frozen=True, kw_only=True)
class Connect:
    """Find the service, or start it."""

    since: int | None = None  # the newest revision that is known; None for a first time
    wanted: bool = True  # by the user; otherwise one that was stopped on purpose stays so


@dataclass(frozen=True, kw_only=True)
class Submit:
    """Upload what the form's pictures need and put the job in the queue."""

    job_id: str
    form: Form
    want: Want = Want.PICTURES


@dataclass(frozen=True, kw_only=True)
class CancelJob:
    job_id: str


@dataclass(frozen=True, kw_only=True)
class MoveJob:
    """Give a waiting job another place."""

    job_id: str
    before: str = ""  # the job before which it goes; empty: behind all of a priority
    priority: Priority | None = None  # None keeps it


@dataclass(frozen=True, kw_only=True)
class RetryJob:
    """Queue a job's request once more, as a job of its own."""

    job_id: str


@dataclass(frozen=True, kw_only=True)
class CollectJob:
    """Say that all pictures of a job are here."""

    job_id: str


@dataclass(frozen=True, kw_only=True)
class LoadJobs:
    """Fetch a page of the job list."""

    before: int | None = None


@dataclass(frozen=True, kw_only=True)
class FindRender:
    """Find the newest succeeded job that came from Blender or a script, however far back."""


@dataclass(frozen=True, kw_only=True)
class LoadPicture:
    """Fetch a blob."""

    ref: ArrayRef


@dataclass(frozen=True, kw_only=True)
class LoadPreview:
    """Fetch what the running job looks like by now."""

    job_id: str


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Put a request in the queue that needs no form: a download, or a plan of what a picture says of itself."""

    job_id: str
    request: Request
    transient: bool = False


@dataclass(frozen=True, kw_only=True)
class LoadModels:
    """Fetch the list of models."""

    rescan: bool = False  # have the folders looked through anew first


@dataclass(frozen=True, kw_only=True)
class LoadModelPicture:
    """Fetch the picture that lies beside a model."""

    model_id: str


@dataclass(frozen=True, kw_only=True)
class LoadCatalogue:
    """Fetch what is recommended."""


@dataclass(frozen=True, kw_only=True)
class FindGone:
    """Find out which of these arrays the service has no more."""

    refs: tuple[ArrayRef, ...]


Command = (
    Connect
    | Submit
    | CancelJob
    | MoveJob
    | RetryJob
    | CollectJob
    | LoadJobs
    | FindRender
    | LoadPicture
    | LoadPreview
    | Ask
    | LoadModels
    | LoadModelPicture
    | LoadCatalogue
    | FindGone
)

# ---- reports


@dataclass(frozen=True, kw_only=True)
class Connecting:
    """Looking for the service, and starting it where there is none."""


@dataclass(frozen=True, kw_only=True)
class Connected:
    serial: int  # counts the connections of this session
    software_version: str
    page: JobPage


@dataclass(frozen=True, kw_only=True)
class Lost:
    """The conversation ended from the other side."""

    serial: int  # of the connection that ended; an older one than the present doesn't matter
    error: UnderpaintError


@dataclass(frozen=True, kw_only=True)
class Happened:
    event: Event


@dataclass(frozen=True, kw_only=True)
class Submitted:
    job: Job


@dataclass(frozen=True, kw_only=True)
class JobsLoaded:
    page: JobPage


@dataclass(frozen=True, kw_only=True)
class RenderFound:
    job: Job | None  # None: there is none


@dataclass(frozen=True, kw_only=True)
class PictureLoaded:
    ref: ArrayRef
    pixels: AnyArray  # (height, width, 3), uint8, or float32 for control maps that hold -1


@dataclass(frozen=True, kw_only=True)
class PreviewLoaded:
    job_id: str
    pixels: UInt8Array | None  # (height, width, 3), smaller than the picture; None when there is none any more


@dataclass(frozen=True, kw_only=True)
class ModelsLoaded:
    page: ModelPage


@dataclass(frozen=True, kw_only=True)
class ModelPictureLoaded:
    model_id: str
    file: bytes | None  # as it lies on disk: PNG, JPEG or WebP; None where there is none any more


@dataclass(frozen=True, kw_only=True)
class CatalogueLoaded:
    catalogue: Catalogue


@dataclass(frozen=True, kw_only=True)
class GoneFound:
    """Which of the arrays that were asked about the service has no more."""

    refs: tuple[ArrayRef, ...]
    gone: frozenset[str]  # addresses


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A command that could not be done."""

    command: Command
    error: UnderpaintError


Report = (
    Connecting
    | Connected
    | Lost
    | Happened
    | Submitted
    | JobsLoaded
    | RenderFound
    | PictureLoaded
    | PreviewLoaded
    | ModelsLoaded
    | ModelPictureLoaded
    | CatalogueLoaded
    | GoneFound
    | Refused
)
