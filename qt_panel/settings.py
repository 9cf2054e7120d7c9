"""What the panel remembers from one day to the next."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from PySide6.QtCore import QByteArray, QSettings

from ..protocol import wire
from ..protocol.arrays import ArrayRef
from ..protocol.errors import UnderpaintError
from ..protocol.geometry import Camera, Extent
from ..protocol.options import Options
from ..protocol.request import ControlKind, CurvePoint, Precision, Scheduler, Sigmas, Variant
from ..protocol.sources import Detector, Source
from . import drops
from .form import ControlForm, Form, Picture, PictureUse, PoseFile, Reused, StartForm

_log = logging.getLogger(__name__)
_MOST_RECENT = 12


@dataclass(frozen=True, kw_only=True)
class SavedControl:
    """A ControlForm without its pixels: a file is read again, a reused source is still with the service."""

    kind: ControlKind
    use: PictureUse
    controlnet: str
    conditioning_scale: float
    start: float
    end: float
    enabled: bool
    detector: Detector | None = None
    mask_file: str = ""
    options: Options | None = None
    file: str = ""
    source: Source | None = None
    size: Extent | None = None  # of a reused source
    shown: ArrayRef | None = None
    origin: str = ""
    curve: tuple[CurvePoint, ...] = ()
    guess_mode: bool = False


@dataclass(frozen=True, kw_only=True)
class SavedStart:
    """A StartForm without its pixels."""

    strength: float
    mask_grow_px: int
    mask_blur_px: float
    use_alpha: bool
    file: str = ""
    image: ArrayRef | None = None
    mask_file: str = ""
    mask: ArrayRef | None = None


@dataclass(frozen=True, kw_only=True)
class SavedForm:
    """A Form as it is written down; what an earlier version did not know has a default."""

    prompt: str
    negative_prompt: str
    checkpoint: str
    allow_download: bool
    size: Extent
    controls: tuple[SavedControl, ...]
    steps: int
    guidance_scale: float
    scheduler: Scheduler
    seed: int
    random_seed: bool
    camera: Camera | None = None
    sigmas: Sigmas = Sigmas.DEFAULT
    pictures: int = 1
    variants: tuple[Variant, ...] = ()
    batch_size: int = 1
    start: SavedStart | None = None
    precision: Precision = Precision.AUTO
    memory_budget_gb: float | None = None


class Memory:
    """Owns the QSettings."""

    def __init__(self, settings: QSettings) -> None:
        self._settings = settings

    def save_form(self, form: Form) -> None:
        """Write the form down."""
        self._settings.setValue("form", wire.dumps(_saved(form)))

    def load_form(self) -> Form:
        """The form that was written down; the defaults where there is none or a later version wrote it."""
        text = self._settings.value("form")
        if not isinstance(text, str):
            return Form()
        try:
            return _form(wire.loads(SavedForm, text, ignore_unknown=True))
        except UnderpaintError as error:
            _log.warning("The remembered settings can't be read: %s", error)
            return Form()

    def remember_models(self, form: Form) -> None:
        """Put the models of a picture that was asked for first among those that are offered."""
        self._put_first("checkpoints", [form.checkpoint])
        self._put_first("controlnets", [control.controlnet for control in form.controls if control.enabled])

    def checkpoints(self) -> tuple[str, ...]:
        """Checkpoints used before, the last one first."""
        return self._strings("checkpoints")

    def controlnets(self) -> tuple[str, ...]:
        """ControlNets used before, the last one first."""
        return self._strings("controlnets")

    def save_window(self, geometry: QByteArray, splitters: dict[str, QByteArray]) -> None:
        """Where the window was, and how it was divided."""
        self._settings.setValue("window/geometry", geometry)
        for name, state in splitters.items():
            self._settings.setValue(f"window/{name}", state)

    def window(self, name: str) -> QByteArray | None:
        """The remembered "geometry", or a splitter's state."""
        value = self._settings.value(f"window/{name}")
        return value if isinstance(value, QByteArray) else None

    def folder(self) -> str:
        """Where a picture was last saved."""
        value = self._settings.value("folder")
        return value if isinstance(value, str) else ""

    def save_folder(self, folder: Path) -> None:
        """Remember where a picture was saved."""
        self._settings.setValue("folder", str(folder))

    def flush(self) -> None:
        """Write to disk."""
        self._settings.sync()

    def _put_first(self, key: str, used: list[str]) -> None:
        names = [name.strip() for name in used if name.strip()]
        self._settings.setValue(key, list(dict.fromkeys([*names, *self._strings(key)]))[:_MOST_RECENT])

    def _strings(self, key: str) -> tuple[str, ...]:
        value = self._settings.value(key)
        if isinstance(value, str):  # an ini file with one entry
            return (value,) if value else ()
        return tuple(str(entry) for entry in cast("list[object]", value)) if isinstance(value, list) else ()


def _saved(form: Form) -> SavedForm:
    return SavedForm(
        prompt=form.prompt,
        negative_prompt=form.negative_prompt,
        checkpoint=form.checkpoint,
        allow_download=form.allow_download,
        size=form.size,
        controls=tuple(_saved_control(control) for control in form.controls),
        steps=form.steps,
        guidance_scale=form.guidance_scale,
        scheduler=form.scheduler,
        seed=form.seed,
        random_seed=form.random_seed,
        camera=form.camera,
        sigmas=form.sigmas,
        pictures=form.pictures,
        variants=form.variants,
        batch_size=form.batch_size,
        start=_saved_start(form.start),
        precision=form.precision,
        memory_budget_gb=form.memory_budget_gb,
    )


def _saved_start(start: StartForm) -> SavedStart:
    image, mask = start.image, start.mask
    return SavedStart(
        strength=start.strength,
        mask_grow_px=start.mask_grow_px,
        mask_blur_px=start.mask_blur_px,
        use_alpha=start.use_alpha,
        file=image.file if isinstance(image, Picture) else "",
        image=image if isinstance(image, ArrayRef) else None,
        mask_file=mask.file if isinstance(mask, Picture) else "",
        mask=mask if isinstance(mask, ArrayRef) else None,
    )


def _saved_control(control: ControlForm) -> SavedControl:
    image = control.image
    reused = image if isinstance(image, Reused) else None
    return SavedControl(
        kind=control.kind,
        use=control.use,
        controlnet=control.controlnet,
        conditioning_scale=control.conditioning_scale,
        start=control.start,
        end=control.end,
        enabled=control.enabled,
        detector=control.detector,
        mask_file=control.mask.file if control.mask is not None else "",
        options=control.options,
        file=image.file if isinstance(image, Picture | PoseFile) else "",
        source=reused.source if reused else None,
        size=reused.size if reused else None,
        shown=reused.shown if reused else None,
        origin=reused.origin if reused else "",
        curve=control.curve,
        guess_mode=control.guess_mode,
    )


def _form(saved: SavedForm) -> Form:
    return Form(
        prompt=saved.prompt,
        negative_prompt=saved.negative_prompt,
        checkpoint=saved.checkpoint,
        allow_download=saved.allow_download,
        size=saved.size,
        controls=tuple(_control(control) for control in saved.controls),
        steps=saved.steps,
        guidance_scale=saved.guidance_scale,
        scheduler=saved.scheduler,
        seed=saved.seed,
        random_seed=saved.random_seed,
        camera=saved.camera,
        sigmas=saved.sigmas,
        pictures=saved.pictures,
        variants=saved.variants,
        batch_size=saved.batch_size,
        start=_start(saved.start) if saved.start is not None else StartForm(),
        precision=saved.precision,
        memory_budget_gb=saved.memory_budget_gb,
    )


def _start(saved: SavedStart) -> StartForm:
    return StartForm(
        image=saved.image or _read_picture(saved.file),
        mask=saved.mask or _read_picture(saved.mask_file),
        use_alpha=saved.use_alpha,
        strength=saved.strength,
        mask_grow_px=saved.mask_grow_px,
        mask_blur_px=saved.mask_blur_px,
    )


def _control(saved: SavedControl) -> ControlForm:
    return ControlForm(
        kind=saved.kind,
        image=_image(saved),
        use=saved.use,
        detector=saved.detector,
        mask=_read_picture(saved.mask_file),
        options=saved.options,
        controlnet=saved.controlnet,
        conditioning_scale=saved.conditioning_scale,
        start=saved.start,
        end=saved.end,
        curve=saved.curve,
        guess_mode=saved.guess_mode,
        enabled=saved.enabled,
    )


def _image(saved: SavedControl) -> Picture | PoseFile | Reused | None:
    if saved.source is not None and saved.size is not None:
        return Reused(source=saved.source, size=saved.size, shown=saved.shown, origin=saved.origin)
    return _read(saved.file)


def _read_picture(file: str) -> Picture | None:
    found = _read(file)
    return found if isinstance(found, Picture) else None


def _read(file: str) -> Picture | PoseFile | None:
    if not file:
        return None
    try:
        return drops.read(Path(file))
    except UnderpaintError as error:
        _log.warning("A control image of last time is gone: %s", error)  # its row stays, and says "Drop image"
        return None
