"""The message bar: what went wrong, and a button that does something about it. Never in the way."""

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication, QPalette
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from .icons import icon
from .notices import ACTION_LABELS, Action, Notice, Severity, Topic

_TINTS = {
    Severity.INFO: QColor("#3b82c4"),
    Severity.WARNING: QColor("#c98a12"),
    Severity.ERROR: QColor("#cf4436"),
}
_TINT_PART = 0.22  # of the background; the rest is the palette's, so that the text stays readable in any


class MessageBar(QWidget):
    """One row for each topic, the newest on top."""

    acted = Signal(object)  # the Notice whose button was pressed

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: dict[Topic, _Row] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(1)
        self.setAccessibleName("Messages")
        self.hide()

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What is shown now."""
        return tuple(row.notice for row in self._rows.values())

    def show_notice(self, notice: Notice) -> None:
        """Show a notice in place of an older one on its topic."""
        self.dismiss(notice.topic)
        row = _Row(notice, self)
        row.acted.connect(self._act)
        row.closed.connect(self.dismiss)
        self._rows[notice.topic] = row
        self._layout.insertWidget(0, row)
        self.show()

    def dismiss(self, topic: Topic) -> None:
        """Take away what is said on a topic."""
        row = self._rows.pop(topic, None)
        if row is not None:
            row.hide()
            row.deleteLater()
        self.setVisible(bool(self._rows))

    def _act(self, notice: Notice) -> None:
        self.dismiss(notice.topic)
        self.acted.emit(notice)


class _Row(QFrame):
    acted = Signal(object)
    closed = Signal(object)

    def __init__(self, notice: Notice, parent: QWidget) -> None:
        super().__init__(parent)
        self.notice = notice
        self.setAutoFillBackground(True)
        self.setAccessibleName(f"{notice.severity.capitalize()}: {notice.text}")
        tint = _TINTS[notice.severity]
        picture = QLabel()
        picture.setPixmap(icon(notice.severity.value, tint).pixmap(18, 18))
        self._text = QLabel(notice.text)
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self._text.setSizePolicy(policy)
        close = QToolButton()
        close.setIcon(icon("remove"))
        close.setAutoRaise(True)
        close.setToolTip("Close this message")
        close.setAccessibleName("Close this message")
        close.clicked.connect(lambda: self.closed.emit(notice.topic))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(10, 6, 6, 6)
        layout.setSpacing(8)
        layout.addWidget(picture)
        layout.addWidget(self._text, 1)
        if notice.action is not None:
            layout.addWidget(self._button(notice.action))
        layout.addWidget(close)
        self._colour()

    def _button(self, action: Action) -> QPushButton:
        button = QPushButton(ACTION_LABELS[action])
        button.clicked.connect(lambda: self.acted.emit(self.notice))
        return button

    def _colour(self) -> None:
        palette = QGuiApplication.palette()
        base = palette.color(QPalette.ColorRole.Window)
        tint = _TINTS[self.notice.severity]

        def mixed(tint_part: float, base_part: float) -> float:
            return tint_part * _TINT_PART + base_part * (1 - _TINT_PART)

        red, green, blue = (
            mixed(tint.redF(), base.redF()),
            mixed(tint.greenF(), base.greenF()),
            mixed(tint.blueF(), base.blueF()),
        )
        palette.setColor(QPalette.ColorRole.Window, QColor.fromRgbF(red, green, blue))
        self.setPalette(palette)

    def changeEvent(self, event: QEvent) -> None:
        if event.type() is QEvent.Type.ApplicationPaletteChange:
            self._colour()
        super().changeEvent(event)
