"""A button that opens and closes what lies below it."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget


class Fold(QWidget):
    """Closed at first; `body` is what it opens."""

    def __init__(self, title: str, tooltip: str, body: QWidget, *, beside: QWidget | None = None) -> None:
        """`beside` stands at the button's right, open or closed."""
        super().__init__()
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setToolTip(tooltip)
        self.button.setAccessibleName(title)
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setArrowType(Qt.ArrowType.RightArrow)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.button.toggled.connect(self._show_open)
        self._body = body
        body.hide()
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.button)
        wide = beside is not None and beside.sizePolicy().horizontalPolicy() is QSizePolicy.Policy.Ignored
        if not wide:
            head.addStretch(1)
        if beside is not None:
            head.addWidget(beside, 1 if wide else 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(head)
        layout.addWidget(body)

    def open(self) -> None:
        """Show what lies below."""
        self.button.setChecked(True)

    def _show_open(self, opened: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self._body.setVisible(opened)
