"""The panel, a real service process, and the worker that does what the prompt says."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication, QImage
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot
from underpaint.protocol.client import Connection, Home, wait
from underpaint.protocol.jobs import JobState
from underpaint.protocol.request import (
    Camera,
    Control,
    ControlKind,
    ControlMapsRequest,
    DepthPass,
    Extent,
    GenerateRequest,
    NormalPass,
    PosePass,
    Projection,
    ReadyMap,
)
from underpaint.qt_panel import pictures
from underpaint.qt_panel.form import ControlForm, Form, Picture, Reused
from underpaint.qt_panel.link import LinkState
from underpaint.qt_panel.notices import Action, Topic
from underpaint.qt_panel.window import Window

OpenWindow = Callable[[Home], Window]
Artefact = Callable[[str], Path]
WAIT_MS = 20_000
SIZE = Extent(width=64, height=64)


def depth_map() -> Picture:
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    return Picture(name="ramp_depth.png", pixels=np.stack([ramp] * 3, axis=-1))


def until_connected(qtbot: QtBot, window: Window) -> None:
    qtbot.waitUntil(lambda: window.presenter.link.state is LinkState.CONNECTED, timeout=WAIT_MS)


def until_state(qtbot: QtBot, window: Window, state: JobState) -> None:
    def reached() -> bool:
        job = window.presenter.job()
        return job is not None and job.state is state

    qtbot.waitUntil(reached, timeout=WAIT_MS)


def press(window: Window, text: str) -> None:
    """Press the message bar's button."""
    next(button for button in window.messages.findChildren(QPushButton) if button.text() == text).click()


def generate(qtbot: QtBot, window: Window, form: Form) -> None:
    window.form_panel.fill(form)
    qtbot.keyClick(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)


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
    pixels, request, job = window.presenter.picture()
    assert pixels.shape == (64, 64, 3)
    assert request == job.request
    assert job.client == "panel"
    assert isinstance(job.request.controls[0].source, ReadyMap)
    sent = fake_service.download(job.request.controls[0].source.image)
    assert np.array_equal(sent, depth_map().pixels)
    assert window.result.canvas.image.size().width() == 64
    assert [button.text() for button in window.result._buttons] == ["Picture", "Depth"]

    saved = tmp_path / "picture.png"
    window.save(saved)
    assert np.array_equal(pictures.read(saved).pixels, pixels)
    assert pictures.request_in(saved) == job.request
    window.result.copy.trigger()
    assert np.array_equal(pictures.to_array(QGuiApplication.clipboard().image()), pixels)
    dragged = window.result.canvas.drag_data()
    assert pictures.request_in(Path(dragged.urls()[0].toLocalFile())) == job.request
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


def test_a_killed_service_is_back_by_itself(qtbot: QtBot, open_window: OpenWindow, fake_service: Connection) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    generate(qtbot, window, Form(prompt="steps=1 pause=0", size=SIZE))
    until_state(qtbot, window, JobState.SUCCEEDED)
    states: list[LinkState] = []
    window.presenter.link_changed.connect(lambda: states.append(window.presenter.link.state))
    first = fake_service.endpoint.pid
    os.kill(first, signal.SIGKILL)
    qtbot.waitUntil(lambda: LinkState.WAITING in states, timeout=WAIT_MS)
    until_connected(qtbot, window)
    with Connection.to(fake_service.home) as again:
        assert again.hello().pid != first
    assert window.presenter.job().state is JobState.SUCCEEDED
    assert window.messages.notices == ()


def test_a_job_whose_service_dies_is_taken_up_again_and_can_still_be_cancelled(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    generate(qtbot, window, Form(prompt="steps=500 pause=0.1", size=SIZE))
    until_state(qtbot, window, JobState.RUNNING)
    os.kill(fake_service.endpoint.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: window.presenter.link.state is not LinkState.CONNECTED, timeout=WAIT_MS)
    until_connected(qtbot, window)
    assert window.presenter.progressing() is not None
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    until_state(qtbot, window, JobState.CANCELLED)


def test_a_service_that_was_stopped_stays_so_until_it_is_needed(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    fake_service.shutdown()
    qtbot.waitUntil(lambda: window.presenter.link.state is LinkState.STOPPED, timeout=WAIT_MS)
    assert window.backend.words == "Backend stopped"
    assert not fake_service.home.endpoint_file.exists()
    press(window, "Start Backend")
    until_connected(qtbot, window)
    assert window.messages.notices == ()


def test_a_backend_that_is_not_installed_is_said_with_what_to_do(
    qtbot: QtBot, open_window: OpenWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artefact: Artefact
) -> None:
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", str(tmp_path / "nothing" / "python"))
    window = open_window(Home(tmp_path / "home"))
    qtbot.waitUntil(lambda: window.presenter.link.state is LinkState.DOWN, timeout=WAIT_MS)
    (notice,) = window.messages.notices
    assert "Install Backend" in notice.text
    assert notice.action is Action.RETRY
    assert window.backend.words == "Backend not installed"
    qtbot.wait(20)
    window.grab().save(str(artefact("panel_not_installed.png")))


def test_closing_while_a_picture_is_made_asks_and_leaves_it_running(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    generate(qtbot, window, Form(prompt="steps=25 pause=0.05", size=SIZE))
    until_state(qtbot, window, JobState.RUNNING)
    job_id = window.presenter.looked_at
    window.close()
    assert window.isVisible()
    window.question.defaultButton().click()
    assert not window.isVisible()
    assert fake_service.job(job_id).state is JobState.RUNNING
    assert wait(fake_service, fake_service.job(job_id)).state is JobState.SUCCEEDED


def test_closing_while_the_backend_starts(qtbot: QtBot, open_window: OpenWindow, home: Home) -> None:
    window = open_window(home)
    assert window.presenter.link.state is LinkState.CONNECTING
    window.close()
    assert not window.isVisible()
    assert not any(thread.isRunning() for thread in window._session._threads)


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


def drop(window: Window, mime: QMimeData) -> None:
    event = QDropEvent(
        QPointF(QPoint(5, 5)),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    window.dropEvent(event)


def blender_request(connection: Connection) -> GenerateRequest:
    """What the add-on would send of a sloping plane."""
    rows = np.linspace(2, 9, 64, dtype=np.float32)
    depth = connection.upload(np.tile(rows[:, None], (1, 64)))
    normals = np.zeros((64, 64, 3), np.float32)
    normals[..., 2] = 1
    return GenerateRequest(
        prompt="steps=2",
        seed=99,
        size=SIZE,
        controls=(
            Control(kind=ControlKind.DEPTH, source=DepthPass(metres=depth, projection=Projection.PERSPECTIVE)),
            Control(kind=ControlKind.NORMAL, source=NormalPass(normal_camera=connection.upload(normals))),
            Control(kind=ControlKind.OPENPOSE, source=PosePass(people=())),
        ),
        camera=Camera(
            projection=Projection.PERSPECTIVE,
            fx_px=80,
            fy_px=80,
            cx_px=32,
            cy_px=32,
            world_from_camera=(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 5, 0, 0, 0, 1),
            clip_start_m=0.1,
            clip_end_m=100,
        ),
    )
