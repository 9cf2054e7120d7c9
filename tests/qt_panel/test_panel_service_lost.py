"""The panel when its service dies, is stopped, is not installed, or the window is closed before the job's end."""

import os
import signal
from pathlib import Path

import pytest
from panel_driver import (
    SIZE,
    WAIT_MS,
    Artefact,
    OpenWindow,
    generate,
    press,
    until_connected,
    until_state,
)
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot
from underpaint.protocol.client import Connection, Home, wait
from underpaint.protocol.jobs import JobState
from underpaint.qt_panel.form import Form
from underpaint.qt_panel.link import LinkState
from underpaint.qt_panel.notices import Action


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
