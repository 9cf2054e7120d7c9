"""The picture, zoomed and dragged."""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QMargins, QMimeData, QPoint, QPointF, QRectF, QSize, Qt, QTemporaryDir, QUrl, Signal
from PySide6.QtGui import (
    QColor,
    QDrag,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QApplication, QSizePolicy, QWidget

from .pictures import fitted

_MIN_ZOOM, _MAX_ZOOM = 0.05, 16.0
_STEP = 1.25  # of the zoom, for one notch of the wheel
_MARGIN = 16


class Canvas(QWidget):
    """Shows one image in the middle of a neutral surround, fitted or at a zoom."""

    zoomed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: QImage | None = None
        self._size = QSize()  # the image is shown as if it had this size: previews are smaller than they stand for
        self._zoom: float | None = None  # device pixels for each of the picture's; None fits
        self._offset = QPointF()  # of the picture's middle from the widget's
        self._pressed: QPoint | None = None
        self._drag_file: tuple[str, Callable[[], bytes]] | None = None
        self._empty = ("", "")
        self._folder = QTemporaryDir()  # of files dragged out; gone with the widget
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(200, 160)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Picture")

    @property
    def image(self) -> QImage | None:
        """What is shown."""
        return self._image

    @property
    def zoom(self) -> float | None:
        """Device pixels for each of the picture's pixels; None while it fits the window."""
        return self._zoom

    def show_image(self, image: QImage | None, *, size: QSize | None = None) -> None:
        """Show an image as large as `size` says (its own without), keeping the zoom."""
        self._image = image
        self._size = size or (image.size() if image is not None else QSize())
        self.setCursor(Qt.CursorShape.OpenHandCursor if image is not None else Qt.CursorShape.ArrowCursor)
        self.update()

    def set_empty_words(self, title: str, hint: str) -> None:
        """What is said where there is no picture."""
        self._empty = (title, hint)
        self.update()

    def set_drag_file(self, name: str, data: Callable[[], bytes] | None) -> None:
        """What leaves the window when the picture is dragged out; None for nothing."""
        self._drag_file = (name, data) if data is not None else None

    def fit(self) -> None:
        """Show the whole picture, never larger than it is unless it is tiny."""
        self._set_zoom(None, QPointF())

    def actual_size(self) -> None:
        """One device pixel for each of the picture's."""
        self._set_zoom(1.0, QPointF())

    def zoom_by(self, factor: float, around: QPointF | None = None) -> None:
        """Zoom, keeping what is under `around` (widget pixels; the middle without) where it is."""
        if self._image is None:
            return
        old = self._scale()
        ratio = self.devicePixelRatioF()
        new = min(max(old * ratio * factor, _MIN_ZOOM), _MAX_ZOOM)
        point = (around or self._middle()) - self._middle()
        offset = point - (point - self._offset) * (new / ratio / old)
        self._set_zoom(new, offset)

    # ---- events

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), self._surround())
        if self._image is None:
            self._paint_empty(painter)
        else:
            target = self._target()
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self._smooth())
            painter.drawImage(target, self._image)
        if self.hasFocus():
            painter.setPen(self.palette().color(QPalette.ColorRole.Highlight))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def wheelEvent(self, event: QWheelEvent) -> None:
        notches = event.angleDelta().y() / 120
        if notches:
            self.zoom_by(_STEP**notches, event.position())
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        pans = {
            Qt.Key.Key_Left: QPointF(40, 0),
            Qt.Key.Key_Right: QPointF(-40, 0),
            Qt.Key.Key_Up: QPointF(0, 40),
            Qt.Key.Key_Down: QPointF(0, -40),
        }
        key = Qt.Key(event.key())
        if key in pans and self._overflows():
            self._set_zoom(self._zoom, self._offset + pans[key])
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_by(_STEP)
        elif key is Qt.Key.Key_Minus:
            self.zoom_by(1 / _STEP)
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() is Qt.MouseButton.LeftButton and self._image is not None:
            self._pressed = event.position().toPoint()
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._pressed is None:
            return
        position = event.position().toPoint()
        if self._overflows() and not event.modifiers() & Qt.KeyboardModifier.AltModifier:
            self._set_zoom(self._zoom, self._offset + QPointF(position - self._pressed))
            self._pressed = position
        elif (position - self._pressed).manhattanLength() >= QApplication.startDragDistance():
            self._pressed = None
            self._drag_out()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._pressed = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if self._zoom is None:
            self.actual_size()
        else:
            self.fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.zoomed.emit()
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.ApplicationPaletteChange):
            self.update()
        super().changeEvent(event)

    # ---- geometry

    def percent(self) -> int:
        """The zoom as it is shown, in percent of the picture's pixels."""
        return round(100 * self._scale() * self.devicePixelRatioF()) if self._image is not None else 100

    def drag_data(self) -> QMimeData | None:
        """What a drag of the picture carries: pixels for painters, a PNG file for everything else."""
        if self._image is None or self._drag_file is None:
            return None
        name, data = self._drag_file
        path = Path(self._folder.filePath(name))
        path.write_bytes(data())
        mime = QMimeData()
        mime.setImageData(self._image)
        mime.setUrls([QUrl.fromLocalFile(str(path))])
        return mime

    def _scale(self) -> float:
        ratio = self.devicePixelRatioF()
        if self._zoom is not None:
            return self._zoom / ratio
        room = self.size().shrunkBy(QMargins(_MARGIN, _MARGIN, _MARGIN, _MARGIN))
        return fitted(self._size, max(1, room.width()), max(1, room.height())).width() / max(1, self._size.width())

    def _target(self) -> QRectF:
        scale = self._scale()
        width, height = self._size.width() * scale, self._size.height() * scale
        middle = self._middle() + self._offset
        return QRectF(round(middle.x() - width / 2), round(middle.y() - height / 2), width, height)

    def _middle(self) -> QPointF:
        return QPointF(self.width() / 2, self.height() / 2)

    def _overflows(self) -> bool:
        target = self._target()
        return self._image is not None and (target.width() > self.width() or target.height() > self.height())

    def _smooth(self) -> bool:
        return self._scale() * self.devicePixelRatioF() < 4 or self._image is None or self._image.size() != self._size

    def _set_zoom(self, zoom: float | None, offset: QPointF) -> None:
        self._zoom = zoom
        target_size = QSize(self._size) * self._scale()
        reach_x = max(0.0, (target_size.width() - self.width()) / 2 + _MARGIN)
        reach_y = max(0.0, (target_size.height() - self.height()) / 2 + _MARGIN)
        if target_size.width() <= self.width():
            reach_x = 0.0
        if target_size.height() <= self.height():
            reach_y = 0.0
        self._offset = QPointF(min(max(offset.x(), -reach_x), reach_x), min(max(offset.y(), -reach_y), reach_y))
        self.update()
        self.zoomed.emit()

    def _surround(self) -> QColor:
        window = self.palette().color(QPalette.ColorRole.Window)
        return window.darker(108) if window.lightness() > 128 else window.darker(135)

    def _paint_empty(self, painter: QPainter) -> None:
        title, hint = self._empty
        room = self.rect().adjusted(24, 0, -24, 0)
        font = painter.font()
        small = font.pointSizeF()
        font.setPointSizeF(small * 1.3)
        painter.setFont(font)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        flags = Qt.AlignmentFlag.AlignHCenter | Qt.TextFlag.TextWordWrap
        middle = room.center().y()
        upper = room.adjusted(0, 0, 0, 0)
        upper.setBottom(middle - 4)
        painter.drawText(upper, flags | Qt.AlignmentFlag.AlignBottom, title)
        font.setPointSizeF(small)
        painter.setFont(font)
        painter.setPen(self.palette().color(QPalette.ColorRole.PlaceholderText))
        lower = room.adjusted(0, 0, 0, 0)
        lower.setTop(middle + 6)
        painter.drawText(lower, flags | Qt.AlignmentFlag.AlignTop, hint)

    def _drag_out(self) -> None:
        mime = self.drag_data()
        if mime is None or self._image is None:
            return
        drag = QDrag(self)
        drag.setMimeData(mime)
        side = fitted(self._image.size(), 128, 128)
        drag.setPixmap(QPixmap.fromImage(self._image).scaled(side, mode=Qt.TransformationMode.SmoothTransformation))
        drag.exec(Qt.DropAction.CopyAction)
