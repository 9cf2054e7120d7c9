"""Settings out of pictures that are dropped on the window: ours, A1111's, and what is missing of them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from panel_driver import SIZE, WAIT_MS, OpenWindow, drop, until_connected
from PySide6.QtCore import QMimeData, QUrl
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot
from underpaint.protocol import record
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.client import Connection
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobResult
from underpaint.protocol.models import ModelKind, UsedModel
from underpaint.protocol.request import (
    Control,
    ControlKind,
    GenerateRequest,
    ImagePrompt,
    Lora,
    Scheduler,
    Sigmas,
    Start,
    Variant,
)
from underpaint.protocol.sources import ReadyMap
from underpaint.qt_panel import pictures
from underpaint.qt_panel.form import Form
from underpaint.qt_panel.notices import Severity
from underpaint.qt_panel.taken_settings import taken
from underpaint.qt_panel.window import Window

PIXELS = np.zeros((64, 64, 3), np.uint8)
GONE = ArrayRef(sha256="f" * 64, shape=(64, 64, 3), dtype=DType.UINT8)


@pytest.fixture
def window(qtbot: QtBot, open_window: OpenWindow, fake_service: Connection) -> Window:
    found = open_window(fake_service.home)
    until_connected(qtbot, found)
    qtbot.waitUntil(lambda: found.book.loaded, timeout=WAIT_MS)
    return found


@pytest.fixture
def dropped(window: Window, tmp_path: Path) -> Callable[[dict[str, str]], None]:
    """Drops a picture with these texts on the window."""

    def drop_picture(texts: dict[str, str]) -> None:
        file = tmp_path / "found.png"
        pictures.save(file, PIXELS, texts)
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(file))])
        drop(window, mime)

    return drop_picture


def undo(window: Window) -> None:
    next(button for button in window.messages.findChildren(QPushButton) if button.text() == "Undo").click()


def test_a_result_of_ours_fills_the_form_and_undo_empties_it(
    window: Window, dropped: Callable[[dict[str, str]], None]
) -> None:
    before = Form(prompt="something else", steps=33, memory_budget_gb=4.0)
    window.form_panel.fill(before)
    second = Variant(prompt="second", seed=9)
    request = GenerateRequest(prompt="a barn", size=SIZE, steps=7, seed=4, variants=(second,), allow_download=True)
    dropped(record.texts(request, None, picture=1))
    form = window.form_panel.form
    assert (form.prompt, form.seed, form.steps, form.size) == ("second", 9, 7, SIZE)
    assert form.memory_budget_gb == 4.0
    assert not form.allow_download, "whether to download is the user's word, not a file's"
    (notice,) = window.messages.notices
    assert (notice.text, notice.severity) == ("The settings of found.png are filled in.", Severity.INFO)
    undo(window)
    assert window.form_panel.form == before
    assert window.messages.notices == ()


def test_missing_models_are_named(window: Window, dropped: Callable[[dict[str, str]], None]) -> None:
    request = GenerateRequest(
        prompt="a barn", size=SIZE, checkpoint="checkpoints/dreamy.safetensors", loras=(Lora(lora="ink", weight=0.5),)
    )
    used = UsedModel(kind=ModelKind.CHECKPOINT, reference=request.checkpoint, title="dreamy", sha256="ab" * 32)
    result = JobResult(images=(), control_maps=(), timings=(), checkpoint="", plan="", versions={}, models=(used,))
    dropped(record.texts(request, result))
    (notice,) = window.messages.notices
    assert notice.severity is Severity.WARNING
    assert "The checkpoint dreamy (SHA-256 ababababab…) is not on this computer." in notice.text
    assert "The LoRA ink is not on this computer." in notice.text
    assert window.form_panel.form.checkpoint == request.checkpoint
    assert window.form_panel.form.extras.loras[0].weight == 0.5


def test_a_picture_of_a1111_fills_what_it_can(window: Window, dropped: Callable[[dict[str, str]], None]) -> None:
    text = (
        "a fox, (snow:1.2)\nNegative prompt: blurry\nSteps: 30, Sampler: DPM++ 2M, Schedule type: Karras, "
        "CFG scale: 5, Seed: 77, Size: 512x768, Model hash: 4199bcdd14, Model: revAnimated, Clip skip: 2, "
        'ControlNet 0: "Module: canny, Model: canny_v11, Weight: 1", Version: v1.9.4'
    )
    dropped({"parameters": text})
    form = window.form_panel.form
    assert (form.prompt, form.negative_prompt) == ("a fox, (snow:1.2)", "blurry")
    assert (form.scheduler, form.sigmas, form.steps) == (Scheduler.DPMPP_2M, Sigmas.KARRAS, 30)
    assert (form.seed, form.size, form.checkpoint) == (77, Extent(width=512, height=768), "revAnimated")
    assert form.extras.clip_skip == 1
    told = window.messages.notices[0].text
    assert "Made by A1111 v1.9.4" in told
    assert "ControlNet 0 (canny_v11; preprocessor canny, weight 1) needs its image again" in told
    assert "The checkpoint revAnimated (SHA-256 4199bcdd14…) is not on this computer." in told


def test_images_that_are_gone_are_told_and_everything_else_is_restored(
    qtbot: QtBot, window: Window, fake_service: Connection, dropped: Callable[[dict[str, str]], None]
) -> None:
    here = fake_service.upload(PIXELS)
    request = GenerateRequest(
        prompt="a barn",
        size=SIZE,
        controls=(
            Control(kind=ControlKind.DEPTH, source=ReadyMap(image=GONE), conditioning_scale=0.3),
            Control(kind=ControlKind.CANNY, source=ReadyMap(image=here)),
        ),
        start=Start(image=GONE, strength=0.4),
        image_prompts=(ImagePrompt(adapter="/nowhere/ip.safetensors", image=GONE),),
    )
    dropped(record.texts(request, None))
    qtbot.waitUntil(lambda: "no longer kept" in window.messages.notices[0].text, timeout=WAIT_MS)
    told = window.messages.notices[0].text
    assert "control 1 (depth); the start picture; image prompt 1." in told
    form = window.form_panel.form
    assert [row.image is None for row in form.controls] == [True, False]
    assert form.controls[0].conditioning_scale == 0.3
    assert form.start.image is None
    assert form.start.strength == 0.4
    assert form.extras.image_prompts[0].image is None


def test_a_picture_without_settings_steers_as_before(window: Window, dropped: Callable[[dict[str, str]], None]) -> None:
    dropped({})
    (row,) = window.form_panel.form.controls
    assert row.image.name == "found.png"


def test_a_damaged_picture_is_refused_in_a_sentence(window: Window, tmp_path: Path) -> None:
    file = tmp_path / "cut.png"
    pictures.save(file, PIXELS, record.texts(GenerateRequest(prompt="x", size=SIZE), None))
    file.write_bytes(file.read_bytes()[:-20])
    before = window.form_panel.form
    window.saved.take_settings(file)
    assert "cut.png can't be read as a picture" in window.messages.notices[0].text
    assert window.form_panel.form == before


def test_models_that_lie_elsewhere_are_not_missing() -> None:
    request = GenerateRequest(prompt="x", size=SIZE, checkpoint="/srv/own.safetensors")
    found = record.Record(request=request)
    for known, is_there, missing in (((), False, True), ((), True, False), (None, False, False)):
        got = taken(Form(), found, known, origin="a", is_file=lambda _, there=is_there: there)
        assert got.missing is missing
        assert bool(got.told) is missing
    batch = dataclasses.replace(request, batch_size=2, variants=(Variant(prompt="y", seed=2),))
    got = taken(Form(), record.Record(request=batch, picture=1), None, origin="a", is_file=lambda _: True)
    assert got.request == batch, "painted together, made again together"
