"""The request: one tree of frozen dataclasses that holds everything that influences a picture.

The same request gives the same picture. A result carries its request, so a picture can be made again.
The tree carries *physical quantities*; what each ControlNet wants of them is the worker's business.
"""

from dataclasses import dataclass
from enum import StrEnum

from .arrays import ArrayRef

# ---------------------------------------------------------------------------------------------- geometry


@dataclass(frozen=True, kw_only=True)
class Extent:
    """A picture's size in pixels."""

    width: int
    height: int


class Projection(StrEnum):
    PERSPECTIVE = "perspective"
    ORTHOGRAPHIC = "orthographic"


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole or parallel camera, after lens shift, sensor fit and pixel aspect are worked in.

    A point (x, y, z) in camera space (Blender's: x right, y up, looking along -z, metres) lands on
    perspective:   u = cx_px + fx_px * x / -z,  v = cy_px - fy_px * y / -z
    orthographic:  u = cx_px + fx_px * x,       v = cy_px - fy_px * y
    with (u, v) in pixels from the picture's top left corner; a pixel's centre is at half-integers.
    """

    projection: Projection
    fx_px: float  # pixels, or pixels a metre for orthographic
    fy_px: float
    cx_px: float
    cy_px: float
    world_from_camera: tuple[float, ...]  # 16 numbers, row by row; a rotation and a translation
    clip_start_m: float
    clip_end_m: float


# ---------------------------------------------------------------------------------------------- sources


@dataclass(frozen=True, kw_only=True)
class DepthPass:
    """Planar distance from the camera along its view axis, as Cycles' Depth pass gives it."""

    metres: ArrayRef  # (height, width) float32, row 0 at the top; background is +inf
    projection: Projection  # parallel projections have no natural disparity
    near_m: float | None = None  # fixed range for a sequence; None takes this frame's
    far_m: float | None = None


@dataclass(frozen=True, kw_only=True)
class NormalPass:
    """Shading normals in camera space: x right, y up, z toward the viewer."""

    normal_camera: ArrayRef  # (height, width, 3) float32, row 0 at the top, unit length; background is 0


@dataclass(frozen=True, kw_only=True)
class Keypoint:
    """One joint on the picture."""

    x_px: float  # from the left edge; a pixel's centre is at half-integers
    y_px: float  # from the top edge


@dataclass(frozen=True, kw_only=True)
class Person:
    """One character's joints, in the order of COCO-18; None where a joint is not to be drawn."""

    body: tuple[Keypoint | None, ...]  # 18
    depth_m: float  # distance from the camera; far people are drawn first


@dataclass(frozen=True, kw_only=True)
class PosePass:
    """Every character in view."""

    people: tuple[Person, ...]


@dataclass(frozen=True, kw_only=True)
class ReadyMap:
    """A control image that is already what the ControlNet expects; used as it is."""

    image: ArrayRef  # (height, width, 3) uint8


class Detector(StrEnum):
    """A controlnet-aux detector that turns a photo into a control image."""

    CANNY = "canny"  # needs no weights
    MIDAS = "midas"
    NORMAL_BAE = "normal_bae"
    OPENPOSE = "openpose"


@dataclass(frozen=True, kw_only=True)
class Photo:
    """Any picture; a detector finds the control image in it."""

    image: ArrayRef  # (height, width, 3) uint8, sRGB
    detector: Detector


Source = DepthPass | NormalPass | PosePass | ReadyMap | Photo

# ---------------------------------------------------------------------------------------------- controls


class ControlKind(StrEnum):
    """What a ControlNet was trained to follow."""

    DEPTH = "depth"
    NORMAL = "normal"
    OPENPOSE = "openpose"
    CANNY = "canny"


@dataclass(frozen=True, kw_only=True)
class Control:
    """One ControlNet, what it is shown, and how much it counts."""

    kind: ControlKind
    source: Source
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
