"""From a scene's settings and a capture to a picture: the request, the job and what comes back."""

import time
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from typing import Any

import bpy

from ..protocol import client
from ..protocol.arrays import AnyArray, ArrayRef, UInt8Array
from ..protocol.client import Connection, logs
from ..protocol.client.logs import Program
from ..protocol.errors import InvalidRequest, NoArmature, NothingInView, UnderpaintError
from ..protocol.events import Event
from ..protocol.geometry import Camera, Extent
from ..protocol.jobs import Job, Phase, Priority, Timing
from ..protocol.request import (
    Control,
    ControlKind,
    ControlMapsRequest,
    Embedding,
    GenerateRequest,
    ImagePrompt,
    Lora,
    Precision,
    Scheduler,
    Seamless,
    SecondPass,
    Sigmas,
    Start,
    Variant,
)
from . import controls as rows
from . import extras, kinds, machine, segmentation, starts
from .capture import Capture, People, Wants
from .controls import ControlSettings
from .decimals import typed
from .extras import ImagePromptSettings
from .pixels import pixels_of
from .segmentation import Classes
from .starts import StartSettings

OF_PAINTING = frozenset({"start", "loras", "embeddings", "image_prompts"})
"""The settings that control maps have nothing to do with, and that can't be read from every scene."""

_COLLECTED_S = 2.0

__all__ = [
    "OF_PAINTING",
    "ControlSettings",
    "ImagePromptSettings",
    "Outcome",
    "Settings",
    "StartSettings",
    "build_request",
    "generate",
    "maps_request",
    "picture_request",
    "pixels_of",
]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The scene's Underpaint settings, as plain Python, so that they outlive the depsgraph."""

    prompt: str
    negative_prompt: str
    checkpoint: str
    controls: tuple[ControlSettings, ...]  # the enabled ones
    default_controls: bool  # the scene has no list of its own; its pose control is a wish and not an order
    steps: int
    guidance_scale: float
    scheduler: Scheduler
    seed: int
    use_preview: bool
    keep_image: bool
    classes: Classes | None = None  # of the scene's things, where a control asks for them
    allow_download: bool = False  # of models named by their hub id; never without the user's word
    sigmas: Sigmas = Sigmas.DEFAULT
    pictures: int = 1  # with the seed and those that follow it
    prompts: tuple[str, ...] = ()  # instead of the prompt and that number: a picture for each
    seeds: tuple[int, ...] = ()  # likewise
    batch_size: int = 1
    start: StartSettings | None = None
    second_pass: SecondPass | None = None
    loras: tuple[Lora, ...] = ()  # besides those that the prompt names
    embeddings: tuple[Embedding, ...] = ()  # besides those in the models folders
    image_prompts: tuple[ImagePromptSettings, ...] = ()
    vae: str = ""
    clip_skip: int = 0
    plain_prompt: bool = False
    seamless: Seamless = Seamless.OFF
    safety_checker: str = ""
    precision: Precision = Precision.AUTO
    memory_budget_gb: float | None = None  # None takes what is free

    @classmethod
    def from_scene(cls, scene: Any, view_layer: Any = None, *, without: Container[str] = ()) -> "Settings":
        """Read an original or evaluated scene's `underpaint` settings, and those of this computer.

        `view_layer` is the one that is painted; without it the one that a capture takes. Of
        OF_PAINTING, those in `without` are not read. Raises InvalidRequest and its siblings for what can't be used.
        """
        from .properties import DEFAULT_CONTROLS  # its registration needs Blender's property system

        group = scene.underpaint
        controls = tuple(rows.from_item(item) for item in group.controls if item.enabled)
        if not len(group.controls):
            controls = tuple(ControlSettings(kind=kind) for kind in DEFAULT_CONTROLS)
        return cls(
            prompt=group.prompt,
            negative_prompt=group.negative_prompt,
            checkpoint=group.checkpoint,
            controls=controls,
            default_controls=not len(group.controls),
            steps=group.steps,
            guidance_scale=typed(group.guidance_scale),
            scheduler=Scheduler[group.scheduler],
            seed=group.seed,
            classes=segmentation.classes(scene) if any(control.takes_classes for control in controls) else None,
            allow_download=group.allow_download and bpy.app.online_access,
            use_preview=group.use_preview,
            keep_image=group.keep_image,
            sigmas=Sigmas[group.sigmas],
            pictures=group.pictures,
            batch_size=group.batch_size,
            start=None if "start" in without else starts.from_scene(scene, view_layer),
            second_pass=extras.second_pass(group.extras),
            loras=() if "loras" in without else extras.loras(group.extras),
            embeddings=() if "embeddings" in without else extras.embeddings(group.extras),
            image_prompts=() if "image_prompts" in without else extras.image_prompts(group.extras),
            vae=group.extras.vae.strip(),
            clip_skip=group.extras.clip_skip,
            plain_prompt=group.extras.plain_prompt,
            seamless=extras.seamless(group.extras),
            safety_checker=group.extras.safety_checker.strip(),
            precision=machine.precision(),
            memory_budget_gb=machine.memory_budget_gb(),
        )

    def takes(self, kind: ControlKind) -> bool:
        """Whether a control of this kind is to be taken from the scene."""
        return any(c.kind is kind and c.image is None and c.pose is None for c in self.controls)

    def wants(self) -> Wants:
        """What the capture has to hold for these controls and this start, beside depth and normals."""
        wanted = [control.wants for control in self.controls] + ([] if self.start is None else [self.start.wants])
        return Wants(ids=any(want.ids for want in wanted), beauty=any(want.beauty for want in wanted))

    def each(self) -> tuple[Variant, ...]:
        """What sets the pictures of a job apart. Raises InvalidRequest for prompts and seeds that don't go together."""
        count = len(self.prompts) or len(self.seeds) or self.pictures
        if self.prompts and self.seeds and len(self.prompts) != len(self.seeds):
            reason = f"{len(self.prompts)} prompts and {len(self.seeds)} seeds; expected one seed for each prompt"
            raise InvalidRequest(reason=reason)
        if count < 1:
            raise InvalidRequest(reason=f"{count} pictures were asked for, expected 1 or more")
        seeds = self.seeds or ([self.seed] * count if self.prompts else range(self.seed, self.seed + count))
        return tuple(
            Variant(prompt=prompt, negative_prompt=self.negative_prompt, seed=seed)
            for prompt, seed in zip(self.prompts or [self.prompt] * count, seeds, strict=True)
        )

    @property
    def people(self) -> People:
        """Whether the capture has to look for characters."""
        if not self.takes(ControlKind.OPENPOSE):
            return People.LEFT_OUT
        return People.WISHED if self.default_controls else People.REQUIRED

    def for_people(self, people: int) -> "Settings":
        """These settings for a view with so many people in it.

        Without any, the pose control of the default list is left out; one that the user put there raises
        NoArmature.
        """
        if people or not self.takes(ControlKind.OPENPOSE):
            return self
        if not self.default_controls:
            raise NoArmature()
        return replace(self, controls=tuple(c for c in self.controls if c.kind is not ControlKind.OPENPOSE))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A job's pictures, and all there is to know about how they came to be."""

    pictures: tuple[UInt8Array, ...]  # each (height, width, 3) sRGB, row 0 at the top, by `GenerateRequest.pictures`
    maps: dict[ControlKind, UInt8Array]  # as the nets saw them, same size; the first control of each kind
    request: GenerateRequest
    job: Job
    timings: tuple[Timing, ...]  # of every phase, in the order of events; write-back is the caller's
    plan: str = ""  # where the model ran and how, in words
    notes: tuple[str, ...] = ()  # what the user should know: that memory ran out and what was done about it

    @property
    def picture(self) -> UInt8Array:
        """The first picture."""
        return self.pictures[0]


def build_request(settings: Settings, capture: Capture, upload: Callable[[AnyArray], ArrayRef]) -> GenerateRequest:
    """The request for a picture of `capture`; its arrays go through `upload`.

    Raises NoArmature, NothingInView or InvalidRequest.
    """
    settings = settings.for_people(len(capture.people))
    return picture_request(
        settings,
        capture.extent,
        controls=_controls(settings, capture, upload),
        start=None if settings.start is None else starts.start(settings.start, capture, upload),
        image_prompts=extras.uploaded(settings.image_prompts, upload),
        camera=capture.camera,
    )


def picture_request(
    settings: Settings,
    extent: Extent,
    *,
    controls: tuple[Control, ...],
    start: Start | None,
    image_prompts: tuple[ImagePrompt, ...] = (),
    camera: Camera | None = None,
) -> GenerateRequest:
    """The request for pictures of this size. Raises InvalidRequest for prompts and seeds that don't go together."""
    first, *others = settings.each()
    return GenerateRequest(
        prompt=first.prompt,
        negative_prompt=first.negative_prompt,
        checkpoint=settings.checkpoint,
        size=extent,
        controls=controls,
        steps=settings.steps,
        guidance_scale=settings.guidance_scale,
        scheduler=settings.scheduler,
        sigmas=settings.sigmas,
        seed=first.seed,
        variants=tuple(others),
        batch_size=settings.batch_size,
        start=start,
        second_pass=settings.second_pass,
        loras=settings.loras,
        embeddings=settings.embeddings,
        image_prompts=image_prompts,
        vae=settings.vae,
        clip_skip=settings.clip_skip,
        plain_prompt=settings.plain_prompt,
        seamless=settings.seamless,
        safety_checker=settings.safety_checker,
        precision=settings.precision,
        memory_budget_gb=settings.memory_budget_gb,
        camera=camera,
        allow_download=settings.allow_download,
    )


def maps_request(settings: Settings, capture: Capture, upload: Callable[[AnyArray], ArrayRef]) -> ControlMapsRequest:
    """The request for the control maps of `capture` alone; they are those that `build_request` leads to."""
    settings = settings.for_people(len(capture.people))
    return ControlMapsRequest(
        size=capture.extent,
        controls=_controls(settings, capture, upload),
        checkpoint=settings.checkpoint,
        allow_download=settings.allow_download,
    )


def generate(
    connection: Connection,
    settings: Settings,
    capture: Capture,
    *,
    priority: Priority = Priority.NORMAL,
    on_event: Callable[[Event], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Outcome:
    """Run the job for a capture and bring its pictures and control maps back; blocks.

    Raises the typed error of whatever went wrong; JobCancelled soon after `cancelled()` turned true.
    """
    timings = [
        Timing(phase=Phase.CAPTURE, ms=capture.capture_ms),
        Timing(phase=Phase.CONVERT, ms=capture.convert_ms),
    ]
    began = time.perf_counter()
    request = build_request(settings, capture, connection.upload)
    timings.append(_since(began, Phase.UPLOAD))
    job = connection.submit(request, client="blender", priority=priority)
    job = client.wait(connection, job, on_event=of_job(job.id, on_event), cancelled=cancelled)
    assert job.result is not None
    if job.started_at is not None:
        timings.append(Timing(phase=Phase.QUEUE, ms=(job.started_at - job.created_at) * 1e3))
    timings.extend(timing for timing in job.result.timings if timing.phase is not Phase.QUEUE)
    began = time.perf_counter()
    pictures = tuple(connection.download(ref) for ref in job.result.images)
    maps: dict[ControlKind, UInt8Array] = {}
    for control, ref in zip(request.controls, job.result.control_maps, strict=True):
        if control.kind not in maps:
            maps[control.kind] = connection.download(ref)
    timings.append(_since(began, Phase.DOWNLOAD))
    _say_collected(connection, job.id)
    return Outcome(
        pictures=pictures,
        maps=maps,
        request=request,
        job=job,
        timings=tuple(timings),
        plan=job.result.plan,
        notes=job.result.notes,
    )


def _say_collected(connection: Connection, job_id: str) -> None:
    """Have the backend give up other pictures first; nothing that goes wrong with that is worth this picture."""
    try:
        with connection.another(timeout_s=_COLLECTED_S) as other:
            other.collected(job_id)
    except UnderpaintError as error:
        logs.logger(Program.BLENDER).warning("the job %s was not collected: %s", job_id, error)


def of_job(job_id: str, on_event: Callable[[Event], None] | None) -> Callable[[Event], None] | None:
    """`on_event` for the events of one job; the service tells everyone everything."""
    if on_event is None:
        return None

    def told(event: Event) -> None:
        if getattr(event, "job_id", job_id) == job_id:
            on_event(event)

    return told


def _controls(settings: Settings, capture: Capture, upload: Callable[[AnyArray], ArrayRef]) -> tuple[Control, ...]:
    if not capture.alpha.any() and any(map(_of_geometry, settings.controls)):
        raise NothingInView()
    return tuple(rows.control(control, capture, settings.classes, upload) for control in settings.controls)


def _of_geometry(control: ControlSettings) -> bool:
    """Whether a control's map is blank where the camera sees no surface."""
    drawn = control.kind is not ControlKind.OPENPOSE and control.kind not in kinds.PICTURES
    return control.image is None and control.background is None and drawn


def _since(began: float, phase: Phase) -> Timing:
    return Timing(phase=phase, ms=(time.perf_counter() - began) * 1e3)
