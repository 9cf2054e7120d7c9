"""The list of LoRAs: which, how much each counts, and whether it takes part."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from ..protocol.extra_checks import MAX_LORA_WEIGHT, MAX_LORAS
from ..protocol.models import ModelEntry, ModelKind
from .extras_form import LoraForm
from .fields import AutoFloatField, Card, FloatField, WheelNeedsFocus, describe, quiet, tool_button
from .model_book import ModelBook
from .model_field import ModelField

_SLIDER_STEPS = 20  # to one unit of weight
_SLIDER_MOST = 2.0  # either way; the field beside it reaches further
_EMPTY = "No LoRAs, but for those that the prompt names: <lora:name:0.8>"


class LoraRow(Card):
    """One LoRA."""

    changed = Signal()
    removed = Signal()
    picked = Signal(object)  # a ModelEntry

    def __init__(self, lora: LoraForm, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("LoRA")
        self._enabled = QCheckBox()
        describe(self._enabled, "LoRA enabled", "Whether this LoRA takes part")
        self.model = ModelField(
            "LoRA", "File, folder or hub id of the LoRA; drop a file here", "Choose a LoRA…", kind=ModelKind.LORA
        )
        remove = tool_button("remove", "Remove this LoRA")
        remove.clicked.connect(lambda: self.removed.emit())
        self._slider = _Slider(Qt.Orientation.Horizontal)
        most = round(_SLIDER_MOST * _SLIDER_STEPS)
        self._slider.setRange(-most, most)
        self._slider.setPageStep(_SLIDER_STEPS // 4)
        self._slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        describe(self._slider, "Weight slider", "How much it counts; below 0 turns it round")
        self._weight = FloatField(
            -MAX_LORA_WEIGHT, MAX_LORA_WEIGHT, 0.05, "Weight", "How much it counts; below 0 turns it round"
        )
        self._text = AutoFloatField(
            -MAX_LORA_WEIGHT,
            MAX_LORA_WEIGHT,
            0.05,
            "Weight for text",
            "Of its part for the text; Auto: the same",
        )
        self._text.setMinimumWidth(72)
        self.parts: tuple[QWidget, ...] = (
            self._enabled, *self.model.parts, remove, self._slider, self._weight, self._text,
        )  # fmt: skip
        """What the Tab key goes through."""
        first, second = QHBoxLayout(), QHBoxLayout()
        for line in (first, second):
            line.setSpacing(4)
        first.addWidget(self._enabled)
        first.addWidget(self.model, 1)
        first.addWidget(remove)
        second.addWidget(quiet(QLabel("Weight")))
        second.addWidget(self._slider, 1)
        second.addWidget(self._weight)
        second.addWidget(quiet(QLabel("Text")))
        second.addWidget(self._text)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(4)
        layout.addLayout(first)
        layout.addLayout(second)
        self.fill(lora)
        self.model.changed.connect(self.changed)
        self.model.picked.connect(self.picked)
        self._enabled.toggled.connect(self.changed)
        self._slider.valueChanged.connect(self._slid)
        self._weight.valueChanged.connect(self._typed)
        self._text.valueChanged.connect(self.changed)

    @property
    def lora(self) -> LoraForm:
        """What is filled in."""
        return LoraForm(
            lora=self.model.value,
            weight=self._weight.exact,
            text_weight=self._text.chosen_value,
            enabled=self._enabled.isChecked(),
        )

    def fill(self, lora: LoraForm) -> None:
        """Fill in a LoRA."""
        self._enabled.setChecked(lora.enabled)
        self.model.set_value(lora.lora)
        self._weight.fill(lora.weight)
        self._text.choose(lora.text_weight)
        self._show_slider()

    def _slid(self, place: int) -> None:
        self._weight.setValue(place / _SLIDER_STEPS)

    def _typed(self) -> None:
        self._show_slider()
        self.changed.emit()

    def _show_slider(self) -> None:
        self._slider.blockSignals(True)
        self._slider.setValue(round(self._weight.value() * _SLIDER_STEPS))
        self._slider.blockSignals(False)


class LoraArea(QWidget):
    """Rows of LoRAs, top to bottom."""

    changed = Signal()
    picked = Signal(object)  # a ModelEntry that was chosen from a list

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[LoraRow] = []
        self._offer: Callable[[ModelField], None] | None = None
        self.add = tool_button("add", "Add a LoRA", text="Add")
        self.add.setAccessibleName("Add a LoRA")
        self.add.clicked.connect(self._add)
        self._empty = quiet(QLabel(_EMPTY))
        self._empty.setTextFormat(Qt.TextFormat.PlainText)
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
    def loras(self) -> tuple[LoraForm, ...]:
        """What is filled in."""
        return tuple(row.lora for row in self._rows)

    @property
    def rows(self) -> tuple[LoraRow, ...]:
        """The rows, top to bottom."""
        return tuple(self._rows)

    @property
    def parts(self) -> tuple[QWidget, ...]:
        """What the Tab key goes through."""
        return (*(part for row in self._rows for part in row.parts), self.add)

    def fill(self, loras: Sequence[LoraForm]) -> None:
        """Show these; rows that stay keep the keyboard focus."""
        while len(self._rows) > len(loras):
            self._take_out(self._rows[-1])
        for row, lora in zip(self._rows, loras, strict=False):
            row.fill(lora)
        for lora in loras[len(self._rows) :]:
            self._append(lora)
        self._show_state()

    def offer(self, book: ModelBook, fits: Callable[[ModelEntry], bool]) -> None:
        """Offer the book's LoRAs, those that fit."""
        self._offer = lambda field: field.offer(book, fits)
        for row in self._rows:
            self._offer(row.model)

    def _add(self) -> None:
        row = self._append(LoraForm())
        self._show_state()
        row.model.parts[0].setFocus()
        self.changed.emit()

    def _append(self, lora: LoraForm) -> LoraRow:
        row = LoraRow(lora, self)
        if self._offer is not None:
            self._offer(row.model)
        row.changed.connect(self.changed)
        row.picked.connect(self.picked)
        row.removed.connect(lambda: self._remove(row))
        self._rows.append(row)
        self._list.addWidget(row)
        return row

    def _remove(self, row: LoraRow) -> None:
        self._take_out(row)
        self._show_state()
        self.changed.emit()

    def _take_out(self, row: LoraRow) -> None:
        self._rows.remove(row)
        row.hide()
        row.deleteLater()

    def _show_state(self) -> None:
        self._empty.setVisible(not self._rows)
        self.add.setEnabled(len(self._rows) < MAX_LORAS)


class _Slider(WheelNeedsFocus, QSlider):
    pass
