"""The panel's icons: strokes on a 16 x 16 grid, painted in the palette's colours whenever they are shown."""

from PySide6.QtCore import QByteArray, QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QIconEngine, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer

_STROKES = {
    "add": "M8 3v10M3 8h10",
    "remove": "M4 4l8 8M12 4l-8 8",
    "up": "M4 10l4-4 4 4",
    "down": "M4 6l4 4 4-4",
    "front": "M4 13l4-4 4 4M4 8.5l4-4 4 4M3 2.5h10",
    "again": "M12.5 8a4.5 4.5 0 1 1-1.3-3.2M12.5 2.5v3h-3",
    "open": "M2 12.5v-9h4.2l1.5 2H14v7z",
    "image": "M2.5 3h11v10h-11zM2.5 11l3.5-3.5 3 3 2-2 2.5 2.5M10.2 6.2h.1",
    "start": "M2.5 4.5v9h9v-3M2.5 13.5l3-3 2 2M13.5 6.5h-6M10 3.5l3.5 3-3.5 3",
    "paste": "M5.5 3.5h-2v10h9v-10h-2M5.5 2.5h5v2.5h-5z",
    "copy": "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
    "save": "M8 2.5v7.5M4.7 7L8 10.3 11.3 7M2.5 11v2.5h11V11",
    "dice": "M3 3h10v10H3zM5.8 5.8h.1M10.2 5.8h.1M8 8h.1M5.8 10.2h.1M10.2 10.2h.1",
    "swap": "M2.5 5.5h10M10 3l2.5 2.5L10 8M13.5 10.5h-10M6 8l-2.5 2.5L6 13",
    "fit": "M6 2.5H2.5V6M10 2.5h3.5V6M6 13.5H2.5V10M10 13.5h3.5V10",
    "actual": "M4 5.2L5.3 4v8M10.6 5.2L11.9 4v8M8.3 6.5h.1M8.3 10h.1",
    "settings": "M2.5 4.5h7M12.5 4.5h1M9.5 3v3M2.5 11.5h1M6.5 11.5h7M6.5 10v3",
    "render": "M3 5.5L8 3l5 2.5v5L8 13l-5-2.5zM3 5.5L8 8l5-2.5M8 8v5",
    "maps": "M2.5 5.5L8 3l5.5 2.5L8 8zM2.5 8L8 10.5 13.5 8M2.5 10.5L8 13l5.5-2.5",
    "play": "M5 3.2v9.6L12.5 8z",
    "curve": "M2.5 13.5C6 13.5 6 4 8.5 4S11 9 13.5 9M2.5 2.5v11h11",
    "stop": "M4 4h8v8H4z",
    "info": "M8 2.2a5.8 5.8 0 1 0 .01 0M8 7.3v4M8 4.8h.1",
    "warning": "M8 2.5l6 11H2zM8 6.8v3M8 11.7h.1",
    "error": "M8 2.2a5.8 5.8 0 1 0 .01 0M8 4.7v4M8 11.1h.1",
}
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="{path}" fill="none" stroke="{colour}" '
    'stroke-opacity="{opacity}" stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round"/></svg>'
)


def icon(name: str, colour: QColor | None = None) -> QIcon:
    """The icon `name`; without a colour it follows the palette, light or dark."""
    return QIcon(_Strokes(_STROKES[name], colour))


class _Strokes(QIconEngine):
    def __init__(self, path: str, colour: QColor | None) -> None:
        super().__init__()
        self._path = path
        self._colour = colour

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        colour = self._colour or _palette_colour(mode)
        svg = _SVG.format(path=self._path, colour=colour.name(), opacity=colour.alphaF())
        QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(rect))

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        self.paint(painter, QRect(QPoint(0, 0), size), mode, state)
        painter.end()
        return pixmap

    def clone(self) -> QIconEngine:
        return _Strokes(self._path, self._colour)


def _palette_colour(mode: QIcon.Mode) -> QColor:
    palette = QGuiApplication.palette()
    group = QPalette.ColorGroup.Disabled if mode is QIcon.Mode.Disabled else QPalette.ColorGroup.Active
    return palette.color(group, QPalette.ColorRole.ButtonText)
