"""The picture to begin with: dropped, pasted or out of a file, and its mask."""

import dataclasses

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from ..protocol.arrays import ArrayRef
from ..protocol.checks import MAX_MASK_BLUR_PX
from ..protocol.limits import MAX_SIDE
from .fields import Card, FloatField, IntField, PercentField, quiet, tool_button
from .form import Picture, StartForm
from .pictures import to_qimage
from .start_form import has_alpha, is_masked, size_px
from .thumbnail import Thumbnail

_NO_MASK = "No mask: all of it is painted anew."


class StartArea(Card):
    """Shows a StartForm and gives it back."""

    changed = Signal()
    refused = Signal(object)  # an UnderpaintError
    wanted = Signal(object)  # the ArrayRef of a picture to show
    size_asked = Signal(int, int)  # width and height of the start picture, which the result is to have

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: Picture | ArrayRef | None = None
        self._mask: Picture | ArrayRef | None = None
        self._filling = False
        self.setAccessibleName("Start picture")
        self._build()
        self.fill(StartForm())

    @property
    def start(self) -> StartForm:
        """What is filled in."""
        return StartForm(
            image=self._image,
            mask=self._mask,
            use_alpha=self._alpha.isChecked(),
            strength=self._strength.part,
            mask_grow_px=self._grow.value(),
            mask_blur_px=self._blur.exact,
        )

    @property
    def parts(self) -> tuple[QWidget, ...]:
        """What the Tab key goes through."""
        return (
            self._image_thumb,
            self._mask_thumb,
            self._strength,
            self._take_size,
            self._alpha,
            self._grow,
            self._blur,
        )

    def fill(self, start: StartForm) -> None:
        """Fill in a start."""
        self._filling = True
        self._image, self._mask = start.image, start.mask
        self._alpha.setChecked(start.use_alpha)
        self._strength.fill(start.strength)
        self._grow.setValue(start.mask_grow_px)
        self._blur.fill(start.mask_blur_px)
        self._filling = False
        self._show_images()
        self._show_state()

    def take(self, image: Picture | ArrayRef) -> None:
        """Begin with an image; the mask that was there was of another."""
        self._take(image=image, mask=None)

    def show_picture(self, ref: ArrayRef, image: QImage) -> None:
        """A picture that was wanted has come."""
        for held, thumb in ((self._image, self._image_thumb), (self._mask, self._mask_thumb)):
            if held == ref:
                thumb.show_image(image, _words(ref))

    def _build(self) -> None:
        self._image_thumb = Thumbnail("Drop image")
        self._image_thumb.setAccessibleName("Start picture")
        self._image_thumb.given.connect(self._take_image)
        self._image_thumb.cleared.connect(lambda: self._take(image=None, mask=None))
        self._mask_thumb = Thumbnail("Drop mask")
        self._mask_thumb.setAccessibleName("Mask of the start picture")
        self._mask_thumb.given.connect(self._take_mask)
        self._mask_thumb.cleared.connect(lambda: self._take(mask=None))
        self._words = quiet(QLabel())
        self._words.setWordWrap(True)
        self._strength = PercentField(
            "Denoising strength", "How much of the start picture is given up: 0 % keeps it, 100 % leaves nothing of it"
        )
        self._take_size = tool_button("fit", "Make the result as large as the start picture")
        self._take_size.clicked.connect(self._ask_size)
        self._alpha = QCheckBox("Transparent parts are painted anew")
        self._alpha.setAccessibleName("Transparent parts are painted anew")
        self._alpha.setToolTip(
            "Takes the image's own transparency for the mask: erase in any painter what is to change"
        )
        self._grow = IntField(
            -MAX_SIDE, MAX_SIDE, 1, "Grow the mask", "Widens what is painted anew; below 0 narrows it", suffix=" px"
        )
        self._blur = FloatField(
            0, MAX_MASK_BLUR_PX, 1, "Blur the mask", "Softens the edge between the new and the kept part"
        )
        self._blur.setSuffix(" px")
        for thumb in (self._image_thumb, self._mask_thumb):
            thumb.refused.connect(self.refused)
        for signal in (
            self._strength.valueChanged,
            self._alpha.toggled,
            self._grow.valueChanged,
            self._blur.valueChanged,
        ):
            signal.connect(self._edited)
        self._strength_line, self._mask_line = QWidget(), QWidget()
        _line(self._strength_line, quiet(QLabel("Strength")), self._strength, self._take_size)
        _line(self._mask_line, quiet(QLabel("Grow")), self._grow, quiet(QLabel("Blur")), self._blur)
        images = QVBoxLayout()
        images.setSpacing(4)
        images.addWidget(self._image_thumb)
        images.addWidget(self._mask_thumb)
        images.addStretch(1)
        right = QVBoxLayout()
        right.setSpacing(4)
        right.addWidget(self._words)
        for widget in (self._strength_line, self._alpha, self._mask_line):
            right.addWidget(widget)
        right.addStretch(1)
        layout = QGridLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setHorizontalSpacing(8)
        layout.addLayout(images, 0, 0)
        layout.addLayout(right, 0, 1)
        layout.setColumnStretch(1, 1)

    def _take_image(self, picture: Picture) -> None:
        self._take(image=picture)

    def _take_mask(self, picture: Picture) -> None:
        self._take(mask=picture)

    def _take(self, **given: Picture | ArrayRef | None) -> None:
        self.fill(dataclasses.replace(self.start, **given))
        self.changed.emit()

    def _ask_size(self) -> None:
        if self._image is not None:
            self.size_asked.emit(*size_px(self._image))

    def _edited(self) -> None:
        if not self._filling:
            self._show_state()
            self.changed.emit()

    def _show_images(self) -> None:
        none_yet = ("No start picture: the result begins with noise alone.", _NO_MASK)
        held = ((self._image, self._image_thumb), (self._mask, self._mask_thumb))
        for (image, thumb), nothing in zip(held, none_yet, strict=True):
            shown = to_qimage(image.pixels) if isinstance(image, Picture) else None
            thumb.show_image(shown, nothing if image is None else _words(image), held=image is not None)
            if isinstance(image, ArrayRef):
                self.wanted.emit(image)

    def _show_transparency(self) -> None:
        """Where the image's own transparency is the mask, its square shows that."""
        image = self._image
        if self._mask is None and isinstance(image, Picture) and image.rgba is not None:
            used = is_masked(self.start)
            mask = to_qimage(np.repeat(255 - image.rgba[..., 3:], 3, axis=2)) if used else None
            words = "The picture's own transparency: white is painted anew." if used else _NO_MASK
            self._mask_thumb.show_image(mask, words, held=False)

    def _show_state(self) -> None:
        start = self.start
        there, masked = self._image is not None, is_masked(start)
        if not there:
            text = "None: from noise alone. Drop a picture here to paint over it."
        elif masked:
            text = "Inpainting: what the mask shows white is painted anew, the rest is kept."
            if self._mask is None:
                text = "Inpainting: what is transparent is painted anew, the rest is kept."
        else:
            text = "Image to image. Drop a mask to change a part alone."
        self._words.setText(text)
        self._show_transparency()
        self._mask_thumb.setVisible(there)
        self._strength_line.setVisible(there)
        self._alpha.setVisible(there and self._mask is None and has_alpha(start))
        self._mask_line.setVisible(masked)


def _line(widget: QWidget, *parts: QWidget) -> None:
    layout = QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for part in parts:
        layout.addWidget(part, 0 if isinstance(part, QLabel) else 1)


def _words(image: Picture | ArrayRef) -> str:
    width, height = size_px(image)
    name = image.name if isinstance(image, Picture) else "Of an earlier job"
    return f"{name}, {width} × {height}"
