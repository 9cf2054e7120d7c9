"""A weight curve over the steps, drawn and edited with the mouse or the keyboard."""

import math

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPalette,
    QPen,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from . import curves
from .curves import Curve

_HEIGHT_PX = 108
_REACH_PX = 9  # how near to a point a click takes it
_LEFT, _TOP, _RIGHT, _BOTTOM = 30, 8, 10, 20  # margins for the axes' numbers, pixels
_LOWEST_TOP = 1.5  # the plot's height in factors while no point is higher
_STEP, _BIG_STEP = 0.01, 0.1  # of the arrow keys, of the steps; a factor moves five times as far
_HELP = (
    "How much the control counts over the steps, times its scale.\n"
    "Click to add a point, drag it, remove it with the right button or Delete.\n"
    "Keys: arrows move a point (with Shift further), Ctrl+arrows choose one, + adds one after it."
)


class CurveEditor(QWidget):
    """Shows a curve and gives it back; the part of the steps outside the control's window is shaded."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._curve: Curve = ()
        self._window = (0.0, 1.0)
        self._chosen = 0
        self._dragged = False
        self._top = _LOWEST_TOP
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setAccessibleName("Weight curve")
        self.setToolTip(_HELP)
        self._describe()

    @property
    def curve(self) -> Curve:
        """The points; none is 1 throughout."""
        return self._curve

    def fill(self, curve: Curve) -> None:
        """Show a curve."""
        self._curve = curve
        self._chosen = min(self._chosen, max(0, len(curve) - 1))
        self._fit()

    def show_window(self, start: float, end: float) -> None:
        """The part of the steps at which the control works."""
        self._window = (start, end)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(240, _HEIGHT_PX)

    # ---- the mouse

    def mousePressEvent(self, event: QMouseEvent) -> None:
        index = self._point_near(event.position())
        if event.button() is Qt.MouseButton.RightButton:
            if index is not None:
                self._set(curves.removed(self._curve, index), min(index, max(0, len(self._curve) - 2)))
        elif event.button() is Qt.MouseButton.LeftButton:
            self._dragged = True
            if index is None:
                self._set(*curves.added(self._curve, *self._rounded(self._value_of(event.position()))))
            else:
                self._chosen = index
                self._describe()
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._dragged and self._curve:
            self._move(*self._rounded(self._value_of(event.position())))
            point = self._curve[self._chosen]
            QToolTip.showText(event.globalPosition().toPoint(), f"{point.at:.0%} of the steps: {point.factor:g}", self)
        else:
            near = self._point_near(event.position()) is not None
            self.setCursor(Qt.CursorShape.SizeAllCursor if near else Qt.CursorShape.CrossCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._dragged:
            self._dragged = False
            self._fit()  # not while it is dragged: the axis would run away from the hand

    # ---- the keyboard

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = _BIG_STEP if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else _STEP
        choosing = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        match event.key():
            case Qt.Key.Key_Left if choosing:
                self._choose(self._chosen - 1)
            case Qt.Key.Key_Right if choosing:
                self._choose(self._chosen + 1)
            case Qt.Key.Key_Left:
                self._nudge(-step, 0)
            case Qt.Key.Key_Right:
                self._nudge(step, 0)
            case Qt.Key.Key_Up:
                self._nudge(0, 5 * step)
            case Qt.Key.Key_Down:
                self._nudge(0, -5 * step)
            case Qt.Key.Key_Plus | Qt.Key.Key_Insert:
                self._add_after()
            case Qt.Key.Key_Delete | Qt.Key.Key_Backspace:
                if self._curve:
                    self._set(curves.removed(self._curve, self._chosen), max(0, self._chosen - 1))
            case _:
                super().keyPressEvent(event)

    def _choose(self, index: int) -> None:
        self._chosen = min(max(index, 0), max(0, len(self._curve) - 1))
        self._describe()
        self.update()

    def _nudge(self, at: float, factor: float) -> None:
        if self._curve:
            point = self._curve[self._chosen]
            self._move(*self._rounded((point.at + at, point.factor + factor)))
            self._fit()

    def _add_after(self) -> None:
        if self._chosen + 1 < len(self._curve):
            at = (self._curve[self._chosen].at + self._curve[self._chosen + 1].at) / 2
        else:
            at = (self._curve[-1].at + 1) / 2 if self._curve else 0.5
        self._set(*curves.added(self._curve, at, curves.factor_at(self._curve, at)))

    # ---- values and pixels

    def _set(self, curve: Curve, chosen: int) -> None:
        changed = curve != self._curve
        self._curve, self._chosen = curve, chosen
        if not self._dragged:
            self._fit()
        self._describe()
        self.update()
        if changed:
            self.changed.emit()

    def _move(self, at: float, factor: float) -> None:
        self._set(curves.moved(self._curve, self._chosen, at, factor), self._chosen)

    def _fit(self) -> None:
        highest = max((point.factor for point in self._curve), default=1.0)
        self._top = max(_LOWEST_TOP, math.ceil(highest * 1.2 * 2) / 2)
        self._describe()
        self.update()

    def _describe(self) -> None:
        words = curves.described(self._curve)
        if self._curve:
            words += f"; chosen: point {self._chosen + 1} of {len(self._curve)}"
        self.setAccessibleDescription(words)

    def _plot(self) -> QRectF:
        return QRectF(self.rect()).adjusted(_LEFT, _TOP, -_RIGHT, -_BOTTOM)

    def _pixel_of(self, at: float, factor: float) -> QPointF:
        plot = self._plot()
        return QPointF(plot.left() + at * plot.width(), plot.bottom() - factor / self._top * plot.height())

    def _value_of(self, pixel: QPointF) -> tuple[float, float]:
        plot = self._plot()
        factor = (plot.bottom() - pixel.y()) / plot.height() * self._top
        return (pixel.x() - plot.left()) / plot.width(), min(max(factor, 0.0), self._top)

    def _rounded(self, value: tuple[float, float]) -> tuple[float, float]:
        return round(value[0], 2), round(value[1], 2)

    def _point_near(self, pixel: QPointF) -> int | None:
        def distance(index: int) -> float:
            away = self._pixel_of(self._curve[index].at, self._curve[index].factor) - pixel
            return math.hypot(away.x(), away.y())

        nearest = min(range(len(self._curve)), key=distance, default=None)
        return nearest if nearest is not None and distance(nearest) <= _REACH_PX else None

    # ---- painting

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.update()

    def changeEvent(self, event: QEvent) -> None:
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.EnabledChange):
            self.update()
        super().changeEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette, plot = self.palette(), self._plot()
        painter.fillRect(plot, palette.color(QPalette.ColorRole.Base))
        self._paint_axes(painter, plot, palette)
        self._paint_outside(painter, plot, palette)
        self._paint_curve(painter, plot, palette)
        frame = QPalette.ColorRole.Highlight if self.hasFocus() else QPalette.ColorRole.Mid
        painter.setPen(QPen(palette.color(frame), 1.5 if self.hasFocus() else 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(plot)
        painter.end()

    def _paint_axes(self, painter: QPainter, plot: QRectF, palette: QPalette) -> None:
        font = painter.font()
        font.setPointSizeF(font.pointSizeF() * 0.8)
        painter.setFont(font)
        line = QColor(palette.color(QPalette.ColorRole.Text))
        line.setAlphaF(0.12)
        words = palette.color(QPalette.ColorRole.PlaceholderText)
        every = 0.5 if self._top <= 2 else math.ceil(self._top / 4)
        for number in range(math.floor(self._top / every) + 1):
            y = self._pixel_of(0, number * every).y()
            painter.setPen(line)
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
            painter.setPen(words)
            beside = QRectF(0, y - 8, _LEFT - 5, 16)
            painter.drawText(beside, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{number * every:g}")
        for quarter in range(5):
            x = self._pixel_of(quarter / 4, 0).x()
            painter.setPen(line)
            painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()))
            painter.setPen(words)
            left, side = x - 20, Qt.AlignmentFlag.AlignHCenter
            if quarter in (0, 4):  # within the plot, away from the other axis and the edge
                left = x if quarter == 0 else x - 40
                side = Qt.AlignmentFlag.AlignLeft if quarter == 0 else Qt.AlignmentFlag.AlignRight
            room = QRectF(left, plot.bottom() + 4, 40, _BOTTOM - 4)
            painter.drawText(room, side | Qt.AlignmentFlag.AlignTop, f"{25 * quarter} %")

    def _paint_outside(self, painter: QPainter, plot: QRectF, palette: QPalette) -> None:
        shade = QColor(palette.color(QPalette.ColorRole.Text))
        shade.setAlphaF(0.14)
        start, end = (self._pixel_of(part, 0).x() for part in self._window)
        for left, right in ((plot.left(), start), (end, plot.right())):
            if right > left:
                painter.fillRect(QRectF(left, plot.top(), right - left, plot.height()), shade)

    def _paint_curve(self, painter: QPainter, plot: QRectF, palette: QPalette) -> None:
        colour = palette.color(QPalette.ColorRole.Highlight)
        path = QPainterPath(self._pixel_of(0, curves.factor_at(self._curve, 0)))
        for point in self._curve:
            path.lineTo(self._pixel_of(point.at, point.factor))
        path.lineTo(self._pixel_of(1, curves.factor_at(self._curve, 1)))
        painter.save()
        painter.setClipRect(plot.adjusted(-1, -1, 1, 1))
        below = QPainterPath(path)
        below.lineTo(plot.bottomRight())
        below.lineTo(plot.bottomLeft())
        fill = QColor(colour)
        fill.setAlphaF(0.15)
        painter.fillPath(below, fill)
        style = Qt.PenStyle.SolidLine if self._curve else Qt.PenStyle.DashLine
        painter.setPen(QPen(colour, 2, style))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPath(path)
        painter.restore()
        for index, point in enumerate(self._curve):
            chosen = index == self._chosen and self.hasFocus()
            painter.setPen(QPen(colour, 2))
            painter.setBrush(colour if chosen else palette.color(QPalette.ColorRole.Base))
            painter.drawEllipse(self._pixel_of(point.at, point.factor), 5 if chosen else 4, 5 if chosen else 4)
