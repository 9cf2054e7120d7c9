"""The panel with the real worker: a plan, an inpainted start picture, two pictures of one job."""

from pathlib import Path

import numpy as np
from panel_driver import OpenWindow, until_connected
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.client import Home
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobState
from underpaint.protocol.request import ControlKind, CurvePoint, Scheduler
from underpaint.qt_panel import pictures
from underpaint.qt_panel.form import ControlForm, Form, Picture, StartForm

WAIT_MS = 300_000  # the first start imports torch and builds the embedded model
SIDE = 128


def erased(folder: Path) -> Path:
    """A picture of two colours whose left half has been erased."""
    rgba = np.zeros((SIDE, SIDE, 4), np.uint8)
    rgba[: SIDE // 2, :, 0] = 220
    rgba[SIDE // 2 :, :, 2] = 180
    rgba[:, SIDE // 2 :, 3] = 255
    file = folder / "erased.png"
    QImage(rgba.tobytes(), SIDE, SIDE, QImage.Format.Format_RGBA8888).save(str(file))
    return file


def test_a_plan_then_two_inpainted_pictures(qtbot: QtBot, open_window: OpenWindow, home: Home, tmp_path: Path) -> None:
    window = open_window(home)
    until_connected(qtbot, window)
    start = pictures.read(erased(tmp_path))
    ramp = np.tile(np.arange(SIDE, dtype=np.uint8) * 2, (SIDE, 1))
    curve = (CurvePoint(at=0.0, factor=1.0), CurvePoint(at=1.0, factor=0.0))
    depth = ControlForm(
        kind=ControlKind.DEPTH,
        image=Picture(name="ramp", pixels=np.stack([ramp] * 3, axis=-1)),
        curve=curve,
        end=0.75,
        guess_mode=True,
    )
    window.form_panel.fill(
        Form(
            prompt="a mossy wall",
            size=Extent(width=SIDE, height=SIDE),
            steps=6,
            seed=11,
            pictures=2,
            scheduler=Scheduler.EULER,
            controls=(depth,),
            start=StartForm(image=start, strength=1.0),
        )
    )
    machine = window.form_panel.machine
    machine._check.click()
    qtbot.waitUntil(lambda: machine.plan_words not in ("", "Checking…"), timeout=WAIT_MS)
    assert "1 ControlNet" in machine.plan_words

    said: set[str] = set()
    window.presenter.table_changed.connect(lambda: said.add(window.run_bar.progress_words))
    qtbot.keyClick(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)

    def ended() -> bool:
        job = window.presenter.job()
        return job is not None and job.state.ended

    qtbot.waitUntil(ended, timeout=WAIT_MS)
    job = window.presenter.job()
    assert job.state is JobState.SUCCEEDED, job.error
    assert any("of 2, step" in words for words in said)  # only the newest is told: not always of both
    assert job.result.plan in window.result._words.toolTip()

    def painted() -> list[UInt8Array]:
        return [window.presenter.gallery.pixels(ref) for ref in job.result.images]

    qtbot.waitUntil(lambda: all(pixels is not None for pixels in painted()), timeout=WAIT_MS)
    first, second = painted()
    assert first.shape == second.shape == (SIDE, SIDE, 3)
    new, kept = np.s_[:, : SIDE // 2 - 8], np.s_[:, SIDE // 2 + 8 :]
    assert np.abs(first[new].astype(int) - second[new]).mean() > 1, "two seeds, two pictures"
    for picture in (first, second):
        assert np.abs(picture[kept].astype(int) - start.pixels[kept]).max() <= 1, "what was not erased is kept"
        assert np.abs(picture[new].astype(int) - start.rgba[..., :3][new]).mean() > 1, "what was erased is painted"
