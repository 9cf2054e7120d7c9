"""What is seldom asked for: another VAE, embeddings, clip skip, seamless edges, the prompt as written, the checker."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from ..protocol.extra_checks import MAX_CLIP_SKIP, MAX_EMBEDDINGS
from ..protocol.models import ModelEntry, ModelKind
from ..protocol.request import Embedding, Seamless
from .fields import Choice, IntField, describe, quiet, tool_button
from .model_book import ModelBook
from .model_field import ModelField

_SEAMLESS = {
    Seamless.OFF: "Off",
    Seamless.X: "Left and right",
    Seamless.Y: "Top and bottom",
    Seamless.BOTH: "All edges",
}


class EmbeddingRow(QWidget):
    """A textual inversion and its token."""

    changed = Signal()
    removed = Signal()

    def __init__(self, embedding: Embedding, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = ModelField(
            "Embedding", "File or hub id of a textual inversion", "Choose an embedding…", kind=ModelKind.EMBEDDING
        )
        self._token = QLineEdit()
        self._token.setPlaceholderText("Its own token")
        describe(self._token, "Token", "The word that calls it up in the prompt; empty takes the file's own")
        remove = tool_button("remove", "Remove this embedding")
        remove.clicked.connect(lambda: self.removed.emit())
        self.parts: tuple[QWidget, ...] = (*self.model.parts, self._token, remove)
        """What the Tab key goes through."""
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.model, 3)
        layout.addWidget(self._token, 2)
        layout.addWidget(remove)
        self.fill(embedding)
        self.model.changed.connect(self.changed)
        self._token.textChanged.connect(self.changed)

    @property
    def embedding(self) -> Embedding:
        """What is filled in."""
        return Embedding(embedding=self.model.value, token=self._token.text().strip())

    def fill(self, embedding: Embedding) -> None:
        """Fill in an embedding."""
        self.model.set_value(embedding.embedding)
        self._token.setText(embedding.token)


class DetailsArea(QWidget):
    """Fields below a fold."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[EmbeddingRow] = []
        self._offer: Callable[[ModelField], None] | None = None
        self.vae = ModelField(
            "VAE",
            "File, folder or hub id of a VAE; empty takes the checkpoint's own",
            "The checkpoint's own",
            kind=ModelKind.VAE,
        )
        self.checker = ModelField(
            "Safety checker",
            "Folder or hub id of the checker that blackens what it objects to; empty goes without",
            "None",
            kind=ModelKind.SAFETY_CHECKER,
        )
        self._clip_skip = IntField(
            0,
            MAX_CLIP_SKIP,
            1,
            "Clip skip",
            "How many of the last layers of CLIP are left out; other programs count one more",
        )
        self._seamless = Choice(
            list(_SEAMLESS.items()), "Seamless", "Which edges of the picture continue at the opposite ones"
        )
        self._plain = QCheckBox("Take brackets in prompts as they are written")
        describe(self._plain, "Plain prompt", "Not as weights, such as (word:1.2), and not as <lora:name:weight>")
        self._add = tool_button("add", "Add an embedding that lies outside the models folders", text="Embedding")
        self._add.clicked.connect(self._add_row)
        self._list = QVBoxLayout()
        self._list.setSpacing(4)
        grid = QGridLayout(self)
        grid.setContentsMargins(4, 0, 0, 2)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        grid.addWidget(_label("VAE", self.vae.parts[0]), 0, 0)
        grid.addWidget(self.vae, 0, 1, 1, 3)
        grid.addWidget(_label("Clip skip", self._clip_skip), 1, 0)
        grid.addWidget(self._clip_skip, 1, 1)
        grid.addWidget(_label("Seamless", self._seamless), 1, 2)
        grid.addWidget(self._seamless, 1, 3)
        grid.addWidget(_label("Checker", self.checker.parts[0]), 2, 0)
        grid.addWidget(self.checker, 2, 1, 1, 3)
        grid.addWidget(self._plain, 3, 0, 1, 4)
        grid.addLayout(self._list, 4, 0, 1, 4)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self._add)
        grid.addLayout(foot, 5, 0, 1, 4)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        for signal in (
            self.vae.changed,
            self.checker.changed,
            self._clip_skip.valueChanged,
            self._seamless.chosen,
            self._plain.toggled,
        ):
            signal.connect(self.changed)

    @property
    def clip_skip(self) -> int:
        """Layers that are left out."""
        return self._clip_skip.value()

    @property
    def seamless(self) -> Seamless:
        """Which edges continue."""
        return self._seamless.value

    @property
    def plain_prompt(self) -> bool:
        """Whether brackets mean nothing."""
        return self._plain.isChecked()

    @property
    def embeddings(self) -> tuple[Embedding, ...]:
        """What is filled in."""
        return tuple(row.embedding for row in self._rows)

    @property
    def parts(self) -> tuple[QWidget, ...]:
        """What the Tab key goes through."""
        rows = (part for row in self._rows for part in row.parts)
        return (
            *self.vae.parts, self._clip_skip, self._seamless, *self.checker.parts, self._plain, *rows, self._add,
        )  # fmt: skip

    def fill(
        self,
        *,
        vae: str,
        safety_checker: str,
        clip_skip: int,
        seamless: Seamless,
        plain_prompt: bool,
        embeddings: Sequence[Embedding],
    ) -> None:
        """Fill in what stands here."""
        self.vae.set_value(vae)
        self.checker.set_value(safety_checker)
        self._clip_skip.setValue(clip_skip)
        self._seamless.set_value(seamless)
        self._plain.setChecked(plain_prompt)
        while len(self._rows) > len(embeddings):
            self._take_out(self._rows[-1])
        for row, embedding in zip(self._rows, embeddings, strict=False):
            row.fill(embedding)
        for embedding in embeddings[len(self._rows) :]:
            self._append(embedding)

    def offer(self, book: ModelBook, fits: Callable[[ModelEntry], bool]) -> None:
        """Offer the book's models, those that fit."""
        self._offer = lambda field: field.offer(book, fits)
        self._offer(self.vae)
        self.checker.offer(book)
        for row in self._rows:
            self._offer(row.model)

    def _add_row(self) -> None:
        row = self._append(Embedding(embedding=""))
        row.model.parts[0].setFocus()
        self.changed.emit()

    def _append(self, embedding: Embedding) -> EmbeddingRow:
        row = EmbeddingRow(embedding, self)
        if self._offer is not None:
            self._offer(row.model)
        row.changed.connect(self.changed)
        row.removed.connect(lambda: self._remove(row))
        self._rows.append(row)
        self._list.addWidget(row)
        self._add.setEnabled(len(self._rows) < MAX_EMBEDDINGS)
        return row

    def _remove(self, row: EmbeddingRow) -> None:
        self._take_out(row)
        self.changed.emit()

    def _take_out(self, row: EmbeddingRow) -> None:
        self._rows.remove(row)
        row.hide()
        row.deleteLater()
        self._add.setEnabled(True)


def _label(text: str, buddy: QWidget) -> QLabel:
    label = quiet(QLabel(text))
    label.setBuddy(buddy)
    return label
