"""One row of the controls list."""

import dataclasses
from collections.abc import Callable

from PySide6.QtCore import Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from ..protocol.arrays import ArrayRef
from ..protocol.checks import DETECTORS
from ..protocol.models import ModelEntry, ModelKind
from ..protocol.request import ControlKind
from ..protocol.sources import DepthPass, Detector, InpaintPass, Photo, PicturePass, ReadyMap
from . import words
from .control_form import (
    ControlForm,
    Picture,
    PictureUse,
    PoseFile,
    Reused,
    detector,
    guess,
    options_type,
    source_type,
    uses,
    usual_use,
)
from .fields import Card, Choice, FloatField, OptionChoice, PercentField, quiet, tool_button
from .form import MAX_SCALE
from .model_book import ModelBook, fits
from .model_field import ModelField
from .option_area import OptionArea
from .option_words import fields
from .pictures import to_qimage
from .thumbnail import Thumbnail
from .weight_area import WeightArea

_USES = {PictureUse.MAP: "Control map", PictureUse.PHOTO: "Photo", PictureUse.PICTURE: "Picture"}


class ControlRow(Card):
    """A ControlNet, what it is shown, and how much it counts."""

    changed = Signal()
    removed = Signal()
    refused = Signal(object)  # an UnderpaintError
    wanted = Signal(object)  # the ArrayRef of a picture to show
    map_asked = Signal()  # to look at this control's map alone

    def __init__(self, control: ControlForm, recent: tuple[str, ...] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: Picture | PoseFile | Reused | None = None
        self._mask_picture: Picture | None = None
        self._map: QImage | None = None  # what was made of a pass or a pose, to be seen in the thumbnail
        self._filling = False
        self.setAccessibleName("Control")
        self._build(recent)
        self.fill(control)

    @property
    def control(self) -> ControlForm:
        """What is filled in."""
        return dataclasses.replace(self._shape(), options=self.options.options)

    @property
    def recent(self) -> tuple[str, ...]:
        """The ControlNets that this row offers."""
        return self._controlnet.recent

    def fill(self, control: ControlForm) -> None:
        """Fill in a control."""
        self._filling = True
        self._enabled.setChecked(control.enabled)
        self._kind.set_value(control.kind)
        self._use.offer([(use, _USES[use]) for use in uses(control.kind)])
        self._use.choose(control.use)
        self._offer_detectors(control.kind)
        self._detector.choose(control.detector or DETECTORS.get(control.kind, (None,))[0])
        self._controlnet.set_value(control.controlnet)
        self._scale.fill(control.conditioning_scale)
        self._start.fill(control.start)
        self._end.fill(control.end)
        self.weight.fill(control.curve, guess_mode=control.guess_mode)
        self.weight.editor.show_window(control.start, control.end)
        if control.image is not self._image:
            self._map = None
        self._image, self._mask_picture = control.image, control.mask
        self._show_use()
        self.options.fill(control.options)
        self._filling = False
        self._show_image()

    def show_picture(self, ref: ArrayRef, image: QImage) -> None:
        """A picture that was wanted has come."""
        if isinstance(self._image, Reused) and self._image.shown == ref and self._map is None:
            self._thumbnail.show_image(image, self._image_words())

    def show_map(self, image: QImage) -> None:
        """The control map that was made of what is here; a picture keeps its own thumbnail."""
        if not isinstance(self._image, Picture):
            self._map = image
            self._thumbnail.show_image(image, self._image_words())

    def offer(self, book: ModelBook, goes_with_checkpoint: Callable[[ModelEntry], bool]) -> None:
        """Offer the book's ControlNets, those that fit the checkpoint and the row's kind."""
        self._controlnet.offer(book, lambda entry: goes_with_checkpoint(entry) and fits(entry, None, self._kind.value))

    def kind(self) -> ControlKind:
        """The row's kind."""
        return self._kind.value

    def _shape(self) -> ControlForm:
        """What is filled in, without the options."""
        return ControlForm(
            kind=self._kind.value,
            image=self._image,
            use=PictureUse(str(self._use.chosen_value)),
            detector=self._chosen_detector(),
            mask=self._mask_picture,
            controlnet=self._controlnet.value,
            conditioning_scale=self._scale.exact,
            start=self._start.part,
            end=self._end.part,
            curve=self.weight.curve,
            guess_mode=self.weight.guess_mode,
            enabled=self._enabled.isChecked(),
        )

    def _build(self, recent: tuple[str, ...]) -> None:
        self._thumbnail = Thumbnail(poses=True)
        self._thumbnail.given.connect(self._take)
        self._thumbnail.cleared.connect(self._clear)
        self._thumbnail.refused.connect(self.refused)
        self._mask = Thumbnail("Drop mask")
        self._mask.given.connect(self._take_mask)
        self._mask.cleared.connect(lambda: self._take_mask(None))
        self._mask.refused.connect(self.refused)
        self._enabled = QCheckBox()
        self._enabled.setToolTip("Whether this control takes part")
        self._enabled.setAccessibleName("Control enabled")
        self._kind = Choice(list(words.KINDS.items()), "Kind", "What the ControlNet was trained to follow")
        self._use = OptionChoice(
            [(PictureUse.MAP, _USES[PictureUse.MAP])],
            "Image is",
            "Whether the image is a control map already, a photo in which a detector finds one, "
            "or the picture that the control is about",
        )
        self._origin = quiet(QLabel())
        self._detector = OptionChoice([(None, "")], "Detector", "What finds the control map in the photo")
        self._detector_line = QWidget()
        self._controlnet = ModelField(
            "ControlNet",
            "File, folder or hub id of the ControlNet; empty takes the embedded checkpoint's own",
            "ControlNet: embedded",
            kind=ModelKind.CONTROLNET,
        )
        self._controlnet.set_recent(recent)
        self._scale = FloatField(0, MAX_SCALE, 0.05, "Conditioning scale", "How much this control counts; 1 is normal")
        part = "of the steps at which this control"
        self._start = PercentField("Start", f"The part {part} sets in")
        self._end = PercentField("End", f"The part {part} stops")
        self._look = tool_button("maps", "Show this control's map")
        self._look.clicked.connect(lambda: self.map_asked.emit())
        remove = tool_button("remove", "Remove this control")
        remove.clicked.connect(lambda: self.removed.emit())
        self.weight = WeightArea()
        self.options = OptionArea()
        for signal in (
            self._enabled.toggled,
            self._use.currentIndexChanged,
            self._detector.currentIndexChanged,
            self._controlnet.changed,
            self._scale.valueChanged,
            self._start.valueChanged,
            self._end.valueChanged,
            self.weight.changed,
            self.options.changed,
        ):
            signal.connect(self._edited)
        self._kind.chosen.connect(self._kind_chosen)
        self._remove = remove
        first = QHBoxLayout()
        first.setSpacing(4)
        first.addWidget(self._enabled)
        first.addWidget(self._kind, 4)
        first.addWidget(self._use, 4)
        first.addWidget(self._origin, 4)
        first.addWidget(self._look)
        first.addWidget(remove)
        second = QHBoxLayout(self._detector_line)
        second.setContentsMargins(0, 0, 0, 0)
        second.setSpacing(4)
        second.addWidget(quiet(QLabel("Detector")))
        second.addWidget(self._detector, 1)
        last = QHBoxLayout()
        last.setSpacing(4)
        last.addWidget(quiet(QLabel("Scale")))
        last.addWidget(self._scale, 1)
        last.addSpacing(4)
        last.addWidget(quiet(QLabel("Steps")))
        last.addWidget(self._start, 1)
        last.addWidget(quiet(QLabel("–")))
        last.addWidget(self._end, 1)
        images = QVBoxLayout()
        images.setSpacing(4)
        images.addWidget(self._thumbnail)
        images.addWidget(self._mask)
        images.addStretch(1)
        right = QVBoxLayout()
        right.setSpacing(4)
        right.addLayout(first)
        right.addWidget(self._detector_line)
        right.addWidget(self._controlnet)
        right.addLayout(last)
        right.addStretch(1)
        layout = QGridLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setHorizontalSpacing(8)
        layout.setVerticalSpacing(4)
        layout.addLayout(images, 0, 0)
        layout.addLayout(right, 0, 1)
        layout.addWidget(self.weight, 1, 0, 1, 2)
        layout.addWidget(self.options, 2, 0, 1, 2)
        layout.setColumnStretch(1, 1)

    @property
    def parts(self) -> tuple[QWidget, ...]:
        """What the Tab key goes through."""
        return (
            self._thumbnail,
            self._mask,
            self._enabled,
            self._kind,
            self._use,
            self._look,
            self._remove,
            self._detector,
            *self._controlnet.parts,
            self._scale,
            self._start,
            self._end,
            *self.weight.parts,
            *self.options.parts,
        )

    def _chosen_detector(self) -> Detector | None:
        chosen = self._detector.chosen_value
        return chosen if isinstance(chosen, Detector) else None

    def _offer_detectors(self, kind: ControlKind) -> None:
        offered = DETECTORS.get(kind, ())
        self._detector.offer([(found, words.DETECTORS[found]) for found in offered] or [(None, "")])

    def _kind_chosen(self) -> None:
        if not self._filling:
            kind = self._kind.value
            use = self._shape().use
            offered = uses(kind)
            self.fill(dataclasses.replace(self._shape(), use=use if use in offered else usual_use(kind), detector=None))
            self.changed.emit()

    def _edited(self) -> None:
        if not self._filling:
            self._show_use()
            self.weight.editor.show_window(self._start.part, self._end.part)
            self.changed.emit()

    def _take(self, given: Picture | PoseFile) -> None:
        control = self.control
        if isinstance(given, PoseFile):
            control = dataclasses.replace(control, kind=ControlKind.OPENPOSE)
        else:
            kind, use = guess(given.name)
            if kind is control.kind and use in uses(kind):  # else the name says nothing of this row's kind
                control = dataclasses.replace(control, use=use)
        self.fill(dataclasses.replace(control, image=given, enabled=True))
        self.changed.emit()

    def _take_mask(self, picture: Picture | None) -> None:
        self._mask_picture = picture
        self._show_image()
        self.changed.emit()

    def _clear(self) -> None:
        self.fill(dataclasses.replace(self.control, image=None))
        self.changed.emit()

    def _show_image(self) -> None:
        image = self._map
        if isinstance(self._image, Picture):
            image = to_qimage(self._image.pixels)
        elif image is None and isinstance(self._image, Reused) and self._image.shown is not None:
            self.wanted.emit(self._image.shown)
        self._thumbnail.show_image(image, self._image_words(), held=self._image is not None)
        mask = self._mask_picture
        self._mask.show_image(
            None if mask is None else to_qimage(mask.pixels), "No mask yet." if mask is None else _size_words(mask)
        )

    def _image_words(self) -> str:
        match self._image:
            case None:
                return "No image yet."
            case Picture() as picture:
                return _size_words(picture)
            case PoseFile(name=name, frame=frame):
                return f"{name}, {len(frame.people)} {'person' if len(frame.people) == 1 else 'people'}"
            case Reused(origin=origin, size=size):
                return f"{origin}, {size.width} × {size.height}"

    def _show_use(self) -> None:
        control = self._shape()
        source = source_type(control)
        kept = isinstance(self._image, Reused | PoseFile)
        self._use.setVisible(not kept)
        self._origin.setVisible(kept)
        self._kind.setEnabled(not kept)  # a pass is of one kind, and a pose too
        if self._image is None:  # the detector is to be seen as soon as a photo is meant
            photo, painted = control.use is PictureUse.PHOTO, control.use is PictureUse.PICTURE
        else:
            photo, painted = source is Photo and not kept, source is InpaintPass and not kept
        self._detector_line.setVisible(photo)
        self._mask.setVisible(painted and control.kind is ControlKind.INPAINT)
        if isinstance(self._image, Reused):
            self._origin.setText(_source_words(self._image))
            self._origin.setToolTip(f"{self._image.origin}. It is with the backend already; nothing is sent again.")
        elif isinstance(self._image, PoseFile):
            self._origin.setText("OpenPose JSON")
            self._origin.setToolTip("\n".join((self._image.name, *self._image.frame.notes)))
        self._thumbnail.setAccessibleName(f"{words.KINDS[control.kind]} control image")
        wanted = options_type(control)
        slopes = source is DepthPass and control.kind is ControlKind.NORMAL
        offered = () if wanted is None else fields(wanted, control.kind, detector=detector(control), slopes=slopes)
        self.options.show_fields(wanted, offered)


def _size_words(picture: Picture) -> str:
    return f"{picture.name}, {picture.pixels.shape[1]} × {picture.pixels.shape[0]}"


def _source_words(reused: Reused) -> str:
    match reused.source:
        case ReadyMap():
            return "Control map"
        case Photo(detector=found):
            return f"Photo ({words.DETECTORS[found]})"
        case PicturePass() | InpaintPass():
            return "Picture"
        case _:
            return "Blender pass"
