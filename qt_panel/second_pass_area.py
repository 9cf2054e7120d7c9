"""Painting in two passes: small first, then once more over the enlarged picture."""

from collections.abc import Callable

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QGridLayout, QLabel, QWidget

from ..protocol.extra_checks import MAX_FACTOR, MIN_TILE
from ..protocol.limits import MAX_SIDE, MAX_STEPS
from ..protocol.models import ModelEntry, ModelKind
from ..protocol.request import ControlKind, SecondPass
from .fields import AutoIntField, FloatField, IntField, PercentField, describe, quiet
from .model_book import ModelBook, fits
from .model_field import ModelField

_MOST_SCALE = 10.0


class SecondPassArea(QWidget):
    """A switch, and what the second pass is like."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._used = QCheckBox("Paint small first, then over the enlarged picture")
        describe(self._used, "Two passes", "Keeps large pictures in order, and is quicker; the size stays the result's")
        self._factor = FloatField(1, MAX_FACTOR, 0.25, "Factor", "The first pass has the result's size by this")
        self._factor.setPrefix("× ")
        self._strength = PercentField("Second pass strength", "How much of the first pass the second one gives up")
        self._steps = AutoIntField(
            1, MAX_STEPS, 1, "Second pass steps", "Before the strength shortens them; Auto: as many as the first"
        )
        self._tile = AutoIntField(
            MIN_TILE,
            MAX_SIDE,
            64,
            "Tile size",
            "Paints the second pass in tiles: less memory",
            suffix=" px",
        )
        self._tile.setSpecialValueText("No tiles")
        self._overlap = IntField(0, MAX_SIDE, 8, "Tile overlap", "How far neighbouring tiles overlap", suffix=" px")
        self._net = ModelField(
            "Tile ControlNet",
            "Keeps the second pass to what the first one painted; empty goes without",
            "Tile ControlNet: none",
            kind=ModelKind.CONTROLNET,
        )
        self._scale = FloatField(0, _MOST_SCALE, 0.05, "Tile ControlNet scale", "How much the tile ControlNet counts")
        self._net_label, self._scale_label = quiet(QLabel("Tile net")), quiet(QLabel("Scale"))
        self._overlap_label = quiet(QLabel("Overlap"))
        self.parts: tuple[QWidget, ...] = (
            self._used, self._factor, self._strength, self._steps, self._tile, self._overlap, self._scale,
            *self._net.parts,
        )  # fmt: skip
        """What the Tab key goes through."""
        grid = QGridLayout(self)
        grid.setContentsMargins(4, 0, 0, 2)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        grid.addWidget(self._used, 0, 0, 1, 4)
        self._lines = (
            (quiet(QLabel("Factor")), self._factor, quiet(QLabel("Strength")), self._strength),
            (quiet(QLabel("Steps")), self._steps, quiet(QLabel("Tiles")), self._tile),
            (self._overlap_label, self._overlap, self._scale_label, self._scale),
        )
        for row, line in enumerate(self._lines, start=1):
            for column, widget in enumerate(line):
                grid.addWidget(widget, row, column)
        grid.addWidget(self._net_label, len(self._lines) + 1, 0)
        grid.addWidget(self._net, len(self._lines) + 1, 1, 1, 3)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        self.fill(SecondPass(), used=False)
        for signal in (
            self._used.toggled,
            self._factor.valueChanged,
            self._strength.valueChanged,
            self._steps.valueChanged,
            self._tile.valueChanged,
            self._overlap.valueChanged,
            self._net.changed,
            self._scale.valueChanged,
        ):
            signal.connect(self._edited)

    @property
    def used(self) -> bool:
        """Whether there is a second pass."""
        return self._used.isChecked()

    @property
    def second_pass(self) -> SecondPass:
        """What is filled in, used or not."""
        return SecondPass(
            factor=self._factor.exact,
            strength=self._strength.part,
            steps=self._steps.chosen_value,
            tile_px=self._tile.chosen_value,
            overlap_px=self._overlap.value(),
            tile_controlnet=self._net.value,
            tile_scale=self._scale.exact,
        )

    def fill(self, second: SecondPass, *, used: bool) -> None:
        """Fill in a second pass."""
        self._used.setChecked(used)
        self._factor.fill(second.factor)
        self._strength.fill(second.strength)
        self._steps.choose(second.steps)
        self._tile.choose(second.tile_px)
        self._overlap.setValue(second.overlap_px)
        self._net.set_value(second.tile_controlnet)
        self._scale.fill(second.tile_scale)
        self._show_state()

    def offer(self, book: ModelBook, fits_checkpoint: Callable[[ModelEntry], bool]) -> None:
        """Offer the book's tile ControlNets, those that fit."""
        self._net.offer(book, lambda entry: fits_checkpoint(entry) and fits(entry, None, ControlKind.TILE))

    def _edited(self) -> None:
        self._show_state()
        self.changed.emit()

    def _show_state(self) -> None:
        used = self._used.isChecked()
        for line in self._lines:
            for widget in line:
                widget.setEnabled(used)
        for widget in (self._net_label, self._net):
            widget.setEnabled(used)
        for widget in (self._overlap_label, self._overlap):
            widget.setEnabled(used and self._tile.chosen_value is not None)
        for widget in (self._scale_label, self._scale):
            widget.setEnabled(used and bool(self._net.value))
