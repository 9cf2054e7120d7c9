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
import operator
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ..protocol import client
from ..protocol.arrays import UInt8Array
from ..protocol.errors import InvalidRequest
from ..protocol.events import Event
from ..protocol.geometry import Extent
from ..protocol.jobs import Phase, Priority, Timing
from ..protocol.request import (
    ControlKind,
    Embedding,
    GenerateRequest,
    Lora,
    Precision,
    Scheduler,
    Seamless,
    SecondPass,
    Sigmas,
)

if TYPE_CHECKING:
    from .control_maps import ControlMap


@dataclass(frozen=True, kw_only=True)
class Result:
    """What `generate` made."""

    pictures: tuple[UInt8Array, ...]  # each (height, width, 3) sRGB, row 0 at the top
    maps: dict[ControlKind, UInt8Array]  # the control images, as the ControlNets saw them
    images: tuple[Any, ...]  # bpy.types.Image with each picture, packed, carrying the request for it alone
    request: GenerateRequest  # everything that influenced the pictures
    job_id: str  # in the backend's queue and history
    timings: tuple[Timing, ...]  # of every phase, capture and write-back included
    left_out: tuple[str, ...]  # armatures on the picture that the pose is without, as nobody knows their bones
    plan: str  # where the model ran and how, in words
    notes: tuple[str, ...]  # what the user should know: that memory ran out and what was done about it

    @property
    def picture(self) -> UInt8Array:
        """The first picture."""
        return self.pictures[0]

    @property
    def image(self) -> Any:
        """The first image."""
        return self.images[0]


def generate(
    scene: Any = None,
    *,
    view_layer: Any = None,
    size: tuple[int, int] | None = None,
    name: str | None = None,
    priority: str = "normal",
    on_event: Callable[[Event], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    **overrides: Any,
) -> Result:
    """Paint over a scene as its camera sees it at its current frame.

    `scene` is the context's if not given, and stays as it is. `overrides` replace single settings of
    `scene.underpaint` for this picture: prompt, negative_prompt, checkpoint, controls (a tuple of
    `generation.ControlSettings`), steps, guidance_scale, scheduler, sigmas, seed, and start (a
    `generation.StartSettings`, or None). `size` is (width, height) in pixels, the scene's own resolution if not
    given. `priority` is the job's in the queue, "low", "normal" or "high": a long batch with "low" lets single pictures
    of yours go first. `on_event` hears the job's progress, `cancelled` is asked many times a second.

    Several pictures come of `pictures` (seeds seed, seed + 1, ...), of `prompts` (one picture each, all with the same
    seed) or of `seeds`; prompts and seeds together go in pairs. `batch_size` are painted at once. `precision` and
    `memory_budget_gb` replace those of the add-on's preferences.

    Raises SceneError, RequestError, BackendError, ModelError or JobError (see `protocol.errors`), and
    TypeError for an unknown override.
    """
    ensure_registered()
    from . import camera, images, plans
    from .capture import capture
    from .generation import Settings
    from .generation import generate as run

    rank = _member("priority", priority)
    scene = scene or bpy.context.scene
    settings = _overridden(Settings.from_scene(scene, view_layer, without=overrides), overrides, scene)
    extent = _extent(size)
    plans.check(settings, extent or camera.frame(scene))
    seen = capture(scene, view_layer, extent=extent, people=settings.people, wants=settings.wants())
    with client.ensure_running() as connection:
        outcome = run(connection, settings, seen, priority=rank, on_event=on_event, cancelled=cancelled)
    began = time.perf_counter()
    made = images.keep(outcome, name=name)
    write_back = Timing(phase=Phase.WRITE_BACK, ms=(time.perf_counter() - began) * 1e3)
    return Result(
        pictures=outcome.pictures,
        maps=outcome.maps,
        images=made,
        request=outcome.request,
        job_id=outcome.job.id,
        timings=(*outcome.timings, write_back),
        left_out=seen.left_out,
        plan=outcome.plan,
        notes=outcome.notes,
    )


def plan(scene: Any = None, *, view_layer: Any = None, size: tuple[int, int] | None = None, **overrides: Any) -> str:
    """Where a scene's picture would be painted and how, in a sentence; nothing is rendered or painted.

    The scene, the size and the settings are those of `generate`. Raises RequestError, BackendError or ModelError.
    """
    ensure_registered()
    from . import camera, plans
    from .generation import Settings

    scene = scene or bpy.context.scene
    settings = _overridden(Settings.from_scene(scene, view_layer, without=overrides), overrides, scene)
    settings = plans.for_scene(settings, scene)
    extent = _extent(size) or camera.frame(scene)
    plans.check(settings, extent)
    with client.ensure_running() as connection:
        return plans.ask(connection, settings, extent)


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
    from .generation import OF_PAINTING, Settings

    scene = scene or bpy.context.scene
    overrides = {name: value for name, value in overrides.items() if name not in _OF_PAINTING}
    settings = _overridden(Settings.from_scene(scene, without=OF_PAINTING), overrides, scene)
    seen = capture(scene, view_layer, extent=_extent(size), people=settings.people, wants=settings.wants())
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


_ENUMS = {
    "scheduler": Scheduler,
    "sigmas": Sigmas,
    "precision": Precision,
    "priority": Priority,
    "seamless": Seamless,
}
_OF_PAINTING = {
    "start", "pictures", "prompts", "seeds", "batch_size", "second_pass", "loras", "embeddings", "image_prompts", "vae",
    "clip_skip", "plain_prompt", "seamless", "safety_checker",
}  # fmt: skip
"""What control maps don't depend on, so that they may be asked for with the arguments of a picture."""
_INTERNAL = {"default_controls", "classes"}  # of `generation.Settings`: follow from the others


def _member(name: str, value: Any) -> Any:
    """A scheduler, sigmas or precision by its name, in whatever case. Raises InvalidRequest."""
    kind = _ENUMS[name]
    if isinstance(value, kind):
        return value
    if str(value).upper() not in kind.__members__:
        raise InvalidRequest(reason=f'no {name} is called "{value}"; there are {", ".join(kind.__members__)}')
    return kind[str(value).upper()]


def _extent(size: Any) -> Extent | None:
    if size is None:
        return None
    try:
        width, height = size
    except (TypeError, ValueError):
        raise InvalidRequest(reason=f"size is {size!r}, expected (width, height)") from None
    return Extent(width=width, height=height)


def _overridden(settings: Any, overrides: dict[str, Any], scene: Any) -> Any:
    from . import segmentation

    _refuse_unknown(settings, overrides)
    overrides = {name: _member(name, value) if name in _ENUMS else value for name, value in overrides.items()}
    for name in ("prompts", "seeds"):
        if name not in overrides:
            continue
        if "pictures" in overrides:
            raise InvalidRequest(reason=f"pictures and {name} both say how many pictures are painted: leave one out")
        overrides[name] = _several(name, overrides[name])
    if "controls" in overrides:
        overrides = {**overrides, "controls": _controls(overrides["controls"]), "default_controls": False}
        if any(control.takes_classes for control in overrides["controls"]):
            overrides.setdefault("classes", segmentation.classes(scene))
    if overrides.get("start") is not None:
        _refuse_start(overrides["start"])
    overrides = {**overrides, **_extras(overrides)}
    return dataclasses.replace(settings, **overrides)


def _refuse_unknown(settings: Any, overrides: dict[str, Any]) -> None:
    known = [field.name for field in dataclasses.fields(settings) if field.name not in _INTERNAL]
    for name in overrides:
        if name not in known:
            raise TypeError(f"no setting is called {name}; there are {', '.join(known)}")


def _several(name: str, values: Any) -> tuple[Any, ...]:
    """Prompts or seeds as a tuple, NumPy's numbers as Python's. Raises InvalidRequest, also for none at all."""
    if isinstance(values, str):
        raise InvalidRequest(reason=f"{name} is a text, expected a list of them")
    try:
        found = tuple(operator.index(value) if hasattr(value, "__index__") else value for value in values)
    except TypeError:
        raise InvalidRequest(reason=f"{name} is {values!r}, expected a list") from None
    if not found:
        raise InvalidRequest(reason=f"{name} is empty, expected one for each picture")
    return found


def _controls(values: Any) -> tuple[Any, ...]:
    from .generation import ControlSettings

    expected = "expected a list of addon.generation.ControlSettings"
    if not isinstance(values, Iterable):  # one alone, too
        raise InvalidRequest(reason=f"controls is {values!r}, {expected}")
    values = tuple(values)
    for value in values:
        if not isinstance(value, ControlSettings):
            raise InvalidRequest(reason=f"controls has {value!r} in it, {expected}")
    return values


def _extras(overrides: dict[str, Any]) -> dict[str, Any]:
    """Those of the overrides that are lists of models, as tuples. Raises InvalidRequest for anything else in them."""
    from .extras import ImagePromptSettings

    found: dict[str, Any] = {}
    for name, kind in {"loras": Lora, "embeddings": Embedding, "image_prompts": ImagePromptSettings}.items():
        if name not in overrides:
            continue
        value = overrides[name]
        entries = tuple(value) if isinstance(value, Iterable) else (value,)
        for entry in entries:
            if not isinstance(entry, kind):
                raise InvalidRequest(reason=f"{name} has {entry!r} in it, expected a list of {kind.__name__}")
        found[name] = entries
    second = overrides.get("second_pass")
    if second is not None and not isinstance(second, SecondPass):
        raise InvalidRequest(reason=f"second_pass is {second!r}, expected protocol.request.SecondPass, or None")
    return found


def _refuse_start(start: Any) -> None:
    """Raise InvalidRequest for what is no start, before time is spent on a render."""
    from .generation import StartSettings

    if not isinstance(start, StartSettings):
        raise InvalidRequest(reason=f"start is {start!r}, expected addon.generation.StartSettings, or None for noise")
    arrays = (("image", start.image, 3, "(height, width, 3)"), ("mask", start.mask, 2, "(height, width)"))
    for name, value, sides, shape in arrays:
        fits = isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == sides
        if value is not None and not fits:
            held = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else repr(value)
            remedy = "; addon.generation.pixels_of makes it of an image datablock" if name == "image" else ""
            raise InvalidRequest(reason=f"start: its {name} is {held}, expected a uint8 array {shape}{remedy}")
