"""The request: one tree of frozen dataclasses that holds everything that influences a picture.

The same request gives the same picture. A result carries its request, so a picture can be made again.
The tree carries *physical quantities*; what each ControlNet wants of them is the worker's business.
"""

from dataclasses import dataclass
from enum import StrEnum

from .geometry import Camera, Extent
from .options import Options
from .sources import Source

# ---------------------------------------------------------------------------------------------- controls


class ControlKind(StrEnum):
    """What a ControlNet was trained to follow."""

    DEPTH = "depth"
    NORMAL = "normal"
    OPENPOSE = "openpose"
    CANNY = "canny"
    LINEART = "lineart"
    LINEART_ANIME = "lineart_anime"
    SOFTEDGE = "softedge"
    SCRIBBLE = "scribble"
    MLSD = "mlsd"
    SEGMENTATION = "segmentation"
    INPAINT = "inpaint"
    TILE = "tile"
    SHUFFLE = "shuffle"
    BLUR = "blur"
    GRAY = "gray"
    LOW_QUALITY = "low_quality"


@dataclass(frozen=True, kw_only=True)
class Control:
    """One ControlNet, what it is shown, and how much it counts."""

    kind: ControlKind
    source: Source
    options: Options | None = None  # of the kind that goes with the source; None is every default
    controlnet: str = ""  # folder or hub id; empty takes the one that belongs to the embedded checkpoint
    conditioning_scale: float = 1.0
    start: float = 0.0  # fraction of the steps at which it sets in
    end: float = 1.0  # fraction of the steps at which it stops


class Scheduler(StrEnum):
    """Noise schedulers, by diffusers' names."""

    UNIPC = "UniPCMultistepScheduler"
    DPMPP_2M = "DPMSolverMultistepScheduler"
    EULER = "EulerDiscreteScheduler"
    EULER_ANCESTRAL = "EulerAncestralDiscreteScheduler"
    DDIM = "DDIMScheduler"
    HEUN = "HeunDiscreteScheduler"
    PNDM = "PNDMScheduler"
    LMS = "LMSDiscreteScheduler"


# ---------------------------------------------------------------------------------------------- requests


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """Make one picture."""

    prompt: str
    negative_prompt: str = ""
    checkpoint: str = ""  # folder or hub id; empty takes the embedded one
    size: Extent
    controls: tuple[Control, ...] = ()
    steps: int = 20
    guidance_scale: float = 7.5
    scheduler: Scheduler = Scheduler.UNIPC
    seed: int = 0
    camera: Camera | None = None  # whose view the picture is; what projecting it back needs
    allow_download: bool = False  # whether a hub id may be fetched; nothing is downloaded without the user's word


@dataclass(frozen=True, kw_only=True)
class ControlMapsRequest:
    """Make the control images alone, to look at them before spending time on a picture."""

    size: Extent
    controls: tuple[Control, ...]
    checkpoint: str = ""  # its family decides the conventions
    allow_download: bool = False


Request = GenerateRequest | ControlMapsRequest
