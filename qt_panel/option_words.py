"""The options of control maps as fields: what each is called, and what it may be. Knows no Qt."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..protocol.options import (
    DepthEncoding,
    DepthOptions,
    DetectorOptions,
    HiddenJoints,
    LineOptions,
    NormalEncoding,
    NormalOptions,
    Options,
    PictureOptions,
    PoseOptions,
    SegmentationOptions,
    SegmentColours,
)
from ..protocol.request import ControlKind
from ..protocol.sources import Detector


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number; with `auto` it may also be left to the ControlNet's convention."""

    name: str
    label: str
    tooltip: str
    low: float
    high: float
    step: float = 1
    whole: bool = False
    suffix: str = ""
    auto: bool = True


@dataclass(frozen=True, kw_only=True)
class Switch:
    """On or off."""

    name: str
    label: str
    tooltip: str


@dataclass(frozen=True, kw_only=True)
class OneOf:
    """A member of a closed set; None is what the ControlNet was trained on."""

    name: str
    label: str
    tooltip: str
    members: tuple[tuple[StrEnum | None, str], ...]


Field = Number | Switch | OneOf

_SEED = Number(
    name="seed", label="Seed", tooltip="Another number is another draw", low=0, high=2**31 - 1, whole=True, auto=False
)

_FIELDS: dict[type[Options], tuple[Field, ...]] = {
    DepthOptions: (
        OneOf(
            name="encoding",
            label="Grey runs in",
            tooltip="Disparity is what MiDaS gives, distance what ZoeDepth gives",
            members=((None, "Automatic"), (DepthEncoding.DISPARITY, "Disparity"), (DepthEncoding.LINEAR, "Distance")),
        ),
        Number(
            name="near_m",
            label="Near",
            tooltip="What is white; automatic is the nearest surface",
            low=0.01,
            high=1e6,
            step=0.1,
            suffix=" m",
        ),
        Number(
            name="far_m",
            label="Far",
            tooltip="What has the floor's grey; automatic is the farthest surface",
            low=0.01,
            high=1e6,
            step=0.1,
            suffix=" m",
        ),
        Number(
            name="outliers",
            label="Outliers",
            tooltip="The part of the pixels that is left out at each end when the range is automatic",
            low=0,
            high=0.45,
            step=0.01,
        ),
        Number(
            name="floor",
            label="Floor",
            tooltip="Grey of the farthest surface; the background is black whatever it is",
            low=0,
            high=1,
            step=0.05,
        ),
        Switch(name="invert", label="Near is black", tooltip="For ControlNets that were trained the other way round"),
    ),
    NormalOptions: (
        OneOf(
            name="encoding",
            label="Colours",
            tooltip="What red and green say",
            members=(
                (None, "Automatic"),
                (NormalEncoding.BAE, "NormalBAE"),
                (NormalEncoding.OPENGL, "OpenGL"),
                (NormalEncoding.DIRECTX, "DirectX"),
            ),
        ),
        Number(
            name="background_threshold",
            label="Background",
            tooltip="Relative disparity below which a pixel has no slope",
            low=0,
            high=1,
            step=0.05,
        ),
        Switch(name="swap_red_blue", label="Swap red and blue", tooltip="For ControlNets that were trained on BGR"),
    ),
    PoseOptions: (
        OneOf(
            name="hidden",
            label="Hidden joints",
            tooltip="Joints that the camera doesn't see",
            members=(
                (HiddenJoints.DRAW, "Drawn"),
                (HiddenJoints.DROP_BEHIND_OTHERS, "Not behind others"),
                (HiddenJoints.DROP, "Left out"),
            ),
        ),
        Number(
            name="stick_px",
            label="Sticks",
            tooltip="Half the width of a limb",
            low=1,
            high=64,
            whole=True,
            suffix=" px",
        ),
        Number(name="joint_px", label="Joints", tooltip="Radius of a joint", low=0, high=64, whole=True, suffix=" px"),
        Switch(name="hands", label="Hands", tooltip="Draw hands"),
        Switch(name="face", label="Face", tooltip="Draw faces"),
    ),
    LineOptions: (
        Switch(name="silhouettes", label="Silhouettes", tooltip="Where one surface ends in front of another"),
        Switch(name="creases", label="Creases", tooltip="Where a surface bends"),
        Switch(name="objects", label="Object borders", tooltip="Where two objects meet"),
        Switch(name="materials", label="Material borders", tooltip="Where two materials meet"),
        Number(
            name="crease_deg",
            label="Crease from",
            tooltip="Surfaces that bend by less are smooth",
            low=1,
            high=180,
            step=5,
            suffix=" °",
            auto=False,
        ),
        Number(name="width_px", label="Width", tooltip="Width of a line", low=0.5, high=64, step=0.5, suffix=" px"),
        Number(
            name="shortest_px",
            label="Shortest",
            tooltip="Shorter lines are left out",
            low=0,
            high=1000,
            step=2,
            suffix=" px",
        ),
        Number(
            name="levels",
            label="Shades",
            tooltip="Shades of grey that are left; 0 keeps all of them",
            low=0,
            high=64,
            whole=True,
        ),
    ),
    SegmentationOptions: (
        OneOf(
            name="colours",
            label="Colours",
            tooltip="How classes become colours",
            members=(
                (None, "Automatic"),
                (SegmentColours.ADE20K, "ADE20K classes"),
                (SegmentColours.RANDOM, "Random"),
            ),
        ),
        _SEED,
    ),
    PictureOptions: (
        Number(name="blur_px", label="Blur", tooltip="Sigma of the blur", low=0, high=128, step=0.5, suffix=" px"),
        Number(name="shrink", label="Shrink", tooltip="Made so many times smaller, and large again", low=1, high=64),
        Number(
            name="grow_px",
            label="Grow mask",
            tooltip="How far the mask grows; below zero it shrinks",
            low=-512,
            high=512,
            whole=True,
            suffix=" px",
            auto=False,
        ),
        _SEED,
    ),
    DetectorOptions: (
        Number(
            name="resolution_px",
            label="Works at",
            tooltip="The shorter side that the detector sees",
            low=64,
            high=2048,
            step=64,
            whole=True,
            suffix=" px",
        ),
        Number(name="low", label="Low threshold", tooltip="Where an edge ends", low=0, high=1000, step=10),
        Number(name="high", label="High threshold", tooltip="Where an edge begins", low=0, high=1000, step=10),
        Number(name="score", label="Sure by", tooltip="How sure a line has to be", low=0, high=1, step=0.05),
        Number(name="distance", label="Shortest", tooltip="Shorter lines are left out", low=0, high=100, step=0.5),
        Switch(name="safe", label="Few shades", tooltip="Few shades of grey, which hide the photo from the ControlNet"),
        Switch(name="coarse", label="Rough strokes", tooltip="Rough strokes instead of fine ones"),
        Switch(name="hands", label="Hands", tooltip="Find hands"),
        Switch(name="face", label="Face", tooltip="Find faces"),
        _SEED,
    ),
}

_OF_DETECTOR: dict[Detector, frozenset[str]] = {
    Detector.CANNY: frozenset(("low", "high")),
    Detector.HED: frozenset(("safe",)),
    Detector.PIDINET: frozenset(("safe",)),
    Detector.LINEART: frozenset(("coarse",)),
    Detector.MLSD: frozenset(("score", "distance")),
    Detector.OPENPOSE: frozenset(("hands", "face")),
    Detector.DWPOSE: frozenset(("hands", "face")),
    Detector.SHUFFLE: frozenset(("seed",)),
    Detector.SAM: frozenset(("seed",)),
}
_OF_PICTURE: dict[ControlKind, frozenset[str]] = {
    ControlKind.BLUR: frozenset(("blur_px",)),
    ControlKind.LOW_QUALITY: frozenset(("blur_px", "shrink")),
    ControlKind.TILE: frozenset(("shrink",)),
    ControlKind.INPAINT: frozenset(("grow_px",)),
    ControlKind.SHUFFLE: frozenset(("seed",)),
}
_THIN = frozenset((ControlKind.CANNY, ControlKind.MLSD))  # always one pixel wide


def fields(
    options: type[Options], kind: ControlKind, *, detector: Detector | None = None, slopes: bool = False
) -> Sequence[Field]:
    """The fields of a sort of options that have a say in a kind of map; `slopes` is a normal map made of a depth."""
    return [field for field in _FIELDS[options] if _counts(field.name, options, kind, detector, slopes)]


def _counts(name: str, options: type[Options], kind: ControlKind, detector: Detector | None, slopes: bool) -> bool:
    if options is DetectorOptions:
        if name == "resolution_px":
            return detector is not Detector.SHUFFLE
        return detector is not None and name in _OF_DETECTOR.get(detector, ())
    if options is PictureOptions:
        return name in _OF_PICTURE.get(kind, ())
    if options is NormalOptions:
        return name == "swap_red_blue" or (name == "background_threshold") == slopes
    if name == "width_px":
        return kind not in _THIN
    if name == "levels":
        return kind is ControlKind.SOFTEDGE
    return True
