"""How a control's weight goes over the steps, below the row that it belongs to; closed at first."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from . import curves
from .curve_editor import CurveEditor
from .curves import Curve
from .fields import tool_button
from .fold import Fold


class WeightArea(QWidget):
    """The curve with its presets, and guess mode."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.editor = CurveEditor()
        self._filling = False
        self._presets = [self._preset(*preset) for preset in curves.PRESETS]
        self._guess = QCheckBox("Guess mode")
        self._guess.setAccessibleName("Guess mode")
        self._guess.setToolTip(
            "Steer what the prompt asks for and not what it avoids, and fine features less; works without a prompt, too"
        )
        buttons = QHBoxLayout()
        buttons.setSpacing(2)
        for button in self._presets:
            buttons.addWidget(button)
        buttons.addStretch(1)
        body = QWidget()
        inside = QVBoxLayout(body)
        inside.setContentsMargins(4, 0, 0, 2)
        inside.setSpacing(2)
        inside.addWidget(self.editor)
        inside.addLayout(buttons)
        self.fold = Fold("Weight curve", "How much the control counts over the steps", body, beside=self._guess)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)
        self.editor.changed.connect(self._edited)
        self._guess.toggled.connect(self._edited)
        self._show_title()

    @property
    def curve(self) -> Curve:
        """What is drawn."""
        return self.editor.curve

    @property
    def guess_mode(self) -> bool:
        """What is chosen."""
        return self._guess.isChecked()

    @property
    def parts(self) -> tuple[QWidget, ...]:
        """What the Tab key goes through."""
        return (self.fold.button, self._guess, self.editor, *self._presets)

    def fill(self, curve: Curve, *, guess_mode: bool) -> None:
        """Fill in a control's."""
        self._filling = True
        self.editor.fill(curve)
        self._guess.setChecked(guess_mode)
        self._filling = False
        self._show_title()

    def _preset(self, name: str, tooltip: str, curve: Curve) -> QToolButton:
        button = tool_button("curve", tooltip, text=name)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        button.setAutoRaise(False)  # else they would look like words
        button.setAccessibleName(f"{name} curve")

        def take() -> None:
            if curve != self.editor.curve:
                self.editor.fill(curve)
                self._edited()

        button.clicked.connect(take)
        return button

    def _edited(self) -> None:
        self._show_title()
        if not self._filling:
            self.changed.emit()

    def _show_title(self) -> None:
        named = {curve: name.lower() for name, _, curve in curves.PRESETS}
        count = len(self.curve)
        of_points = f"{count} point" if count == 1 else f"{count} points"
        title = f"Weight curve: {named.get(self.curve, of_points)}"
        self.fold.button.setText(title)
        self.fold.button.setAccessibleName(title)
