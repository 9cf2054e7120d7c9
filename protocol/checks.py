"""What a request must hold beyond the types that the wire has checked, and the limits that forms offer."""

import dataclasses
import math
import re
from collections.abc import Iterator

from . import arrays
from .arrays import ArrayRef, DType
from .errors import InvalidRequest, InvalidSize
from .geometry import Camera, Extent
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
    SecondPass,
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
MAX_SIDE = 8192
MAX_STEPS = 1000
MAX_CONTROLS = 16
MAX_SEED = 2**63 - 1
MAX_PICTURES = 256  # of one job
MAX_BATCH = 64
MAX_FACTOR = 8  # of a second pass
MIN_TILE = 128
MAX_LORAS = 32
MAX_LORA_WEIGHT = 100.0
MAX_EMBEDDINGS = 64
MAX_IMAGE_PROMPTS = 8
MAX_IMAGE_PROMPT_SCALE = 10.0
MAX_CLIP_SKIP = 11  # of the smallest CLIP's twelve layers
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
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

_LARGEST_SCALE = 1e6  # of guidance and of conditioning; a hundredth of it already burns every picture
_SHAPES = {2: "(height, width)", 3: "(height, width, 3)"}


def check(request: Request) -> None:
    """Raise InvalidRequest or InvalidSize for a request that no worker could fulfil."""
    if isinstance(request, PlanRequest):
        request = request.picture
    if isinstance(request, DownloadRequest):
        _check_download(request)
        return
    check_size(request.size)
    _require(len(request.controls) <= MAX_CONTROLS, f"{len(request.controls)} controls, at most {MAX_CONTROLS} work")
    if isinstance(request, GenerateRequest):
        _check_sampling(request)
    else:
        _require(
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
    _require(1 <= request.steps <= MAX_STEPS, f"steps is {request.steps}, expected 1 to {MAX_STEPS}")
    _check_within("guidance_scale", request.guidance_scale, 0, _LARGEST_SCALE)
    pictures = request.pictures
    _require(len(pictures) <= MAX_PICTURES, f"{len(pictures)} pictures in one job, at most {MAX_PICTURES} work")
    for number, picture in enumerate(pictures):
        where = f"picture {number + 1}: " if number else ""
        _require(0 <= picture.seed <= MAX_SEED, f"{where}seed is {picture.seed}, expected 0 to 2^63 - 1")
    _check_within("batch_size", request.batch_size, 1, MAX_BATCH)
    budget = request.memory_budget_gb
    _require(budget is None or 0 < budget < math.inf, f"memory_budget_gb is {budget}, expected more than 0")
    if request.camera is not None:
        _check_camera(request.camera, "camera")
    if request.start is not None:
        _check_start(request.start, request.steps)
    if request.second_pass is not None:
        _check_second_pass(request.second_pass, request)
    _check_extras(request)


def _check_start(start: Start, steps: int) -> None:
    _check_ref(start.image, DType.UINT8, 3, "start")
    _check_within("start: strength", start.strength, 0, 1)
    least = math.ceil(100 / steps) / 100
    _require(
        start.strength == 0 or int(steps * start.strength) > 0,  # by diffusers' rule
        f"start: a strength of {start.strength:g} leaves none of {steps} steps to do. Raise it to {least:g} or take "
        "more steps; 0 gives the start picture itself",
    )
    _check_within("start: mask_grow_px", start.mask_grow_px, -MAX_SIDE, MAX_SIDE)
    _check_within("start: mask_blur_px", start.mask_blur_px, 0, MAX_MASK_BLUR_PX)
    if start.mask is not None:
        _check_ref(start.mask, DType.UINT8, 2, "start")
        _require(start.image.shape[:2] == start.mask.shape, "start: image and mask differ in size")


def _check_second_pass(second: SecondPass, request: GenerateRequest) -> None:
    _check_within("second_pass: factor", second.factor, 1, MAX_FACTOR)
    _check_within("second_pass: strength", second.strength, 0, 1)
    steps = request.steps if second.steps is None else second.steps
    _check_within("second_pass: steps", steps, 1, MAX_STEPS)
    _require(
        int(steps * second.strength) > 0,
        f"second_pass: a strength of {second.strength:g} leaves none of {steps} steps to do. Raise it, or take more",
    )
    _check_within("second_pass: tile_scale", second.tile_scale, 0, _LARGEST_SCALE)
    if second.tile_px is not None:
        _check_within("second_pass: tile_px", second.tile_px, MIN_TILE, MAX_SIDE)
        _check_within("second_pass: overlap_px", second.overlap_px, 0, second.tile_px // 2)


def _check_extras(request: GenerateRequest) -> None:
    """What is asked for beyond prompt, controls and steps."""
    for what, entries, most in (
        ("LoRAs", request.loras, MAX_LORAS),
        ("embeddings", request.embeddings, MAX_EMBEDDINGS),
        ("image prompts", request.image_prompts, MAX_IMAGE_PROMPTS),
    ):
        _require(len(entries) <= most, f"{len(entries)} {what}, at most {most} work")
    for number, lora in enumerate(request.loras):
        _require(bool(lora.lora), f"LoRA {number + 1} has no file. Choose one, or remove it")
        for weight in (lora.weight, lora.text_weight):
            _check_within(
                f"LoRA {number + 1}: weight", 0.0 if weight is None else weight, -MAX_LORA_WEIGHT, MAX_LORA_WEIGHT
            )
    for number, embedding in enumerate(request.embeddings):
        _require(bool(embedding.embedding), f"embedding {number + 1} has no file. Choose one, or remove it")
    for number, prompt in enumerate(request.image_prompts):
        where = f"image prompt {number + 1}"
        _require(bool(prompt.adapter), f"{where} has no IP-Adapter. Choose one, or remove it")
        _check_ref(prompt.image, DType.UINT8, 3, where)
        _check_within(f"{where}: scale", prompt.scale, 0, MAX_IMAGE_PROMPT_SCALE)
        _require(
            0 <= prompt.start < prompt.end <= 1,
            f"{where}: it works from {prompt.start} to {prompt.end}; expected 0 <= start < end <= 1",
        )
    _check_within("clip_skip", request.clip_skip, 0, MAX_CLIP_SKIP)


def _check_download(request: DownloadRequest) -> None:
    _require(
        HUB_ID.fullmatch(request.reference) is not None,
        f'{request.reference[:80]!r} is no hub id; those have an owner and a name, such as "owner/name"',
    )
    parts = request.file.replace("\\", "/").split("/")
    _require(".." not in parts and not request.file.startswith("/"), "the file lies outside the repository")


def _check_camera(camera: Camera, where: str) -> None:
    _require(len(camera.world_from_camera) == 16, f"{where}: world_from_camera needs 16 numbers")
    centre_and_clip = (camera.cx_px, camera.cy_px, camera.clip_start_m, camera.clip_end_m)
    _require(all(map(math.isfinite, (*camera.world_from_camera, *centre_and_clip))), f"{where}: a number is not finite")
    _require(
        0 < camera.fx_px < math.inf and 0 < camera.fy_px < math.inf, f"{where}: the focal lengths must be positive"
    )


def _check_control(control: Control, size: Extent, where: str) -> None:
    _check_within(f"{where}: conditioning_scale", control.conditioning_scale, 0, _LARGEST_SCALE)
    _require(
        0 <= control.start < control.end <= 1,
        f"{where}: it works from {control.start} to {control.end}; expected 0 <= start < end <= 1",
    )
    _check_curve(control, where)
    source = control.source
    allowed = SOURCES[control.kind]
    if isinstance(source, Photo):
        found = DETECTED[source.detector]
        kinds = " or ".join(found)
        _require(control.kind in found, f"{where}: the {source.detector} detector finds {kinds} images")
    elif not isinstance(source, ReadyMap):
        names = " or ".join(kind.__name__ for kind in allowed)
        _require(isinstance(source, allowed), f"{where}: its source is a {type(source).__name__}, expected {names}")
    _check_source(source, where)
    _check_sizes(source, size, where)
    _check_options(control, where)


def _check_curve(control: Control, where: str) -> None:
    places = [point.at for point in control.curve]
    _require(len(places) <= MAX_CURVE_POINTS, f"{where}: {len(places)} points of a curve, at most {MAX_CURVE_POINTS}")
    for point in control.curve:
        _check_within(f"{where}: the place of a curve's point", point.at, 0, 1)
        _check_within(f"{where}: the factor of a curve's point", point.factor, 0, MAX_CURVE_FACTOR)
    _require(places == sorted(set(places)), f"{where}: the points of its curve are not in order, or share a place")


def _check_source(source: Source, where: str) -> None:
    match source:
        case DepthPass(metres=metres):
            _check_ref(metres, DType.FLOAT32, 2, where)
        case NormalPass(normal_camera=normal):
            _check_ref(normal, DType.FLOAT32, 3, where)
        case LinesPass():
            _check_ref(source.metres, DType.FLOAT32, 2, where)
            _check_ref(source.normal_camera, DType.FLOAT32, 3, where)
            _check_ref(source.objects, DType.INT32, 2, where)
            _check_ref(source.materials, DType.INT32, 2, where)
            _check_camera(source.camera, f"{where}, camera")
        case PosePass(people=people):
            _require(len(people) <= MAX_PEOPLE, f"{where}: {len(people)} people, at most {MAX_PEOPLE} work")
            for person in people:
                _check_person(person, where)
        case SegmentationPass():
            _check_ref(source.indices, DType.INT32, 2, where)
            for ade20k in (source.background, *(segment.ade20k for segment in source.segments)):
                well = ade20k is None or 0 <= ade20k < ADE20K_CLASSES
                _require(well, f"{where}: {ade20k} is no class of ADE20K, expected 0 to {ADE20K_CLASSES - 1}")
        case InpaintPass(image=image, mask=mask):
            _check_ref(image, DType.UINT8, 3, where)
            _check_ref(mask, DType.UINT8, 2, where)
            _require(image.shape[:2] == mask.shape, f"{where}: image and mask differ in size")
        case PicturePass(image=image) | ReadyMap(image=image) | Photo(image=image):
            _check_ref(image, DType.UINT8, 3, where)


def _check_sizes(source: Source, size: Extent, where: str) -> None:
    """A scene's passes are exact, so nothing resizes them; pictures are fitted."""
    if not isinstance(source, DepthPass | NormalPass | LinesPass | SegmentationPass):
        return
    for ref in _references(source):
        height, width = ref.shape[:2]
        _require(
            (width, height) == (size.width, size.height),
            f"{where}: the {type(source).__name__} is {width} x {height} and the picture {size.width} x {size.height}; "
            "render the pass at the picture's size",
        )


def _check_person(person: Person, where: str) -> None:
    _require(len(person.body) == JOINTS, f"{where}: {len(person.body)} joints, expected {JOINTS}")
    for hand in (person.left_hand, person.right_hand):
        _require(len(hand) in (0, HAND_JOINTS), f"{where}: {len(hand)} joints of a hand, expected {HAND_JOINTS}")
    _require(
        len(person.face) in (0, FACE_POINTS), f"{where}: {len(person.face)} points of a face, expected {FACE_POINTS}"
    )
    _require(math.isfinite(person.depth_m), f"{where}: a person's depth_m is not finite")
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
    _require(isinstance(options, allowed), f"{where}: {type(options).__name__} don't go with a {source.__name__}")
    for name, (least, most) in OPTION_RANGES[type(options)].items():
        value: float | None = getattr(options, name)
        if value is not None:
            _check_within(f"{where}: {name}", value, least, most)
    if isinstance(options, DepthOptions):
        near_m, far_m = options.near_m, options.far_m
        _require(near_m is None or far_m is None or near_m < far_m, f"{where}: near_m is not nearer than far_m")
    if isinstance(options, LineOptions):
        _require(options.levels != 1, f"{where}: levels is 1, expected 2 to 256 shades of grey, or 0 for all of them")
    if isinstance(options, NormalOptions) and options.encoding is not None:
        slopes = options.encoding is NormalEncoding.MIDAS
        wanted = DepthPass if slopes else NormalPass
        _require(source is wanted, f"{where}: the {options.encoding} encoding wants a {wanted.__name__}")


def _check_within(what: str, value: float, least: float, most: float) -> None:
    # a NaN is in no range
    _require(least <= value <= most, f"{what} is {value}, expected {least:g} to {most:g}")


def _check_ref(ref: ArrayRef, dtype: DType, sides: int, where: str) -> None:
    _require(arrays.is_address(ref.sha256), f"{where}: {ref.sha256[:80]!r} is no blob address")
    well_shaped = len(ref.shape) == sides and all(side > 0 for side in ref.shape) and ref.shape[2:] in ((), (3,))
    _require(
        well_shaped and ref.dtype is dtype,
        f"{where}: the array is {ref.dtype} {ref.shape}, expected {dtype} {_SHAPES[sides]}",
    )


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise InvalidRequest(reason=reason)
