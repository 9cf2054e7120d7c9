"""A control of the scene's list as plain Python, and what its ControlNet is shown of a capture."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..protocol import openpose_json
from ..protocol.ade20k import class_of
from ..protocol.arrays import AnyArray, ArrayRef, Int32Array, UInt8Array
from ..protocol.checks import DETECTORS, SOURCES
from ..protocol.errors import InvalidRequest, MissingControlImage
from ..protocol.openpose_json import Frame
from ..protocol.options import (
    DepthOptions,
    DetectorOptions,
    LineOptions,
    NormalEncoding,
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
from . import curves, kinds, masks, openpose_text, pixels, segmentation
from .capture import Capture, Wants
from .decimals import typed
from .masks import Mask

Upload = Callable[[AnyArray], ArrayRef]

_OPTIONS: dict[type[Source], type[Options] | None] = {
    DepthPass: DepthOptions,
    NormalPass: NormalOptions,
    PosePass: PoseOptions,
    LinesPass: LineOptions,
    SegmentationPass: SegmentationOptions,
    PicturePass: PictureOptions,
    InpaintPass: PictureOptions,
    Photo: DetectorOptions,
    ReadyMap: None,
}


DETECTOR_OPTIONS: dict[Detector, tuple[str, ...]] = {
    Detector.CANNY: ("thresholds",),
    Detector.HED: ("safe",),
    Detector.PIDINET: ("safe",),
    Detector.LINEART: ("coarse",),
    Detector.MLSD: ("score", "distance"),
    Detector.OPENPOSE: ("hands", "face"),
    Detector.DWPOSE: ("hands", "face"),
    Detector.SHUFFLE: ("seed",),
}
"""What each detector lets choose beside the resolution, as the settings are called."""


class ImageIs(Enum):
    """What an image shows that a control is given."""

    PHOTO = "photo"  # a picture; a detector finds the control in it, where the kind asks for one
    MAP = "map"  # what the ControlNet expects, as it is


@dataclass(frozen=True, kw_only=True)
class ControlSettings:
    """One row of the controls list, without any reference to Blender's data."""

    kind: ControlKind
    image: UInt8Array | None = None  # (height, width, 3) sRGB, row 0 at the top; None takes the scene
    image_is: ImageIs = ImageIs.PHOTO
    detector: Detector | None = None  # for a photo; None is the usual one
    pose: Frame | None = None  # pose: people from OpenPose JSON, instead of the scene's
    mask: UInt8Array | None = None  # inpaint: (height, width), 255 is painted anew; any size
    mask_objects: frozenset[str] | None = None  # inpaint, without a mask: what is painted anew, by `name_full`
    background: int | None = None  # segmentation: the ADE20K class of what no surface covers
    options: Options | None = None  # as `protocol.options`; None is every default
    controlnet: str = ""
    conditioning_scale: float = 1.0
    start: float = 0.0
    end: float = 1.0
    curve: tuple[CurvePoint, ...] = ()  # factors of the conditioning scale over the steps; none is 1 throughout
    guess_mode: bool = False

    def __post_init__(self) -> None:
        if self.image is None and self.image_is is ImageIs.MAP:
            raise MissingControlImage(kind=kinds.label_of(self.kind.name))
        if self.kind is ControlKind.INPAINT and self.needs_mask and self.mask is None and not self.mask_objects:
            raise InvalidRequest(
                reason="the Inpaint control has no mask; choose an object or a collection to paint anew, or an image"
            )

    @property
    def needs_mask(self) -> bool:
        return self.image_is is not ImageIs.MAP

    @property
    def takes_classes(self) -> bool:
        """Whether it has to be known what the scene's things are."""
        return self.kind is ControlKind.SEGMENTATION and self.image is None

    @property
    def wants(self) -> Wants:
        """What the capture has to hold for this control, beside depth and normals."""
        scene = self.image is None
        masked = self.kind is ControlKind.INPAINT and self.mask_objects is not None and self.needs_mask
        hiding = self.kind is ControlKind.OPENPOSE and self.pose is None  # a joint's own body, or something else
        told_apart = self.kind in kinds.LINES or self.kind is ControlKind.SEGMENTATION or hiding
        return Wants(
            ids=masked or (scene and told_apart),
            beauty=scene and self.kind in kinds.PICTURES,
        )


def from_item(item: Any) -> ControlSettings:
    """A row of the scene's list. Raises InvalidArray, InvalidRequest or InvalidPose for what can't be used of it."""
    kind = ControlKind[item.kind]
    image = None if item.image is None else pixels.pixels_of(item.image)
    is_map = image is not None and item.image_is == "MAP"
    settings: dict[str, Any] = {
        "kind": kind,
        "image": image,
        "image_is": ImageIs.MAP if is_map else ImageIs.PHOTO,
        "options": _options(item, kind, has_image=image is not None, is_map=is_map),
        "controlnet": item.controlnet,
        "conditioning_scale": typed(item.conditioning_scale),
        "start": typed(item.start),
        "end": typed(item.end),
        "curve": curves.read(item.curve),
        "guess_mode": item.guess_mode,
    }
    if image is not None and not is_map and kind in DETECTORS and kind not in kinds.PICTURES:
        settings["detector"] = None if item.detector in ("AUTO", "") else Detector[item.detector]
    if kind is ControlKind.INPAINT and not is_map:
        mask = masks.read(item, item.image, "the Inpaint control")
        assert mask is not None
        settings |= {"mask": mask.values, "mask_objects": mask.objects}
    if kind is ControlKind.OPENPOSE and image is None and item.pose_text is not None:
        settings["pose"] = openpose_text.frame_of(item.pose_text, item.id_data)
    if kind is ControlKind.SEGMENTATION:
        settings["background"] = _background(item)
    return ControlSettings(**settings)


def options_of(item: Any) -> type[Options] | None:
    """The kind of options that count for a row of the scene's list, for panels."""
    kind = ControlKind[item.kind]
    is_map = item.image is not None and item.image_is == "MAP"
    return _options_type(kind, has_image=item.image is not None, is_map=is_map)


def detector_of(item: Any) -> Detector:
    """The detector of a row of the scene's list that has a photo."""
    return DETECTORS[ControlKind[item.kind]][0] if item.detector in ("AUTO", "") else Detector[item.detector]


def problem_of(item: Any) -> str:
    """What stands between a row of the scene's list and its map, and what to do; "" where nothing is known."""
    problems = [pixels.problem_of(image) for image in (item.image, item.mask_image) if image is not None]
    problems.append(curves.problem_of(item.curve))
    if item.kind == "INPAINT" and not (item.image is not None and item.image_is == "MAP"):
        problems.append(masks.problem_of(item, item.image))
    background = item.segmentation.background if item.kind == "SEGMENTATION" and item.image is None else ""
    if background and class_of(background) is None:
        problems.append(f'"{background}" is none of ADE20K\'s 150 classes: choose another background')
    if item.kind == "OPENPOSE" and item.image is None and item.pose_text is not None:
        problems.append(openpose_text.problem_of(item.pose_text, item.id_data))
    return next(filter(None, problems), "")


def control(
    settings: ControlSettings, capture: Capture, classes: "segmentation.Classes | None", upload: Upload
) -> Control:
    """The control of a request; `classes` are needed for segmentation alone."""
    return shown(settings, _source(settings, capture, classes, upload))


def shown(settings: ControlSettings, source: Source) -> Control:
    """The control of a request that is shown this source."""
    return Control(
        kind=settings.kind,
        source=source,
        options=None if isinstance(source, ReadyMap) else settings.options,
        controlnet=settings.controlnet,
        conditioning_scale=settings.conditioning_scale,
        start=settings.start,
        end=settings.end,
        curve=settings.curve,
        guess_mode=settings.guess_mode,
    )


# ------------------------------------------------------------------------------------------ sources


def _source(
    settings: ControlSettings, capture: Capture, classes: "segmentation.Classes | None", upload: Upload
) -> Source:
    kind, image = settings.kind, settings.image
    if image is not None and settings.image_is is ImageIs.MAP:
        return ReadyMap(image=upload(image))
    if kind in kinds.PICTURES:
        return _picture(settings, capture, upload)
    if image is not None:
        return Photo(image=upload(image), detector=settings.detector or DETECTORS[kind][0])
    if kind is ControlKind.DEPTH or _is_midas(settings.options):
        return DepthPass(metres=upload(capture.depth_m), projection=capture.camera.projection)
    if kind is ControlKind.NORMAL:
        return NormalPass(normal_camera=upload(capture.normal_camera))
    if kind is ControlKind.OPENPOSE:
        people = capture.people if settings.pose is None else openpose_json.fitted(settings.pose, capture.extent)
        return PosePass(people=people)
    object_ids, material_ids = _ids(capture)
    if kind is ControlKind.SEGMENTATION:
        assert classes is not None
        indices, segments = segmentation.segments(
            object_ids, capture.object_names, material_ids, capture.material_names, classes
        )
        return SegmentationPass(indices=upload(indices), segments=segments, background=settings.background)
    return LinesPass(
        metres=upload(capture.depth_m),
        normal_camera=upload(capture.normal_camera),
        objects=upload(object_ids),
        materials=upload(material_ids),
        camera=capture.camera,
    )


def _picture(settings: ControlSettings, capture: Capture, upload: Upload) -> Source:
    image = settings.image
    if image is None:
        image = capture.beauty
        assert image is not None, "the capture was made without the beauty pass that this control wants"
    if settings.kind is not ControlKind.INPAINT:
        return PicturePass(image=upload(image))
    mask = Mask(values=settings.mask, objects=settings.mask_objects)
    return InpaintPass(image=upload(image), mask=upload(mask.over(capture, image.shape[:2])))


def _ids(capture: Capture) -> tuple[Int32Array, Int32Array]:
    assert capture.object_ids is not None, "the capture was made without the ids that this control wants"
    assert capture.material_ids is not None
    return capture.object_ids, capture.material_ids


# ------------------------------------------------------------------------------------------ reading rows


def _options_type(kind: ControlKind, *, has_image: bool, is_map: bool) -> type[Options] | None:
    if is_map:
        return None
    if has_image and kind not in kinds.PICTURES:
        return DetectorOptions
    return _OPTIONS[SOURCES[kind][0]]


def _options(item: Any, kind: ControlKind, *, has_image: bool, is_map: bool) -> Options | None:
    from . import option_values  # its registration needs Blender's property system

    chosen = _options_type(kind, has_image=has_image, is_map=is_map)
    return None if chosen is None else option_values.read(item, chosen)


def _is_midas(options: Options | None) -> bool:
    return isinstance(options, NormalOptions) and options.encoding is NormalEncoding.MIDAS


def _background(item: Any) -> int | None:
    name = item.segmentation.background
    number = class_of(name)
    if name and number is None:
        raise InvalidRequest(reason=f'"{name}" is none of ADE20K\'s 150 classes; choose another background')
    return number
