"""What the user filled in, as data: checked, turned into a request, and made again from one. Knows no Qt."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..protocol.arrays import AnyArray, ArrayRef
from ..protocol.checks import check_size
from ..protocol.errors import InvalidRequest, InvalidSize, UnderpaintError
from ..protocol.geometry import Camera, Extent
from ..protocol.request import Control, ControlKind, ControlMapsRequest, GenerateRequest, Request, Scheduler
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

__all__ = [
    "ControlForm",
    "Form",
    "Picture",
    "PictureUse",
    "PoseFile",
    "Reused",
    "generate_request",
    "guess",
    "is_pass",
    "maps_request",
    "misfit",
    "problems",
    "restored",
    "reused_controls",
    "with_dropped",
    "with_passes",
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
    seed: int = 0
    random_seed: bool = False  # roll a new seed before each picture
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
    if maps_only and not enabled:
        found.append(InvalidRequest(reason="there is no control to make a map of"))
    return tuple(found)


def generate_request(form: Form, upload: Callable[[AnyArray], ArrayRef]) -> GenerateRequest:
    """The request for one picture. Raises the first of `problems`."""
    _refuse(problems(form))
    controls = _controls(form, upload)
    return GenerateRequest(
        prompt=form.prompt.strip(),
        negative_prompt=form.negative_prompt.strip(),
        checkpoint=form.checkpoint.strip(),
        size=form.size,
        controls=controls,
        steps=form.steps,
        guidance_scale=form.guidance_scale,
        scheduler=form.scheduler,
        seed=form.seed,
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


def restored(form: Form, request: Request, shown: Sequence[ArrayRef | None] = (), *, origin: str) -> Form:
    """The form that makes a request again; what the request says nothing about stays as in `form`."""
    changed = dataclasses.replace(
        form,
        checkpoint=request.checkpoint,
        allow_download=request.allow_download,
        size=request.size,
        controls=reused_controls(request, shown, origin=origin),
    )
    if isinstance(request, ControlMapsRequest):
        return changed
    return dataclasses.replace(
        changed,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        steps=request.steps,
        guidance_scale=request.guidance_scale,
        scheduler=request.scheduler,
        seed=request.seed,
        random_seed=False,
        camera=request.camera,
    )


def with_passes(form: Form, request: Request, shown: Sequence[ArrayRef | None] = (), *, origin: str) -> Form:
    """The form with the controls, size and camera of a Blender render, and everything else as it was."""
    camera = request.camera if isinstance(request, GenerateRequest) else None
    controls = reused_controls(request, shown, origin=origin)
    return dataclasses.replace(form, size=request.size, controls=controls, camera=camera)


def reused_controls(request: Request, shown: Sequence[ArrayRef | None] = (), *, origin: str) -> tuple[ControlForm, ...]:
    """The controls of a request as rows; their images stay with the service.

    `shown` holds a picture of each for its thumbnail, as far as there is one.
    """
    pictures = (*shown, *(None for _ in request.controls))
    return tuple(
        ControlForm(
            kind=control.kind,
            image=Reused(
                source=control.source,
                size=request.size,
                shown=picture or _own_picture(control.source),
                origin=origin,
            ),
            options=control.options,
            controlnet=control.controlnet,
            conditioning_scale=control.conditioning_scale,
            start=control.start,
            end=control.end,
        )
        for control, picture in zip(request.controls, pictures, strict=False)
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


def _own_picture(source: Source) -> ArrayRef | None:
    return source.image if isinstance(source, ReadyMap | Photo | PicturePass | InpaintPass) else None


def _refuse(found: tuple[UnderpaintError, ...]) -> None:
    if found:
        raise found[0]
