"""Weight curves: the points as data, and the plot under the mouse and the keyboard."""

import pytest
from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.checks import MAX_CURVE_FACTOR, MAX_CURVE_POINTS, check
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import Control, ControlKind, CurvePoint, GenerateRequest
from underpaint.protocol.sources import Detector, ReadyMap
from underpaint.qt_panel import curves
from underpaint.qt_panel.control_row import ControlRow
from underpaint.qt_panel.curve_editor import CurveEditor
from underpaint.qt_panel.curves import Curve
from underpaint.qt_panel.form import ControlForm

MAP = ArrayRef(sha256="b" * 64, shape=(8, 8, 3), dtype=DType.UINT8)
TENT: Curve = (
    CurvePoint(at=0.0, factor=0.0),
    CurvePoint(at=0.5, factor=1.0),
    CurvePoint(at=1.0, factor=0.0),
)


def taken(curve: Curve) -> bool:
    """Whether the service takes it."""
    control = Control(kind=ControlKind.DEPTH, source=ReadyMap(image=MAP), curve=curve)
    check(GenerateRequest(prompt="", size=Extent(width=8, height=8), controls=(control,)))
    return True


@pytest.mark.parametrize(
    ("curve", "at", "factor"),
    [
        ((), 0.3, 1.0),
        (TENT, 0.25, 0.5),
        (TENT, 0.5, 1.0),
        (TENT, 0.75, 0.5),
        (TENT[1:2], 0.0, 1.0),
        ((CurvePoint(at=0.2, factor=2.0), CurvePoint(at=0.4, factor=3.0)), 0.1, 2.0),
        ((CurvePoint(at=0.2, factor=2.0), CurvePoint(at=0.4, factor=3.0)), 0.9, 3.0),
    ],
)
def test_a_curve_is_straight_between_its_points_and_level_beyond(curve: Curve, at: float, factor: float) -> None:
    assert curves.factor_at(curve, at) == pytest.approx(factor)


def test_the_first_point_brings_the_ends() -> None:
    curve, index = curves.added((), 0.4, 2.0)
    assert (curve[index], index) == (CurvePoint(at=0.4, factor=2.0), 1)
    assert (curve[0], curve[2]) == (CurvePoint(at=0.0, factor=1.0), CurvePoint(at=1.0, factor=1.0))


def test_points_stay_in_order_and_apart_whatever_is_done_to_them() -> None:
    curve = curves.moved(TENT, 1, 5.0, -3.0)
    assert curve[1] == CurvePoint(at=1.0 - curves.GAP, factor=0.0)
    curve = curves.moved(curve, 0, -1.0, 1e9)
    assert curve[0] == CurvePoint(at=0.0, factor=MAX_CURVE_FACTOR)
    again, index = curves.added(curve, 1.0 - curves.GAP / 4, 0.7)
    assert len(again) == 3, "a point on top of another moves that one"
    assert again[index].factor == 0.7
    assert taken(again)
    tight = (CurvePoint(at=0.5, factor=1.0), CurvePoint(at=0.501, factor=0.5), CurvePoint(at=0.502, factor=0.0))
    assert curves.moved(tight, 1, 0.9, 2.0)[1] == CurvePoint(at=0.501, factor=2.0)
    assert curves.removed(TENT, 1) == (TENT[0], TENT[2])


def test_there_are_never_more_points_than_a_request_may_have() -> None:
    many = tuple(CurvePoint(at=number / MAX_CURVE_POINTS, factor=1.0) for number in range(MAX_CURVE_POINTS))
    wide = (*many[:-1],)  # one less, so that there is room at the end
    full, _ = curves.added(wide, 1.0, 0.5)
    assert len(full) == MAX_CURVE_POINTS
    assert len(curves.added((*full[:-1], CurvePoint(at=0.999, factor=1.0)), 0.9975, 0.1)[0]) == MAX_CURVE_POINTS


@pytest.mark.parametrize(("name", "curve"), [(name, curve) for name, _, curve in curves.PRESETS])
def test_the_presets_are_curves_that_the_service_takes(name: str, curve: Curve) -> None:
    assert taken(curve)
    assert name


@pytest.fixture
def editor(qtbot: QtBot) -> CurveEditor:
    editor = CurveEditor()
    qtbot.addWidget(editor)
    editor.resize(400, 108)
    editor.show()
    return editor


def at(editor: CurveEditor, place: float, factor: float) -> QPoint:
    return editor._pixel_of(place, factor).toPoint()


def test_a_point_is_added_by_a_click_dragged_and_removed(qtbot: QtBot, editor: CurveEditor) -> None:
    with qtbot.waitSignal(editor.changed):
        qtbot.mouseClick(editor, Qt.MouseButton.LeftButton, pos=at(editor, 0.5, 0.5))
    assert [point.at for point in editor.curve] == pytest.approx([0, 0.5, 1], abs=0.01)
    assert editor.curve[1].factor == pytest.approx(0.5, abs=0.02)
    qtbot.mousePress(editor, Qt.MouseButton.LeftButton, pos=at(editor, 0.5, 0.5))
    qtbot.mouseMove(editor, at(editor, 0.25, 1.25))
    qtbot.mouseRelease(editor, Qt.MouseButton.LeftButton, pos=at(editor, 0.25, 1.25))
    assert (editor.curve[1].at, editor.curve[1].factor) == (
        pytest.approx(0.25, abs=0.01),
        pytest.approx(1.25, abs=0.02),
    )
    assert len(editor.curve) == 3
    qtbot.mouseClick(editor, Qt.MouseButton.RightButton, pos=at(editor, 0.25, 1.25))
    assert [point.at for point in editor.curve] == [0.0, 1.0]
    qtbot.mouseClick(editor, Qt.MouseButton.RightButton, pos=at(editor, 0.5, 0.2))  # where there is none
    assert len(editor.curve) == 2


def test_the_keyboard_does_all_that_the_mouse_does(qtbot: QtBot, editor: CurveEditor) -> None:
    qtbot.keyClick(editor, Qt.Key.Key_Plus)
    assert [(point.at, point.factor) for point in editor.curve] == [(0.0, 1.0), (0.5, 1.0), (1.0, 1.0)]
    qtbot.keyClick(editor, Qt.Key.Key_Left)
    qtbot.keyClick(editor, Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier)
    assert editor.curve[1] == CurvePoint(at=0.49, factor=1.5)
    assert "chosen: point 2 of 3" in editor.accessibleDescription()
    qtbot.keyClick(editor, Qt.Key.Key_Right, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(editor, Qt.Key.Key_Down)
    assert editor.curve[2] == CurvePoint(at=1.0, factor=0.95)
    assert "49 % of the steps at 1.5" in editor.accessibleDescription().replace("49%", "49 %")
    for _ in range(3):
        qtbot.keyClick(editor, Qt.Key.Key_Delete)
    assert editor.curve == ()
    qtbot.keyClick(editor, Qt.Key.Key_Delete)
    qtbot.keyClick(editor, Qt.Key.Key_Left)
    assert (editor.curve, editor.accessibleDescription()) == ((), "level")


def test_a_higher_point_makes_room_for_itself(qtbot: QtBot, editor: CurveEditor) -> None:
    editor.fill((CurvePoint(at=0.0, factor=40.0), CurvePoint(at=1.0, factor=0.0)))
    assert editor.rect().contains(at(editor, 0.0, 40.0))


def test_the_part_outside_the_window_is_shaded(qtbot: QtBot, editor: CurveEditor) -> None:
    editor.fill(TENT)
    editor.clearFocus()
    place = at(editor, 0.1, 1.3)
    before = editor.grab().toImage().pixelColor(place)
    editor.show_window(0.2, 0.8)
    assert editor.grab().toImage().pixelColor(place).lightness() < before.lightness()
    assert editor.grab().toImage().pixelColor(at(editor, 0.4, 1.3)) == before


def test_a_row_gives_back_the_curve_that_was_filled_in(qtbot: QtBot) -> None:
    curve = (CurvePoint(at=1 / 3, factor=0.123456),)
    control = ControlForm(start=0.125, end=0.875, curve=curve, guess_mode=True, detector=Detector.MIDAS)
    row = ControlRow(control)
    qtbot.addWidget(row)
    assert row.control == control
    assert row.weight.editor._window == (0.125, 0.875)
    row.weight._presets[1].click()
    assert row.control.curve == curves.PRESETS[1][2]
    assert row.weight.fold.button.text() == "Weight curve: fade out"
    with qtbot.waitSignal(row.changed):
        row.weight._guess.click()
    assert not row.control.guess_mode
