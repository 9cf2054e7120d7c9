"""One row of the controls list."""

import dataclasses

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QWidget

from ..protocol.arrays import ArrayRef
from ..protocol.checks import DETECTORS
from ..protocol.request import ControlKind
from ..protocol.sources import Photo, ReadyMap
from . import words
from .fields import Card, Choice, FloatField, IntField, ModelField, quiet, tool_button
from .form import MAX_SCALE, ControlForm, Picture, PictureUse, Reused, guess
from .pictures import to_qimage
from .thumbnail import Thumbnail


class ControlRow(Card):
    """A ControlNet, what it is shown, and how much it counts."""

    changed = Signal()
    removed = Signal()
    refused = Signal(object)  # an UnderpaintError
    wanted = Signal(object)  # the ArrayRef of a picture to show

    def __init__(self, control: ControlForm, recent: tuple[str, ...] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: Picture | Reused | None = None
        self._filling = False
        self.setAccessibleName("Control")
        self._build(recent)
        self.fill(control)

    @property
    def control(self) -> ControlForm:
        """What is filled in."""
        return ControlForm(
            kind=self._kind.value,
            image=self._image,
            use=self._use.value,
            controlnet=self._controlnet.value,
            conditioning_scale=self._scale.value(),
            start=self._start.value() / 100,
            end=self._end.value() / 100,
            enabled=self._enabled.isChecked(),
        )

    @property
    def recent(self) -> tuple[str, ...]:
        """The ControlNets that this row offers."""
        return self._controlnet.recent

    def fill(self, control: ControlForm) -> None:
        """Fill in a control."""
        self._filling = True
        self._enabled.setChecked(control.enabled)
        self._kind.set_value(control.kind)
        self._use.set_value(control.use)
        self._controlnet.set_value(control.controlnet)
        self._scale.setValue(control.conditioning_scale)
        self._start.setValue(round(control.start * 100))
        self._end.setValue(round(control.end * 100))
        self._image = control.image
        self._filling = False
        self._show_image()
        self._show_use()

    def show_picture(self, ref: ArrayRef, image: QImage) -> None:
        """A picture that was wanted has come."""
        if isinstance(self._image, Reused) and self._image.shown == ref:
            self._thumbnail.show_image(image, self._image_words())

    def _build(self, recent: tuple[str, ...]) -> None:
        self._thumbnail = Thumbnail()
        self._thumbnail.given.connect(self._take)
        self._thumbnail.cleared.connect(self._clear)
        self._thumbnail.refused.connect(self.refused)
        self._enabled = QCheckBox()
        self._enabled.setToolTip("Whether this control takes part")
        self._enabled.setAccessibleName("Control enabled")
        self._kind = Choice(list(words.KINDS.items()), "Kind", "What the ControlNet was trained to follow")
        self._use = Choice(
            [(PictureUse.MAP, "Control map"), (PictureUse.PHOTO, "Photo")],
            "Image is",
            "Whether the image is a control map already, or a photo in which a detector finds one",
        )
        self._origin = quiet(QLabel())
        self._controlnet = ModelField(
            "ControlNet",
            "Folder or hub id of the ControlNet; empty takes the one that belongs to the embedded checkpoint",
            "ControlNet: embedded",
        )
        self._controlnet.set_recent(recent)
        self._scale = FloatField(0, MAX_SCALE, 0.05, "Conditioning scale", "How much this control counts; 1 is normal")
        part = "of the steps at which this control"
        self._start = IntField(0, 100, 5, "Start", f"The part {part} sets in", suffix=" %")
        self._end = IntField(0, 100, 5, "End", f"The part {part} stops", suffix=" %")
        remove = tool_button("remove", "Remove this control")
        remove.clicked.connect(lambda: self.removed.emit())
        for signal in (
            self._enabled.toggled,
            self._kind.chosen,
            self._use.chosen,
            self._controlnet.changed,
            self._scale.valueChanged,
            self._start.valueChanged,
            self._end.valueChanged,
        ):
            signal.connect(self._edited)
        self.parts: tuple[QWidget, ...] = (
            self._thumbnail,
            self._enabled,
            self._kind,
            self._use,
            remove,
            *self._controlnet.parts,
            self._scale,
            self._start,
            self._end,
        )
        """What the Tab key goes through."""
        first = QHBoxLayout()
        first.setSpacing(4)
        first.addWidget(self._enabled)
        first.addWidget(self._kind, 3)
        first.addWidget(self._use, 4)
        first.addWidget(self._origin, 4)
        first.addWidget(remove)
        third = QHBoxLayout()
        third.setSpacing(4)
        third.addWidget(quiet(QLabel("Scale")))
        third.addWidget(self._scale, 1)
        third.addSpacing(4)
        third.addWidget(quiet(QLabel("Steps")))
        third.addWidget(self._start, 1)
        third.addWidget(quiet(QLabel("–")))
        third.addWidget(self._end, 1)
        layout = QGridLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setHorizontalSpacing(8)
        layout.setVerticalSpacing(4)
        layout.addWidget(self._thumbnail, 0, 0, 3, 1, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(first, 0, 1)
        layout.addWidget(self._controlnet, 1, 1)
        layout.addLayout(third, 2, 1)
        layout.setColumnStretch(1, 1)

    def _edited(self) -> None:
        if not self._filling:
            self._show_use()
            self.changed.emit()

    def _take(self, picture: Picture) -> None:
        kind, use = guess(picture.name)
        if kind is not self._kind.value:
            use = self._use.value  # the name says nothing of this row's kind
        self.fill(dataclasses.replace(self.control, image=picture, use=use, enabled=True))
        self.changed.emit()

    def _clear(self) -> None:
        self.fill(dataclasses.replace(self.control, image=None))
        self.changed.emit()

    def _show_image(self) -> None:
        image = None
        if isinstance(self._image, Picture):
            image = to_qimage(self._image.pixels)
        elif self._image is not None and self._image.shown is not None:
            self.wanted.emit(self._image.shown)
        self._thumbnail.show_image(image, self._image_words())

    def _image_words(self) -> str:
        match self._image:
            case None:
                return "No image yet."
            case Picture(name=name, pixels=pixels):
                return f"{name}, {pixels.shape[1]} × {pixels.shape[0]}"
            case Reused(origin=origin, size=size):
                return f"{origin}, {size.width} × {size.height}"

    def _show_use(self) -> None:
        reused = isinstance(self._image, Reused)
        self._use.setVisible(not reused)
        self._origin.setVisible(reused)
        self._kind.setEnabled(not reused)  # a pass is of one kind
        self._use.setItemText(1, f"Photo ({words.DETECTORS[DETECTORS[self._kind.value][0]]})")
        if isinstance(self._image, Reused):
            self._origin.setText(_source_words(self._image))
            self._origin.setToolTip(f"{self._image.origin}. It is with the backend already; nothing is sent again.")
        self._thumbnail.setAccessibleName(f"{words.KINDS[self._kind.value]} control image")

    def kind(self) -> ControlKind:
        """The row's kind."""
        return self._kind.value


def _source_words(reused: Reused) -> str:
    match reused.source:
        case ReadyMap():
            return "Control map"
        case Photo(detector=detector):
            return f"Photo ({words.DETECTORS[detector]})"
        case _:
            return "Blender pass"
