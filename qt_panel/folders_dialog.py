"""The folders that are looked through for models: our own, those of other programs, any other."""

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..protocol.client import Home
from ..protocol.client.model_folders import add_model_folder, model_folders, remove_model_folder
from ..protocol.errors import UnderpaintError
from ..protocol.models import ModelFolder, Origin
from .fields import quiet
from .icons import icon
from .model_book import ModelBook

_ORIGINS = {
    Origin.UNDERPAINT: "Underpaint's own",
    Origin.HUGGING_FACE: "Hugging Face cache",
    Origin.COMFYUI: "ComfyUI",
    Origin.A1111: "A1111 or Forge",
    Origin.FOLDER: "Folder",
}


class FoldersDialog(QDialog):
    """Adds folders and takes them out. Nothing is copied, and nothing is ever written there."""

    def __init__(self, home: Home, book: ModelBook, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._models = home.models
        self._book = book
        self.setWindowTitle("Models Folders")
        self.resize(560, 360)
        explained = QLabel(
            "Models are looked for in these folders, and used where they lie. Add the folder of ComfyUI or A1111 to "
            "use its models as well."
        )
        explained.setWordWrap(True)
        self.list = QListWidget()
        self.list.setAccessibleName("Models folders")
        self.list.setAlternatingRowColors(True)
        self.list.setSpacing(3)
        self.list.itemSelectionChanged.connect(self._show_state)
        self._said = quiet(QLabel())
        self._said.setWordWrap(True)
        self._said.setTextFormat(Qt.TextFormat.PlainText)
        add = QPushButton(icon("add"), "Add Folder…")
        add.clicked.connect(self.ask)
        self._remove = QPushButton(icon("remove"), "Remove")
        self._remove.setToolTip("No longer look there; the folder and its files stay as they are")
        self._remove.clicked.connect(self.remove)
        refresh = QPushButton(icon("again"), "Refresh")
        refresh.setToolTip("Look through all folders again")
        refresh.clicked.connect(self._refresh)
        buttons = QHBoxLayout()
        for button in (add, self._remove, refresh):
            buttons.addWidget(button)
        buttons.addStretch(1)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.reject)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.addWidget(explained)
        layout.addWidget(self.list, 1)
        layout.addWidget(self._said)
        layout.addLayout(buttons)
        book.changed.connect(self._show)
        self._show()

    def ask(self) -> None:
        """Ask for a folder to add."""
        folder = QFileDialog.getExistingDirectory(self, "Folder with Models")
        if folder:
            self.add(Path(folder))

    def add(self, folder: Path) -> None:
        """Have a folder looked through, too."""
        try:
            added = add_model_folder(self._models, folder)
        except UnderpaintError as error:
            self._said.setText(str(error))
            return
        self._said.setText(f"Looking through {added}…")
        self._book.refresh()
        self._show()

    def remove(self) -> None:
        """No longer look through the chosen folder."""
        if self.list.currentRow() < 0:
            return
        try:
            remove_model_folder(self._models, str(self.list.currentItem().data(Qt.ItemDataRole.UserRole)))
        except UnderpaintError as error:
            self._said.setText(str(error))
            return
        self._said.setText("")
        self._book.refresh()
        self._show()

    def _refresh(self) -> None:
        self._said.setText("Looking through the folders…")
        self._book.refresh()

    def _show(self) -> None:
        chosen = self.list.currentRow()
        told = {Path(folder.path): folder for folder in self._book.page.folders}
        try:
            added = model_folders(self._models)
        except UnderpaintError as error:
            added = ()
            self._said.setText(str(error))
        for path in added:  # one that was added a moment ago, and isn't looked through yet
            told.setdefault(Path(path), ModelFolder(path=path, origin=Origin.FOLDER))
        self.list.clear()
        counts = self._book.page.models
        for folder in told.values():
            inside = sum(1 for entry in counts if _lies_in(entry.reference, folder, self._models, entry.origin))
            item = QListWidgetItem(f"{folder.path}\n{_ORIGINS[folder.origin]}{_count(inside)}")
            item.setData(Qt.ItemDataRole.UserRole, folder.path)
            item.setToolTip(folder.problem or folder.path)
            if folder.problem:
                item.setText(f"{folder.path}\n{folder.problem}")
            self.list.addItem(item)
        self.list.setCurrentRow(chosen)
        if not self._book.page.scanning and self._said.text().startswith("Looking through"):
            self._said.setText("")
        self._show_state()

    def _show_state(self) -> None:
        chosen = self.list.currentRow() >= 0
        path = str(self.list.currentItem().data(Qt.ItemDataRole.UserRole)) if chosen else ""
        try:
            removable = any(Path(path) == Path(folder) for folder in model_folders(self._models))
        except UnderpaintError:
            removable = False  # the reason is said already
        self._remove.setEnabled(bool(path) and removable)


def _count(models: int) -> str:
    return f", {models} {'model' if models == 1 else 'models'}" if models else ""


def _lies_in(reference: str, folder: ModelFolder, own: Path, origin: Origin) -> bool:
    """Whether a model was found in a folder, as far as its reference tells."""
    if origin is not folder.origin:
        return False
    path = Path(reference)
    if origin in (Origin.UNDERPAINT, Origin.HUGGING_FACE) or not path.is_absolute():
        return origin is not Origin.UNDERPAINT or Path(folder.path) == own
    return path.is_relative_to(folder.path)
