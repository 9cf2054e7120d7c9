"""A form as it is written down: files are read again, and what the service holds is spoken of by its address."""

import logging
from dataclasses import dataclass
from pathlib import Path

from ..protocol.arrays import ArrayRef
from ..protocol.errors import UnderpaintError
from ..protocol.geometry import Camera, Extent
from ..protocol.options import Options
from ..protocol.request import (
    ControlKind,
    CurvePoint,
    Embedding,
    Precision,
    Scheduler,
    Seamless,
    SecondPass,
    Sigmas,
    Variant,
)
from ..protocol.sources import Detector, Source
from . import drops
from .extras_form import DEFAULT_SECOND_PASS, Extras, ImagePromptForm, LoraForm
from .form import ControlForm, Form, Picture, PictureUse, PoseFile, Reused, StartForm

_log = logging.getLogger(__name__)


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
class SavedImagePrompt:
    """An ImagePromptForm without its pixels."""

    adapter: str
    scale: float
    start: float
    end: float
    image_encoder: str
    enabled: bool
    file: str = ""
    image: ArrayRef | None = None


@dataclass(frozen=True, kw_only=True)
class SavedExtras:
    """Extras without pixels; what an earlier version did not know has a default."""

    loras: tuple[LoraForm, ...] = ()
    embeddings: tuple[Embedding, ...] = ()
    image_prompts: tuple[SavedImagePrompt, ...] = ()
    second_pass: SecondPass = DEFAULT_SECOND_PASS
    use_second_pass: bool = False
    vae: str = ""
    clip_skip: int = 0
    plain_prompt: bool = False
    seamless: Seamless = Seamless.OFF
    safety_checker: str = ""


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
    extras: SavedExtras | None = None
    precision: Precision = Precision.AUTO
    memory_budget_gb: float | None = None


def saved(form: Form) -> SavedForm:
    """The form without what can be read again."""
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
        extras=_saved_extras(form.extras),
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


def form_of(saved: SavedForm) -> Form:
    """The form that was written down; pictures whose files are gone are left out."""
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
        extras=_extras(saved.extras) if saved.extras is not None else Extras(),
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


def _saved_extras(extras: Extras) -> SavedExtras:
    return SavedExtras(
        loras=extras.loras,
        embeddings=extras.embeddings,
        image_prompts=tuple(
            SavedImagePrompt(
                adapter=row.adapter,
                scale=row.scale,
                start=row.start,
                end=row.end,
                image_encoder=row.image_encoder,
                enabled=row.enabled,
                file=row.image.file if isinstance(row.image, Picture) else "",
                image=row.image if isinstance(row.image, ArrayRef) else None,
            )
            for row in extras.image_prompts
        ),
        second_pass=extras.second_pass,
        use_second_pass=extras.use_second_pass,
        vae=extras.vae,
        clip_skip=extras.clip_skip,
        plain_prompt=extras.plain_prompt,
        seamless=extras.seamless,
        safety_checker=extras.safety_checker,
    )


def _extras(saved: SavedExtras) -> Extras:
    return Extras(
        loras=saved.loras,
        embeddings=saved.embeddings,
        image_prompts=tuple(
            ImagePromptForm(
                adapter=row.adapter,
                image=row.image or _read_picture(row.file),
                scale=row.scale,
                start=row.start,
                end=row.end,
                image_encoder=row.image_encoder,
                enabled=row.enabled,
            )
            for row in saved.image_prompts
        ),
        second_pass=saved.second_pass,
        use_second_pass=saved.use_second_pass,
        vae=saved.vae,
        clip_skip=saved.clip_skip,
        plain_prompt=saved.plain_prompt,
        seamless=saved.seamless,
        safety_checker=saved.safety_checker,
    )
