"""The left side of the window: everything that makes a picture."""

import dataclasses
import random

from PySide6.QtCore import QEvent, QObject, QRegularExpression, QSize, Qt, Signal
from PySide6.QtGui import QRegularExpressionValidator
from PySide6.QtWidgets import (
    QCheckBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from ..protocol.checks import MAX_PICTURES, MAX_SEED, MIN_SIDE, SIZE_STEP, nearest_size
from ..protocol.errors import InvalidSize
from ..protocol.geometry import Camera, Extent
from ..protocol.limits import MAX_SIDE, MAX_STEPS
from ..protocol.models import ModelEntry, ModelKind
from ..protocol.request import Variant
from . import words
from .control_list import ControlList
from .extras_area import ExtrasArea
from .fields import Choice, FloatField, IntField, PromptField, heading, quiet, tool_button
from .form import Form, misfit
from .machine_area import MachineArea
from .model_book import ModelBook, fits
from .model_field import ModelField
from .start_area import StartArea

_SIZES = ((512, 512), (512, 768), (768, 512), (768, 768), (1024, 1024), (832, 1216), (1216, 832))
_MIN_WIDTH_PX = 416  # room for a control, whether there is one or not, so that nothing moves with the first
_ROLL = 2**31 - 1  # new seeds stay within what Blender's seed field holds


class FormPanel(QScrollArea):
    """Shows a Form and gives it back."""

    changed = Signal()
    picked = Signal(object)  # a ModelEntry that was chosen from a list, and may have advice

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._camera: Camera | None = None
        self._variants: tuple[Variant, ...] = ()
        self._filling = False
        self.controls = ControlList()
        self.start = StartArea()
        self.extras = ExtrasArea()
        self._book: ModelBook | None = None
        self.machine = MachineArea()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._build()
        for part in (self.controls, self.start, self.extras, self.machine):
            part.changed.connect(self._edited)
        for picker in (self._checkpoint, self.extras):
            picker.picked.connect(self.picked)
        self.start.size_asked.connect(self._take_size)

    @property
    def form(self) -> Form:
        """What is filled in."""
        return Form(
            prompt=self._prompt.toPlainText(),
            negative_prompt=self._negative.toPlainText(),
            checkpoint=self._checkpoint.value,
            allow_download=self._download.isChecked(),
            size=Extent(width=self._width.value(), height=self._height.value()),
            controls=self.controls.controls,
            steps=self._steps.value(),
            guidance_scale=self._guidance.exact,
            scheduler=self._scheduler.value,
            sigmas=self._sigmas.value,
            seed=min(int(self._seed.text() or 0), MAX_SEED),
            random_seed=self._random.isChecked(),
            pictures=self._pictures.value(),
            variants=self._variants,
            batch_size=self.machine.batch_size,
            start=self.start.start,
            extras=self.extras.extras,
            precision=self.machine.precision,
            memory_budget_gb=self.machine.budget_gb,
            camera=self._camera,
        )

    def fill(self, form: Form) -> None:
        """Fill in a form."""
        self._filling = True
        self._prompt.setPlainText(form.prompt)
        self._negative.setPlainText(form.negative_prompt)
        self._checkpoint.set_value(form.checkpoint)
        self._download.setChecked(form.allow_download)
        self._width.setValue(form.size.width)
        self._height.setValue(form.size.height)
        self._steps.setValue(form.steps)
        self._guidance.fill(form.guidance_scale)
        self._scheduler.set_value(form.scheduler)
        self._sigmas.set_value(form.sigmas)
        self._seed.setText(str(form.seed))
        self._random.setChecked(form.random_seed)
        self._pictures.setValue(form.pictures)
        self._camera, self._variants = form.camera, form.variants
        self.start.fill(form.start)
        self.extras.fill(form.extras)
        self.machine.fill(form.batch_size, form.precision, form.memory_budget_gb)
        self.controls.fill(form.controls)
        self._filling = False
        self._edited()

    def roll_seed(self) -> None:
        """A new seed by chance."""
        self._seed.setText(str(random.randint(0, _ROLL)))

    def set_recent(self, checkpoints: tuple[str, ...], controlnets: tuple[str, ...]) -> None:
        """Offer models that were used before."""
        self._checkpoint.set_recent(checkpoints)
        self.controls.set_recent(controlnets)

    def offer(self, book: ModelBook) -> None:
        """Offer a book's models from now on: beside the checkpoint, those that go with it."""
        self._book = book
        self._checkpoint.offer(book)
        self.extras.offer(book, self._goes_with_checkpoint)
        self.controls.offer(book, self._goes_with_checkpoint)

    def _goes_with_checkpoint(self, entry: ModelEntry) -> bool:
        checkpoint = self._checkpoint.entry()
        return fits(entry, None if checkpoint is None else checkpoint.family)

    def focus_prompt(self) -> None:
        """Put the cursor where one begins."""
        self._prompt.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.widget() and event.type() is QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)

    def minimumSizeHint(self) -> QSize:
        # Nothing scrolls sideways: the form is as wide as its widest row, and its scroll bar beside it.
        inside = self.widget()
        width = max(inside.minimumSizeHint().width() if inside is not None else 0, _MIN_WIDTH_PX)
        return QSize(width + self.verticalScrollBar().sizeHint().width(), 200)

    def _build(self) -> None:
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(6)
        self._prompt = PromptField("Prompt", "What the picture shows", "Describe the picture…", lines=4)
        self._negative = PromptField(
            "Negative prompt", "What the picture should not show", "Negative prompt: what to keep out…", lines=2
        )
        self._checkpoint = ModelField(
            "Checkpoint",
            "File, folder or hub id of a model; empty takes the small embedded one",
            "Embedded model",
            kind=ModelKind.CHECKPOINT,
        )
        self._download = QCheckBox("May download models")
        self._download.setToolTip("Whether the backend may fetch a hub id that is not on this computer yet")
        layout.addWidget(heading("Prompt"))
        layout.addWidget(self._prompt)
        layout.addWidget(self._negative)
        layout.addSpacing(6)
        layout.addWidget(heading("Checkpoint"))
        layout.addWidget(self._checkpoint)
        layout.addWidget(self._download)
        layout.addWidget(self.extras)
        layout.addSpacing(6)
        layout.addWidget(self.controls)
        layout.addSpacing(6)
        layout.addWidget(heading("Start picture"))
        layout.addWidget(self.start)
        layout.addSpacing(6)
        layout.addWidget(heading("Picture"))
        layout.addLayout(self._picture_grid())
        layout.addSpacing(6)
        layout.addWidget(self.machine)
        layout.addStretch(1)
        self.setWidget(inside)
        for signal in (
            self._prompt.textChanged,
            self._negative.textChanged,
            self._checkpoint.changed,
            self._download.toggled,
            self._width.valueChanged,
            self._height.valueChanged,
            self._steps.valueChanged,
            self._guidance.valueChanged,
            self._scheduler.chosen,
            self._sigmas.chosen,
            self._pictures.valueChanged,
            self._seed.textChanged,
            self._random.toggled,
        ):
            signal.connect(self._edited)

    def _picture_grid(self) -> QGridLayout:
        sides = "Both sides must be multiples of 8"
        self._width = IntField(MIN_SIDE, MAX_SIDE, SIZE_STEP, "Width", f"Width in pixels. {sides}", suffix=" px")
        self._height = IntField(MIN_SIDE, MAX_SIDE, SIZE_STEP, "Height", f"Height in pixels. {sides}", suffix=" px")
        swap = tool_button("swap", "Swap width and height")
        swap.clicked.connect(self._swap)
        sizes = tool_button("down", "Common sizes")
        sizes.setPopupMode(sizes.ToolButtonPopupMode.InstantPopup)
        sizes.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        menu = QMenu(sizes)
        for width, height in _SIZES:
            menu.addAction(f"{width} × {height}").triggered.connect(
                lambda _=False, w=width, h=height: self._set_size(Extent(width=w, height=h))
            )
        sizes.setMenu(menu)
        self._size_note = QLabel()
        self._size_note.setWordWrap(True)
        self._size_note.setTextFormat(Qt.TextFormat.RichText)
        self._size_note.linkActivated.connect(self.mend_size)
        self._size_note.hide()
        self._steps = IntField(1, MAX_STEPS, 1, "Steps", "Denoising steps; more take longer")
        self._guidance = FloatField(0, 100, 0.5, "Guidance scale", "How closely the prompt is followed; 1 ignores it")
        self._scheduler = Choice(
            list(words.SCHEDULERS.items()), "Scheduler", "How the noise is taken away", hints=words.SCHEDULER_HINTS
        )
        self._sigmas = Choice(
            list(words.SIGMAS.items()),
            "Sigmas",
            "How the noise levels of the steps are spread; Default is what the checkpoint says",
        )
        self._pictures = IntField(
            1, MAX_PICTURES, 1, "Pictures", "How many pictures to make, each by the seed after the last one's"
        )
        keep = tool_button("add", "Keep this prompt and seed as a further picture, and go on with another prompt")
        keep.setAccessibleName("Keep as a further picture")
        keep.clicked.connect(self._keep_variant)
        self._pictures_note = quiet(QLabel())
        self._pictures_note.setTextFormat(Qt.TextFormat.RichText)
        self._pictures_note.linkActivated.connect(self._forget_variants)
        self._seed = QLineEdit()
        self._seed.setValidator(QRegularExpressionValidator(QRegularExpression("[0-9]{0,19}")))
        self._seed.setToolTip("The same seed and settings give the same picture")
        self._seed.setAccessibleName("Seed")
        roll = tool_button("dice", "A new seed by chance")
        roll.clicked.connect(self.roll_seed)
        self._random = QCheckBox("New each time")
        self._random.setToolTip("Take a new seed before each picture")
        size = QHBoxLayout()
        size.setSpacing(4)
        for widget, stretch in ((self._width, 1), (swap, 0), (self._height, 1), (sizes, 0)):
            size.addWidget(widget, stretch)
        seed = QHBoxLayout()
        seed.setSpacing(4)
        for widget, stretch in ((self._seed, 1), (roll, 0), (self._random, 0)):
            seed.addWidget(widget, stretch)
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(6)
        grid.addWidget(_label("Size", self._width), 0, 0)
        grid.addLayout(size, 0, 1, 1, 3)
        grid.addWidget(self._size_note, 1, 1, 1, 3)
        grid.addWidget(_label("Steps", self._steps), 2, 0)
        grid.addWidget(self._steps, 2, 1)
        grid.addWidget(_label("Guidance", self._guidance), 2, 2)
        grid.addWidget(self._guidance, 2, 3)
        grid.addWidget(_label("Scheduler", self._scheduler), 3, 0)
        grid.addWidget(self._scheduler, 3, 1)
        grid.addWidget(_label("Sigmas", self._sigmas), 3, 2)
        grid.addWidget(self._sigmas, 3, 3)
        grid.addWidget(_label("Seed", self._seed), 4, 0)
        grid.addLayout(seed, 4, 1, 1, 3)
        grid.addWidget(_label("Pictures", self._pictures), 5, 0)
        pictures = QHBoxLayout()
        pictures.setSpacing(4)
        pictures.addWidget(self._pictures, 1)
        pictures.addWidget(keep)
        grid.addLayout(pictures, 5, 1)
        grid.addWidget(self._pictures_note, 5, 2, 1, 2)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        return grid

    def _edited(self) -> None:
        if not self._filling:
            self._show_size_note()
            self._show_pictures_note()
            self.changed.emit()

    def _show_size_note(self) -> None:
        form = self.form
        nearest = nearest_size(form.size)
        made_for = misfit(form)
        text = ""
        if made_for is not None:
            size = f"{made_for.width} × {made_for.height}"
            text = f"The render's passes are {size}. <a href='#'>Use {size}</a>"
        elif nearest != form.size:
            error = InvalidSize(
                width=form.size.width, height=form.size.height, nearest=f"{nearest.width} × {nearest.height}"
            )
            text = f"{error} <a href='#'>Use it</a>"
        self._size_note.setText(text)
        self._size_note.setVisible(bool(text))

    def _show_pictures_note(self) -> None:
        form = self.form
        text = f"Seeds {form.seed} to {form.seed + form.pictures - 1}" if form.pictures > 1 else ""
        if form.variants:
            text = f"and {len(form.variants)} kept. <a href='#'>Forget</a>"
        self._pictures_note.setText(text)
        self._pictures_note.setToolTip(
            "\n".join(f"{words.one_line(picture.prompt)} (seed {picture.seed})" for picture in form.variants)
        )

    def _keep_variant(self) -> None:
        form = self.form
        kept = Variant(prompt=form.prompt.strip(), negative_prompt=form.negative_prompt.strip(), seed=form.seed)
        self._variants = (*self._variants, kept)
        self._edited()
        self._prompt.setFocus()
        self._prompt.selectAll()

    def _forget_variants(self) -> None:
        self._variants = ()
        self._edited()

    def mend_size(self) -> None:
        """Take the size of the reused passes, or else the nearest that is allowed."""
        form = self.form
        self._set_size(misfit(form) or nearest_size(form.size))

    def _swap(self) -> None:
        self._set_size(Extent(width=self._height.value(), height=self._width.value()))

    def _take_size(self, width: int, height: int) -> None:
        self._set_size(nearest_size(Extent(width=width, height=height)))

    def _set_size(self, size: Extent) -> None:
        self.fill(dataclasses.replace(self.form, size=size))


def _label(text: str, buddy: QWidget) -> QLabel:
    label = quiet(QLabel(text))
    label.setBuddy(buddy)
    return label
