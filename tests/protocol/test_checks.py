"""What is refused at submission, row by row."""

import math
from dataclasses import fields, replace
from typing import get_args

import pytest
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.checks import (
    DETECTED,
    DETECTORS,
    MAX_BATCH,
    MAX_CURVE_POINTS,
    MAX_PICTURES,
    MAX_SIDE,
    OPTION_RANGES,
    SOURCES,
    check,
    nearest_size,
    references,
)
from underpaint.protocol.errors import InvalidRequest, InvalidSize
from underpaint.protocol.geometry import Camera, Extent, Projection
from underpaint.protocol.options import (
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
from underpaint.protocol.request import (
    Control,
    ControlKind,
    ControlMapsRequest,
    CurvePoint,
    GenerateRequest,
    PlanRequest,
    Start,
    Variant,
)
from underpaint.protocol.sources import (
    DepthPass,
    Detector,
    InpaintPass,
    Keypoint,
    LinesPass,
    NormalPass,
    Person,
    Photo,
    PicturePass,
    PosePass,
    ReadyMap,
    Segment,
    SegmentationPass,
)

DEPTH = ArrayRef(sha256="ab" * 32, shape=(8, 16), dtype=DType.FLOAT32)
IMAGE = ArrayRef(sha256="cd" * 32, shape=(8, 16, 3), dtype=DType.UINT8)
MASK = ArrayRef(sha256="ef" * 32, shape=(8, 16), dtype=DType.UINT8)
INDICES = ArrayRef(sha256="01" * 32, shape=(8, 16), dtype=DType.INT32)
DEPTH_PASS = DepthPass(metres=DEPTH, projection=Projection.PERSPECTIVE)
CONTROL = Control(kind=ControlKind.DEPTH, source=DEPTH_PASS)
NORMAL = ArrayRef(sha256="23" * 32, shape=(8, 16, 3), dtype=DType.FLOAT32)
NORMAL_PASS = NormalPass(normal_camera=NORMAL)
CAMERA = Camera(
    projection=Projection.PERSPECTIVE,
    fx_px=16.0,
    fy_px=16.0,
    cx_px=8.0,
    cy_px=4.0,
    world_from_camera=(0.0,) * 16,
    clip_start_m=0.1,
    clip_end_m=100.0,
)
LINES_PASS = LinesPass(metres=DEPTH, normal_camera=NORMAL, objects=INDICES, materials=INDICES, camera=CAMERA)
SHOWN: dict[type[Options], Control] = {
    DepthOptions: CONTROL,
    NormalOptions: Control(kind=ControlKind.NORMAL, source=NORMAL_PASS),
    PoseOptions: Control(kind=ControlKind.OPENPOSE, source=PosePass(people=())),
    LineOptions: Control(kind=ControlKind.SOFTEDGE, source=LINES_PASS),
    SegmentationOptions: Control(kind=ControlKind.SEGMENTATION, source=SegmentationPass(indices=INDICES, segments=())),
    PictureOptions: Control(kind=ControlKind.TILE, source=PicturePass(image=IMAGE)),
    DetectorOptions: Control(kind=ControlKind.CANNY, source=Photo(image=IMAGE, detector=Detector.CANNY)),
}
GOOD = GenerateRequest(prompt="", size=Extent(width=16, height=8), controls=(CONTROL,))
START = Start(image=IMAGE, mask=MASK)


def test_a_good_request_passes():
    check(GOOD)
    person = Person(body=(Keypoint(x_px=1, y_px=2),) + (None,) * 17, depth_m=3)
    pose = Control(kind=ControlKind.OPENPOSE, source=PosePass(people=(person,)))
    check(replace(GOOD, controls=(pose,)))


def test_a_good_request_of_everything_passes():
    curve = (CurvePoint(at=0.0, factor=0.0), CurvePoint(at=0.5, factor=2.0), CurvePoint(at=1.0, factor=0.0))
    whole = replace(
        GOOD,
        controls=(replace(CONTROL, curve=curve, guess_mode=True),),
        start=replace(START, strength=1.0, mask_grow_px=-3, mask_blur_px=0.5),
        variants=(Variant(prompt="another", negative_prompt="none", seed=2**63 - 1),),
        batch_size=2,
        memory_budget_gb=0.5,
    )
    check(whole)
    check(PlanRequest(picture=whole))


def test_the_most_of_everything_passes():
    variants = (Variant(prompt="", seed=0),) * (MAX_PICTURES - 1)
    curve = tuple(CurvePoint(at=number / MAX_CURVE_POINTS, factor=1.0) for number in range(MAX_CURVE_POINTS))
    check(replace(GOOD, variants=variants, batch_size=MAX_BATCH, controls=(replace(CONTROL, curve=curve),)))


def test_a_photo_goes_with_every_kind_that_its_detector_finds_and_with_no_other():
    for detector in Detector:
        photo = Photo(image=IMAGE, detector=detector)
        for kind in ControlKind:
            request = replace(GOOD, controls=(Control(kind=kind, source=photo),))
            if kind in DETECTED[detector]:
                check(request)
            else:
                with pytest.raises(InvalidRequest, match=f"the {detector} detector finds"):
                    check(request)


def test_a_detector_is_among_those_of_its_kinds():
    assert {detector for found in DETECTORS.values() for detector in found} == set(Detector)
    assert DETECTORS[ControlKind.LINEART][0] is Detector.LINEART
    assert ControlKind.INPAINT not in DETECTORS


def test_every_kind_has_a_source_and_takes_a_ready_map():
    assert set(SOURCES) == set(ControlKind)
    for kind in ControlKind:
        check(replace(GOOD, controls=(Control(kind=kind, source=ReadyMap(image=IMAGE)),)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 1001}, "steps is 1001"),
        ({"guidance_scale": -1.0}, "guidance_scale is -1.0"),
        ({"guidance_scale": math.inf}, "guidance_scale is inf"),
        ({"camera": replace(CAMERA, fx_px=0.0)}, "camera: the focal lengths"),
        ({"camera": replace(CAMERA, cx_px=math.nan)}, "camera: a number is not finite"),
        ({"camera": replace(CAMERA, world_from_camera=(1.0,) * 12)}, "camera: .* 16 numbers"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "seed"),
        ({"controls": (CONTROL,) * 17}, "17 controls"),
        ({"guidance_scale": math.nan}, "guidance_scale is nan"),
        ({"steps": -1}, "steps is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": MAX_BATCH + 1}, f"batch_size is {MAX_BATCH + 1}"),
        ({"memory_budget_gb": 0.0}, "memory_budget_gb is 0.0"),
        ({"memory_budget_gb": -2.0}, "memory_budget_gb is -2.0"),
        ({"memory_budget_gb": math.nan}, "memory_budget_gb is nan"),
        ({"memory_budget_gb": math.inf}, "memory_budget_gb is inf"),
        ({"variants": (Variant(prompt="", seed=-1),)}, "picture 2: seed is -1"),
        ({"variants": (Variant(prompt="", seed=0), Variant(prompt="", seed=2**63))}, "picture 3: seed is"),
        ({"variants": (Variant(prompt="", seed=0),) * MAX_PICTURES}, f"{MAX_PICTURES + 1} pictures in one job"),
        ({"start": replace(START, strength=-0.1)}, "start: strength is -0.1"),
        ({"start": replace(START, strength=1.1)}, "start: strength is 1.1"),
        ({"start": replace(START, strength=math.nan)}, "start: strength is nan"),
        ({"start": replace(START, mask_grow_px=MAX_SIDE + 1)}, "start: mask_grow_px"),
        ({"start": replace(START, mask_grow_px=-MAX_SIDE - 1)}, "start: mask_grow_px"),
        ({"start": replace(START, mask_blur_px=-0.5)}, "start: mask_blur_px is -0.5"),
        ({"start": replace(START, mask_blur_px=math.nan)}, "start: mask_blur_px is nan"),
        ({"start": replace(START, mask=replace(MASK, shape=(8, 8)))}, "start: image and mask differ in size"),
        ({"start": replace(START, mask=IMAGE)}, "start: the array is uint8 .* expected uint8 .height, width.\\.$"),
        ({"start": replace(START, mask=DEPTH)}, "start: the array is float32"),
        ({"start": replace(START, image=MASK)}, "start: the array is uint8"),
        ({"start": replace(START, image=NORMAL)}, "start: the array is float32"),
        ({"start": Start(image=replace(IMAGE, shape=(8, 16, 4)))}, "start: the array is uint8"),
        ({"start": Start(image=replace(IMAGE, sha256="../../token"))}, "start: .* no blob address"),
        ({"start": replace(START, mask=replace(MASK, sha256="AB" * 32))}, "start: .* no blob address"),
    ],
)
def test_values_out_of_range_are_named(change, said):
    bad = replace(GOOD, **change)
    for request in (bad, PlanRequest(picture=bad)):
        with pytest.raises(InvalidRequest, match=said):
            check(request)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": 0.5, "end": 0.5}, "from 0.5 to 0.5"),
        ({"start": 0.6, "end": 0.5}, "0 <= start < end"),
        ({"end": 1.5}, "to 1.5"),
        ({"start": -0.1}, "from -0.1"),
        ({"start": math.nan}, "from nan"),
        ({"end": math.nan}, "to nan"),
        ({"curve": (CurvePoint(at=-0.1, factor=1.0),)}, "the place of a curve's point is -0.1"),
        ({"curve": (CurvePoint(at=1.1, factor=1.0),)}, "the place of a curve's point is 1.1"),
        ({"curve": (CurvePoint(at=math.nan, factor=1.0),)}, "the place of a curve's point is nan"),
        ({"curve": (CurvePoint(at=0.5, factor=-1.0),)}, "the factor of a curve's point is -1.0"),
        ({"curve": (CurvePoint(at=0.5, factor=101.0),)}, "the factor of a curve's point is 101.0"),
        ({"curve": (CurvePoint(at=0.5, factor=math.nan),)}, "the factor of a curve's point is nan"),
        ({"curve": (CurvePoint(at=0.5, factor=1.0), CurvePoint(at=0.4, factor=1.0))}, "not in order"),
        ({"curve": (CurvePoint(at=0.5, factor=1.0), CurvePoint(at=0.5, factor=2.0))}, "share a place"),
        (
            {"curve": (CurvePoint(at=0.0, factor=1.0),) * (MAX_CURVE_POINTS + 1)},
            f"{MAX_CURVE_POINTS + 1} points of a curve",
        ),
        ({"conditioning_scale": -0.1}, "conditioning_scale"),
        ({"conditioning_scale": math.nan}, "conditioning_scale is nan"),
        ({"options": DepthOptions(near_m=2.0, far_m=1.0)}, "near_m is not nearer"),
        ({"conditioning_scale": math.inf}, "conditioning_scale is inf"),
        ({"options": DepthOptions(near_m=0.0)}, "near_m is 0.0"),
        (
            {"kind": ControlKind.NORMAL, "options": NormalOptions(encoding=NormalEncoding.OPENGL)},
            "opengl encoding wants a NormalPass",
        ),
        (
            {
                "kind": ControlKind.NORMAL,
                "source": NORMAL_PASS,
                "options": NormalOptions(encoding=NormalEncoding.MIDAS),
            },
            "midas encoding wants a DepthPass",
        ),
        ({"source": replace(DEPTH_PASS, metres=replace(DEPTH, shape=(8, 8)))}, "DepthPass is 8 x 8 and the picture 16"),
        (
            {"kind": ControlKind.MLSD, "source": replace(LINES_PASS, objects=replace(INDICES, shape=(16, 8)))},
            "LinesPass is 8 x 16 and the picture 16 x 8",
        ),
        (
            {"kind": ControlKind.MLSD, "source": replace(LINES_PASS, camera=replace(CAMERA, fy_px=math.nan))},
            "camera: the focal lengths",
        ),
        ({"options": LineOptions()}, "LineOptions don't go with a DepthPass"),
        ({"kind": ControlKind.NORMAL, "options": DepthOptions()}, "DepthOptions don't go with a DepthPass"),
        ({"kind": ControlKind.CANNY}, "its source is a DepthPass, expected LinesPass"),
        ({"source": replace(DEPTH_PASS, metres=IMAGE)}, "uint8"),
        ({"kind": ControlKind.NORMAL, "source": NormalPass(normal_camera=DEPTH)}, "expected float32"),
        ({"source": ReadyMap(image=replace(IMAGE, shape=(8, 16, 4)))}, "uint8"),
        ({"source": ReadyMap(image=replace(IMAGE, shape=(0, 16, 3)))}, "uint8"),
        ({"source": ReadyMap(image=replace(IMAGE, sha256="../../token"))}, "no blob address"),
        ({"source": Photo(image=IMAGE, detector=Detector.CANNY)}, "canny detector finds canny"),
        ({"kind": ControlKind.OPENPOSE, "source": PosePass(people=(Person(body=(), depth_m=1),))}, "0 joints"),
        (
            {"kind": ControlKind.INPAINT, "source": InpaintPass(image=IMAGE, mask=replace(MASK, shape=(8, 8)))},
            "differ in size",
        ),
        (
            {
                "kind": ControlKind.SEGMENTATION,
                "source": SegmentationPass(indices=INDICES, segments=(Segment(name="Cube", ade20k=150),)),
            },
            "150 is no class",
        ),
    ],
)
def test_a_control_that_cannot_work_is_named_with_its_number(change, said):
    bad = replace(GOOD, controls=(CONTROL, replace(CONTROL, **change)))
    with pytest.raises(InvalidRequest, match=f"control 2 .*{said}"):
        check(bad)


def _with_options(options: Options) -> GenerateRequest:
    return replace(GOOD, controls=(replace(SHOWN[type(options)], options=options),))


def test_every_option_that_is_a_number_has_a_range():
    assert set(OPTION_RANGES) == set(get_args(Options))
    for kind, ranges in OPTION_RANGES.items():
        numbers = {entry.name for entry in fields(kind) if {int, float} & {entry.type, *get_args(entry.type)}}
        assert numbers == set(ranges)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, ranges in OPTION_RANGES.items() for name in ranges])
def test_an_option_out_of_its_range_is_named(kind, name):
    least, most = OPTION_RANGES[kind][name]
    for good in (least, most):
        check(_with_options(kind(**{name: good})))
    for bad in (least - 1, most + 1, math.nan, math.inf, -math.inf, 10**400):
        with pytest.raises(InvalidRequest, match=rf"control 1 .*: {name} is .*, expected "):
            check(_with_options(kind(**{name: bad})))


def test_one_shade_of_grey_is_none():
    with pytest.raises(InvalidRequest, match="levels is 1"):
        check(_with_options(LineOptions(levels=1)))


@pytest.mark.parametrize(("x", "y"), [(math.nan, 1.0), (1.0, math.nan), (1e6, 1.0), (1.0, -math.inf)])
@pytest.mark.parametrize("points", ["body", "left_hand", "right_hand", "face"])
def test_joints_that_lie_nowhere_are_refused(points, x, y):
    count = {"body": 18, "face": 70}.get(points, 21)
    people = Person(body=(None,) * 18, depth_m=1.0)
    people = replace(people, **{points: (Keypoint(x_px=x, y_px=y),) + (None,) * (count - 1)})
    pose = Control(kind=ControlKind.OPENPOSE, source=PosePass(people=(people,)))
    with pytest.raises(InvalidRequest, match="a joint lies at"):
        check(replace(GOOD, controls=(pose,)))


@pytest.mark.parametrize(
    ("side", "nearest"), [(1, 8), (0, 8), (-5, 8), (8, 8), (11, 8), (12, 16), (511, 512), (99999, 8192)]
)
def test_the_nearest_size(side, nearest):
    assert nearest_size(Extent(width=side, height=8)) == Extent(width=nearest, height=8)


def test_a_size_that_does_not_work_is_told_with_the_nearest():
    with pytest.raises(InvalidSize, match="16 x 8"):
        check(replace(GOOD, size=Extent(width=17, height=9)))
    with pytest.raises(InvalidSize, match="16 x 8"):
        check(PlanRequest(picture=replace(GOOD, size=Extent(width=17, height=9))))
    with pytest.raises(InvalidSize, match=f"up to {MAX_SIDE}.*{MAX_SIDE} x 8"):
        check(replace(GOOD, size=Extent(width=9000, height=8)))


def test_every_array_that_a_request_speaks_of_is_found():
    sources = (DEPTH_PASS, ReadyMap(image=IMAGE), PosePass(people=()))
    controls = tuple(replace(CONTROL, source=source) for source in sources)
    request = replace(GOOD, controls=controls)
    assert list(references(request)) == [DEPTH, IMAGE]
    assert list(references(replace(request, start=Start(image=IMAGE)))) == [DEPTH, IMAGE, IMAGE]
    started = replace(request, start=START)
    assert list(references(started)) == [DEPTH, IMAGE, IMAGE, MASK]
    assert list(references(PlanRequest(picture=started))) == list(references(started))
    assert list(references(ControlMapsRequest(size=GOOD.size, controls=controls))) == [DEPTH, IMAGE]


def test_control_maps_need_a_control():
    with pytest.raises(InvalidRequest, match="no controls"):
        check(ControlMapsRequest(size=GOOD.size, controls=()))
