"""How a model looks in a list: its picture, its title, and a line on what it is."""

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QFont, QImage, QPainter, QPalette
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from ..protocol.models import ModelEntry
from .model_book import ModelBook
from .model_words import details

ENTRY_ROLE = int(Qt.ItemDataRole.UserRole)
SEARCH_ROLE = ENTRY_ROLE + 1
_PICTURE_PX = 36
_GAP_PX = 6
_NO_ENTRY_ROOM_PX = 10


class ModelDelegate(QStyledItemDelegate):
    """Draws an item with a ModelEntry at ENTRY_ROLE in two lines, and any other in one."""

    def __init__(self, book: ModelBook, parent: QStyledItemDelegate | None = None) -> None:
        super().__init__(parent)
        self._book = book

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        line = option.fontMetrics.height()  # type: ignore[attr-defined]
        if _entry(index) is None:
            return QSize(200, line + _NO_ENTRY_ROOM_PX)
        return QSize(260, max(2 * line, _PICTURE_PX) + _GAP_PX)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        entry = _entry(index)
        if entry is None:
            super().paint(painter, option, index)
            return
        plain = QStyleOptionViewItem(option)
        self.initStyleOption(plain, index)
        plain.text = ""  # type: ignore[attr-defined]
        style = plain.widget.style()  # type: ignore[attr-defined]
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, plain, painter, plain.widget)  # type: ignore[attr-defined]
        self._paint_entry(painter, plain, entry)

    def _paint_entry(self, painter: QPainter, option: QStyleOptionViewItem, entry: ModelEntry) -> None:
        rect: QRect = option.rect.adjusted(_GAP_PX, 0, -_GAP_PX, 0)  # type: ignore[attr-defined]
        palette: QPalette = option.palette  # type: ignore[attr-defined]
        selected = bool(option.state & QStyle.StateFlag.State_Selected)  # type: ignore[attr-defined]
        group = QPalette.ColorGroup.Disabled if entry.problem else QPalette.ColorGroup.Normal
        role = QPalette.ColorRole.HighlightedText if selected else QPalette.ColorRole.Text
        painter.save()
        picture = self._book.picture(entry)
        if picture is not None:
            _paint_picture(painter, QRect(rect.left(), rect.center().y() - _PICTURE_PX // 2 + 1, 0, 0), picture)
            rect.setLeft(rect.left() + _PICTURE_PX + _GAP_PX)
        line = option.fontMetrics.height()  # type: ignore[attr-defined]
        top = rect.top() + (rect.height() - 2 * line) // 2
        font = QFont(option.font)  # type: ignore[attr-defined]
        painter.setFont(font)
        painter.setPen(palette.color(group, role))
        self._line(painter, QRect(rect.left(), top, rect.width(), line), entry.title or entry.reference)
        quiet = role if selected else QPalette.ColorRole.PlaceholderText
        painter.setPen(palette.color(group, quiet))
        text = entry.problem or details(entry)
        self._line(painter, QRect(rect.left(), top + line, rect.width(), line), text)
        painter.restore()

    def _line(self, painter: QPainter, rect: QRect, text: str) -> None:
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, rect.width())
        painter.drawText(rect, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), shown)


def _entry(index: QModelIndex | QPersistentModelIndex) -> ModelEntry | None:
    found = index.data(ENTRY_ROLE)
    return found if isinstance(found, ModelEntry) else None


def _paint_picture(painter: QPainter, at: QRect, picture: QImage) -> None:
    size = picture.size().scaled(_PICTURE_PX, _PICTURE_PX, Qt.AspectRatioMode.KeepAspectRatio)
    target = QRect(at.left(), at.top(), size.width(), size.height())
    target.moveCenter(QRect(at.left(), at.top(), _PICTURE_PX, _PICTURE_PX).center())
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawImage(target, picture)
