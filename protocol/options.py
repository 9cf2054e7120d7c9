"""What may be chosen about turning a source into a control image; None takes what the ControlNet was trained on.

Options never change what a scene has to be rendered for: the same source with other options is another map
of the same geometry.
"""

from dataclasses import dataclass
from enum import StrEnum


class DepthEncoding(StrEnum):
    """The quantity that the grey runs in."""

    DISPARITY = "disparity"  # 1/z: MiDaS, Depth Anything
    LINEAR = "linear"  # z: Zoe


@dataclass(frozen=True, kw_only=True)
class DepthOptions:
    """For DepthPass."""

    encoding: DepthEncoding | None = None
    near_m: float | None = None  # what is white; None takes the nearest surface of this frame
    far_m: float | None = None  # what has the floor's grey; None takes the farthest surface of this frame
    outliers: float | None = None  # fraction of the pixels left out at each end when a range is taken from the frame
    floor: float | None = None  # grey of the farthest surface, 0..1; the background is 0 whatever it is
    invert: bool = False  # near is black, for nets that were trained the other way round


class NormalEncoding(StrEnum):
    """What red and green say. Blue is always toward the viewer."""

    BAE = "bae"  # red faces image left, green up
    OPENGL = "opengl"  # red faces image right, green up
    DIRECTX = "directx"  # red faces image right, green down
    MIDAS = "midas"  # of SD 1.0's net: slopes of the disparity, channels in reverse; wants a DepthPass


@dataclass(frozen=True, kw_only=True)
class NormalOptions:
    """For NormalPass; with the MIDAS encoding, for DepthPass."""

    encoding: NormalEncoding | None = None
    swap_red_blue: bool = False  # for nets that were trained on BGR
    background_threshold: float | None = None  # MIDAS: relative disparity, 0..1, below which a pixel is background


class HiddenJoints(StrEnum):
    """What becomes of joints of the body and the hands that the camera doesn't see."""

    DRAW = "draw"  # as annotators do
    DROP_BEHIND_OTHERS = "drop_behind_others"
    DROP = "drop"


@dataclass(frozen=True, kw_only=True)
class PoseOptions:
    """For PosePass."""

    stick_px: int | None = None  # half the width of a limb at its middle
    joint_px: int | None = None  # radius of a joint's disc
    hidden: HiddenJoints = HiddenJoints.DRAW
    hands: bool = True
    face: bool = True


@dataclass(frozen=True, kw_only=True)
class LineOptions:
    """For LinesPass."""

    silhouettes: bool = True  # where one surface ends in front of another, or of nothing
    creases: bool = True
    crease_deg: float = 30.0  # surfaces that bend by less are smooth
    objects: bool = True  # where two objects meet
    materials: bool = True  # where two materials meet
    width_px: float | None = None  # of a line; canny and mlsd are always one pixel wide
    shortest_px: float | None = None  # lines shorter than this are left out
    levels: int | None = None  # softedge: shades of grey that are left; 0 keeps all of them


class SegmentColours(StrEnum):
    """How classes become colours."""

    ADE20K = "ade20k"  # the class's own, unlabelled is black
    RANDOM = "random"  # one for each segment, none twice, as SAM's masks are shown


@dataclass(frozen=True, kw_only=True)
class SegmentationOptions:
    """For SegmentationPass."""

    colours: SegmentColours | None = None
    seed: int = 0  # of the random colours


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """For PicturePass and InpaintPass."""

    blur_px: float | None = None  # blur and low quality: the Gaussian's sigma
    shrink: float | None = None  # tile and low quality: made so many times smaller, and large again
    grow_px: int = 0  # inpaint: how far the mask grows; negative shrinks it
    seed: int = 0  # shuffle: of the displacement


@dataclass(frozen=True, kw_only=True)
class DetectorOptions:
    """For Photo; each detector takes those that it knows. None takes controlnet-aux's default."""

    resolution_px: int | None = None  # the shorter side that the detector works at
    low: float | None = None  # canny: hysteresis thresholds of the gradient, which reaches 2040
    high: float | None = None
    score: float | None = None  # mlsd: how sure a line has to be, 0..1
    distance: float | None = None  # mlsd: shortest line, in the detector's pixels
    safe: bool = False  # hed, pidinet: few shades, which hide the photo from the net
    coarse: bool = False  # lineart: rough strokes
    hands: bool = True  # openpose, dwpose
    face: bool = True
    seed: int = 0  # shuffle


Options = (
    DepthOptions | NormalOptions | PoseOptions | LineOptions | SegmentationOptions | PictureOptions | DetectorOptions
)
