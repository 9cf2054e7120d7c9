"""Which control image a family's ControlNet of a kind expects: one row each.

A wrong convention is one wrong row here and not a hunt. Sources: docs/conventions.md,
which names the annotator code or model card behind each number.
"""

from dataclasses import dataclass
from enum import StrEnum

from ....protocol.errors import InvalidRequest
from ....protocol.geometry import Extent
from ....protocol.options import DepthEncoding, NormalEncoding, SegmentColours
from ....protocol.request import ControlKind
from ..families import FAMILIES, FamilyId


class NetKind(StrEnum):
    """How a ControlNet is built, which decides what it was shown."""

    PLAIN = "plain"  # one kind of control a net
    UNION = "union"  # one net for many kinds, told apart by a mode (`unions`)


@dataclass(frozen=True, kw_only=True)
class DepthConvention:
    """Near is white, background is black."""

    encoding: DepthEncoding = DepthEncoding.DISPARITY
    floor: float = 0.0  # grey of the farthest surface, 0..1; lifts it off the black background


@dataclass(frozen=True, kw_only=True)
class NormalConvention:
    """A direction in camera space as a colour."""

    encoding: NormalEncoding = NormalEncoding.BAE
    background: tuple[int, int, int] = (128, 128, 255)
    background_threshold: float = 0.4  # MIDAS: relative disparity below which slopes count as none


@dataclass(frozen=True, kw_only=True)
class PoseConvention:
    """OpenPose sticks, in pixels of the picture."""

    stick_px: int = 4  # half width of a limb's ellipse
    joint_px: int = 4  # radius of a joint's disc
    hand_line_px: int = 2  # width of a finger's bone
    hand_joint_px: int = 4  # radius
    face_point_px: int = 3  # radius
    grows: bool = False  # stick and joint times 2 from 500 px on, 3 from 1000, and one more for each further 1000


class LineStyle(StrEnum):
    """How lines look; all of them are white on black."""

    THIN = "thin"  # exactly one pixel wide, 0 or 255: canny
    STROKES = "strokes"  # anti-aliased: lineart
    SOFT = "soft"  # blurred, a few shades of grey: softedge
    THICK = "thick"  # wide, 0 or 255: scribble
    STRAIGHT = "straight"  # straight segments alone, exactly one pixel wide: mlsd


@dataclass(frozen=True, kw_only=True)
class LineConvention:
    """White lines on black. Lengths are in pixels of a picture whose shorter side is 512 (see `growth`)."""

    style: LineStyle
    width_px: float = 1.0  # of a line; THIN and STRAIGHT are one pixel wide at any size
    shortest_px: float = 0.0  # shorter lines are left out
    levels: int = 0  # SOFT: shades of grey that are left; 0 keeps all of them
    lightest: float = 1.0  # STROKES, SOFT: width of a crease or of a border of materials, in parts of a silhouette's


@dataclass(frozen=True, kw_only=True)
class SegmentationConvention:
    """Flat colours; what is unlabelled is black."""

    colours: SegmentColours = SegmentColours.ADE20K


@dataclass(frozen=True, kw_only=True)
class InpaintConvention:
    """The picture, with one value in all channels where it is to be painted anew."""

    masked: float  # -1.0, which no 8-bit picture holds, makes the map float32


@dataclass(frozen=True, kw_only=True)
class PictureConvention:
    """A picture, worn down in this order. Lengths as in LineConvention."""

    shrink: float = 1.0  # made so many times smaller, and as large again
    blur_px: float = 0.0  # sigma of a Gaussian
    gray: bool = False
    shuffle: bool = False  # bent until nothing but its colours is left


Convention = (
    DepthConvention
    | NormalConvention
    | PoseConvention
    | LineConvention
    | SegmentationConvention
    | InpaintConvention
    | PictureConvention
)

_CANNY = LineConvention(style=LineStyle.THIN, shortest_px=6)
_LINEART = LineConvention(style=LineStyle.STROKES, width_px=2.2, shortest_px=4, lightest=0.6)
_ANIME = LineConvention(style=LineStyle.STROKES, width_px=1.7, shortest_px=4)
_SOFTEDGE = LineConvention(style=LineStyle.SOFT, width_px=5, shortest_px=4, levels=3, lightest=0.6)
_SCRIBBLE = LineConvention(style=LineStyle.THICK, width_px=6, shortest_px=16)
_MLSD = LineConvention(style=LineStyle.STRAIGHT, shortest_px=20)

# What v1.1's annotators draw, and every later net's too where the notes below don't say otherwise.
_V11: dict[ControlKind, Convention] = {
    ControlKind.DEPTH: DepthConvention(),
    ControlKind.NORMAL: NormalConvention(),
    ControlKind.OPENPOSE: PoseConvention(),
    ControlKind.CANNY: _CANNY,
    ControlKind.LINEART: _LINEART,
    ControlKind.LINEART_ANIME: _ANIME,
    ControlKind.SOFTEDGE: _SOFTEDGE,
    ControlKind.SCRIBBLE: _SCRIBBLE,
    ControlKind.MLSD: _MLSD,
    ControlKind.SEGMENTATION: SegmentationConvention(),
    ControlKind.INPAINT: InpaintConvention(masked=-1.0),
    ControlKind.TILE: PictureConvention(),
    ControlKind.SHUFFLE: PictureConvention(shuffle=True),
    # The tile nets were trained on worn pictures; blur_gaussian of the webui goes with them, sigma 9.
    ControlKind.BLUR: PictureConvention(blur_px=9),
    ControlKind.LOW_QUALITY: PictureConvention(shrink=4),
    ControlKind.GRAY: PictureConvention(gray=True),
}


def _v11(*left_out: ControlKind) -> dict[ControlKind, Convention]:
    return {kind: rule for kind, rule in _V11.items() if kind not in left_out}


def _only(*kinds: ControlKind) -> dict[ControlKind, Convention]:
    return {kind: _V11[kind] for kind in kinds}


_ROWS: dict[tuple[FamilyId, NetKind], dict[ControlKind, Convention]] = {
    # lllyasviel/control_v11*_sd15_*; gray: latentcat/control_v1p_sd15_brightness
    (FamilyId.SD15, NetKind.PLAIN): _V11,
    # thibaud/controlnet-sd21-*: trained with v1.1's annotators
    (FamilyId.SD2, NetKind.PLAIN): _v11(
        ControlKind.LINEART_ANIME,
        ControlKind.MLSD,
        ControlKind.INPAINT,
        ControlKind.TILE,
        ControlKind.SHUFFLE,
        ControlKind.BLUR,
        ControlKind.LOW_QUALITY,
        ControlKind.GRAY,
    ),
    # depth, canny: diffusers, xinsir; lineart, softedge: TheMistoAI/MistoLine; scribble, tile: xinsir;
    # segmentation: abovzv/sdxl_segmentation_controlnet_ade20k, SargeZT/sdxl-controlnet-seg;
    # normal, lineart_anime: Eugeoter/noob-sdxl-controlnet-*
    (FamilyId.SDXL, NetKind.PLAIN): {
        **_v11(ControlKind.MLSD, ControlKind.SHUFFLE, ControlKind.GRAY),
        # xinsir/controlnet-openpose-sdxl-1.0: the author's README scales sticks and joints with the size
        ControlKind.OPENPOSE: PoseConvention(grows=True),
        # destitech/controlnet-inpaint-dreamer-sdxl: what is to be painted is white
        ControlKind.INPAINT: InpaintConvention(masked=1.0),
    },
    # xinsir/controlnet-union-sdxl-1.0 and its promax; normal: NormalBaeDetector in its example
    (FamilyId.SDXL, NetKind.UNION): {
        **_v11(ControlKind.SHUFFLE, ControlKind.GRAY),
        ControlKind.OPENPOSE: PoseConvention(grows=True),
        # mode 5 saw SAM's masks, not ADE20K's classes
        ControlKind.SEGMENTATION: SegmentationConvention(colours=SegmentColours.RANDOM),
        # mode 7 of promax
        ControlKind.INPAINT: InpaintConvention(masked=0.0),
    },
    # canny, depth, blur: stabilityai/stable-diffusion-3.5-large-controlnet-*; canny, openpose, tile: InstantX/SD3-*;
    # inpaint: alimama-creative/SD3-Controlnet-Inpainting, whose pipeline blackens what is to be painted
    (FamilyId.SD3, NetKind.PLAIN): {
        **_only(ControlKind.CANNY, ControlKind.DEPTH, ControlKind.BLUR, ControlKind.OPENPOSE, ControlKind.TILE),
        ControlKind.INPAINT: InpaintConvention(masked=0.0),
    },
    # canny: InstantX, XLabs-AI; depth: Shakker-Labs, jasperai (Upscaler: tile, low quality); canny, softedge, depth,
    # openpose, gray: Shakker-Labs/FLUX.1-dev-ControlNet-Union-Pro-2.0, which takes no mode
    (FamilyId.FLUX, NetKind.PLAIN): _only(
        ControlKind.CANNY,
        ControlKind.DEPTH,
        ControlKind.SOFTEDGE,
        ControlKind.OPENPOSE,
        ControlKind.GRAY,
        ControlKind.TILE,
        ControlKind.LOW_QUALITY,
    ),
    # InstantX/FLUX.1-dev-Controlnet-Union, Shakker-Labs/FLUX.1-dev-ControlNet-Union-Pro
    (FamilyId.FLUX, NetKind.UNION): _only(
        ControlKind.CANNY,
        ControlKind.TILE,
        ControlKind.DEPTH,
        ControlKind.BLUR,
        ControlKind.OPENPOSE,
        ControlKind.GRAY,
        ControlKind.LOW_QUALITY,
    ),
    # InstantX/Qwen-Image-ControlNet-Union, which takes no mode; inpaint: InstantX/Qwen-Image-ControlNet-Inpainting
    (FamilyId.QWEN_IMAGE, NetKind.PLAIN): {
        **_only(ControlKind.CANNY, ControlKind.SOFTEDGE, ControlKind.DEPTH, ControlKind.OPENPOSE),
        ControlKind.INPAINT: InpaintConvention(masked=0.0),
    },
    # alibaba-pai/Z-Image-Turbo-Fun-Controlnet-Union, which takes no mode
    (FamilyId.Z_IMAGE, NetKind.PLAIN): _only(
        ControlKind.CANNY, ControlKind.SOFTEDGE, ControlKind.DEPTH, ControlKind.OPENPOSE, ControlKind.MLSD
    ),
}

DEPTH_OUTLIERS: dict[DepthEncoding, tuple[float, float]] = {
    DepthEncoding.DISPARITY: (0.0, 0.0),
    DepthEncoding.LINEAR: (0.02, 0.15),
}
"""Fractions of the surfaces' pixels beyond a range's near and far end, as MiDaS's and Zoe's annotators take it."""


# Nets that were shown something else than the other nets of their family, by their hub id.
_EXCEPTIONS: dict[str, dict[ControlKind, Convention]] = {
    # their cards: Zoe's depth
    "diffusers/controlnet-zoe-depth-sdxl-1.0": {ControlKind.DEPTH: DepthConvention(encoding=DepthEncoding.LINEAR)},
    "thibaud/controlnet-sd21-zoedepth-diffusers": {ControlKind.DEPTH: DepthConvention(encoding=DepthEncoding.LINEAR)},
    # SD 1.0's, which knows slopes alone
    "lllyasviel/sd-controlnet-normal": {ControlKind.NORMAL: NormalConvention(encoding=NormalEncoding.MIDAS)},
    "fusing/stable-diffusion-v1-5-controlnet-normal": {
        ControlKind.NORMAL: NormalConvention(encoding=NormalEncoding.MIDAS)
    },
    # its card: controlnet-aux's drawing, which is made at 512 and was enlarged to 1024
    "thibaud/controlnet-openpose-sdxl-1.0": {
        ControlKind.OPENPOSE: PoseConvention(stick_px=8, joint_px=8, hand_line_px=4, hand_joint_px=8, face_point_px=6)
    },
}


def convention(family: FamilyId, kind: ControlKind, net: NetKind = NetKind.PLAIN, controlnet: str = "") -> Convention:
    """The row of a family, a kind and a way of building nets, or that of one ControlNet that is an exception.

    `controlnet` is a hub id, or a folder whose last names are one. Raises InvalidRequest where there are no such nets.
    """
    rule = _ROWS.get((family, net), {}).get(kind)
    if rule is not None:
        return _exception(controlnet, kind) or rule
    title = FAMILIES[family].title
    if net is NetKind.UNION:
        known = ", ".join(_ROWS.get((family, net), {}))
        why = f"the union nets for {title} know {known}" if known else f"no union net for {title} is known"
        raise InvalidRequest(reason=f"a union net can't be shown a {kind} control: {why}")
    union = kind in _ROWS.get((family, NetKind.UNION), {})
    hint = "; choose a union net, which does it" if union else ""
    raise InvalidRequest(reason=f"no {kind} ControlNet for {title} is known{hint}")


def _exception(controlnet: str, kind: ControlKind) -> Convention | None:
    """Two repositories may have one name, so a folder counts only with its owner's name before it."""
    place = "/" + controlnet.strip().replace("\\", "/").rstrip("/").lower()
    for name, rules in _EXCEPTIONS.items():
        if place.endswith("/" + name.lower()):
            return rules.get(kind)
    return None


def growth(extent: Extent) -> float:
    """How much larger lengths are than at 512 px, where annotators work; what they draw is enlarged with the rest."""
    return min(extent.width, extent.height) / 512
