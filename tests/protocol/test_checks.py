"""What is refused at submission, row by row."""

import math
from dataclasses import fields, replace
from typing import get_args

import pytest
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.checks import (
    DETECTED,
    DETECTORS,
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
from underpaint.protocol.request import Control, ControlKind, ControlMapsRequest, GenerateRequest
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


def test_a_good_request_passes():
    check(GOOD)
    person = Person(body=(Keypoint(x_px=1, y_px=2),) + (None,) * 17, depth_m=3)
    pose = Control(kind=ControlKind.OPENPOSE, source=PosePass(people=(person,)))
    check(replace(GOOD, controls=(pose,)))


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
    ],
)
def test_values_out_of_range_are_named(change, said):
    with pytest.raises(InvalidRequest, match=said):
        check(replace(GOOD, **change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": 0.5, "end": 0.5}, "from 0.5 to 0.5"),
        ({"start": 0.6, "end": 0.5}, "0 <= start < end"),
        ({"end": 1.5}, "to 1.5"),
        ({"conditioning_scale": -0.1}, "conditioning_scale"),
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
    with pytest.raises(InvalidSize, match=f"up to {MAX_SIDE}.*{MAX_SIDE} x 8"):
        check(replace(GOOD, size=Extent(width=9000, height=8)))


def test_every_array_that_a_request_speaks_of_is_found():
    sources = (DEPTH_PASS, ReadyMap(image=IMAGE), PosePass(people=()))
    controls = tuple(replace(CONTROL, source=source) for source in sources)
    assert list(references(replace(GOOD, controls=controls))) == [DEPTH, IMAGE]


def test_control_maps_need_a_control():
    with pytest.raises(InvalidRequest, match="no controls"):
        check(ControlMapsRequest(size=GOOD.size, controls=()))
