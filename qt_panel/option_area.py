"""The options of a control map, below the row that they belong to; closed at first."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from ..protocol.options import Options
from .fields import AutoFloatField, AutoIntField, OptionChoice, quiet
from .fold import Fold
from .option_words import Field, Number, OneOf, Switch

_COLUMNS = 2


class OptionArea(QWidget):
    """A button that opens the fields, and the fields of one sort of options."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._type: type[Options] | None = None
        self._fields: tuple[Field, ...] = ()
        self._widgets: dict[str, QWidget] = {}
        self._filled: dict[str, tuple[object, object]] = {}  # what a field shows of what was put into it, and that
        self._filling = False
        body = QWidget()
        self._grid = QGridLayout(body)
        self._grid.setContentsMargins(4, 0, 0, 2)
        self._grid.setHorizontalSpacing(6)
        self._grid.setVerticalSpacing(4)
        tooltip = "How the control map is made; the defaults are what the ControlNet was trained on"
        self._fold = Fold("Map options", tooltip, body)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._fold)
        self.hide()  # until there are fields

    @property
    def options(self) -> Options | None:
        """What is chosen; None for every default.

        A field shows two decimals, and a limited range. Where nobody has touched it, what was put into it stands.
        """
        if self._type is None:
            return None
        values: dict[str, Any] = {}
        for name, widget in self._widgets.items():
            value = _value(widget)
            shown, exact = self._filled.get(name, (value, value))
            values[name] = exact if value == shown else value
        chosen = self._type(**values)
        return None if chosen == self._type() else chosen

    @property
    def parts(self) -> tuple[QWidget, ...]:
        """What the Tab key goes through."""
        return (self._fold.button, *self._widgets.values())

    def field(self, name: str) -> QWidget:
        """The widget of an option."""
        return self._widgets[name]

    def open(self) -> None:
        """Show the fields."""
        self._fold.open()

    def show_fields(self, kind: type[Options] | None, fields: Sequence[Field]) -> bool:
        """Offer these fields; those that are offered already keep what is in them. Whether they are others."""
        if (kind, tuple(fields)) == (self._type, self._fields):
            return False
        self._type, self._fields = kind, tuple(fields)
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self._widgets, self._filled = {}, {}
        for place, field in enumerate(self._fields):
            widget = self._make(field)
            self._widgets[field.name] = widget
            row, column = divmod(place, _COLUMNS)
            if isinstance(widget, QCheckBox):
                self._grid.addWidget(widget, row, 2 * column, 1, 2)
            else:
                label = quiet(QLabel(field.label))
                label.setBuddy(widget)
                self._grid.addWidget(label, row, 2 * column)
                self._grid.addWidget(widget, row, 2 * column + 1)
        for column in range(_COLUMNS):
            self._grid.setColumnStretch(2 * column + 1, 1)
        self.setVisible(bool(self._fields))
        self.fill(None)
        return True

    def fill(self, options: Options | None) -> None:
        """Put values into the fields that are offered; None is every default."""
        if self._type is None:
            return
        values = options if isinstance(options, self._type) else self._type()
        self._filling = True
        for field in dataclasses.fields(values):
            if field.name in self._widgets:
                widget, exact = self._widgets[field.name], getattr(values, field.name)
                _set_value(widget, exact)
                self._filled[field.name] = _value(widget), exact
        self._filling = False

    def _make(self, field: Field) -> QWidget:
        match field:
            case Switch():
                widget: Any = QCheckBox(field.label)
                widget.setToolTip(field.tooltip)
                widget.setAccessibleName(field.label)
                widget.toggled.connect(self._edited)
            case OneOf():
                widget = OptionChoice(field.members, field.label, field.tooltip)
                widget.currentIndexChanged.connect(self._edited)
            case Number(whole=True):
                widget = AutoIntField(
                    round(field.low), round(field.high), round(field.step), field.label, field.tooltip,
                    suffix=field.suffix, auto=field.auto,
                )  # fmt: skip
                widget.valueChanged.connect(self._edited)
            case Number():
                widget = AutoFloatField(
                    field.low, field.high, field.step, field.label, field.tooltip, suffix=field.suffix, auto=field.auto
                )
                widget.valueChanged.connect(self._edited)
        return widget

    def _edited(self) -> None:
        if not self._filling:
            self.changed.emit()


def _value(widget: QWidget) -> object:
    if isinstance(widget, QCheckBox):
        return widget.isChecked()
    assert isinstance(widget, OptionChoice | AutoIntField | AutoFloatField)
    return widget.chosen_value


def _set_value(widget: QWidget, value: Any) -> None:
    if isinstance(widget, QCheckBox):
        widget.setChecked(value)
    else:
        assert isinstance(widget, OptionChoice | AutoIntField | AutoFloatField)
        widget.choose(value)
