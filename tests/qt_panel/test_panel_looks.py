"""Looks at control maps that are refused, replaced, left, or beside a picture; the worker is the fake one."""

import dataclasses

import pytest
from panel_driver import SIZE, WAIT_MS, OpenWindow, blender_request, generate, until_connected, until_state
from PySide6.QtWidgets import QMenu
from pytestqt.qtbot import QtBot
from underpaint.protocol.client import Connection
from underpaint.protocol.errors import ModelMissing
from underpaint.protocol.jobs import JobState
from underpaint.protocol.options import DepthOptions, SegmentationOptions
from underpaint.protocol.request import ControlKind
from underpaint.qt_panel import form as forms
from underpaint.qt_panel import notices
from underpaint.qt_panel.form import Form
from underpaint.qt_panel.option_area import OptionArea
from underpaint.qt_panel.option_words import fields
from underpaint.qt_panel.window import Window


@pytest.fixture
def window(qtbot: QtBot, open_window: OpenWindow, fake_service: Connection) -> Window:
    """A panel with the passes of a Blender render in its form."""
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    request = blender_request(fake_service)
    window.form_panel.fill(forms.with_passes(Form(size=SIZE), request, origin="Blender render"))
    return window


def look(qtbot: QtBot, window: Window) -> str:
    """Look at all maps, and wait until they are shown."""
    before = window.presenter.looked_at
    window.previews.look(window.form_panel.form)
    qtbot.waitUntil(lambda: window.presenter.looked_at != before, timeout=WAIT_MS)
    return window.presenter.looked_at


def choose(window: Window, options: DepthOptions) -> None:
    """Give the first row other options."""
    first, *others = window.form_panel.form.controls
    controls = (dataclasses.replace(first, options=options), *others)
    window.form_panel.fill(dataclasses.replace(window.form_panel.form, controls=controls))
    window.form_panel.changed.emit()


def test_options_that_are_refused_are_told_of_until_they_are_right(qtbot: QtBot, window: Window) -> None:
    first = look(qtbot, window)
    choose(window, DepthOptions(near_m=9.0, far_m=2.0))
    qtbot.waitUntil(lambda: bool(window.messages.notices), timeout=WAIT_MS)
    assert "near_m is not nearer than far_m" in window.messages.notices[0].text
    choose(window, DepthOptions(near_m=2.0, far_m=9.0))
    qtbot.waitUntil(lambda: window.presenter.looked_at != first, timeout=WAIT_MS)
    qtbot.wait(300)
    assert window.messages.notices == ()
    assert len(window.presenter._forms) == len(window.presenter._looks) <= 3


def test_maps_are_looked_at_and_followed_beside_a_picture(qtbot: QtBot, window: Window) -> None:
    passes = window.form_panel.form
    generate(qtbot, window, dataclasses.replace(passes, prompt="then=hang"))
    until_state(qtbot, window, JobState.RUNNING)
    painting = window.presenter.looked_at
    shown = look(qtbot, window)
    for far_m in (20.0, 30.0):
        choose(window, DepthOptions(far_m=far_m))
        old = {shown, painting}
        qtbot.waitUntil(lambda old=old: window.presenter.looked_at not in old, timeout=WAIT_MS)
        shown = window.presenter.looked_at
        qtbot.wait(100)
        assert window.presenter.looked_at == shown
    window.presenter.cancel_job(painting)
    qtbot.waitUntil(lambda: not window.presenter.painting(), timeout=WAIT_MS)


def test_a_picture_that_is_asked_for_ends_a_look_that_is_on_its_way(qtbot: QtBot, window: Window) -> None:
    first = look(qtbot, window)
    choose(window, DepthOptions(far_m=20.0))
    qtbot.waitUntil(lambda: window.previews._pending != "", timeout=WAIT_MS)
    generate(qtbot, window, dataclasses.replace(window.form_panel.form, prompt="steps=3 pause=0.1"))
    painting = window.presenter.looked_at
    assert painting != first
    until_state(qtbot, window, JobState.SUCCEEDED)
    qtbot.wait(200)
    assert window.presenter.looked_at == painting


def test_a_look_that_is_tried_again_is_of_the_same_rows(qtbot: QtBot, window: Window) -> None:
    made: list[int] = []
    window.previews.made.connect(lambda number, _: made.append(number))
    window.previews.look(window.form_panel.form, 2)
    qtbot.waitUntil(lambda: made == [2], timeout=WAIT_MS)
    error = ModelMissing(reference="somebody/net", what="ControlNet")
    notice = notices.of_job(error, window.presenter.looked_at)
    assert notice is not None
    window.presenter.retry(notice, allow_download=True)
    qtbot.waitUntil(lambda: made == [2, 2], timeout=WAIT_MS)


def test_a_row_that_is_looked_at_alone_is_followed_to_its_new_place(qtbot: QtBot, window: Window) -> None:
    made: list[int] = []
    window.previews.made.connect(lambda number, _: made.append(number))
    window.previews.look(window.form_panel.form, 1)
    qtbot.waitUntil(lambda: made == [1], timeout=WAIT_MS)
    window.form_panel.controls.rows[0].removed.emit()
    qtbot.waitUntil(lambda: made == [1, 0], timeout=WAIT_MS)
    job = window.presenter.job()
    assert job is not None
    assert [control.kind for control in job.request.controls] == [ControlKind.NORMAL]
    window.form_panel.controls.rows[0].removed.emit()
    qtbot.wait(300)
    assert window.presenter.job() == job


def test_a_look_that_cannot_be_had_leaves_the_last_one_to_follow(qtbot: QtBot, window: Window) -> None:
    form = window.form_panel.form
    emptied = dataclasses.replace(form, controls=(*form.controls, forms.ControlForm(enabled=False)))
    window.form_panel.fill(emptied)
    first = look(qtbot, window)
    window.previews.look(emptied, 3)  # there is no image in it
    assert window.messages.notices
    choose(window, DepthOptions(far_m=20.0))
    qtbot.waitUntil(lambda: window.presenter.looked_at != first, timeout=WAIT_MS)
    job = window.presenter.job()
    assert job is not None
    assert len(job.request.controls) == 3


def test_closing_asks_about_pictures_and_not_about_looks(qtbot: QtBot, window: Window) -> None:
    window.previews.look(window.form_panel.form)
    qtbot.waitUntil(lambda: bool(window.presenter.unended()), timeout=WAIT_MS)
    window.close()
    assert window.question is None
    assert not window.isVisible()


def test_passes_that_have_no_thumbnail_yet_can_be_cleared(qtbot: QtBot, window: Window) -> None:
    row = window.form_panel.controls.rows[2]
    assert not row._kind.isEnabled()
    row._thumbnail.click()
    clear = next(action for action in row._thumbnail.findChild(QMenu).actions() if action.text() == "Clear")
    assert clear.isEnabled()
    clear.trigger()
    assert row.control.image is None
    assert row._kind.isEnabled()


def test_a_seed_beyond_the_field_stays_as_it_is(qtbot: QtBot) -> None:
    area = OptionArea()
    qtbot.addWidget(area)
    area.show_fields(SegmentationOptions, fields(SegmentationOptions, ControlKind.SEGMENTATION))
    area.fill(SegmentationOptions(seed=2**63 - 1))
    assert area.options == SegmentationOptions(seed=2**63 - 1)
    with qtbot.waitSignal(area.changed):
        area.field("seed").setValue(7)
    assert area.options == SegmentationOptions(seed=7)
