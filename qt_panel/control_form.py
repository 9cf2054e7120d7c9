"""One row of the controls list as data: what a control is shown, and how it becomes a request. Knows no Qt."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..protocol.arrays import AnyArray, ArrayRef, UInt8Array
from ..protocol.checks import DETECTORS, SOURCES
from ..protocol.errors import InvalidRequest, MissingControlImage, UnderpaintError
from ..protocol.geometry import Extent
from ..protocol.openpose_json import Frame, fitted
from ..protocol.options import (
    DepthOptions,
    DetectorOptions,
    LineOptions,
    NormalOptions,
    Options,
    PictureOptions,
    PoseOptions,
    SegmentationOptions,
)
from ..protocol.request import Control, ControlKind, CurvePoint
from ..protocol.sources import (
    DepthPass,
    Detector,
    InpaintPass,
    LinesPass,
    NormalPass,
    Photo,
    PicturePass,
    PosePass,
    ReadyMap,
    SegmentationPass,
    Source,
)


class PictureUse(StrEnum):
    """What a dropped picture is."""

    MAP = "map"  # what the ControlNet expects, ready-made
    PHOTO = "photo"  # a detector finds the control image in it
    PICTURE = "picture"  # what the control is about: to be refined, blurred, painted over


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A picture on this side of the wire, to be uploaded when a job needs it."""

    name: str
    pixels: UInt8Array  # (height, width, 3) sRGB, row 0 at the top; what is transparent lies on black
    file: str = ""  # where it came from; empty when pasted
    rgba: UInt8Array | None = None  # (height, width, 4), colours as they are below the alpha; None for an opaque one


@dataclass(frozen=True, kw_only=True)
class PoseFile:
    """People out of an OpenPose JSON file."""

    name: str
    frame: Frame
    file: str = ""


@dataclass(frozen=True, kw_only=True)
class Reused:
    """A control source that the service has already, out of an earlier request."""

    source: Source
    size: Extent  # of the request it comes from; passes fit no other
    shown: ArrayRef | None = None  # a picture of it, for the thumbnail
    origin: str = ""  # for a person: "Blender render"


@dataclass(frozen=True, kw_only=True)
class ControlForm:
    """One row of the controls list."""

    kind: ControlKind = ControlKind.DEPTH
    image: Picture | PoseFile | Reused | None = None
    use: PictureUse = PictureUse.MAP  # of a Picture
    detector: Detector | None = None  # of a photo; None is the kind's usual one
    mask: Picture | None = None  # of a picture to paint over: white is painted anew
    options: Options | None = None
    controlnet: str = ""
    conditioning_scale: float = 1.0
    start: float = 0.0
    end: float = 1.0
    curve: tuple[CurvePoint, ...] = ()
    guess_mode: bool = False
    enabled: bool = True


_OPTIONS: dict[type[Source], type[Options] | None] = {
    DepthPass: DepthOptions,
    NormalPass: NormalOptions,
    LinesPass: LineOptions,
    PosePass: PoseOptions,
    SegmentationPass: SegmentationOptions,
    PicturePass: PictureOptions,
    InpaintPass: PictureOptions,
    Photo: DetectorOptions,
    ReadyMap: None,
}
_PASSES = (DepthPass, NormalPass, LinesPass, PosePass, SegmentationPass)

# In the order in which names are searched: "lineart_anime" is no "lineart".
_HINTS = (
    (ControlKind.DEPTH, ("depth", "disparity", "zbuffer")),
    (ControlKind.NORMAL, ("normal",)),
    (ControlKind.OPENPOSE, ("pose", "skeleton", "keypoint")),
    (ControlKind.LINEART_ANIME, ("anime",)),
    (ControlKind.LINEART, ("lineart", "line_art", "line-art")),
    (ControlKind.SOFTEDGE, ("softedge", "soft_edge", "soft-edge", "hed", "pidi")),
    (ControlKind.SCRIBBLE, ("scribble", "sketch")),
    (ControlKind.MLSD, ("mlsd",)),
    (ControlKind.SEGMENTATION, ("seg",)),
    (ControlKind.CANNY, ("canny", "edge")),
)


def is_pass(source: Source) -> bool:
    """Whether a source is measured in the pixels of one render, and so fits its size alone."""
    return isinstance(source, _PASSES)


def uses(kind: ControlKind) -> tuple[PictureUse, ...]:
    """What a picture can be to a kind of control."""
    found = [PictureUse.MAP]
    if kind in DETECTORS:
        found.append(PictureUse.PHOTO)
    if _picture_source(kind) is not None:
        found.append(PictureUse.PICTURE)
    return tuple(found)


def usual_use(kind: ControlKind) -> PictureUse:
    """What a picture most likely is to a kind that is chosen for it."""
    return PictureUse.PICTURE if _picture_source(kind) is not None else PictureUse.MAP


def source_type(row: ControlForm) -> type[Source] | None:
    """What the row's image will be sent as; None while there is no image."""
    match row.image:
        case None:
            return None
        case Reused(source=source):
            return type(source)
        case PoseFile():
            return PosePass
        case Picture() if row.use is PictureUse.PHOTO:
            return Photo
        case Picture() if row.use is PictureUse.PICTURE:
            return _picture_source(row.kind)
        case Picture():
            return ReadyMap


def options_type(row: ControlForm) -> type[Options] | None:
    """The options that go with the row's image; None where nothing can be chosen."""
    source = source_type(row)
    if source is DepthPass and row.kind is ControlKind.NORMAL:
        return NormalOptions
    return None if source is None else _OPTIONS[source]


def detector(row: ControlForm) -> Detector | None:
    """The detector of the row's photo, if it has one."""
    if isinstance(row.image, Reused):
        return row.image.source.detector if isinstance(row.image.source, Photo) else None
    if source_type(row) is not Photo:
        return None
    offered = DETECTORS[row.kind]
    return row.detector if row.detector in offered else offered[0]


def row_problems(row: ControlForm) -> list[UnderpaintError]:
    """Why a row can't be asked for."""
    found: list[UnderpaintError] = []
    if row.image is None:
        found.append(MissingControlImage(kind=row.kind.value))
    if row.start >= row.end:
        found.append(InvalidRequest(reason=f"the {row.kind.value} control stops before it starts"))
    if isinstance(row.image, PoseFile) and row.kind is not ControlKind.OPENPOSE:
        found.append(InvalidRequest(reason=f"{row.image.name} holds a pose, and the control is {row.kind.value}"))
    if isinstance(row.image, Picture) and source_type(row) is InpaintPass:
        if row.mask is None:
            found.append(InvalidRequest(reason="the inpaint control has no mask: drop one whose white is painted anew"))
        elif row.mask.pixels.shape != row.image.pixels.shape:
            sizes = " x ".join(str(side) for side in row.mask.pixels.shape[1::-1])
            wanted = " x ".join(str(side) for side in row.image.pixels.shape[1::-1])
            found.append(InvalidRequest(reason=f"the inpaint control's mask is {sizes}, its picture is {wanted}"))
    return found


def to_control(row: ControlForm, size: Extent, upload: Callable[[AnyArray], ArrayRef]) -> Control:
    """The control of a request for a picture of `size`. Raises the first of `row_problems`."""
    for problem in row_problems(row):
        raise problem
    wanted = options_type(row)
    return Control(
        kind=row.kind,
        source=_source(row, size, upload),
        options=row.options if wanted is not None and isinstance(row.options, wanted) else None,
        controlnet=row.controlnet.strip(),
        conditioning_scale=row.conditioning_scale,
        start=row.start,
        end=row.end,
        curve=row.curve,
        guess_mode=row.guess_mode,
    )


def guess(name: str) -> tuple[ControlKind, PictureUse]:
    """What a dropped file probably is, by its name: "room_depth.png" is a depth map, anything else a photo."""
    lowered = name.lower()
    for kind, hints in _HINTS:
        if any(hint in lowered for hint in hints):
            return kind, PictureUse.MAP
    return ControlKind.CANNY, PictureUse.PHOTO  # Canny needs no weights and understands any photo


def _picture_source(kind: ControlKind) -> type[Source] | None:
    return next((source for source in SOURCES[kind] if source in (PicturePass, InpaintPass)), None)


def _source(row: ControlForm, size: Extent, upload: Callable[[AnyArray], ArrayRef]) -> Source:
    match row.image:
        case Reused(source=source):
            return source
        case PoseFile(frame=frame):
            return PosePass(people=fitted(frame, size))
        case Picture(pixels=pixels):
            image = upload(pixels)
            found = detector(row)
            if found is not None:
                return Photo(image=image, detector=found)
            if row.use is not PictureUse.PICTURE:
                return ReadyMap(image=image)
            if row.mask is None or source_type(row) is not InpaintPass:
                return PicturePass(image=image)
            white = row.mask.pixels.max(axis=2) > 127
            return InpaintPass(image=image, mask=upload(np.where(white, np.uint8(255), np.uint8(0))))
        case None:
            raise MissingControlImage(kind=row.kind.value)
