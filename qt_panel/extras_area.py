"""Everything beyond checkpoint, controls and steps, folded away: each fold says in a few words what is set in it."""

import itertools
from collections.abc import Callable

from PySide6.QtCore import Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QVBoxLayout, QWidget

from ..protocol.arrays import ArrayRef
from ..protocol.infotext import stem
from ..protocol.models import ModelEntry
from ..protocol.request import Seamless
from .details_area import DetailsArea
from .extras_form import Extras
from .fields import ElidedLabel
from .fold import Fold
from .image_prompt_area import ImagePromptArea
from .lora_area import LoraArea
from .model_book import ModelBook
from .second_pass_area import SecondPassArea


class ExtrasArea(QWidget):
    """Shows Extras and gives them back."""

    changed = Signal()
    refused = Signal(object)  # an UnderpaintError
    wanted = Signal(object)  # the ArrayRef of a picture to show
    picked = Signal(object)  # a ModelEntry that was chosen from a list

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._filling = False
        self.loras = LoraArea()
        self.prompts = ImagePromptArea()
        self.second = SecondPassArea()
        self.details = DetailsArea()
        self._words = tuple(ElidedLabel() for _ in range(4))
        self.folds = (
            Fold("LoRAs", "Small files that teach a style or a thing", self.loras, beside=self._words[0]),
            Fold("Image prompts", "Pictures whose style goes into the result", self.prompts, beside=self._words[1]),
            Fold("Second pass", "For large pictures", self.second, beside=self._words[2]),
            Fold("More", "VAE, clip skip, seamless edges, embeddings", self.details, beside=self._words[3]),
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for fold in self.folds:
            layout.addWidget(fold)
        for part in (self.loras, self.prompts, self.second, self.details):
            part.changed.connect(self._edited)
        self.loras.picked.connect(self.picked)
        self.prompts.refused.connect(self.refused)
        self.prompts.wanted.connect(self.wanted)
        self._show_state()

    @property
    def extras(self) -> Extras:
        """What is filled in."""
        return Extras(
            loras=self.loras.loras,
            embeddings=self.details.embeddings,
            image_prompts=self.prompts.prompts,
            second_pass=self.second.second_pass,
            use_second_pass=self.second.used,
            vae=self.details.vae.value,
            clip_skip=self.details.clip_skip,
            plain_prompt=self.details.plain_prompt,
            seamless=self.details.seamless,
            safety_checker=self.details.checker.value,
        )

    def fill(self, extras: Extras) -> None:
        """Fill them in."""
        self._filling = True
        self.loras.fill(extras.loras)
        self.prompts.fill(extras.image_prompts)
        self.second.fill(extras.second_pass, used=extras.use_second_pass)
        self.details.fill(
            vae=extras.vae,
            safety_checker=extras.safety_checker,
            clip_skip=extras.clip_skip,
            seamless=extras.seamless,
            plain_prompt=extras.plain_prompt,
            embeddings=extras.embeddings,
        )
        self._filling = False
        self._show_state()

    def offer(self, book: ModelBook, fits: Callable[[ModelEntry], bool]) -> None:
        """Offer the book's models, those that fit the checkpoint."""
        self.loras.offer(book, fits)
        self.prompts.offer(book, fits)
        self.second.offer(book, fits)
        self.details.offer(book, fits)

    def show_picture(self, ref: ArrayRef, image: QImage) -> None:
        """A picture that was wanted has come."""
        self.prompts.show_picture(ref, image)

    def _edited(self) -> None:
        if not self._filling:
            self._show_state()
            self.changed.emit()

    def _show_state(self) -> None:
        parts: list[QWidget] = []
        for fold, area in zip(self.folds, (self.loras, self.prompts, self.second, self.details), strict=True):
            parts += [fold.button, *area.parts]
        for before, after in itertools.pairwise(parts):
            QWidget.setTabOrder(before, after)
        for label, text in zip(self._words, summaries(self.extras), strict=True):
            label.show_text(text)


def summaries(extras: Extras) -> tuple[str, str, str, str]:
    """What is set in each fold, in a few words; "" where nothing is."""
    loras = ", ".join(f"{stem(row.lora)} {row.weight:g}" for row in extras.loras if row.enabled and row.lora)
    count = sum(row.enabled for row in extras.image_prompts)
    prompts = f"{count} {'picture' if count == 1 else 'pictures'}" if count else ""
    second = extras.second_pass
    tiles = "" if second.tile_px is None else f", tiles of {second.tile_px} px"
    passes = f"× {second.factor:g}, {second.strength:.0%}{tiles}" if extras.use_second_pass else ""
    more = (
        f"VAE {stem(extras.vae)}" if extras.vae else "",
        f"clip skip {extras.clip_skip}" if extras.clip_skip else "",
        "seamless" if extras.seamless is not Seamless.OFF else "",
        "plain prompt" if extras.plain_prompt else "",
        "safety checker" if extras.safety_checker else "",
        f"{count} {'embedding' if count == 1 else 'embeddings'}" if (count := len(extras.embeddings)) else "",
    )
    return loras, prompts, passes, ", ".join(part for part in more if part)
