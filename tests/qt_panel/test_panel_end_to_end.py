"""The panel, a real service process, and the worker that does what the prompt says."""

from pathlib import Path

import numpy as np
import pytest
from panel_driver import (
    SIZE,
    WAIT_MS,
    Artefact,
    OpenWindow,
    blender_request,
    depth_map,
    drop,
    generate,
    press,
    until_connected,
    until_state,
)
from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QGuiApplication, QImage
from pytestqt.qtbot import QtBot
from underpaint.protocol.client import Connection, wait
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobState
from underpaint.protocol.request import ControlKind, ControlMapsRequest, GenerateRequest
from underpaint.protocol.sources import ReadyMap
from underpaint.qt_panel import pictures
from underpaint.qt_panel.form import ControlForm, Form, Reused
from underpaint.qt_panel.notices import Action, Topic


def test_a_picture_from_prompt_to_file(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection, tmp_path: Path, artefact: Artefact
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    assert window.backend.words.startswith("Backend ")
    fractions: list[int] = []
    previews: list[object] = []
    window.presenter.table_changed.connect(
        lambda: fractions.append(window.run_bar._progress.value()) if window.presenter.progressing() else None
    )
    window.presenter.view_changed.connect(lambda: previews.append(window.presenter._preview))
    form = Form(prompt="a ramp steps=5 pause=0.1", size=SIZE, seed=7, controls=(ControlForm(image=depth_map()),))
    generate(qtbot, window, form)
    until_state(qtbot, window, JobState.SUCCEEDED)
    qtbot.waitUntil(lambda: window.presenter.picture() is not None, timeout=WAIT_MS)

    assert len({fraction for fraction in fractions if fraction > 0}) >= 3, "progress was shown as it came"
    assert any(previews), "a preview was shown"
    pixels, _, job = window.presenter.picture()
    assert pixels.shape == (64, 64, 3)
    assert job.client == "panel"
    assert isinstance(job.request.controls[0].source, ReadyMap)
    sent = fake_service.download(job.request.controls[0].source.image)
    assert np.array_equal(sent, depth_map().pixels)
    assert window.result.canvas.image.size().width() == 64
    assert [button.text() for button in window.result._buttons] == ["Picture", "Depth"]

    saved = tmp_path / "picture.png"
    window.saved.save(saved)
    assert np.array_equal(pictures.read(saved).pixels, pixels)
    assert pictures.record_in(saved).request == job.request
    window.result.copy.trigger()
    assert np.array_equal(pictures.to_array(QGuiApplication.clipboard().image()), pixels)
    dragged = window.result.canvas.drag_data()
    assert pictures.record_in(Path(dragged.urls()[0].toLocalFile())).request == job.request
    window.grab().save(str(artefact("panel_fake_worker.png")))


def test_escape_cancels_within_a_step(qtbot: QtBot, open_window: OpenWindow, fake_service: Connection) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    generate(qtbot, window, Form(prompt="steps=500 pause=0.2", size=SIZE))
    until_state(qtbot, window, JobState.RUNNING)
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    until_state(qtbot, window, JobState.CANCELLED)
    assert window.messages.notices == ()
    assert not window.run_bar.cancel.isEnabled()


def test_the_passes_of_the_last_blender_render_are_used_where_they_are(
    qtbot: QtBot,
    open_window: OpenWindow,
    fake_service: Connection,
    monkeypatch: pytest.MonkeyPatch,
    artefact: Artefact,
) -> None:
    render = blender_request(fake_service)
    rendered = wait(fake_service, fake_service.submit(render, client="blender"))
    later = wait(fake_service, fake_service.submit(GenerateRequest(prompt="", size=SIZE), client="panel"))
    assert rendered.revision < later.revision
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    window.form_panel.fill(Form(prompt="my own words", size=Extent(width=512, height=512)))
    window.form_panel.controls._passes.click()
    qtbot.waitUntil(lambda: len(window.form_panel.form.controls) == 3, timeout=WAIT_MS)

    form = window.form_panel.form
    assert form.prompt == "my own words"
    assert form.size == SIZE
    assert [control.image.source for control in form.controls] == [control.source for control in render.controls]

    uploads: list[object] = []
    monkeypatch.setattr(Connection, "upload", lambda _, array: uploads.append(array))
    window.run_bar.generate.trigger()
    until_state(qtbot, window, JobState.SUCCEEDED)
    assert uploads == []
    request = window.presenter.job().request
    assert request.controls == render.controls
    assert request.camera == render.camera
    window.resize(1320, 860)
    qtbot.wait(50)
    window.grab().save(str(artefact("panel_passes.png")))


def test_passes_of_another_size_are_refused_with_the_remedy(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    wait(fake_service, fake_service.submit(blender_request(fake_service), client="script"))
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    window.form_panel.controls._passes.click()
    qtbot.waitUntil(lambda: len(window.form_panel.form.controls) == 3, timeout=WAIT_MS)
    window.form_panel._width.setValue(128)
    window.run_bar.generate.trigger()
    (notice,) = window.messages.notices
    assert notice.action is Action.FIT_SIZE
    assert "64 x 64" in notice.text
    press(window, "Use the Passes' Size")
    assert window.form_panel.form.size == SIZE
    assert window.messages.notices == ()


def test_jobs_of_others_come_in_live_and_bring_their_settings(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    request = blender_request(fake_service)
    job = fake_service.submit(request, client="blender")
    qtbot.waitUntil(lambda: window.presenter.table.row(job.id) is not None, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: window.presenter.table.row(job.id).job.state is JobState.SUCCEEDED, timeout=WAIT_MS)
    view = window.jobs._view
    index = window.jobs.model.index(0)
    at = view.visualRect(index).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert window.presenter.looked_at == job.id
    qtbot.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    form = window.form_panel.form
    assert form.prompt == request.prompt
    assert form.seed == request.seed
    assert [control.image.source for control in form.controls] == [control.source for control in request.controls]


def test_a_failed_job_says_so_and_is_tried_again(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    generate(qtbot, window, Form(prompt="then=oom", size=SIZE))
    until_state(qtbot, window, JobState.FAILED)
    (notice,) = window.messages.notices
    assert "Not enough memory" in notice.text
    failed = window.presenter.looked_at
    press(window, "Retry")
    qtbot.waitUntil(lambda: window.presenter.looked_at != failed, timeout=WAIT_MS)
    until_state(qtbot, window, JobState.FAILED)


def test_a_missing_image_is_said_before_anything_is_sent(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    generate(qtbot, window, Form(controls=(ControlForm(kind=ControlKind.NORMAL),)))
    (notice,) = window.messages.notices
    assert notice.topic is Topic.FORM
    assert "normal control has no image" in notice.text
    assert fake_service.jobs().jobs == ()


def test_two_pictures_in_a_row_are_watched_one_after_the_other(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    generate(qtbot, window, Form(prompt="first steps=8 pause=0.05", size=SIZE))
    until_state(qtbot, window, JobState.RUNNING)
    first = window.presenter.looked_at
    generate(qtbot, window, Form(prompt="second steps=8 pause=0.05", size=SIZE))
    qtbot.waitUntil(lambda: "1 more waiting" in window.run_bar.progress_words, timeout=WAIT_MS)
    assert window.presenter.looked_at == first
    qtbot.waitUntil(lambda: window.presenter.looked_at != first, timeout=WAIT_MS)
    assert window.presenter.table.row(first).job.state is JobState.SUCCEEDED
    assert window.presenter.job().request.prompt.startswith("second")
    until_state(qtbot, window, JobState.SUCCEEDED)


def test_the_maps_alone_can_be_looked_at_first(qtbot: QtBot, open_window: OpenWindow, fake_service: Connection) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    window.form_panel.fill(Form(size=SIZE, controls=(ControlForm(image=depth_map()),)))
    qtbot.mouseClick(window.form_panel.controls._maps, Qt.MouseButton.LeftButton)
    until_state(qtbot, window, JobState.SUCCEEDED)
    assert isinstance(window.presenter.job().request, ControlMapsRequest)


def test_a_file_dropped_on_the_window_becomes_a_control(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection, tmp_path: Path
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    picture = QImage(40, 30, QImage.Format.Format_RGB888)
    picture.fill(Qt.GlobalColor.red)
    file = tmp_path / "room_normal.png"
    picture.save(str(file))
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(file))])
    drop(window, mime)
    (control,) = window.form_panel.form.controls
    assert control.kind is ControlKind.NORMAL
    assert control.image.pixels.shape == (30, 40, 3)
    assert (control.image.pixels == (255, 0, 0)).all()
    broken = tmp_path / "notes.png"
    broken.write_text("no picture")
    mime.setUrls([QUrl.fromLocalFile(str(broken))])
    drop(window, mime)
    assert "notes.png can't be read as a picture" in window.messages.notices[0].text
    assert len(window.form_panel.form.controls) == 1


def test_the_form_and_the_window_come_back(qtbot: QtBot, open_window: OpenWindow, fake_service: Connection) -> None:
    wait(fake_service, fake_service.submit(blender_request(fake_service), client="blender"))
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    window.form_panel.controls._passes.click()
    qtbot.waitUntil(lambda: len(window.form_panel.form.controls) == 3, timeout=WAIT_MS)
    window.form_panel._prompt.setPlainText("remember me")
    window.resize(731, 605)
    kept = window.form_panel.form
    window.close()
    again = open_window(fake_service.home)
    assert again.form_panel.form == kept
    assert isinstance(again.form_panel.form.controls[0].image, Reused)
    assert (again.width(), again.height()) == (731, 605)
