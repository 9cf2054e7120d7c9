"""Help > Copy Diagnostics, and the panel's own log."""

import json
from collections.abc import Callable
from pathlib import Path

from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot
from underpaint.protocol.client import Home, logs
from underpaint.protocol.client.logs import BoundedFile, Program
from underpaint.qt_panel.window import Window


def test_the_diagnostics_are_copied_without_what_the_form_says(
    qtbot: QtBot, open_window: Callable[[Home], Window], home: Home
) -> None:
    home.create()
    said = {"time": "now", "level": "error", "event": "x", "text": "it broke at a secret garden"}
    logs.log_file(home, Program.PANEL).write_text(json.dumps(said) + "\n")
    window = open_window(home)
    form = window.form_panel.form
    window.form_panel.fill(type(form)(prompt="a secret garden"))
    QGuiApplication.clipboard().setText("before")
    (action,) = (
        action for menu in window.menuBar().actions() if menu.text() == "&Help" for action in menu.menu().actions()
    )
    assert action.text() == "Copy Diagnostics"

    with qtbot.waitSignal(
        window.diagnoses.said, timeout=90_000, check_params_cb=lambda words: "on the clipboard" in words
    ):
        action.trigger()

    text = QGuiApplication.clipboard().text()
    assert text.startswith("Underpaint ")
    assert "Panel: Qt 6" in text
    assert "it broke at [prompt]" in text
    assert str(home.folder) not in text
    assert str(Path.home()) + "/" not in text


def test_a_window_that_closes_ends_the_look(qtbot: QtBot, open_window: Callable[[Home], Window], home: Home) -> None:
    window = open_window(home)
    window.diagnoses.begin()
    window.close()
    assert window.diagnoses._process.state().name == "NotRunning"


def test_the_panel_s_modules_speak_into_its_log(home: Home) -> None:
    import logging

    home.create()
    handler = logs.write_to_home(Program.PANEL, home, also=("underpaint.qt_panel",))
    assert isinstance(handler, BoundedFile)
    logging.getLogger("underpaint.qt_panel.settings").warning("they can't be read")
    logs.take_back(handler, Program.PANEL, also=("underpaint.qt_panel",))
    assert "they can't be read" in logs.log_file(home, Program.PANEL).read_text()
