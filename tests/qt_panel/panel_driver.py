"""What the panel's tests do with a window: fill it, press its buttons, wait for what comes of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot
from underpaint.protocol.client import Connection, Home
from underpaint.protocol.geometry import Camera, Extent, Projection
from underpaint.protocol.jobs import JobState
from underpaint.protocol.request import Control, ControlKind, GenerateRequest
from underpaint.protocol.sources import DepthPass, NormalPass, PosePass
from underpaint.qt_panel.form import Form, Picture
from underpaint.qt_panel.link import LinkState
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
