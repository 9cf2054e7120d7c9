"""Where a picture would be painted and how, asked of the backend before anything is rendered or painted."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..protocol import arrays, checks, client, wire
from ..protocol.arrays import ArrayRef
from ..protocol.client import Connection
from ..protocol.events import Event
from ..protocol.geometry import Extent
from ..protocol.request import GenerateRequest, PlanRequest, Start
from ..protocol.sources import ReadyMap
from . import camera as cameras
from . import controls as rows
from . import extras, machine
from .generation import Settings, of_job, picture_request

_BLANK = np.zeros((8, 8, 3), np.uint8)


def for_scene(settings: Settings, scene: Any) -> Settings:
    """The settings with the controls that a scene's picture will have, as far as that is known without a render."""
    if settings.default_controls and not any(thing.type == "ARMATURE" for thing in scene.objects):
        return settings.for_people(0)
    return settings


def key(scene: Any) -> tuple[object, ...]:
    """What a plan depends on, to see whether it is still one of these settings; quick, as panels draw it."""
    group = scene.underpaint
    controls = tuple((item.kind, item.controlnet) for item in group.controls if item.enabled)
    batch = min(group.batch_size, group.pictures)
    own = (group.checkpoint, len(group.controls), controls, batch, group.start.source, *extras.weighing(group.extras))
    return (*own, cameras.frame(scene), machine.precision(), machine.memory_budget_gb())


def check(settings: Settings, extent: Extent) -> None:
    """Refuse settings that no picture comes of, before time is spent on a render; the service checks what is sent.

    Raises InvalidRequest or InvalidSize.
    """
    request = _blank_request(settings, extent, arrays.reference(_BLANK, arrays.encode(_BLANK)))
    checks.check(wire.from_json(GenerateRequest, wire.to_json(request), where="request"))


def ask(
    connection: Connection,
    settings: Settings,
    extent: Extent,
    *,
    on_event: Callable[[Event], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> str:
    """The plan for a picture of this size, in words; blocks. Raises what `generation.generate` does.

    A plan counts the ControlNets and not what they are shown, so nothing of the scene is sent: each gets a blank map.
    """
    picture = _blank_request(settings, extent, connection.upload(_BLANK))
    job = connection.submit(PlanRequest(picture=picture), client="blender", transient=True)
    job = client.wait(connection, job, on_event=of_job(job.id, on_event), cancelled=cancelled)
    assert job.result is not None
    return job.result.plan


def _blank_request(settings: Settings, extent: Extent, blank: ArrayRef) -> GenerateRequest:
    start = settings.start
    return picture_request(
        settings,
        extent,
        controls=tuple(rows.shown(control, ReadyMap(image=blank)) for control in settings.controls),
        image_prompts=tuple(extras.shown(prompt, blank) for prompt in settings.image_prompts),
        start=None
        if start is None
        else Start(
            image=blank,
            strength=start.strength,
            mask_grow_px=start.mask_grow_px,
            mask_blur_px=start.mask_blur_px,
        ),
    )
