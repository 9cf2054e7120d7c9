"""A field for a model: type, search the list, choose a file or a folder, or drop one."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, Qt, Signal
from PySide6.QtGui import QAction, QDragEnterEvent, QDropEvent, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QComboBox,
    QCompleter,
    QFileDialog,
    QHBoxLayout,
    QListView,
    QMenu,
    QSizePolicy,
    QWidget,
)

from ..protocol.models import ModelEntry, ModelKind
from .fields import WheelNeedsFocus, describe, tool_button
from .icons import icon
from .model_book import ModelBook
from .model_delegate import ENTRY_ROLE, SEARCH_ROLE, ModelDelegate
from .model_words import tooltip

# what isn't read is refused in words by the worker
_DROPPED = (
    ".safetensors",
    ".ckpt",
    ".pt",
    ".pth",
    ".bin",
    ".gguf",
)
_POPUP_PX = 340
Fits = Callable[[ModelEntry], bool]


class ModelField(QWidget):
    """A model by what a request calls it: a file, a folder, a hub id, or nothing for what stands in its place."""

    changed = Signal()
    picked = Signal(object)  # a ModelEntry that was chosen from the list

    def __init__(self, name: str, hint: str, placeholder: str, *, kind: ModelKind) -> None:
        super().__init__()
        self._name = name
        self._hint = hint
        self._kind = kind
        self._book: ModelBook | None = None
        self._fits: Fits = _any
        self._recent: tuple[str, ...] = ()
        self._listed: tuple[object, ...] = ()  # what the list was made of
        self._items = QStandardItemModel(self)
        self._box = _ModelBox()
        self._box.setEditable(True)
        self._box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self._box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._box.setMinimumContentsLength(8)
        self._box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._box.setModel(self._items)
        self._box.opening.connect(self._list)
        self._box.activated.connect(self._picked_row)
        edit = self._box.lineEdit()
        assert edit is not None
        self._edit = edit
        edit.setPlaceholderText(placeholder)
        edit.setClearButtonEnabled(True)
        edit.setAcceptDrops(False)  # the text of a dropped address is no use: the field itself takes the file
        edit.textChanged.connect(self._edited)
        edit.textEdited.connect(lambda: self._list())
        self._completer = _Search(self._items, self)
        self._completer.activated[QModelIndex].connect(self._picked_found)  # type: ignore[index]
        self._box.setCompleter(self._completer)
        describe(self._box, name, hint)
        self._more = tool_button("open", f"Choose the file or folder of the {name}, or refresh the list")
        self._more.clicked.connect(lambda: self._open_menu())
        self.parts: tuple[QWidget, ...] = (self._box, self._more)
        """What the Tab key goes through."""
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._box, 1)
        layout.addWidget(self._more)
        self.setAcceptDrops(True)

    @property
    def value(self) -> str:
        """What is filled in."""
        return self._box.currentText().strip()

    def set_value(self, text: str) -> None:
        """Fill in a reference."""
        self._box.setEditText(text)
        self._tell()

    @property
    def recent(self) -> tuple[str, ...]:
        """What was used before."""
        return self._recent

    def set_recent(self, models: Sequence[str]) -> None:
        """Offer models that were used before, above the others."""
        self._recent = tuple(models)

    def offer(self, book: ModelBook, fits: Fits | None = None) -> None:
        """Offer the book's models of this kind, those that fit."""
        if book is not self._book:
            self._book = book
            delegate = ModelDelegate(book, self)  # type: ignore[arg-type]
            view = QListView(self._box)
            view.setUniformItemSizes(False)
            self._box.setView(view)
            view.setItemDelegate(delegate)
            view.setMinimumWidth(_POPUP_PX)
            popup = self._completer.popup()
            assert popup is not None
            popup.setItemDelegate(delegate)
            popup.setMinimumWidth(_POPUP_PX)
            book.pictured.connect(self._repaint)
            book.changed.connect(self._tell)
        self._fits = fits or _any
        self._tell()

    def entry(self) -> ModelEntry | None:
        """The model that is filled in, where the list has it."""
        return None if self._book is None else self._book.entry(self._kind, self.value)

    @property
    def offered(self) -> tuple[ModelEntry, ...]:
        """The models that the list has for this field."""
        if self._book is None:
            return ()
        return tuple(entry for entry in self._book.entries(self._kind) if self._fits(entry))

    # ---- the list

    def _list(self) -> None:
        """Make the list, where it isn't what it should be."""
        offered = self.offered
        known = {entry.reference for entry in offered}
        recent = tuple(name for name in self._recent if name not in known)
        if (recent, offered) == self._listed:
            return
        self._listed = (recent, offered)
        text, place = self._box.currentText(), self._edit.cursorPosition()
        self._edit.blockSignals(True)
        self._items.clear()
        for name in recent:
            item = QStandardItem(name)
            item.setData(name, SEARCH_ROLE)
            item.setToolTip(f"{name}\nUsed before")
            self._items.appendRow(item)
        for entry in offered:
            item = QStandardItem(entry.reference)
            item.setData(entry, ENTRY_ROLE)
            item.setData(f"{entry.title} {entry.reference}", SEARCH_ROLE)
            item.setToolTip(tooltip(entry))
            item.setEnabled(not entry.problem)
            self._items.appendRow(item)
        self._box.setCurrentIndex(-1)
        self._box.setEditText(text)
        self._edit.setCursorPosition(place)
        self._edit.blockSignals(False)

    def _repaint(self) -> None:
        """A picture of the list has come."""
        self._box.view().viewport().update()

    def _picked_row(self, row: int) -> None:
        self._pick(self._items.item(row, 0))

    def _picked_found(self, index: QModelIndex) -> None:
        self._pick_data(index.data(ENTRY_ROLE))

    def _pick(self, item: QStandardItem | None) -> None:
        if item is not None:
            self._pick_data(item.data(ENTRY_ROLE))

    def _pick_data(self, found: object) -> None:
        if isinstance(found, ModelEntry):
            self.set_value(found.reference)
            self.picked.emit(found)

    def _edited(self) -> None:
        self._tell()
        self.changed.emit()

    def _tell(self) -> None:
        """Say in the tooltip what is filled in."""
        found = self.entry()
        self._box.setToolTip(f"{tooltip(found)}\n\n{self._hint}" if found is not None else self._hint)

    # ---- other ways in

    def _open_menu(self) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        file = QAction(icon("open"), "Choose File…", menu)
        file.triggered.connect(self.choose_file)
        folder = QAction("Choose Folder…", menu)
        folder.triggered.connect(self.choose_folder)
        menu.addActions([file, folder])
        book = self._book
        if book is not None:
            menu.addSeparator()
            refresh = QAction("Refresh the List", menu)
            refresh.triggered.connect(book.refresh)
            folders = QAction("Models Folders…", menu)
            folders.triggered.connect(book.folders_asked)
            catalogue = QAction("Download a Model…", menu)
            catalogue.triggered.connect(book.catalogue_asked)
            menu.addActions([refresh, folders, catalogue])
        menu.popup(self._more.mapToGlobal(QPoint(0, self._more.height())))

    def choose_file(self) -> None:
        """Ask for a file."""
        start = str(Path(self.value).parent) if Path(self.value).is_absolute() else ""
        name, _ = QFileDialog.getOpenFileName(self, self._name, start, "Models (*.safetensors);;All files (*)")
        if name:
            self.set_value(name)

    def choose_folder(self) -> None:
        """Ask for a folder in diffusers' layout."""
        start = self.value if Path(self.value).is_absolute() else ""
        folder = QFileDialog.getExistingDirectory(self, self._name, start)
        if folder:
            self.set_value(folder)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _dropped(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        path = _dropped(event)
        if path is not None:
            event.acceptProposedAction()
            self.set_value(str(path))
            self._edit.setFocus()


class _ModelBox(WheelNeedsFocus, QComboBox):
    opening = Signal()  # the list is about to be shown

    def showPopup(self) -> None:
        self.opening.emit()
        super().showPopup()


class _Search(QCompleter):
    """Finds a model by any part of its title or reference, and fills in the reference."""

    def __init__(self, items: QStandardItemModel, parent: QWidget) -> None:
        super().__init__(items, parent)
        self.setCompletionRole(SEARCH_ROLE)
        self.setFilterMode(Qt.MatchFlag.MatchContains)
        self.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        self.setMaxVisibleItems(10)

    def pathFromIndex(self, index: QModelIndex | QPersistentModelIndex) -> str:
        return str(index.data(Qt.ItemDataRole.DisplayRole) or "")


def _any(_: ModelEntry) -> bool:
    return True


def _dropped(event: QDropEvent) -> Path | None:
    """The model file or folder that is dropped."""
    for url in event.mimeData().urls():
        path = Path(url.toLocalFile()) if url.isLocalFile() else None
        if path is not None and (path.suffix.lower() in _DROPPED or path.is_dir()):
            return path
    return None
