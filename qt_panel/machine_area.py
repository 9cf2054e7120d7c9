"""How a job uses the machine: pictures at once, precision, memory, and the plan that comes of it."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from ..protocol.checks import MAX_BATCH
from ..protocol.request import Precision
from . import words
from .fields import AutoFloatField, Choice, IntField, heading, quiet, tool_button
from .fold import Fold

_LEAST_GB, _MOST_GB = 0.25, 1024


class MachineArea(QWidget):
    """Three fields below a fold, and the memory check."""

    changed = Signal()
    plan_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._batch = IntField(
            1, MAX_BATCH, 1, "Pictures at once", "Quicker on large cards, and takes more memory; one by one is exact"
        )
        self._precision = Choice(
            list(words.PRECISIONS.items()), "Precision", "The number format; Auto takes what the device does well"
        )
        self._budget = AutoFloatField(
            _LEAST_GB, _MOST_GB, 1, "Memory budget", "The most memory of the device to use, in GiB; Auto: what is free"
        )
        self._budget.setSuffix(" GiB")
        self._check = tool_button(
            "info", "Have the backend say where the picture would be painted", text="Check Memory"
        )
        self._check.clicked.connect(lambda: self.plan_asked.emit())
        self._plan = quiet(QLabel())
        self._plan.setWordWrap(True)
        self._plan.setTextFormat(Qt.TextFormat.PlainText)
        self._plan.setAccessibleName("Memory plan")
        self._plan.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        body = QWidget()
        grid = QGridLayout(body)
        grid.setContentsMargins(4, 0, 0, 2)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        places = (("At once", self._batch), ("Precision", self._precision), ("Budget", self._budget))
        for place, (text, field) in enumerate(places):
            label = quiet(QLabel(text))
            label.setBuddy(field)
            row, column = divmod(place, 2)
            grid.addWidget(label, row, 2 * column)
            grid.addWidget(field, row, 2 * column + 1)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        self.fold = Fold("Advanced", "Pictures at once, precision and memory budget", body)
        top = QHBoxLayout()
        top.setSpacing(2)
        top.addWidget(heading("Memory"))
        top.addStretch(1)
        top.addWidget(self._check)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self._plan)
        layout.addWidget(self.fold)
        for signal in (self._batch.valueChanged, self._precision.chosen, self._budget.valueChanged):
            signal.connect(self.changed)
        self.show_plan("")

    @property
    def batch_size(self) -> int:
        """Pictures painted at once."""
        return self._batch.value()

    @property
    def precision(self) -> Precision:
        """The number format."""
        return self._precision.value

    @property
    def budget_gb(self) -> float | None:
        """GiB; None for what is free."""
        return self._budget.chosen_value

    @property
    def plan_words(self) -> str:
        """What is said of the plan."""
        return self._plan.text()

    def fill(self, batch_size: int, precision: Precision, budget_gb: float | None) -> None:
        """Fill in a form's."""
        self._batch.setValue(batch_size)
        self._precision.set_value(precision)
        self._budget.choose(budget_gb)

    def show_plan(self, text: str) -> None:
        """Say where and how the picture would be painted; nothing hides the line."""
        self._plan.setText(text)
        self._plan.setVisible(bool(text))
