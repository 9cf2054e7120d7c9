"""The list of image prompts: pictures whose style, or what they show, goes into the result through an IP-Adapter."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from ..protocol.arrays import ArrayRef
from ..protocol.extra_checks import MAX_IMAGE_PROMPT_SCALE, MAX_IMAGE_PROMPTS
from ..protocol.models import ModelEntry, ModelKind
from .control_form import Picture
from .extras_form import ImagePromptForm
from .fields import Card, FloatField, PercentField, describe, quiet, tool_button
from .model_book import ModelBook
from .model_field import ModelField
from .pictures import to_qimage
from .start_form import size_px
from .thumbnail import Thumbnail

_EMPTY = "No image prompts. Add one to paint in the style of a picture."
Offer = Callable[[ModelField], None]


class ImagePromptRow(Card):
    """One picture as a prompt."""

    changed = Signal()
    removed = Signal()
    refused = Signal(object)  # an UnderpaintError
    wanted = Signal(object)  # the ArrayRef of a picture to show

    def __init__(self, prompt: ImagePromptForm, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: Picture | ArrayRef | None = None
        self.setAccessibleName("Image prompt")
        self._thumbnail = Thumbnail("Drop picture")
        self._thumbnail.setAccessibleName("Picture of the image prompt")
        self._thumbnail.given.connect(self.take)
        self._thumbnail.cleared.connect(lambda: self.take(None))
        self._thumbnail.refused.connect(self.refused)
        self._enabled = QCheckBox()
        describe(self._enabled, "Image prompt enabled", "Whether this image prompt takes part")
        self.adapter = ModelField(
            "IP-Adapter",
            "File, folder or hub id of the IP-Adapter that reads the picture",
            "Choose an IP-Adapter…",
            kind=ModelKind.IP_ADAPTER,
        )
        remove = tool_button("remove", "Remove this image prompt")
        remove.clicked.connect(lambda: self.removed.emit())
        self.encoder = ModelField(
            "Image encoder",
            "Folder or hub id of the CLIP that the IP-Adapter looks with; empty takes the one beside it",
            "Encoder: the one beside it",
            kind=ModelKind.IMAGE_ENCODER,
        )
        self._scale = FloatField(
            0,
            MAX_IMAGE_PROMPT_SCALE,
            0.05,
            "Image prompt scale",
            "0 is without, 1 counts as much as the text",
        )
        part = "of the steps at which this image prompt"
        self._start = PercentField("Image prompt start", f"The part {part} sets in")
        self._end = PercentField("Image prompt end", f"The part {part} stops")
        self.parts: tuple[QWidget, ...] = (
            self._thumbnail, self._enabled, *self.adapter.parts, remove, *self.encoder.parts,
            self._scale, self._start, self._end,
        )  # fmt: skip
        """What the Tab key goes through."""
        first, last = QHBoxLayout(), QHBoxLayout()
        for line in (first, last):
            line.setSpacing(4)
        first.addWidget(self._enabled)
        first.addWidget(self.adapter, 1)
        first.addWidget(remove)
        last.addWidget(quiet(QLabel("Scale")))
        last.addWidget(self._scale, 1)
        last.addSpacing(4)
        last.addWidget(quiet(QLabel("Steps")))
        last.addWidget(self._start, 1)
        last.addWidget(quiet(QLabel("–")))
        last.addWidget(self._end, 1)
        right = QVBoxLayout()
        right.setSpacing(4)
        right.addLayout(first)
        right.addWidget(self.encoder)
        right.addLayout(last)
        right.addStretch(1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(8)
        layout.addWidget(self._thumbnail)
        layout.addLayout(right, 1)
        self.fill(prompt)
        for signal in (
            self._enabled.toggled,
            self.adapter.changed,
            self.encoder.changed,
            self._scale.valueChanged,
            self._start.valueChanged,
            self._end.valueChanged,
        ):
            signal.connect(self.changed)

    @property
    def prompt(self) -> ImagePromptForm:
        """What is filled in."""
        return ImagePromptForm(
            adapter=self.adapter.value,
            image=self._image,
            scale=self._scale.exact,
            start=self._start.part,
            end=self._end.part,
            image_encoder=self.encoder.value,
            enabled=self._enabled.isChecked(),
        )

    def fill(self, prompt: ImagePromptForm) -> None:
        """Fill in an image prompt."""
        self._enabled.setChecked(prompt.enabled)
        self.adapter.set_value(prompt.adapter)
        self.encoder.set_value(prompt.image_encoder)
        self._scale.fill(prompt.scale)
        self._start.fill(prompt.start)
        self._end.fill(prompt.end)
        self._image = prompt.image
        self.show_image()

    def take(self, picture: Picture | ArrayRef | None) -> None:
        """Another picture, or none."""
        self._image = picture
        self.show_image()
        self.changed.emit()

    def show_image(self) -> None:
        """Show the picture, or ask for it."""
        image = self._image
        words = "No picture yet."
        if image is not None:
            width, height = size_px(image)
            words = f"{image.name if isinstance(image, Picture) else 'Of an earlier job'}, {width} × {height}"
        shown = to_qimage(image.pixels) if isinstance(image, Picture) else None
        self._thumbnail.show_image(shown, words, held=image is not None)
        if isinstance(image, ArrayRef):
            self.wanted.emit(image)

    def show_picture(self, ref: ArrayRef, image: QImage) -> None:
        """A picture that was wanted has come."""
        if self._image == ref:
            self._thumbnail.show_image(image, f"Of an earlier job, {image.width()} × {image.height()}")


class ImagePromptArea(QWidget):
    """Rows of image prompts, top to bottom."""

    changed = Signal()
    refused = Signal(object)  # an UnderpaintError
    wanted = Signal(object)  # the ArrayRef of a picture to show

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[ImagePromptRow] = []
        self._offers: tuple[Offer, Offer] | None = None
        self.add = tool_button("add", "Add an image prompt", text="Add")
        self.add.setAccessibleName("Add an image prompt")
        self.add.clicked.connect(self._add)
        self._empty = quiet(QLabel(_EMPTY))
        self._empty.setWordWrap(True)
        self._list = QVBoxLayout()
        self._list.setSpacing(4)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.add)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 0, 2)
        layout.setSpacing(4)
        layout.addWidget(self._empty)
        layout.addLayout(self._list)
        layout.addLayout(foot)

    @property
    def prompts(self) -> tuple[ImagePromptForm, ...]:
        """What is filled in."""
        return tuple(row.prompt for row in self._rows)

    @property
    def rows(self) -> tuple[ImagePromptRow, ...]:
        """The rows, top to bottom."""
        return tuple(self._rows)

    @property
    def parts(self) -> tuple[QWidget, ...]:
        """What the Tab key goes through."""
        return (*(part for row in self._rows for part in row.parts), self.add)

    def fill(self, prompts: Sequence[ImagePromptForm]) -> None:
        """Show these; rows that stay keep the keyboard focus."""
        while len(self._rows) > len(prompts):
            self._take_out(self._rows[-1])
        for row, prompt in zip(self._rows, prompts, strict=False):
            row.fill(prompt)
        for prompt in prompts[len(self._rows) :]:
            self._append(prompt)
        self._show_state()

    def offer(self, book: ModelBook, fits: Callable[[ModelEntry], bool]) -> None:
        """Offer the book's IP-Adapters, those that fit, and its image encoders."""
        self._offers = (lambda field: field.offer(book, fits), lambda field: field.offer(book))
        for row in self._rows:
            self._offer(row)

    def show_picture(self, ref: ArrayRef, image: QImage) -> None:
        """A picture that was wanted has come."""
        for row in self._rows:
            row.show_picture(ref, image)

    def _offer(self, row: ImagePromptRow) -> None:
        if self._offers is not None:
            self._offers[0](row.adapter)
            self._offers[1](row.encoder)

    def _add(self) -> None:
        row = self._append(ImagePromptForm(adapter=self._rows[-1].adapter.value if self._rows else ""))
        self._show_state()
        row.adapter.parts[0].setFocus()
        self.changed.emit()

    def _append(self, prompt: ImagePromptForm) -> ImagePromptRow:
        row = ImagePromptRow(ImagePromptForm(), self)
        self._offer(row)
        row.refused.connect(self.refused)
        row.wanted.connect(self.wanted)
        row.fill(prompt)  # now that somebody hears which picture is wanted
        row.changed.connect(self.changed)
        row.removed.connect(lambda: self._remove(row))
        self._rows.append(row)
        self._list.addWidget(row)
        return row

    def _remove(self, row: ImagePromptRow) -> None:
        self._take_out(row)
        self._show_state()
        self.changed.emit()

    def _take_out(self, row: ImagePromptRow) -> None:
        self._rows.remove(row)
        row.hide()
        row.deleteLater()

    def _show_state(self) -> None:
        self._empty.setVisible(not self._rows)
        self.add.setEnabled(len(self._rows) < MAX_IMAGE_PROMPTS)
