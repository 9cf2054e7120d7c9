"""Control maps to look at, with the real worker: at once, following the options, and leaving no job behind."""

from pathlib import Path

import numpy as np
import pytest
from panel_driver import WAIT_MS, Artefact, OpenWindow, blender_request, until_connected
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot
from underpaint.protocol import client
from underpaint.protocol.arrays import AnyArray
from underpaint.protocol.client import Home
from underpaint.protocol.geometry import Extent
from underpaint.protocol.options import DepthOptions
from underpaint.protocol.request import ControlKind
from underpaint.qt_panel import form as forms
from underpaint.qt_panel import pictures
from underpaint.qt_panel.fields import AutoFloatField
from underpaint.qt_panel.form import ControlForm, Form, Picture, PictureUse
from underpaint.qt_panel.window import Window


def shown(window: Window) -> AnyArray | None:
    picture = window.presenter.picture()
    return None if picture is None else picture[0]


def until_maps(qtbot: QtBot, window: Window, *, other_than: str = "") -> AnyArray:
    def there() -> bool:
        return window.presenter.looked_at not in ("", other_than) and shown(window) is not None

    qtbot.waitUntil(there, timeout=3 * WAIT_MS)
    found = shown(window)
    assert found is not None
    return found


@pytest.fixture
def window(qtbot: QtBot, open_window: OpenWindow, home: Home) -> Window:
    """A panel with the passes of a Blender render in its form."""
    window = open_window(home)
    window.resize(1320, 860)
    until_connected(qtbot, window)
    with client.ensure_running(home) as connection:
        request = blender_request(connection)
    window.form_panel.fill(forms.with_passes(Form(), request, origin="Blender render"))
    return window


def test_passes_out_of_blender_are_adjusted_without_it(qtbot: QtBot, window: Window, artefact: Artefact) -> None:
    row = window.form_panel.controls.rows[0]
    row._look.click()
    plain = until_maps(qtbot, window)
    assert plain.shape == (64, 64, 3)
    assert (plain[0].min(), plain[-1].max()) == (255, 0)  # near is white, and the farthest surface black
    first = window.presenter.looked_at

    row.options.open()
    floor = row.options.field("floor")
    assert isinstance(floor, AutoFloatField)
    floor.setValue(0.25)
    lifted = until_maps(qtbot, window, other_than=first)
    assert lifted[-1].max() == 64
    assert row.control.options == DepthOptions(floor=0.25)
    assert row._map is not None  # the row shows it too

    seen = window.presenter.looked_at
    row.options.field("invert").setChecked(True)
    inverted = until_maps(qtbot, window, other_than=seen)
    assert (inverted[0].max(), inverted[-1].min()) == (64, 255)
    assert window.jobs.model.rowCount() == 0  # looks are in no history
    qtbot.wait(50)
    window.grab().save(str(artefact("panel_map_options.png")))


def test_all_maps_follow_and_a_picture_that_is_looked_at_ends_it(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    window.previews.look(window.form_panel.form)
    until_maps(qtbot, window)
    job = window.presenter.job()
    assert job is not None
    assert len(job.request.controls) == 3
    window.presenter.choose_plate(job.result.control_maps[1])
    normal = shown(window)
    assert normal is not None
    assert (normal[0, 0] == (128, 128, 255)).all()
    window.form_panel.controls.rows[1].options.field("swap_red_blue").setChecked(True)
    swapped = until_maps(qtbot, window, other_than=job.id)
    assert (swapped == normal[:, :, ::-1]).all()  # and the same map stays in view
    window.saved.save(tmp_path / "normal.png")
    assert (pictures.read(tmp_path / "normal.png").pixels == swapped).all()
    before = window.presenter.looked_at
    window.presenter.look_at("another")
    window.form_panel.controls.rows[1].options.field("swap_red_blue").setChecked(False)
    qtbot.wait(400)
    assert window.presenter.looked_at == "another"
    assert window.presenter.table.row(before) is not None


def test_a_row_that_is_removed_meanwhile_leaves_its_map_to_no_other(qtbot: QtBot, window: Window) -> None:
    made: list[tuple[ControlKind, tuple[int, ...]]] = []

    def note(number: int, image: QImage) -> None:
        kind = window.form_panel.controls.rows[number].kind()
        made.append((kind, image.pixelColor(0, 0).getRgb()[:3]))

    window.previews.made.connect(note)
    window.previews._soon.setInterval(60_000)  # the maps that were asked for come before others are
    window.previews.look(window.form_panel.form)
    window.form_panel.controls.rows[0].removed.emit()
    until_maps(qtbot, window)
    assert made == []
    window.previews._soon.start(0)
    qtbot.waitUntil(lambda: len(made) >= 2, timeout=3 * WAIT_MS)
    assert {kind for kind, _ in made} == {ControlKind.NORMAL, ControlKind.OPENPOSE}
    assert {colour for kind, colour in made if kind is ControlKind.NORMAL} == {(128, 128, 255)}


def test_an_inpaint_map_is_shown_and_saved_with_its_numbers(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    pixels = np.full((64, 64, 3), 200, np.uint8)
    mask = np.zeros((64, 64, 3), np.uint8)
    mask[16:48, 16:48] = 255
    row = ControlForm(
        kind=ControlKind.INPAINT,
        image=Picture(name="room.png", pixels=pixels),
        use=PictureUse.PICTURE,
        mask=Picture(name="mask.png", pixels=mask),
    )
    window.form_panel.fill(Form(size=Extent(width=64, height=64), controls=(row,)))
    window.previews.look(window.form_panel.form)
    found = until_maps(qtbot, window)
    assert found.dtype == np.float32
    assert (found[20:44, 20:44] == -1).all()
    window.saved.save(tmp_path / "hole.exr")
    assert (tmp_path / "hole.exr").stat().st_size > 1000
    window.saved.save(tmp_path / "hole.png")
    assert not (tmp_path / "hole.png").exists()
    assert any(".exr" in notice.text for notice in window.messages.notices)
