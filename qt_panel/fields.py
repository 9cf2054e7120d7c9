"""Small input widgets that the form is made of."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Generic, TypeVar

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QKeyEvent, QPainter, QPaintEvent, QPalette, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QLabel,
    QPlainTextEdit,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QWidget,
)

from .icons import icon

E = TypeVar("E", bound=Enum)
ICON_SIZE = QSize(16, 16)


def heading(text: str) -> QLabel:
    """A section's title."""
    label = QLabel(text)
    font = QFont(label.font())
    font.setWeight(QFont.Weight.DemiBold)
    label.setFont(font)
    label.setAccessibleName(text)
    return label


def tool_button(name: str, tooltip: str, *, text: str = "") -> QToolButton:
    """A flat button with one of our icons; its tooltip is its accessible name."""
    button = QToolButton()
    button.setIcon(icon(name))
    button.setIconSize(ICON_SIZE)
    button.setAutoRaise(True)
    button.setToolTip(tooltip)
    button.setAccessibleName(text or tooltip)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    if text:
        button.setText(text)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    return button


class WheelNeedsFocus:
    """Scrolling the form over a field must not change it."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():  # type: ignore[attr-defined]
            super().wheelEvent(event)  # type: ignore[misc]
        else:
            event.ignore()


class IntField(WheelNeedsFocus, QSpinBox):
    """A whole number."""

    def __init__(self, low: int, high: int, step: int, name: str, tooltip: str, *, suffix: str = "") -> None:
        super().__init__()
        self.setRange(low, high)
        self.setSingleStep(step)
        self.setSuffix(suffix)
        describe(self, name, tooltip)


class FloatField(WheelNeedsFocus, QDoubleSpinBox):
    """A number with two decimals; what is filled in stays exact until somebody changes it."""

    def __init__(self, low: float, high: float, step: float, name: str, tooltip: str) -> None:
        super().__init__()
        self.setRange(low, high)
        self.setSingleStep(step)
        self.setDecimals(2)
        self._filled: tuple[float, float] | None = None  # as it is shown, and as it is
        describe(self, name, tooltip)

    @property
    def exact(self) -> float:
        """The number, with all its decimals where it was filled in and not touched since."""
        shown = self.value()
        return self._filled[1] if self._filled is not None and self._filled[0] == shown else shown

    def fill(self, number: float) -> None:
        """Fill in a number, which the field may round or limit for showing it."""
        self.setValue(number)
        self._filled = self.value(), number


class PercentField(IntField):
    """A part of a whole, shown in whole percents; what is filled in stays exact until somebody changes it."""

    def __init__(self, name: str, tooltip: str) -> None:
        super().__init__(0, 100, 5, name, tooltip, suffix=" %")
        self._filled: tuple[int, float] | None = None

    @property
    def part(self) -> float:
        """From 0 to 1."""
        shown = self.value()
        return self._filled[1] if self._filled is not None and self._filled[0] == shown else shown / 100

    def fill(self, part: float) -> None:
        """Fill in a part, 0 to 1."""
        self.setValue(round(part * 100))
        self._filled = self.value(), part


class AutoIntField(IntField):
    """A whole number, or "Auto" one step below the lowest."""

    def __init__(
        self, low: int, high: int, step: int, name: str, tooltip: str, *, suffix: str = "", auto: bool = True
    ) -> None:
        super().__init__(low - 1 if auto else low, high, step, name, tooltip, suffix=suffix)
        self._auto = auto
        if auto:
            self.setSpecialValueText("Auto")

    @property
    def chosen_value(self) -> int | None:
        """The number; None for Auto."""
        return None if self._auto and self.value() == self.minimum() else self.value()

    def choose(self, value: int | None) -> None:
        """Fill in a number, or None for Auto. One that is out of range, even out of C's, is the nearest."""
        self.setValue(self.minimum() if value is None else min(max(value, self.minimum()), self.maximum()))


class AutoFloatField(FloatField):
    """A number with two decimals, or "Auto" just below the lowest."""

    def __init__(
        self, low: float, high: float, step: float, name: str, tooltip: str, *, suffix: str = "", auto: bool = True
    ) -> None:
        super().__init__(low - 0.01 if auto else low, high, step, name, tooltip)
        self.setSuffix(suffix)
        self._auto = auto
        if auto:
            self.setSpecialValueText("Auto")

    @property
    def chosen_value(self) -> float | None:
        """The number; None for Auto."""
        return None if self._auto and self.value() == self.minimum() else self.exact

    def choose(self, value: float | None) -> None:
        """Fill in a number, or None for Auto."""
        self.fill(self.minimum() if value is None else value)


class OptionChoice(WheelNeedsFocus, QComboBox):
    """One member of a closed set, or None."""

    def __init__(self, members: Sequence[tuple[object, str]], name: str, tooltip: str) -> None:
        super().__init__()
        self._members = [member for member, _ in members]
        self.addItems([label for _, label in members])
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)
        describe(self, name, tooltip)

    @property
    def chosen_value(self) -> object:
        """The chosen member."""
        return self._members[self.currentIndex()]

    def choose(self, member: object) -> None:
        """Choose a member; one that isn't offered is the first."""
        self.setCurrentIndex(self._members.index(member) if member in self._members else 0)

    def offer(self, members: Sequence[tuple[object, str]]) -> None:
        """Offer other members, and choose the first of them, without saying so."""
        if [member for member, _ in members] == self._members:
            return
        self.blockSignals(True)
        self.clear()
        self._members = [member for member, _ in members]
        self.addItems([label for _, label in members])
        self.blockSignals(False)


class Choice(WheelNeedsFocus, QComboBox, Generic[E]):
    """One member of a closed set."""

    chosen = Signal()

    def __init__(
        self, members: Sequence[tuple[E, str]], name: str, tooltip: str, *, hints: Mapping[E, str] | None = None
    ) -> None:
        """`hints` are the tooltips of members in the list."""
        super().__init__()
        self._members = [member for member, _ in members]
        self.addItems([label for _, label in members])
        for index, member in enumerate(self._members):
            self.setItemData(index, (hints or {}).get(member), Qt.ItemDataRole.ToolTipRole)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)
        self.currentIndexChanged.connect(lambda: self.chosen.emit())
        describe(self, name, tooltip)

    @property
    def value(self) -> E:
        """The chosen member."""
        return self._members[self.currentIndex()]

    def set_value(self, member: E) -> None:
        """Choose a member."""
        self.setCurrentIndex(self._members.index(member))


class PromptField(QPlainTextEdit):
    """Some lines of text; Tab leaves it, as anywhere in a form."""

    def __init__(self, name: str, tooltip: str, placeholder: str, *, lines: int) -> None:
        super().__init__()
        self.setTabChangesFocus(True)
        self.setPlaceholderText(placeholder)
        metrics = self.fontMetrics()
        frame = 2 * (self.frameWidth() + int(self.document().documentMargin()))
        self.setFixedHeight(metrics.lineSpacing() * lines + frame + 2)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        describe(self, name, tooltip)

    def keyPressEvent(self, e: QKeyEvent) -> None:
        if e.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and e.modifiers() & Qt.KeyboardModifier.ControlModifier:
            e.ignore()  # generates, and must not break the line as well
            return
        super().keyPressEvent(e)


class ElidedLabel(QLabel):
    """One quiet line that ends in dots where there is no room; its tooltip says all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.full_text = ""
        """What it would say, had it room."""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        quiet(self)

    def show_text(self, text: str) -> None:
        """Say something."""
        self.full_text = text
        self.setToolTip(text)
        self._elide()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._elide()

    def sizeHint(self) -> QSize:
        return QSize(0, self.fontMetrics().height() + 2)

    def _elide(self) -> None:
        self.setText(self.fontMetrics().elidedText(self.full_text, Qt.TextElideMode.ElideRight, self.width()))


class Card(QFrame):
    """A frame that shows in any palette: Fusion's own all but vanishes in dark ones."""

    def paintEvent(self, event: QPaintEvent) -> None:
        text = self.palette().color(QPalette.ColorRole.WindowText)
        fill, edge = QColor(text), QColor(text)
        fill.setAlphaF(0.03)
        edge.setAlphaF(0.18)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(edge)
        painter.setBrush(fill)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        painter.end()


def quiet(label: QLabel) -> QLabel:
    """The label, in the colour of what is of less interest."""
    label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
    return label


def describe(widget: QWidget, name: str, tooltip: str) -> None:
    """Give a widget its name and its tooltip, for eyes and for screen readers."""
    widget.setAccessibleName(name)
    widget.setAccessibleDescription(tooltip)
    widget.setToolTip(tooltip)
    if isinstance(widget, QSpinBox | QDoubleSpinBox | QComboBox):
        widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
