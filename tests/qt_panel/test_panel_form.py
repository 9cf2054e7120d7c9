"""The form as data: what is refused, and what becomes of it."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot
from underpaint.protocol.arrays import AnyArray, ArrayRef, DType, encode, reference
from underpaint.protocol.checks import MAX_SEED, check
from underpaint.protocol.errors import InvalidRequest, InvalidSize, MissingControlImage, UnderpaintError
from underpaint.protocol.geometry import Camera, Extent, Projection
from underpaint.protocol.request import (
    Control,
    ControlKind,
    ControlMapsRequest,
    CurvePoint,
    GenerateRequest,
    PlanRequest,
    Precision,
    Scheduler,
    Sigmas,
    Variant,
)
from underpaint.protocol.sources import DepthPass, Detector, Photo, PosePass, ReadyMap
from underpaint.qt_panel import words
from underpaint.qt_panel.form import (
    ControlForm,
    Form,
    Picture,
    PictureUse,
    Reused,
    generate_request,
    guess,
    maps_request,
    plan_request,
    problems,
    restored,
    with_dropped,
    with_passes,
)
from underpaint.qt_panel.form_panel import FormPanel
from underpaint.qt_panel.settings import Memory

GREY = Picture(name="grey.png", pixels=np.full((8, 16, 3), 128, np.uint8))
REF = ArrayRef(sha256="a" * 64, shape=(64, 64), dtype=DType.FLOAT32)
MAP_REF = ArrayRef(sha256="b" * 64, shape=(64, 64, 3), dtype=DType.UINT8)
DEPTH = DepthPass(metres=REF, projection=Projection.PERSPECTIVE)
SIZE = Extent(width=64, height=64)
CAMERA = Camera(
    projection=Projection.PERSPECTIVE,
    fx_px=1,
    fy_px=1,
    cx_px=0,
    cy_px=0,
    world_from_camera=(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1),
    clip_start_m=0.1,
    clip_end_m=10,
)
RENDER = GenerateRequest(
    prompt="a room",
    negative_prompt="fog",
    checkpoint="some/model",
    size=SIZE,
    controls=(
        Control(
            kind=ControlKind.DEPTH,
            source=DEPTH,
            controlnet="some/net",
            conditioning_scale=0.5,
            start=0.1,
            end=0.9,
            curve=(CurvePoint(at=0.0, factor=1.0), CurvePoint(at=1 / 3, factor=0.0)),
            guess_mode=True,
        ),
        Control(kind=ControlKind.OPENPOSE, source=PosePass(people=())),
    ),
    steps=9,
    guidance_scale=3,
    scheduler=Scheduler.EULER,
    sigmas=Sigmas.KARRAS,
    seed=5,
    variants=(
        Variant(prompt="a room", negative_prompt="fog", seed=6),
        Variant(prompt="a room", negative_prompt="fog", seed=7),
        Variant(prompt="a hall", negative_prompt="fog", seed=8),
        Variant(prompt="a room", negative_prompt="fog", seed=9),
    ),
    batch_size=2,
    precision=Precision.BFLOAT16,
    camera=CAMERA,
)


def upload(array: AnyArray) -> ArrayRef:
    return reference(array, encode(array))


def no_upload(_: AnyArray) -> ArrayRef:
    raise AssertionError("nothing may be sent again")


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (Form(), []),
        (Form(size=Extent(width=500, height=512)), [InvalidSize]),
        (Form(controls=(ControlForm(),)), [MissingControlImage]),
        (Form(controls=(ControlForm(enabled=False),)), []),
        (Form(controls=(ControlForm(image=GREY, start=0.5, end=0.5),)), [InvalidRequest]),
        (Form(controls=(ControlForm(image=Reused(source=DEPTH, size=SIZE)),)), [InvalidRequest]),
        (Form(size=SIZE, controls=(ControlForm(image=Reused(source=DEPTH, size=SIZE)),)), []),
        (Form(controls=(ControlForm(image=Reused(source=ReadyMap(image=MAP_REF), size=SIZE)),)), []),
    ],
)
def test_what_is_refused(form: Form, expected: list[type[UnderpaintError]]) -> None:
    assert [type(problem) for problem in problems(form)] == expected
    if expected:
        with pytest.raises(expected[0]):
            generate_request(form, upload)


def test_maps_without_a_control_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="no control"):
        maps_request(Form(), upload)


@pytest.mark.parametrize(
    ("kind", "detector"),
    [
        (ControlKind.DEPTH, Detector.MIDAS),
        (ControlKind.NORMAL, Detector.NORMAL_BAE),
        (ControlKind.OPENPOSE, Detector.OPENPOSE),
        (ControlKind.CANNY, Detector.CANNY),
    ],
)
def test_a_picture_is_a_map_or_a_photo_for_the_kinds_detector(kind: ControlKind, detector: Detector) -> None:
    row = ControlForm(kind=kind, image=GREY)
    ready = generate_request(Form(controls=(row,)), upload).controls[0]
    assert ready.source == ReadyMap(image=upload(GREY.pixels))
    photo = maps_request(Form(controls=(dataclasses.replace(row, use=PictureUse.PHOTO),)), upload).controls[0]
    assert photo.source == Photo(image=upload(GREY.pixels), detector=detector)


def test_disabled_controls_stay_out() -> None:
    form = Form(controls=(ControlForm(enabled=False, image=GREY), ControlForm(kind=ControlKind.CANNY, image=GREY)))
    assert [control.kind for control in generate_request(form, upload).controls] == [ControlKind.CANNY]


def test_a_request_restored_makes_the_same_request_and_sends_nothing() -> None:
    form = restored(Form(prompt="other", random_seed=True), RENDER, origin="Earlier job")
    assert generate_request(form, no_upload) == RENDER
    assert not form.random_seed
    assert (form.pictures, [variant.seed for variant in form.variants]) == (3, [8, 9])
    planned = restored(Form(), PlanRequest(picture=RENDER), origin="Earlier job")
    assert plan_request(planned, no_upload) == PlanRequest(picture=RENDER)


def test_the_memory_budget_is_the_users_and_not_the_jobs() -> None:
    request = dataclasses.replace(RENDER, memory_budget_gb=80.0)
    assert restored(Form(memory_budget_gb=4.0), request, origin="Earlier job").memory_budget_gb == 4.0
    assert generate_request(Form(memory_budget_gb=4.0), upload).memory_budget_gb == 4.0


def test_pictures_are_made_by_the_seeds_that_follow() -> None:
    request = generate_request(Form(prompt=" x ", negative_prompt=" y ", seed=MAX_SEED - 1, pictures=4), upload)
    assert [picture.seed for picture in request.pictures] == [MAX_SEED - 1, MAX_SEED, 0, 1]
    assert {(picture.prompt, picture.negative_prompt) for picture in request.pictures} == {("x", "y")}
    check(request)
    assert restored(Form(), request, origin="").pictures == 4


def test_maps_restored_leave_the_prompt_alone() -> None:
    request = ControlMapsRequest(size=SIZE, controls=RENDER.controls)
    form = restored(Form(prompt="mine", seed=3), request, origin="Earlier job")
    assert (form.prompt, form.seed) == ("mine", 3)
    assert maps_request(form, no_upload) == request


def test_passes_bring_controls_size_and_camera_alone() -> None:
    form = with_passes(Form(prompt="mine", steps=33), RENDER, (MAP_REF,), origin="Blender render")
    request = generate_request(form, no_upload)
    assert (request.prompt, request.steps) == ("mine", 33)
    assert (request.size, request.camera, request.controls) == (SIZE, CAMERA, RENDER.controls)
    first, second = (row.image for row in form.controls)
    assert isinstance(first, Reused)
    assert isinstance(second, Reused)
    assert first.shown == MAP_REF
    assert second.shown is None


def test_the_camera_goes_with_the_passes() -> None:
    form = dataclasses.replace(with_passes(Form(), RENDER, origin=""), controls=())
    assert generate_request(form, upload).camera is None


@pytest.mark.parametrize(
    ("name", "kind", "use"),
    [
        ("room_depth.png", ControlKind.DEPTH, PictureUse.MAP),
        ("Normal-0001.PNG", ControlKind.NORMAL, PictureUse.MAP),
        ("openpose.png", ControlKind.OPENPOSE, PictureUse.MAP),
        ("edges.jpg", ControlKind.CANNY, PictureUse.MAP),
        ("holiday.jpg", ControlKind.CANNY, PictureUse.PHOTO),
    ],
)
def test_what_a_file_is_by_its_name(name: str, kind: ControlKind, use: PictureUse) -> None:
    assert guess(name) == (kind, use)


def test_a_dropped_picture_takes_the_row_that_waits_for_it() -> None:
    depth = Picture(name="depth.png", pixels=GREY.pixels)
    waiting = Form(controls=(ControlForm(kind=ControlKind.NORMAL), ControlForm(kind=ControlKind.DEPTH)))
    assert [row.image for row in with_dropped(waiting, depth).controls] == [None, depth]
    other = Form(controls=(ControlForm(kind=ControlKind.NORMAL),))
    assert [(row.kind, row.image) for row in with_dropped(other, depth).controls] == [(ControlKind.NORMAL, depth)]
    full = Form(controls=(ControlForm(kind=ControlKind.NORMAL, image=GREY),))
    assert [row.kind for row in with_dropped(full, depth).controls] == [ControlKind.NORMAL, ControlKind.DEPTH]


def test_what_an_earlier_version_wrote_down_is_read(tmp_path: Path) -> None:
    source = {"type": "DepthPass", "metres": {"sha256": "a" * 64, "shape": [64, 64], "dtype": "float32"}}
    control = {
        "kind": "depth", "use": "map", "controlnet": "some/net", "conditioning_scale": 0.5, "start": 0.1, "end": 0.9,
        "enabled": True, "detector": None, "mask_file": "", "options": None, "file": "",
        "source": {**source, "projection": "perspective"}, "size": {"width": 64, "height": 64}, "shown": None,
        "origin": "Blender render",
    }  # fmt: skip
    form = {
        "prompt": "mine", "negative_prompt": "", "checkpoint": "", "allow_download": False,
        "size": {"width": 64, "height": 64}, "controls": [control], "steps": 9, "guidance_scale": 3.5,
        "scheduler": "EulerDiscreteScheduler", "seed": 5, "random_seed": False, "camera": None,
    }  # fmt: skip
    settings = QSettings(str(tmp_path / "panel.ini"), QSettings.Format.IniFormat)
    settings.setValue("form", json.dumps(form))
    expected = Form(
        prompt="mine",
        size=SIZE,
        steps=9,
        guidance_scale=3.5,
        scheduler=Scheduler.EULER,
        seed=5,
        controls=(
            ControlForm(
                image=Reused(source=DEPTH, size=SIZE, origin="Blender render"),
                controlnet="some/net",
                conditioning_scale=0.5,
                start=0.1,
                end=0.9,
            ),
        ),
    )
    assert Memory(settings).load_form() == expected


def test_everything_that_was_filled_in_is_remembered(tmp_path: Path) -> None:
    memory = Memory(QSettings(str(tmp_path / "panel.ini"), QSettings.Format.IniFormat))
    form = dataclasses.replace(restored(Form(), RENDER, origin="Earlier job"), memory_budget_gb=3.5)
    memory.save_form(form)
    assert memory.load_form() == form


def test_the_panel_gives_back_the_form_that_was_filled_in(qtbot: QtBot) -> None:
    panel = FormPanel()
    qtbot.addWidget(panel)
    for scheduler in Scheduler:
        for sigmas in Sigmas:
            form = restored(
                Form(), dataclasses.replace(RENDER, scheduler=scheduler, sigmas=sigmas), origin="Earlier job"
            )
            panel.fill(form)
            assert generate_request(panel.form, no_upload) == generate_request(form, no_upload)
            assert panel.form.pictures == form.pictures


def test_everything_has_a_name() -> None:
    assert set(words.SCHEDULERS) == set(Scheduler)
    assert set(words.SCHEDULER_HINTS) == set(Scheduler)
    assert set(words.SIGMAS) == set(Sigmas)
    assert set(words.PRECISIONS) == set(Precision)
    assert len(set(words.SCHEDULERS.values())) == len(Scheduler)
