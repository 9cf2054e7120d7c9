"""From a scene's settings and a capture to a picture: the request, the job and what comes back."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import bpy
import numpy as np

from ..protocol import client
from ..protocol.arrays import AnyArray, ArrayRef, UInt8Array
from ..protocol.checks import DETECTORS
from ..protocol.client import Connection
from ..protocol.errors import InvalidArray, MissingControlImage, NoArmature
from ..protocol.events import Event
from ..protocol.jobs import Job, Phase, Timing
from ..protocol.request import Control, ControlKind, GenerateRequest, Scheduler
from ..protocol.sources import DepthPass, NormalPass, Photo, PosePass, Source
from .capture import Capture, People


@dataclass(frozen=True, kw_only=True)
class ControlSettings:
    """One row of the controls list, without any reference to Blender's data."""

    kind: ControlKind
    photo: UInt8Array | None = None  # (height, width, 3), row 0 at the top: a detector's input instead of the scene
    controlnet: str = ""
    conditioning_scale: float = 1.0
    start: float = 0.0
    end: float = 1.0


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
    allow_download: bool = False  # of models named by their hub id; never without the user's word

    @classmethod
    def from_scene(cls, scene: Any) -> "Settings":
        """Read an original or evaluated scene's `underpaint` settings."""
        from .properties import effective_controls  # its registration needs Blender's property system

        group = scene.underpaint
        return cls(
            prompt=group.prompt,
            negative_prompt=group.negative_prompt,
            checkpoint=group.checkpoint,
            controls=tuple(_control(item) for item in effective_controls(group) if item.enabled),
            default_controls=not len(group.controls),
            steps=group.steps,
            guidance_scale=group.guidance_scale,
            scheduler=Scheduler[group.scheduler],
            seed=group.seed,
            allow_download=group.allow_download and bpy.app.online_access,
            use_preview=group.use_preview,
            keep_image=group.keep_image,
        )

    def wants(self, kind: ControlKind) -> bool:
        """Whether a control of this kind is to be taken from the scene."""
        return any(control.kind is kind and control.photo is None for control in self.controls)

    @property
    def people(self) -> People:
        """Whether the capture has to look for characters."""
        if not self.wants(ControlKind.OPENPOSE):
            return People.LEFT_OUT
        return People.WISHED if self.default_controls else People.REQUIRED

    def check(self) -> None:
        """Raise MissingControlImage before any work, where a control can't come from the scene."""
        for control in self.controls:
            if control.kind is ControlKind.CANNY and control.photo is None:
                raise _without_image(control)

    def for_people(self, people: int) -> "Settings":
        """These settings for a view with so many people in it.

        Without any, the pose control of the default list is left out; one that the user put there raises
        NoArmature.
        """
        if people or not self.wants(ControlKind.OPENPOSE):
            return self
        if not self.default_controls:
            raise NoArmature()
        return replace(self, controls=tuple(c for c in self.controls if c.kind is not ControlKind.OPENPOSE))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A picture, and all there is to know about how it came to be."""

    picture: UInt8Array  # (height, width, 3) sRGB, row 0 at the top
    maps: dict[ControlKind, UInt8Array]  # as the nets saw them, same size; the first control of each kind
    request: GenerateRequest
    job: Job
    timings: tuple[Timing, ...]  # of every phase, in the order of events; write-back is the caller's


def build_request(settings: Settings, capture: Capture, upload: Callable[[AnyArray], ArrayRef]) -> GenerateRequest:
    """The request for a picture of `capture`; its arrays go through `upload`. Raises NoArmature."""
    settings.check()
    settings = settings.for_people(len(capture.people))
    return GenerateRequest(
        prompt=settings.prompt,
        negative_prompt=settings.negative_prompt,
        checkpoint=settings.checkpoint,
        size=capture.extent,
        controls=tuple(
            Control(
                kind=control.kind,
                source=_source(control, capture, upload),
                controlnet=control.controlnet,
                conditioning_scale=control.conditioning_scale,
                start=control.start,
                end=control.end,
            )
            for control in settings.controls
        ),
        steps=settings.steps,
        guidance_scale=settings.guidance_scale,
        scheduler=settings.scheduler,
        seed=settings.seed,
        allow_download=settings.allow_download,
        camera=capture.camera,
    )


def generate(
    connection: Connection,
    settings: Settings,
    capture: Capture,
    *,
    on_event: Callable[[Event], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Outcome:
    """Run the job for a capture and bring its picture and control maps back; blocks.

    Raises the typed error of whatever went wrong; JobCancelled soon after `cancelled()` turned true.
    """
    timings = [
        Timing(phase=Phase.CAPTURE, ms=capture.capture_ms),
        Timing(phase=Phase.CONVERT, ms=capture.convert_ms),
    ]
    began = time.perf_counter()
    request = build_request(settings, capture, connection.upload)
    timings.append(_since(began, Phase.UPLOAD))
    job = connection.submit(request, client="blender")
    job = client.wait(connection, job, on_event=_of_job(job.id, on_event), cancelled=cancelled)
    assert job.result is not None
    assert job.result.image is not None
    if job.started_at is not None:
        timings.append(Timing(phase=Phase.QUEUE, ms=(job.started_at - job.created_at) * 1e3))
    timings.extend(timing for timing in job.result.timings if timing.phase is not Phase.QUEUE)
    began = time.perf_counter()
    picture = connection.download(job.result.image)
    maps: dict[ControlKind, UInt8Array] = {}
    for control, ref in zip(request.controls, job.result.control_maps, strict=True):
        if control.kind not in maps:
            maps[control.kind] = connection.download(ref)
    timings.append(_since(began, Phase.DOWNLOAD))
    return Outcome(picture=picture, maps=maps, request=request, job=job, timings=tuple(timings))


def _of_job(job_id: str, on_event: Callable[[Event], None] | None) -> Callable[[Event], None] | None:
    """`on_event` for the events of one job; the service tells everyone everything."""
    if on_event is None:
        return None

    def of_job(event: Event) -> None:
        if getattr(event, "job_id", job_id) == job_id:
            on_event(event)

    return of_job


def _source(control: ControlSettings, capture: Capture, upload: Callable[[AnyArray], ArrayRef]) -> Source:
    if control.photo is not None:
        return Photo(image=upload(control.photo), detector=DETECTORS[control.kind][0])
    if control.kind is ControlKind.DEPTH:
        return DepthPass(metres=upload(capture.depth_m), projection=capture.camera.projection)
    if control.kind is ControlKind.NORMAL:
        return NormalPass(normal_camera=upload(capture.normal_camera))
    if control.kind is ControlKind.OPENPOSE:
        return PosePass(people=capture.people)
    raise _without_image(control)


def _without_image(control: ControlSettings) -> MissingControlImage:
    from .properties import label_of

    return MissingControlImage(kind=label_of(control.kind.name))


def _control(item: Any) -> ControlSettings:
    return ControlSettings(
        kind=ControlKind[item.kind],
        photo=None if item.image is None else pixels_of(item.image),
        controlnet=item.controlnet,
        conditioning_scale=item.conditioning_scale,
        start=item.start,
        end=item.end,
    )


def pixels_of(image: Any) -> UInt8Array:
    """An image datablock's bytes, (height, width, 3) sRGB, row 0 at the top. Raises InvalidArray."""
    width, height = image.size
    if not width or not height:
        raise InvalidArray(reason=f'Blender has no pixels of "{image.name}"; is its file where it was?')
    if image.channels < 3:
        raise InvalidArray(reason=f'"{image.name}" has no colours')
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)
    values = values.reshape(height, width, image.channels)[::-1, :, :3]
    if image.is_float:  # float images hold scene-linear values, byte images their bytes / 255
        values = np.where(values <= 0.0031308, values * 12.92, 1.055 * np.abs(values) ** (1 / 2.4) - 0.055)
    return np.rint(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)


def _since(began: float, phase: Phase) -> Timing:
    return Timing(phase=phase, ms=(time.perf_counter() - began) * 1e3)
