"""The status bar's end: a light and a few words on the backend."""

from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from ..protocol.events import WorkerChanged
from . import link as links
from .link import Link, LinkState

_COLOURS = {
    LinkState.CONNECTING: QColor("#c98a12"),
    LinkState.CONNECTED: QColor("#3f9b5f"),
    LinkState.WAITING: QColor("#c98a12"),
    LinkState.STOPPED: QColor("#8a8f98"),
    LinkState.DOWN: QColor("#cf4436"),
}


class BackendStatus(QWidget):
    """Says in one line whether the backend is there and what it does."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._light = _Light()
        self._words = QLabel()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(6, 0, 6, 0)
        layout.setSpacing(6)
        layout.addWidget(self._light)
        layout.addWidget(self._words)
        self.show_link(Link(), None)

    @property
    def words(self) -> str:
        """What it says."""
        return self._words.text()

    def show_link(self, link: Link, worker: WorkerChanged | None) -> None:
        """Show how things are."""
        text = links.words(link, worker)
        self._light.show_colour(_COLOURS[link.state])
        self._words.setText(text)
        self.setToolTip(text if link.error is None else str(link.error))
        self.setAccessibleName(f"Backend status: {text}")


class _Light(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self._colour = QColor()
        self.setFixedSize(QSize(10, 10))

    def show_colour(self, colour: QColor) -> None:
        self._colour = colour
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(self._colour.darker(130))
        painter.setBrush(self._colour)
        painter.drawEllipse(QRectF(1, 1, 8, 8))
        painter.end()
