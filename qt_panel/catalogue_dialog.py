"""Models that are recommended, and fetched when the user says so."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ..protocol.models import Catalogue, CatalogueEntry
from . import messages as m
from . import words
from .downloads import Downloads
from .fields import quiet
from .icons import icon
from .model_book import ModelBook
from .model_words import FAMILIES, KINDS, size
from .session import Session

_COLUMNS = ("Model", "Kind", "Family", "Size", "Licence", "")
_HERE, _COMING = "On this computer", "Downloading…"
_ENTRY_ROLE = int(Qt.ItemDataRole.UserRole)


class CatalogueDialog(QDialog):
    """A searchable list; one click fetches a model, as a job with its progress in the job list."""

    def __init__(self, session: Session, book: ModelBook, downloads: Downloads, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._book = book
        self._downloads = downloads
        self._catalogue = Catalogue(entries=())
        self.setWindowTitle("Download a Model")
        self.resize(820, 520)
        self._search = QLineEdit()
        self._search.setPlaceholderText("Search: sdxl depth, lora, apache…")
        self._search.setClearButtonEnabled(True)
        self._search.setAccessibleName("Search")
        self._search.textChanged.connect(self._filter)
        self.list = QTreeWidget()
        self.list.setAccessibleName("Recommended models")
        self.list.setColumnCount(len(_COLUMNS))
        self.list.setHeaderLabels(list(_COLUMNS))
        self.list.setRootIsDecorated(False)
        self.list.setAlternatingRowColors(True)
        self.list.setUniformRowHeights(True)
        self.list.currentItemChanged.connect(lambda: self._show_entry())
        self.list.itemActivated.connect(lambda: self.download())
        self._words = QLabel("Asking the backend…")
        self._words.setWordWrap(True)
        self._words.setTextFormat(Qt.TextFormat.PlainText)
        self._words.setMinimumHeight(4 * self.fontMetrics().lineSpacing())
        self._words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._fetch = QPushButton(icon("save"), "Download")
        self._fetch.setDefault(True)
        self._fetch.clicked.connect(self.download)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.reject)
        foot = QHBoxLayout()
        foot.addWidget(quiet(QLabel("Downloads are jobs: see and cancel them in the job list.")), 1)
        foot.addWidget(self._fetch)
        foot.addWidget(close)
        layout = QVBoxLayout(self)
        layout.addWidget(self._search)
        layout.addWidget(self.list, 1)
        layout.addWidget(self._words)
        layout.addLayout(foot)
        session.reported.connect(self.hear)
        book.changed.connect(self._show_states)
        downloads.ended.connect(self._show_states)
        session.send(m.LoadCatalogue())
        self._show_entry()

    def hear(self, report: m.Report) -> None:
        """Take in a report."""
        match report:
            case m.CatalogueLoaded(catalogue=catalogue):
                self._fill(catalogue)
            case m.Refused(command=m.LoadCatalogue(), error=error):
                self._words.setText(str(error))
            case _:
                pass

    def choose(self, reference: str) -> None:
        """Put the cursor on a model."""
        for item in self._items():
            if _entry(item).reference == reference:
                self.list.setCurrentItem(item)

    def download(self) -> None:
        """Fetch the chosen model."""
        item = self.list.currentItem()
        if item is not None and self._fetch.isEnabled():
            entry = _entry(item)
            self._downloads.ask(entry.reference, entry.file)
            self._show_states()

    def _fill(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.list.clear()
        for entry in catalogue.entries:
            licence = f"{entry.licence}, terms to accept" if entry.gated else entry.licence
            item = QTreeWidgetItem(
                [entry.title, _kind(entry), FAMILIES[entry.family], size(entry.size_bytes), licence, ""]
            )
            item.setData(0, _ENTRY_ROLE, entry)
            item.setTextAlignment(3, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            for column in range(len(_COLUMNS)):
                item.setToolTip(column, f"{entry.reference}\n{entry.note}".strip())
            self.list.addTopLevelItem(item)
        header = self.list.header()
        for column in range(1, len(_COLUMNS)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self._filter(self._search.text())
        self._show_states()
        first = next(iter(self._items()), None)
        if self.list.currentItem() is None and first is not None:
            self.list.setCurrentItem(first)

    def _items(self) -> list[QTreeWidgetItem]:
        found = (self.list.topLevelItem(row) for row in range(self.list.topLevelItemCount()))
        return [item for item in found if item is not None]

    def _filter(self, text: str) -> None:
        wanted = text.casefold().split()
        for item in self._items():
            entry = _entry(item)
            told = " ".join((
                entry.title, entry.reference, _kind(entry), FAMILIES[entry.family], entry.licence, entry.note,
            )).casefold()  # fmt: skip
            item.setHidden(not all(word in told for word in wanted))

    def _show_states(self) -> None:
        for item in self._items():
            entry = _entry(item)
            here = self._is_here(entry)
            coming = self._downloads.is_on_its_way(entry.reference, entry.file)
            item.setText(len(_COLUMNS) - 1, _COMING if coming else _HERE if here else "")
        self._show_entry()

    def _is_here(self, entry: CatalogueEntry) -> bool:
        wanted = {entry.reference, f"{entry.reference}/{entry.file}"} if entry.file else {entry.reference}
        return any(known.reference in wanted and not known.problem for known in self._book.page.models)

    def _show_entry(self) -> None:
        item = self.list.currentItem()
        if item is None:
            self._fetch.setEnabled(False)
            return
        entry = _entry(item)
        lines = [f"{entry.reference}{'/' if entry.file else ''}{entry.file}", entry.note]
        if entry.convention:
            lines.append(f"Control images: {entry.convention}")
        if entry.gated:
            lines.append("Its terms have to be accepted on the hub, and a token be given, before it can be fetched.")
        self._words.setText("\n".join(line for line in lines if line))
        coming = self._downloads.is_on_its_way(entry.reference, entry.file)
        self._fetch.setEnabled(not coming and not self._is_here(entry))
        self._fetch.setText(f"Download {size(entry.size_bytes)}".rstrip())


def _kind(entry: CatalogueEntry) -> str:
    kinds = ", ".join(_control(kind) for kind in entry.control_kinds)
    return f"{KINDS[entry.kind]}: {kinds}" if kinds and len(entry.control_kinds) <= 2 else KINDS[entry.kind]


def _control(kind: str) -> str:
    return next((label for member, label in words.KINDS.items() if member.value == kind), kind)


def _entry(item: QTreeWidgetItem) -> CatalogueEntry:
    entry = item.data(0, _ENTRY_ROLE)
    assert isinstance(entry, CatalogueEntry)
    return entry
