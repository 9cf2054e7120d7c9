"""What a control is shown: physical quantities out of a scene, or pictures that somebody brings.

Row 0 of every array is at the top. How a quantity becomes a control image is the worker's business, and
what may be chosen about that is in `options`.
"""

from dataclasses import dataclass
from enum import StrEnum

from .arrays import ArrayRef
from .geometry import Camera, Projection


@dataclass(frozen=True, kw_only=True)
class DepthPass:
    """Planar distance from the camera along its view axis, as Cycles' Depth pass gives it."""

    metres: ArrayRef  # (height, width) float32; background is +inf
    projection: Projection  # parallel projections have no natural disparity


@dataclass(frozen=True, kw_only=True)
class NormalPass:
    """Shading normals in camera space: x right, y up, z toward the viewer."""

    normal_camera: ArrayRef  # (height, width, 3) float32, unit length; background is 0


@dataclass(frozen=True, kw_only=True)
class LinesPass:
    """The geometry that lines are drawn from: where surfaces end, bend, or change object or material."""

    metres: ArrayRef  # as in DepthPass
    normal_camera: ArrayRef  # as in NormalPass
    objects: ArrayRef  # (height, width) int32: equal numbers are one object, 0 is the background
    materials: ArrayRef  # (height, width) int32: equal numbers are one material, 0 is the background
    camera: Camera  # tells a depth step from a surface that runs away


class Visibility(StrEnum):
    """What stands between the camera and a joint."""

    VISIBLE = "visible"  # nothing but the skin that it lies in
    BEHIND_ITSELF = "behind_itself"  # another part of the same character
    BEHIND_OTHERS = "behind_others"  # another object


@dataclass(frozen=True, kw_only=True)
class Keypoint:
    """One joint on the picture."""

    x_px: float  # from the left edge; a pixel's centre is at half-integers
    y_px: float  # from the top edge
    visibility: Visibility = Visibility.VISIBLE


Keypoints = tuple[Keypoint | None, ...]
"""Joints in a fixed order; None for one that is unknown, outside the picture or on the far side of the head."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """One character. Left and right are the person's own."""

    body: Keypoints  # 18, COCO: nose, neck, right shoulder, ...
    left_hand: Keypoints = ()  # 21, OpenPose: wrist, then thumb to little finger from the palm out; or none
    right_hand: Keypoints = ()
    face: Keypoints = ()  # 70: iBUG's 68, then the right and the left pupil; or none
    depth_m: float  # distance from the camera; far people are drawn first


@dataclass(frozen=True, kw_only=True)
class PosePass:
    """Every character in view."""

    people: tuple[Person, ...]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One thing that a segmentation tells apart."""

    name: str
    ade20k: int | None = None  # its class, 0 to 149 as ADE20K's list of 150 counts them; None is unlabelled


@dataclass(frozen=True, kw_only=True)
class SegmentationPass:
    """Which thing each pixel shows."""

    indices: ArrayRef  # (height, width) int32: into `segments`; -1 is the background
    segments: tuple[Segment, ...]
    background: int | None = None  # the ADE20K class of the background; None is unlabelled


@dataclass(frozen=True, kw_only=True)
class PicturePass:
    """A picture that the control is about: the render so far, or the one to refine."""

    image: ArrayRef  # (height, width, 3) uint8, sRGB; any size


@dataclass(frozen=True, kw_only=True)
class InpaintPass:
    """A picture, and which part of it is to be painted anew."""

    image: ArrayRef  # (height, width, 3) uint8, sRGB; any size
    mask: ArrayRef  # (height, width) uint8, as large as the image: 255 paints anew, 0 keeps


@dataclass(frozen=True, kw_only=True)
class ReadyMap:
    """A control image that is already what the ControlNet expects; used as it is."""

    image: ArrayRef  # (height, width, 3) uint8


class Detector(StrEnum):
    """A detector, controlnet-aux's unless said otherwise, that turns a photo into a control image."""

    CANNY = "canny"  # OpenCV's; needs no weights
    HED = "hed"
    PIDINET = "pidinet"
    TEED = "teed"  # as Anyline wraps it
    LINEART = "lineart"
    LINEART_STANDARD = "lineart_standard"  # needs no weights
    LINEART_ANIME = "lineart_anime"
    MLSD = "mlsd"
    OPENPOSE = "openpose"
    DWPOSE = "dwpose"
    MIDAS = "midas"
    ZOE = "zoe"
    LERES = "leres"
    NORMAL_BAE = "normal_bae"
    SHUFFLE = "shuffle"  # needs no weights
    SAM = "sam"


@dataclass(frozen=True, kw_only=True)
class Photo:
    """Any picture; a detector finds the control image in it."""

    image: ArrayRef  # (height, width, 3) uint8, sRGB
    detector: Detector


Source = DepthPass | NormalPass | LinesPass | PosePass | SegmentationPass | PicturePass | InpaintPass | ReadyMap | Photo
