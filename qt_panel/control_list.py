"""The controls list: rows, and the ways to get more of them."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ..protocol.arrays import ArrayRef
from ..protocol.models import ModelEntry
from ..protocol.request import ControlKind
from .control_row import ControlRow
from .fields import heading, quiet, tool_button
from .form import ControlForm
from .icons import icon
from .model_book import ModelBook

_EMPTY = "No controls: the prompt alone decides. Add one, drop a picture on the window, or use a Blender render."


class ControlList(QWidget):
    """Rows of controls, top to bottom."""

    changed = Signal()
    refused = Signal(object)  # an UnderpaintError
    wanted = Signal(object)  # the ArrayRef of a picture to show
    passes_asked = Signal()
    maps_asked = Signal()
    map_asked = Signal(int)  # of the row with this number

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._recent: tuple[str, ...] = ()
        self._rows: list[ControlRow] = []
        self._offer: Callable[[ControlRow], None] | None = None
        add = tool_button("add", "Add a control", text="Add")
        add.clicked.connect(self._add)
        self._maps = tool_button("maps", "Make the control maps alone, to look at them first", text="Show Maps")
        self._maps.clicked.connect(lambda: self.maps_asked.emit())
        self._passes = QPushButton(icon("render"), "Use Passes of the Last Blender Render")
        self._passes.setToolTip(
            "Take controls, size and camera of the newest picture that Blender asked for; nothing is sent again"
        )
        self._passes.clicked.connect(lambda: self.passes_asked.emit())
        top = QHBoxLayout()
        top.setSpacing(2)
        top.addWidget(heading("Controls"))
        top.addStretch(1)
        top.addWidget(self._maps)
        top.addWidget(add)
        self._empty = quiet(QLabel(_EMPTY))
        self._empty.setWordWrap(True)
        self._list = QVBoxLayout()
        self._list.setSpacing(6)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(top)
        layout.addWidget(self._passes)
        layout.addWidget(self._empty)
        layout.addLayout(self._list)
        self._show_state()

    @property
    def controls(self) -> tuple[ControlForm, ...]:
        """What is filled in."""
        return tuple(row.control for row in self._rows)

    @property
    def rows(self) -> tuple[ControlRow, ...]:
        """The rows, top to bottom."""
        return tuple(self._rows)

    def fill(self, controls: Sequence[ControlForm]) -> None:
        """Show these controls; rows that stay keep the keyboard focus."""
        while len(self._rows) > len(controls):
            self._take_out(self._rows[-1])
        for row, control in zip(self._rows, controls, strict=False):
            row.fill(control)
        for control in controls[len(self._rows) :]:
            self._append(control)
        self._show_state()

    def set_recent(self, controlnets: tuple[str, ...]) -> None:
        """Offer ControlNets that were used before, in rows made from now on."""
        self._recent = controlnets

    def offer(self, book: ModelBook, fits: Callable[[ModelEntry], bool]) -> None:
        """Offer the book's ControlNets, those that fit."""
        self._offer = lambda row: row.offer(book, fits)
        for row in self._rows:
            self._offer(row)

    def show_picture(self, ref: ArrayRef, image: QImage) -> None:
        """A picture that was wanted has come."""
        for row in self._rows:
            row.show_picture(ref, image)

    def show_map(self, number: int, image: QImage) -> None:
        """The control map of a row has been made."""
        if number < len(self._rows):
            self._rows[number].show_map(image)

    def _add(self) -> None:
        taken = {row.kind() for row in self._rows}
        kind = next((kind for kind in ControlKind if kind not in taken), ControlKind.DEPTH)
        row = self._append(ControlForm(kind=kind))
        self._show_state()
        row.setFocus()
        self.changed.emit()

    def _append(self, control: ControlForm) -> ControlRow:
        row = ControlRow(ControlForm(), self._recent, self)
        if self._offer is not None:
            self._offer(row)
        row.changed.connect(self._edited)
        row.removed.connect(lambda: self._remove(row))
        row.refused.connect(self.refused)
        row.wanted.connect(self.wanted)
        row.map_asked.connect(lambda: self.map_asked.emit(self._rows.index(row)))
        row.fill(control)  # now that somebody hears which picture is wanted
        self._rows.append(row)
        self._list.addWidget(row)
        return row

    def _remove(self, row: ControlRow) -> None:
        self._take_out(row)
        self._show_state()
        self.changed.emit()

    def _take_out(self, row: ControlRow) -> None:
        self._rows.remove(row)
        row.hide()
        row.deleteLater()

    def _edited(self) -> None:
        self._show_state()
        self.changed.emit()

    def _show_state(self) -> None:
        before: QWidget = self._passes
        for row in self._rows:  # a new widget is the last one for the Tab key, wherever it stands
            for part in row.parts:
                QWidget.setTabOrder(before, part)
                before = part
        self._empty.setVisible(not self._rows)
        self._maps.setEnabled(any(row.control.enabled for row in self._rows))
