"""The middle of the window: the picture, its control maps below it, and what one does with it."""

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QIcon, QImage, QKeySequence, QPixmap
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ..protocol.arrays import ArrayRef
from .canvas import Canvas
from .fields import ICON_SIZE, ElidedLabel, quiet
from .icons import icon
from .plates import Plate

_THUMB_PX = 56


class ResultView(QWidget):
    """Shows one plate large, and all of a job's as a strip to choose from."""

    chosen = Signal(object)  # the ArrayRef of the plate that was clicked

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.canvas = Canvas()
        self.save = _action("save", "Save…", "Save the picture with its settings as PNG", QKeySequence("Ctrl+S"))
        self.copy = _action("copy", "Copy", "Copy the picture to the clipboard", QKeySequence("Ctrl+Shift+C"))
        self.begin = _action(
            "start", "Start from This Picture", "Begin the next pictures with this one", QKeySequence("Ctrl+Shift+P")
        )
        self.fit = _action("fit", "Fit", "Fit the picture into the window", QKeySequence("Ctrl+0"))
        self.actual = _action(
            "actual", "100 %", "One pixel of the screen for each of the picture", QKeySequence("Ctrl+1")
        )
        self.fit.triggered.connect(self.canvas.fit)
        self.actual.triggered.connect(self.canvas.actual_size)
        self._plates: tuple[Plate, ...] = ()
        self._buttons: list[QToolButton] = []
        self._group = QButtonGroup(self)
        self._strip = QHBoxLayout()
        self._strip.setContentsMargins(8, 4, 8, 4)
        self._strip.setSpacing(4)
        self._strip.addStretch(1)
        self._strip_area = _strip_area(self._strip)
        self._words = ElidedLabel()
        self._percent = quiet(QLabel("100 %"))
        self._percent.setAccessibleName("Zoom")
        self._percent.setMinimumWidth(self._percent.fontMetrics().horizontalAdvance("1600 %"))
        self._percent.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.canvas.zoomed.connect(self._show_zoom)
        bar = QHBoxLayout()
        bar.setContentsMargins(12, 2, 8, 2)
        bar.setSpacing(2)
        bar.addWidget(self._words, 1)
        bar.addWidget(self._percent)
        for action in (self.fit, self.actual, self.begin, self.copy, self.save):
            bar.addWidget(_button(action))
            self.addAction(action)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.canvas, 1)
        layout.addWidget(self._strip_area)
        layout.addLayout(bar)
        self.show_plates((), None)
        self.show_image(None)

    def show_image(self, image: QImage | None, *, size: QSize | None = None) -> None:
        """Show a picture large; previews as large as the picture they become."""
        self.canvas.show_image(image, size=size)
        self._show_zoom()

    def set_usable(self, usable: bool, *, painted: bool) -> None:
        """Whether what is shown is there to save and copy, and no preview; and whether it is a result and no map."""
        self.save.setEnabled(usable)
        self.copy.setEnabled(usable)
        self.begin.setEnabled(usable and painted)

    def show_words(self, words: str, how: Sequence[str] = ()) -> None:
        """The line below: what made the picture, then where and how; all of it in the tooltip."""
        self._words.show_text(" · ".join(filter(None, (words, *how))))
        self._words.setToolTip("\n".join(filter(None, (words, *how))))

    def show_plates(self, plates: Sequence[Plate], current: ArrayRef | None) -> None:
        """Show a job's pictures as a strip, with `current` pressed."""
        if tuple(plates) != self._plates:
            self._plates = tuple(plates)
            for button in self._buttons:
                self._group.removeButton(button)
                button.hide()
                button.deleteLater()
            self._buttons = [self._plate_button(plate) for plate in plates]
            before: QWidget = self.canvas
            for index, button in enumerate(self._buttons):
                self._strip.insertWidget(index, button)
                self.setTabOrder(before, button)  # where they stand, and not behind all that was there before them
                before = button
        refs = [plate.ref for plate in self._plates]  # two controls may have been shown the same image
        if current in refs:
            self._buttons[refs.index(current)].setChecked(True)
        self._strip_area.setVisible(len(self._plates) > 1)

    def reserve_strip(self, reserved: bool) -> None:
        """Keep the strip's room while its pictures are being made, so that the large one doesn't jump."""
        policy = self._strip_area.sizePolicy()
        policy.setRetainSizeWhenHidden(reserved)
        self._strip_area.setSizePolicy(policy)

    def show_thumbnail(self, ref: ArrayRef, image: QImage) -> None:
        """A plate's picture has come."""
        for plate, button in zip(self._plates, self._buttons, strict=True):
            if plate.ref == ref:
                button.setIcon(QIcon(QPixmap.fromImage(_small(image, self.devicePixelRatioF()))))

    def _plate_button(self, plate: Plate) -> QToolButton:
        button = QToolButton()
        button.setText(plate.label)
        button.setToolTip("\n".join(filter(None, (f"Show: {plate.label}", plate.tooltip))))
        button.setAccessibleDescription(plate.tooltip)
        button.setAccessibleName(plate.label)
        button.setCheckable(True)
        button.setAutoRaise(True)
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setIcon(icon("image"))
        button.setIconSize(QSize(_THUMB_PX, _THUMB_PX))
        button.setMinimumWidth(_THUMB_PX + 16)
        button.clicked.connect(lambda: self.chosen.emit(plate.ref))
        self._group.addButton(button)
        return button

    def _show_zoom(self) -> None:
        there = self.canvas.image is not None
        self._percent.setText(f"{self.canvas.percent()} %" if there else "")
        self.fit.setEnabled(there)
        self.actual.setEnabled(there)


def _action(name: str, text: str, tooltip: str, shortcut: QKeySequence) -> QAction:
    action = QAction(icon(name), text)
    action.setShortcut(shortcut)
    keys = shortcut.toString(QKeySequence.SequenceFormat.NativeText)
    action.setToolTip(f"{tooltip} ({keys})")
    return action


def _button(action: QAction) -> QToolButton:
    button = QToolButton()
    button.setDefaultAction(action)
    button.setIconSize(ICON_SIZE)
    button.setAutoRaise(True)
    button.setAccessibleName(action.text())
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return button


def _strip_area(strip: QHBoxLayout) -> QScrollArea:
    inside = QWidget()
    inside.setLayout(strip)
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(inside)
    area.setFixedHeight(_THUMB_PX + area.fontMetrics().height() + 26)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return area


def _small(image: QImage, ratio: float) -> QImage:
    side = round(_THUMB_PX * ratio)
    small = image.scaled(side, side, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
    small.setDevicePixelRatio(ratio)
    return small
