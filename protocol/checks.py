"""What a request must hold beyond the types that the wire has checked, and the limits that forms offer."""

from collections.abc import Iterator

from . import arrays
from .arrays import ArrayRef, DType
from .errors import InvalidRequest, InvalidSize
from .request import (
    Camera,
    Control,
    ControlKind,
    DepthPass,
    Detector,
    Extent,
    GenerateRequest,
    NormalPass,
    Photo,
    PosePass,
    ReadyMap,
    Request,
)

SIZE_STEP = 8  # the latents are an eighth of the picture
MIN_SIDE = 8
MAX_SIDE = 8192
MAX_STEPS = 1000
MAX_CONTROLS = 16
MAX_SEED = 2**63 - 1
JOINTS = 18  # COCO-18, in the order of CMU's OpenPose: nose, neck, right shoulder, ...

DETECTED = {
    Detector.CANNY: ControlKind.CANNY,
    Detector.MIDAS: ControlKind.DEPTH,
    Detector.NORMAL_BAE: ControlKind.NORMAL,
    Detector.OPENPOSE: ControlKind.OPENPOSE,
}
"""The kind of control image that each detector finds in a photo."""

DETECTORS = {kind: detector for detector, kind in DETECTED.items()}
"""The detector for each kind of control."""

_SHAPES = {2: "(height, width)", 3: "(height, width, 3)"}


def check(request: Request) -> None:
    """Raise InvalidRequest or InvalidSize for a request that no worker could fulfil."""
    check_size(request.size)
    _require(len(request.controls) <= MAX_CONTROLS, f"{len(request.controls)} controls, at most {MAX_CONTROLS} work")
    if isinstance(request, GenerateRequest):
        _require(1 <= request.steps <= MAX_STEPS, f"steps is {request.steps}, expected 1 to {MAX_STEPS}")
        _require(request.guidance_scale >= 0, f"guidance_scale is {request.guidance_scale}, expected 0 or more")
        _require(0 <= request.seed <= MAX_SEED, f"seed is {request.seed}, expected 0 to 2^63 - 1")
        if request.camera is not None:
            _check_camera(request.camera)
    else:
        _require(bool(request.controls), "control maps were asked for, and there are no controls")
    for number, control in enumerate(request.controls):
        _check_control(control, f"control {number + 1} ({control.kind})")


def check_size(size: Extent) -> None:
    """Raise InvalidSize, naming the nearest size that works, for one that doesn't."""
    nearest = nearest_size(size)
    if nearest != size:
        raise InvalidSize(width=size.width, height=size.height, nearest=f"{nearest.width} x {nearest.height}")


def references(request: Request) -> Iterator[ArrayRef]:
    """The arrays that a request speaks of."""
    for control in request.controls:
        match control.source:
            case DepthPass(metres=ref) | NormalPass(normal_camera=ref) | ReadyMap(image=ref) | Photo(image=ref):
                yield ref
            case PosePass():
                pass


def nearest_size(extent: Extent) -> Extent:
    """The size that works and is closest; half-way goes up."""

    def nearest(side: int) -> int:
        return min(max((side + SIZE_STEP // 2) // SIZE_STEP * SIZE_STEP, MIN_SIDE), MAX_SIDE)

    return Extent(width=nearest(extent.width), height=nearest(extent.height))


def _check_camera(camera: Camera) -> None:
    _require(len(camera.world_from_camera) == 16, "camera.world_from_camera needs 16 numbers")
    _require(camera.fx_px > 0 and camera.fy_px > 0, "the camera's focal lengths must be positive")


def _check_control(control: Control, where: str) -> None:
    _require(control.conditioning_scale >= 0, f"{where}: conditioning_scale is {control.conditioning_scale}")
    _require(
        0 <= control.start < control.end <= 1,
        f"{where}: it works from {control.start} to {control.end}; expected 0 <= start < end <= 1",
    )
    match control.source:
        case DepthPass() as depth:
            _check_ref(depth.metres, DType.FLOAT32, 2, where)
            if depth.near_m is not None and depth.far_m is not None:
                _require(depth.near_m < depth.far_m, f"{where}: near_m is not nearer than far_m")
        case NormalPass() as normal:
            _check_ref(normal.normal_camera, DType.FLOAT32, 3, where)
        case ReadyMap(image=image) | Photo(image=image):
            _check_ref(image, DType.UINT8, 3, where)
            if isinstance(control.source, Photo):
                detector = control.source.detector
                found = DETECTED[detector]
                _require(found is control.kind, f"{where}: the {detector} detector finds {found} images")
        case PosePass() as pose:
            for person in pose.people:
                _require(len(person.body) == JOINTS, f"{where}: {len(person.body)} joints, expected {JOINTS}")


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
