"""What the user filled in, as data: checked, turned into a request, and made again from one. Knows no Qt."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..protocol.arrays import AnyArray, ArrayRef
from ..protocol.checks import MAX_SEED, check_size
from ..protocol.errors import InvalidRequest, InvalidSize, UnderpaintError
from ..protocol.geometry import Camera, Extent
from ..protocol.request import (
    Control,
    ControlKind,
    ControlMapsRequest,
    DownloadRequest,
    GenerateRequest,
    PlanRequest,
    Precision,
    Request,
    Scheduler,
    Sigmas,
    Variant,
)
from ..protocol.sources import InpaintPass, Photo, PicturePass, ReadyMap, Source
from .control_form import (
    ControlForm,
    Picture,
    PictureUse,
    PoseFile,
    Reused,
    guess,
    is_pass,
    row_problems,
    to_control,
    usual_use,
)
from .extras_form import NO_EXTRAS, Extras, extras_problems, restored_extras, to_extras, without_images
from .start_form import NO_START, StartForm, restored_start, start_problems, to_start

__all__ = [
    "ControlForm",
    "Extras",
    "Form",
    "Picture",
    "PictureUse",
    "PoseFile",
    "Reused",
    "StartForm",
    "generate_request",
    "guess",
    "is_pass",
    "maps_request",
    "misfit",
    "pictured",
    "plan_request",
    "problems",
    "restored",
    "reused_controls",
    "with_dropped",
    "with_passes",
    "without_gone",
]

MAX_SCALE = 10.0
_DEFAULT_SIZE = Extent(width=512, height=512)


@dataclass(frozen=True, kw_only=True)
class Form:
    """Everything the user filled in."""

    prompt: str = ""
    negative_prompt: str = ""
    checkpoint: str = ""
    allow_download: bool = False
    size: Extent = _DEFAULT_SIZE
    controls: tuple[ControlForm, ...] = ()
    steps: int = 20
    guidance_scale: float = 7.5
    scheduler: Scheduler = Scheduler.UNIPC
    sigmas: Sigmas = Sigmas.DEFAULT
    seed: int = 0
    random_seed: bool = False  # roll a new seed before each job
    pictures: int = 1  # of one job, by the seeds seed, seed + 1, ...
    variants: tuple[Variant, ...] = ()  # further ones with prompts or seeds of their own, out of an earlier job
    batch_size: int = 1
    start: StartForm = NO_START
    extras: Extras = NO_EXTRAS
    precision: Precision = Precision.AUTO
    memory_budget_gb: float | None = None
    camera: Camera | None = None  # of the render whose passes are used, so that the picture can be projected back


def misfit(form: Form) -> Extent | None:
    """The size that the reused passes are made for, where the form asks for another."""
    for control in form.controls:
        image = control.image
        if control.enabled and isinstance(image, Reused) and is_pass(image.source) and image.size != form.size:
            return image.size
    return None


def problems(form: Form, *, maps_only: bool = False) -> tuple[UnderpaintError, ...]:
    """Why no request can be made of the form; empty when one can."""
    found: list[UnderpaintError] = []
    try:
        check_size(form.size)
    except InvalidSize as error:
        found.append(error)
    enabled = [control for control in form.controls if control.enabled]
    for control in enabled:
        found.extend(row_problems(control))
    if (made_for := misfit(form)) is not None:
        found.append(
            InvalidRequest(reason=f"the render's passes are {made_for.width} x {made_for.height}, the picture is not")
        )
    if not maps_only:
        found.extend(start_problems(form.start))
        found.extend(extras_problems(form.extras))
    if maps_only and not enabled:
        found.append(InvalidRequest(reason="there is no control to make a map of"))
    return tuple(found)


def generate_request(form: Form, upload: Callable[[AnyArray], ArrayRef]) -> GenerateRequest:
    """The request for the form's pictures. Raises the first of `problems`."""
    _refuse(problems(form))
    controls = _controls(form, upload)
    prompt, negative_prompt = form.prompt.strip(), form.negative_prompt.strip()
    extras = to_extras(form.extras, upload)
    return GenerateRequest(
        prompt=prompt,
        negative_prompt=negative_prompt,
        checkpoint=form.checkpoint.strip(),
        size=form.size,
        controls=controls,
        steps=form.steps,
        guidance_scale=form.guidance_scale,
        scheduler=form.scheduler,
        sigmas=form.sigmas,
        seed=form.seed,
        variants=(*_seeds_on(prompt, negative_prompt, form.seed, form.pictures - 1), *form.variants),
        batch_size=form.batch_size,
        start=to_start(form.start, upload),
        second_pass=extras.second_pass,
        loras=extras.loras,
        embeddings=extras.embeddings,
        image_prompts=extras.image_prompts,
        vae=extras.vae,
        clip_skip=extras.clip_skip,
        plain_prompt=extras.plain_prompt,
        seamless=extras.seamless,
        safety_checker=extras.safety_checker,
        precision=form.precision,
        memory_budget_gb=form.memory_budget_gb,
        camera=form.camera if any(is_pass(control.source) for control in controls) else None,
        allow_download=form.allow_download,
    )


def maps_request(form: Form, upload: Callable[[AnyArray], ArrayRef]) -> ControlMapsRequest:
    """The request for the control maps alone. Raises the first of `problems`."""
    _refuse(problems(form, maps_only=True))
    return ControlMapsRequest(
        size=form.size,
        controls=_controls(form, upload),
        checkpoint=form.checkpoint.strip(),
        allow_download=form.allow_download,
    )


def plan_request(form: Form, upload: Callable[[AnyArray], ArrayRef]) -> PlanRequest:
    """The request to be told where and how the form's pictures would be painted. Raises the first of `problems`."""
    return PlanRequest(picture=generate_request(form, upload))


def pictured(request: Request) -> GenerateRequest | ControlMapsRequest | None:
    """The request, or the one whose plan it asks for; None for one that is about no picture."""
    if isinstance(request, DownloadRequest):
        return None
    return request.picture if isinstance(request, PlanRequest) else request


def restored(form: Form, request: Request, shown: Sequence[ArrayRef | None] = (), *, origin: str) -> Form:
    """The form that makes a request again; what the request says nothing about stays as in `form`.

    So does the memory budget: it belongs to the device at hand, and not to the picture.
    """
    asked = pictured(request)
    if asked is None:
        return form
    changed = dataclasses.replace(
        form,
        checkpoint=asked.checkpoint,
        allow_download=asked.allow_download,
        size=asked.size,
        controls=reused_controls(asked, shown, origin=origin),
    )
    if isinstance(asked, ControlMapsRequest):
        return changed
    own = asked.pictures[0]
    following = _seeds_on(own.prompt, own.negative_prompt, own.seed, len(asked.variants))
    in_a_row = 0  # of the further pictures, those that are the first's with the next seeds
    while in_a_row < len(following) and asked.variants[in_a_row] == following[in_a_row]:
        in_a_row += 1
    return dataclasses.replace(
        changed,
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt,
        steps=asked.steps,
        guidance_scale=asked.guidance_scale,
        scheduler=asked.scheduler,
        sigmas=asked.sigmas,
        seed=asked.seed,
        random_seed=False,
        pictures=1 + in_a_row,
        variants=asked.variants[in_a_row:],
        batch_size=asked.batch_size,
        start=restored_start(asked.start, form.start),
        extras=restored_extras(asked, form.extras),
        precision=asked.precision,
        camera=asked.camera,
    )


def without_gone(form: Form, gone: set[str]) -> Form:
    """The form whose pictures wait for new ones where the service has theirs no more (`gone`, by address)."""

    def lost(ref: object) -> bool:
        return isinstance(ref, ArrayRef) and ref.sha256 in gone

    controls = tuple(
        dataclasses.replace(row, image=None)
        if isinstance(row.image, Reused) and any(lost(value) for value in vars(row.image.source).values())
        else row
        for row in form.controls
    )
    start = form.start
    if lost(start.image):
        start = dataclasses.replace(start, image=None, mask=None)
    elif lost(start.mask):
        start = dataclasses.replace(start, mask=None)
    return dataclasses.replace(form, controls=controls, start=start, extras=without_images(form.extras, gone))


def with_passes(form: Form, request: Request, shown: Sequence[ArrayRef | None] = (), *, origin: str) -> Form:
    """The form with the controls, size and camera of a Blender render, and everything else as it was."""
    asked = pictured(request)
    if asked is None:
        return form
    camera = asked.camera if isinstance(asked, GenerateRequest) else None
    controls = reused_controls(asked, shown, origin=origin)
    return dataclasses.replace(form, size=asked.size, controls=controls, camera=camera)


def reused_controls(request: Request, shown: Sequence[ArrayRef | None] = (), *, origin: str) -> tuple[ControlForm, ...]:
    """The controls of a request as rows; their images stay with the service.

    `shown` holds a picture of each for its thumbnail, as far as there is one.
    """
    asked = pictured(request)
    if asked is None:
        return ()
    pictures = (*shown, *(None for _ in asked.controls))
    return tuple(
        ControlForm(
            kind=control.kind,
            image=Reused(
                source=control.source,
                size=asked.size,
                shown=picture or _own_picture(control.source),
                origin=origin,
            ),
            options=control.options,
            controlnet=control.controlnet,
            conditioning_scale=control.conditioning_scale,
            start=control.start,
            end=control.end,
            curve=control.curve,
            guess_mode=control.guess_mode,
        )
        for control, picture in zip(asked.controls, pictures, strict=False)
    )


def with_dropped(form: Form, dropped: Picture | PoseFile) -> Form:
    """The form with a picture or a pose dropped on the window: into the first row that waits for one of its
    kind, else for any, else into a new row.
    """
    kind, use = guess(dropped.name)
    if isinstance(dropped, PoseFile):
        kind = ControlKind.OPENPOSE
    rows = list(form.controls)
    waiting = [index for index, row in enumerate(rows) if row.image is None]
    same = [index for index in waiting if rows[index].kind is kind]
    if same or (waiting and isinstance(dropped, Picture)):
        index = (same or waiting)[0]
        use = use if rows[index].kind is kind else usual_use(rows[index].kind)
        rows[index] = dataclasses.replace(rows[index], image=dropped, use=use, enabled=True)
    else:
        rows.append(ControlForm(kind=kind, image=dropped, use=use))
    return dataclasses.replace(form, controls=tuple(rows))


def _controls(form: Form, upload: Callable[[AnyArray], ArrayRef]) -> tuple[Control, ...]:
    return tuple(to_control(row, form.size, upload) for row in form.controls if row.enabled)


def _seeds_on(prompt: str, negative_prompt: str, seed: int, count: int) -> tuple[Variant, ...]:
    """Further pictures of a prompt by the seeds after its own; after the largest comes 0."""
    return tuple(
        Variant(prompt=prompt, negative_prompt=negative_prompt, seed=(seed + number) % (MAX_SEED + 1))
        for number in range(1, count + 1)
    )


def _own_picture(source: Source) -> ArrayRef | None:
    return source.image if isinstance(source, ReadyMap | Photo | PicturePass | InpaintPass) else None


def _refuse(found: tuple[UnderpaintError, ...]) -> None:
    if found:
        raise found[0]
