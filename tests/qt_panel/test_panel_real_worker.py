"""The panel with the real worker and the embedded model: no fake between the click and the picture."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication, QPalette
from pytestqt.qtbot import QtBot
from underpaint.protocol.client import Home
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobState, Phase
from underpaint.protocol.request import ControlKind
from underpaint.qt_panel.form import ControlForm, Form, Picture, PictureUse
from underpaint.qt_panel.link import LinkState
from underpaint.qt_panel.window import Window

WAIT_MS = 300_000  # the first start imports torch and builds the embedded model
SIZE = Extent(width=256, height=256)


def test_a_picture_by_the_real_worker(
    qtbot: QtBot, open_window: Callable[[Home], Window], home: Home, artefact: Callable[[str], Path]
) -> None:
    window = open_window(home)
    window.resize(1320, 860)
    qtbot.waitUntil(lambda: window.presenter.link.state is LinkState.CONNECTED, timeout=WAIT_MS)
    window.form_panel.fill(
        Form(
            prompt="a lighthouse in a storm, oil on canvas",
            size=SIZE,
            steps=6,
            seed=7,
            controls=(
                ControlForm(kind=ControlKind.DEPTH, image=hill()),
                ControlForm(kind=ControlKind.CANNY, image=hill(), use=PictureUse.PHOTO, conditioning_scale=0.6),
            ),
        )
    )
    phases: list[str] = []
    previews: list[object] = []
    running = artefact("panel_running.png")

    def watch() -> None:
        row = window.presenter.progressing()
        if row is not None and row.progress is not None:
            phases.append(row.progress.phase)
            if row.progress.phase is Phase.STEP and row.progress.step >= 4 and window.presenter._preview:
                window.grab().save(str(running))

    window.presenter.table_changed.connect(watch)
    window.presenter.view_changed.connect(lambda: previews.append(window.presenter._preview))
    qtbot.keyClick(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)

    def ended() -> bool:
        job = window.presenter.job()
        return job is not None and job.state.ended and (job.result is None or window.presenter.picture() is not None)

    qtbot.waitUntil(ended, timeout=WAIT_MS)
    job = window.presenter.job()
    assert job.state is JobState.SUCCEEDED, job.error
    pixels, _, _ = window.presenter.picture()
    assert pixels.shape == (256, 256, 3)
    assert pixels.std() > 1, "the picture is not one flat colour"
    assert Phase.STEP in phases
    assert any(previews), "steps were shown live"

    def maps() -> list[object]:
        return [window.presenter.gallery.pixels(ref) for ref in job.result.control_maps]

    qtbot.waitUntil(lambda: all(pixels is not None for pixels in maps()), timeout=WAIT_MS)
    depth, canny = maps()
    assert np.array_equal(depth, hill().pixels)
    assert set(np.unique(canny)) == {0, 255}

    qtbot.wait(50)
    window.grab().save(str(artefact("panel.png")))
    window.resize(760, 800)
    qtbot.wait(50)
    window.grab().save(str(artefact("panel_narrow.png")))
    window.resize(1320, 860)
    light = QGuiApplication.palette()
    try:
        QGuiApplication.setPalette(dark_palette())
        qtbot.wait(50)
        window.grab().save(str(artefact("panel_dark.png")))
    finally:
        QGuiApplication.setPalette(light)


def hill() -> Picture:
    """A round hill seen from above, as a depth map: (256, 256, 3)."""
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    height = np.clip(1 - np.hypot(x, y), 0, 1)
    grey = (np.where(height > 0.15, height, 0) * 255).astype(np.uint8)
    return Picture(name="hill_depth.png", pixels=np.stack([grey] * 3, axis=-1))


def dark_palette() -> QPalette:
    palette = QPalette(QColor("#2b2d30"))
    for role, colour in (
        (QPalette.ColorRole.Base, "#1e1f22"),
        (QPalette.ColorRole.AlternateBase, "#26282b"),
        (QPalette.ColorRole.Highlight, "#2f65ca"),
    ):
        palette.setColor(role, QColor(colour))
    return palette
