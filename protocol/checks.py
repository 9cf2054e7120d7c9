"""What a request must hold beyond the types that the wire has checked, and the limits that forms offer."""

import dataclasses
import math
from collections.abc import Iterator

from .arrays import ArrayRef, DType
from .errors import InvalidRequest, InvalidSize
from .extra_checks import check_download, check_extras, check_second_pass
from .geometry import Camera, Extent
from .limits import LARGEST_SCALE, MAX_SIDE, MAX_STEPS, require, require_array, require_within
from .options import (
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
from .request import (
    Control,
    ControlKind,
    DownloadRequest,
    GenerateRequest,
    ImagePrompt,
    PlanRequest,
    Request,
    Start,
)
from .sources import (
    DepthPass,
    Detector,
    InpaintPass,
    LinesPass,
    NormalPass,
    Person,
    Photo,
    PicturePass,
    PosePass,
    ReadyMap,
    SegmentationPass,
    Source,
)

SIZE_STEP = 8  # the latents are an eighth of the picture
MIN_SIDE = 8
MAX_CONTROLS = 16
MAX_SEED = 2**63 - 1
MAX_PICTURES = 256  # of one job
MAX_BATCH = 64
MAX_CURVE_POINTS = 256
MAX_CURVE_FACTOR = 100.0
MAX_MASK_BLUR_PX = 1024
JOINTS = 18  # COCO-18, in the order of CMU's OpenPose: nose, neck, right shoulder, ...
HAND_JOINTS = 21
FACE_POINTS = 70
MAX_PEOPLE = 1000
FARTHEST_PX = 1 << 14  # of a joint from the picture's corner; rasterisers work in 16.16 fixed point
ADE20K_CLASSES = 150

OPTION_RANGES: dict[type[Options], dict[str, tuple[float, float]]] = {
    DepthOptions: {"near_m": (1e-6, 1e12), "far_m": (1e-6, 1e12), "outliers": (0, 0.499), "floor": (0, 1)},
    NormalOptions: {"background_threshold": (0, 1)},
    PoseOptions: {"stick_px": (1, 1000), "joint_px": (0, 1000)},
    LineOptions: {"crease_deg": (0, 180), "width_px": (0.1, 256), "shortest_px": (0, 1e6), "levels": (0, 256)},
    SegmentationOptions: {"seed": (0, MAX_SEED)},
    PictureOptions: {
        "blur_px": (0, MAX_SIDE),
        "shrink": (1, MAX_SIDE),
        "grow_px": (-MAX_SIDE, MAX_SIDE),
        "seed": (0, MAX_SEED),
    },
    DetectorOptions: {
        "resolution_px": (64, 4096),
        "low": (0, 2040),  # what OpenCV's Canny finds between black and white
        "high": (0, 2040),
        "score": (0, 1),
        "distance": (0, MAX_SIDE),
        "seed": (0, MAX_SEED),
    },
}
"""The least and the most of every option that is a number; None always works where the option may be None."""

_DRAWN = (ControlKind.LINEART, ControlKind.LINEART_ANIME, ControlKind.SOFTEDGE, ControlKind.SCRIBBLE)

DETECTED: dict[Detector, tuple[ControlKind, ...]] = {
    Detector.CANNY: (ControlKind.CANNY,),
    Detector.HED: (ControlKind.SOFTEDGE, ControlKind.SCRIBBLE),
    Detector.PIDINET: (ControlKind.SOFTEDGE, ControlKind.SCRIBBLE),
    Detector.LINEART: (ControlKind.LINEART,),
    Detector.LINEART_STANDARD: (ControlKind.LINEART,),
    Detector.TEED: (ControlKind.SOFTEDGE, ControlKind.LINEART),
    Detector.LINEART_ANIME: (ControlKind.LINEART_ANIME,),
    Detector.MLSD: (ControlKind.MLSD,),
    Detector.OPENPOSE: (ControlKind.OPENPOSE,),
    Detector.DWPOSE: (ControlKind.OPENPOSE,),
    Detector.MIDAS: (ControlKind.DEPTH,),
    Detector.ZOE: (ControlKind.DEPTH,),
    Detector.LERES: (ControlKind.DEPTH,),
    Detector.NORMAL_BAE: (ControlKind.NORMAL,),
    Detector.SHUFFLE: (ControlKind.SHUFFLE,),
    Detector.SAM: (ControlKind.SEGMENTATION,),
}
"""The kinds of control image that each detector finds in a photo."""

DETECTORS: dict[ControlKind, tuple[Detector, ...]] = {
    kind: found
    for kind in ControlKind
    if (found := tuple(detector for detector, kinds in DETECTED.items() if kind in kinds))
}
"""The detectors for each kind of control, the usual one first; kinds that no detector finds are left out."""

SOURCES: dict[ControlKind, tuple[type[Source], ...]] = {
    ControlKind.DEPTH: (DepthPass,),
    ControlKind.NORMAL: (NormalPass, DepthPass),
    ControlKind.OPENPOSE: (PosePass,),
    **dict.fromkeys((ControlKind.CANNY, ControlKind.MLSD, *_DRAWN), (LinesPass,)),
    ControlKind.SEGMENTATION: (SegmentationPass,),
    ControlKind.INPAINT: (InpaintPass,),
    **dict.fromkeys(
        (ControlKind.TILE, ControlKind.SHUFFLE, ControlKind.BLUR, ControlKind.GRAY, ControlKind.LOW_QUALITY),
        (PicturePass,),
    ),
}
"""What a scene gives each kind of control. A ReadyMap goes with all of them, a Photo by its detector."""

_OPTIONS: dict[type[Source], tuple[type[Options], ...]] = {
    DepthPass: (DepthOptions, NormalOptions),  # by the kind, see _check_options
    NormalPass: (NormalOptions,),
    LinesPass: (LineOptions,),
    PosePass: (PoseOptions,),
    SegmentationPass: (SegmentationOptions,),
    PicturePass: (PictureOptions,),
    InpaintPass: (PictureOptions,),
    Photo: (DetectorOptions,),
    ReadyMap: (),
}


def check(request: Request) -> None:
    """Raise InvalidRequest or InvalidSize for a request that no worker could fulfil."""
    if isinstance(request, PlanRequest):
        request = request.picture
    if isinstance(request, DownloadRequest):
        check_download(request)
        return
    check_size(request.size)
    require(len(request.controls) <= MAX_CONTROLS, f"{len(request.controls)} controls, at most {MAX_CONTROLS} work")
    if isinstance(request, GenerateRequest):
        _check_sampling(request)
    else:
        require(
            bool(request.controls), "control maps were asked for, and there are no controls: switch one on, or add one"
        )
    for number, control in enumerate(request.controls):
        _check_control(control, request.size, f"control {number + 1} ({control.kind})")


def check_size(size: Extent) -> None:
    """Raise InvalidSize, naming the nearest size that works, for one that doesn't."""
    nearest = nearest_size(size)
    if nearest != size:
        raise InvalidSize(width=size.width, height=size.height, nearest=f"{nearest.width} x {nearest.height}")


def references(request: Request) -> Iterator[ArrayRef]:
    """The arrays that a request speaks of."""
    if isinstance(request, PlanRequest):
        request = request.picture
    if isinstance(request, DownloadRequest):
        return
    for control in request.controls:
        yield from _references(control.source)
    if isinstance(request, GenerateRequest):
        for holder in (request.start, *request.image_prompts):
            if holder is not None:
                yield from _references(holder)


def nearest_size(extent: Extent) -> Extent:
    """The size that works and is closest; half-way goes up."""

    def nearest(side: int) -> int:
        return min(max((side + SIZE_STEP // 2) // SIZE_STEP * SIZE_STEP, MIN_SIDE), MAX_SIDE)

    return Extent(width=nearest(extent.width), height=nearest(extent.height))


def _references(holder: Source | Start | ImagePrompt) -> Iterator[ArrayRef]:
    for entry in dataclasses.fields(holder):
        value = getattr(holder, entry.name)
        if isinstance(value, ArrayRef):
            yield value


def _check_sampling(request: GenerateRequest) -> None:
    require(1 <= request.steps <= MAX_STEPS, f"steps is {request.steps}, expected 1 to {MAX_STEPS}")
    require_within("guidance_scale", request.guidance_scale, 0, LARGEST_SCALE)
    pictures = request.pictures
    require(len(pictures) <= MAX_PICTURES, f"{len(pictures)} pictures in one job, at most {MAX_PICTURES} work")
    for number, picture in enumerate(pictures):
        where = f"picture {number + 1}: " if number else ""
        require(0 <= picture.seed <= MAX_SEED, f"{where}seed is {picture.seed}, expected 0 to 2^63 - 1")
    require_within("batch_size", request.batch_size, 1, MAX_BATCH)
    budget = request.memory_budget_gb
    require(budget is None or 0 < budget < math.inf, f"memory_budget_gb is {budget}, expected more than 0")
    if request.camera is not None:
        _check_camera(request.camera, "camera")
    if request.start is not None:
        _check_start(request.start, request.steps)
    if request.second_pass is not None:
        check_second_pass(request.second_pass, request)
    check_extras(request)


def _check_start(start: Start, steps: int) -> None:
    require_array(start.image, DType.UINT8, 3, "start")
    require_within("start: strength", start.strength, 0, 1)
    least = math.ceil(100 / steps) / 100
    require(
        start.strength == 0 or int(steps * start.strength) > 0,  # by diffusers' rule
        f"start: a strength of {start.strength:g} leaves none of {steps} steps to do. Raise it to {least:g} or take "
        "more steps; 0 gives the start picture itself",
    )
    require_within("start: mask_grow_px", start.mask_grow_px, -MAX_SIDE, MAX_SIDE)
    require_within("start: mask_blur_px", start.mask_blur_px, 0, MAX_MASK_BLUR_PX)
    if start.mask is not None:
        require_array(start.mask, DType.UINT8, 2, "start")
        require(start.image.shape[:2] == start.mask.shape, "start: image and mask differ in size")


def _check_camera(camera: Camera, where: str) -> None:
    require(len(camera.world_from_camera) == 16, f"{where}: world_from_camera needs 16 numbers")
    centre_and_clip = (camera.cx_px, camera.cy_px, camera.clip_start_m, camera.clip_end_m)
    require(all(map(math.isfinite, (*camera.world_from_camera, *centre_and_clip))), f"{where}: a number is not finite")
    require(0 < camera.fx_px < math.inf and 0 < camera.fy_px < math.inf, f"{where}: the focal lengths must be positive")


def _check_control(control: Control, size: Extent, where: str) -> None:
    require_within(f"{where}: conditioning_scale", control.conditioning_scale, 0, LARGEST_SCALE)
    require(
        0 <= control.start < control.end <= 1,
        f"{where}: it works from {control.start} to {control.end}; expected 0 <= start < end <= 1",
    )
    _check_curve(control, where)
    source = control.source
    allowed = SOURCES[control.kind]
    if isinstance(source, Photo):
        found = DETECTED[source.detector]
        kinds = " or ".join(found)
        require(control.kind in found, f"{where}: the {source.detector} detector finds {kinds} images")
    elif not isinstance(source, ReadyMap):
        names = " or ".join(kind.__name__ for kind in allowed)
        require(isinstance(source, allowed), f"{where}: its source is a {type(source).__name__}, expected {names}")
    _check_source(source, where)
    _check_sizes(source, size, where)
    _check_options(control, where)


def _check_curve(control: Control, where: str) -> None:
    places = [point.at for point in control.curve]
    require(len(places) <= MAX_CURVE_POINTS, f"{where}: {len(places)} points of a curve, at most {MAX_CURVE_POINTS}")
    for point in control.curve:
        require_within(f"{where}: the place of a curve's point", point.at, 0, 1)
        require_within(f"{where}: the factor of a curve's point", point.factor, 0, MAX_CURVE_FACTOR)
    require(places == sorted(set(places)), f"{where}: the points of its curve are not in order, or share a place")


def _check_source(source: Source, where: str) -> None:
    match source:
        case DepthPass(metres=metres):
            require_array(metres, DType.FLOAT32, 2, where)
        case NormalPass(normal_camera=normal):
            require_array(normal, DType.FLOAT32, 3, where)
        case LinesPass():
            require_array(source.metres, DType.FLOAT32, 2, where)
            require_array(source.normal_camera, DType.FLOAT32, 3, where)
            require_array(source.objects, DType.INT32, 2, where)
            require_array(source.materials, DType.INT32, 2, where)
            _check_camera(source.camera, f"{where}, camera")
        case PosePass(people=people):
            require(len(people) <= MAX_PEOPLE, f"{where}: {len(people)} people, at most {MAX_PEOPLE} work")
            for person in people:
                _check_person(person, where)
        case SegmentationPass():
            require_array(source.indices, DType.INT32, 2, where)
            for ade20k in (source.background, *(segment.ade20k for segment in source.segments)):
                well = ade20k is None or 0 <= ade20k < ADE20K_CLASSES
                require(well, f"{where}: {ade20k} is no class of ADE20K, expected 0 to {ADE20K_CLASSES - 1}")
        case InpaintPass(image=image, mask=mask):
            require_array(image, DType.UINT8, 3, where)
            require_array(mask, DType.UINT8, 2, where)
            require(image.shape[:2] == mask.shape, f"{where}: image and mask differ in size")
        case PicturePass(image=image) | ReadyMap(image=image) | Photo(image=image):
            require_array(image, DType.UINT8, 3, where)


def _check_sizes(source: Source, size: Extent, where: str) -> None:
    """A scene's passes are exact, so nothing resizes them; pictures are fitted."""
    if not isinstance(source, DepthPass | NormalPass | LinesPass | SegmentationPass):
        return
    for ref in _references(source):
        height, width = ref.shape[:2]
        require(
            (width, height) == (size.width, size.height),
            f"{where}: the {type(source).__name__} is {width} x {height} and the picture {size.width} x {size.height}; "
            "render the pass at the picture's size",
        )


def _check_person(person: Person, where: str) -> None:
    require(len(person.body) == JOINTS, f"{where}: {len(person.body)} joints, expected {JOINTS}")
    for hand in (person.left_hand, person.right_hand):
        require(len(hand) in (0, HAND_JOINTS), f"{where}: {len(hand)} joints of a hand, expected {HAND_JOINTS}")
    require(
        len(person.face) in (0, FACE_POINTS), f"{where}: {len(person.face)} points of a face, expected {FACE_POINTS}"
    )
    require(math.isfinite(person.depth_m), f"{where}: a person's depth_m is not finite")
    for points in (person.body, person.left_hand, person.right_hand, person.face):
        for point in points:
            # a NaN is in no range; max() would pass over one
            if point is not None and not (abs(point.x_px) <= FARTHEST_PX and abs(point.y_px) <= FARTHEST_PX):
                reason = f"{where}: a joint lies at ({point.x_px:g}, {point.y_px:g}) px, more than {FARTHEST_PX} px off"
                raise InvalidRequest(reason=reason)


def _check_options(control: Control, where: str) -> None:
    options = control.options
    if options is None:
        return
    source = type(control.source)
    allowed = _OPTIONS[source]
    if source is DepthPass:
        allowed = (NormalOptions,) if control.kind is ControlKind.NORMAL else (DepthOptions,)
    require(isinstance(options, allowed), f"{where}: {type(options).__name__} don't go with a {source.__name__}")
    for name, (least, most) in OPTION_RANGES[type(options)].items():
        value: float | None = getattr(options, name)
        if value is not None:
            require_within(f"{where}: {name}", value, least, most)
    if isinstance(options, DepthOptions):
        near_m, far_m = options.near_m, options.far_m
        require(near_m is None or far_m is None or near_m < far_m, f"{where}: near_m is not nearer than far_m")
    if isinstance(options, LineOptions):
        require(options.levels != 1, f"{where}: levels is 1, expected 2 to 256 shades of grey, or 0 for all of them")
    if isinstance(options, NormalOptions) and options.encoding is not None:
        slopes = options.encoding is NormalEncoding.MIDAS
        wanted = DepthPass if slopes else NormalPass
        require(source is wanted, f"{where}: the {options.encoding} encoding wants a {wanted.__name__}")
