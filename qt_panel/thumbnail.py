"""The square that shows a control's image and takes a new one: dropped, pasted, or out of a file."""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QGuiApplication,
    QImage,
    QImageReader,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
)
from PySide6.QtWidgets import QAbstractButton, QFileDialog, QMenu, QWidget

from ..protocol.errors import UnderpaintError
from . import drops, pictures
from .form import Picture, PoseFile
from .icons import icon

SIDE_PX = 84


class Thumbnail(QAbstractButton):
    """A click opens the menu of ways to get an image; dropping and pasting work too."""

    given = Signal(object)  # a form.Picture or PoseFile
    cleared = Signal()
    refused = Signal(object)  # the UnderpaintError for a file that is no picture

    def __init__(self, words: str = "Drop image", parent: QWidget | None = None, *, poses: bool = False) -> None:
        """`poses` has it take OpenPose JSON files as well."""
        super().__init__(parent)
        self._words = words
        self._poses = poses
        self._image: QImage | None = None
        self._held = False  # whether there is something to clear
        self._hovered_by_drag = False
        self.setFixedSize(SIDE_PX, SIDE_PX)
        self.setAcceptDrops(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._open_menu)
        self.clicked.connect(lambda: self._open_menu())
        self.setAccessibleName("Control image")

    def show_image(self, image: QImage | None, words: str, *, held: bool | None = None) -> None:
        """Show an image (or none) and say in the tooltip what it is; `held` is for what is there and has no image."""
        self._image = image
        self._held = image is not None if held is None else held
        self.setToolTip(f"{words}\nDrop a picture here, paste one (Ctrl+V), or click to choose a file.")
        self.setAccessibleDescription(words)
        self.update()

    def choose_file(self) -> None:
        """Ask for a file."""
        patterns = " ".join(f"*.{bytes(kind.data()).decode()}" for kind in QImageReader.supportedImageFormats())
        if self._poses:
            patterns += " *.json"
        name, _ = QFileDialog.getOpenFileName(self, "Choose Picture", "", f"Pictures ({patterns});;All files (*)")
        if name:
            self._give(lambda: drops.read(Path(name)))

    def paste(self) -> None:
        """Take the picture on the clipboard."""
        self._give(lambda: drops.from_mime(QGuiApplication.clipboard().mimeData()))

    def _give(self, get: Callable[[], Picture | PoseFile | None]) -> None:
        try:
            given = get()
        except UnderpaintError as error:
            self.refused.emit(error)
            return
        if given is None or (isinstance(given, PoseFile) and not self._poses):
            self.refused.emit(pictures.NoPictureGiven())
        else:
            self.given.emit(given)

    def _open_menu(self, _position: QPoint | None = None) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        choose = QAction(icon("open"), "Choose File…", menu)
        choose.triggered.connect(self.choose_file)
        paste = QAction(icon("paste"), "Paste", menu)
        paste.setShortcut(QKeySequence(QKeySequence.StandardKey.Paste))
        paste.triggered.connect(self.paste)
        paste.setEnabled(pictures.holds_picture(QGuiApplication.clipboard().mimeData()))
        clear = QAction(icon("remove"), "Clear", menu)
        clear.triggered.connect(self.cleared)
        clear.setEnabled(self._held)
        menu.addActions([choose, paste, clear])
        menu.popup(self.mapToGlobal(QPoint(0, self.height())))

    # ---- events

    def sizeHint(self) -> QSize:
        return QSize(SIDE_PX, SIDE_PX)

    def keyPressEvent(self, e: QKeyEvent) -> None:
        if e.matches(QKeySequence.StandardKey.Paste):
            self.paste()
        elif e.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.cleared.emit()
        elif e.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not e.modifiers():
            self._open_menu()
        else:
            super().keyPressEvent(e)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if pictures.holds_picture(event.mimeData()):
            self._hover(True)
            event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._hover(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self._hover(False)
        event.acceptProposedAction()
        mime = event.mimeData()
        self._give(lambda: drops.from_mime(mime))

    def changeEvent(self, e: QEvent) -> None:
        if e.type() in (QEvent.Type.PaletteChange, QEvent.Type.ApplicationPaletteChange):
            self.update()
        super().changeEvent(e)

    def paintEvent(self, e: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        palette = self.palette()
        frame = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(palette.color(QPalette.ColorRole.Base))
        painter.drawRoundedRect(frame, 4, 4)
        if self._image is not None:
            size = pictures.fitted(self._image.size(), self.width() - 6, self.height() - 6)
            target = QRect(QPoint(0, 0), size)
            target.moveCenter(self.rect().center())
            painter.drawImage(target, self._image)
        else:
            painter.setPen(palette.color(QPalette.ColorRole.PlaceholderText))
            icon("image", palette.color(QPalette.ColorRole.PlaceholderText)).paint(
                painter, QRect(self.width() // 2 - 11, self.height() // 2 - 20, 22, 22)
            )
            words = self.rect().adjusted(4, self.height() // 2 + 4, -4, -4)
            painter.drawText(words, Qt.AlignmentFlag.AlignHCenter | Qt.TextFlag.TextWordWrap, self._words)
        self._paint_frame(painter, frame)
        painter.end()

    def _paint_frame(self, painter: QPainter, frame: QRectF) -> None:
        strong = self._hovered_by_drag or self.hasFocus()
        role = QPalette.ColorRole.Highlight if strong else QPalette.ColorRole.Mid
        style = Qt.PenStyle.SolidLine if self._image is not None or strong else Qt.PenStyle.DashLine
        painter.setPen(QPen(self.palette().color(role), 2 if strong else 1, style))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(frame, 4, 4)

    def _hover(self, hovered: bool) -> None:
        self._hovered_by_drag = hovered
        self.update()
