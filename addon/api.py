"""Underpaint for scripts: one function to generate from a scene, one to project the picture back.

    import bpy
    from underpaint.addon import api          # in Blender: bl_ext.user_default.underpaint.addon.api

    bpy.ops.wm.open_mainfile(filepath="room.blend")
    result = api.generate(prompt="a sunlit attic, oil on canvas", seed=7, steps=12)
    result.image.save(filepath="./attic.png")
    api.project(result, bpy.context.selected_objects)

Both block, raise the typed errors of `protocol.errors`, and are for the main thread: `blender -b
--python`, `import bpy`, or Blender's own Python console.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bpy

from ..protocol import client
from ..protocol.arrays import UInt8Array
from ..protocol.errors import InvalidRequest
from ..protocol.events import Event
from ..protocol.geometry import Extent
from ..protocol.jobs import Phase, Timing
from ..protocol.request import ControlKind, GenerateRequest, Scheduler

if TYPE_CHECKING:
    from .control_maps import ControlMap


@dataclass(frozen=True, kw_only=True)
class Result:
    """What `generate` made."""

    picture: UInt8Array  # (height, width, 3) sRGB, row 0 at the top
    maps: dict[ControlKind, UInt8Array]  # the control images, as the ControlNets saw them
    image: Any  # bpy.types.Image with the picture, packed, carrying the request
    request: GenerateRequest  # everything that influenced the picture
    job_id: str  # in the backend's queue and history
    timings: tuple[Timing, ...]  # of every phase, capture and write-back included
    left_out: tuple[str, ...]  # armatures on the picture that the pose is without, as nobody knows their bones


def generate(
    scene: Any = None,
    *,
    view_layer: Any = None,
    size: tuple[int, int] | None = None,
    name: str | None = None,
    on_event: Callable[[Event], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    **overrides: Any,
) -> Result:
    """Paint over a scene as its camera sees it at its current frame.

    `scene` is the context's if not given, and stays as it is. `overrides` replace single settings of
    `scene.underpaint` for this picture: prompt, negative_prompt, checkpoint, controls (a tuple of
    `generation.ControlSettings`), steps, guidance_scale, scheduler, seed. `size` is (width, height) in
    pixels, the scene's own resolution if not given. `on_event` hears the job's progress, `cancelled` is
    asked many times a second.

    Raises SceneError, RequestError, BackendError, ModelError or JobError (see `protocol.errors`), and
    TypeError for an unknown override.
    """
    ensure_registered()
    from . import images
    from .capture import capture
    from .generation import Settings
    from .generation import generate as run

    scene = scene or bpy.context.scene
    settings = _overridden(Settings.from_scene(scene), overrides, scene)
    extent = None if size is None else Extent(width=size[0], height=size[1])
    seen = capture(scene, view_layer, extent=extent, people=settings.people, wants=settings.wants())
    with client.ensure_running() as connection:
        outcome = run(connection, settings, seen, on_event=on_event, cancelled=cancelled)
    began = time.perf_counter()
    image = images.new_result(outcome.picture, outcome.request, timings=outcome.timings, name=name)
    write_back = Timing(phase=Phase.WRITE_BACK, ms=(time.perf_counter() - began) * 1e3)
    return Result(
        picture=outcome.picture,
        maps=outcome.maps,
        image=image,
        request=outcome.request,
        job_id=outcome.job.id,
        timings=(*outcome.timings, write_back),
        left_out=seen.left_out,
    )


def control_maps(
    scene: Any = None,
    *,
    view_layer: Any = None,
    size: tuple[int, int] | None = None,
    cancelled: Callable[[], bool] | None = None,
    **overrides: Any,
) -> "tuple[ControlMap, ...]":
    """What the ControlNets of a scene are given at its current frame: one map for each control, in their order.

    Nothing is painted. A map has its `kind`, its `name` and its `values`, (height, width, 3) uint8 with row 0
    at the top; `control_maps.save` writes maps into files. The arguments, and what is raised, are those of `generate`.
    """
    ensure_registered()
    from .capture import capture
    from .control_maps import Sent, make
    from .generation import Settings

    scene = scene or bpy.context.scene
    settings = _overridden(Settings.from_scene(scene), overrides, scene)
    extent = None if size is None else Extent(width=size[0], height=size[1])
    seen = capture(scene, view_layer, extent=extent, people=settings.people, wants=settings.wants())
    with client.ensure_running() as connection:
        return make(connection, settings, Sent(seen), cancelled=cancelled)


def project(result: Any, objects: Sequence[Any], *, size: int = 1024) -> list[Any]:
    """Project a picture from its camera onto meshes; the new images, one per mesh.

    `result` is a `Result` or an image datablock that carries its request. Each mesh gets the picture
    baked into its UV map, where the camera sees it, and a new material that shows it.
    Raises NothingSelected, NoUVMap or NoPicture.
    """
    ensure_registered()
    from . import texture

    image = result.image if isinstance(result, Result) else result
    return texture.project(image, list(objects), size=size)


def ensure_registered() -> None:
    """Register the add-on's classes for this session, where the add-on is not enabled."""
    from .. import addon

    if not addon.is_registered():
        addon.register()


def _overridden(settings: Any, overrides: dict[str, Any], scene: Any) -> Any:
    from . import segmentation

    scheduler = overrides.get("scheduler")
    if isinstance(scheduler, str) and not isinstance(scheduler, Scheduler):
        if scheduler not in Scheduler.__members__:
            known = ", ".join(Scheduler.__members__)
            raise InvalidRequest(reason=f'no scheduler is called "{scheduler}"; there are {known}')
        overrides = {**overrides, "scheduler": Scheduler[scheduler]}
    if "controls" in overrides:
        overrides = {**overrides, "controls": tuple(overrides["controls"]), "default_controls": False}
        if any(control.takes_classes for control in overrides["controls"]):
            overrides.setdefault("classes", segmentation.classes(scene))
    return dataclasses.replace(settings, **overrides)
