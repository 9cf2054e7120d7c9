"""What a scene looks like to a ControlNet, in physical quantities, and the way to get it outside F12."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import bpy
import numpy as np

from ..protocol.arrays import Float32Array, Int32Array, UInt8Array
from ..protocol.checks import check_size
from ..protocol.errors import NoCamera, SceneError, UnmappedRig
from ..protocol.geometry import Camera, Extent
from ..protocol.sources import Person
from . import camera as cameras
from . import identity, passes, pose
from .identity import Identities
from .passes import NOTHING_MORE, Wants

__all__ = ["Capture", "Order", "People", "Wants", "capture", "convert", "observe", "orders"]


@dataclass(frozen=True, kw_only=True)
class Capture:
    """One frame's geometry as its camera sees it. Row 0 of every array is at the top.

    What is None was not asked for.
    """

    width: int
    height: int
    depth_m: Float32Array  # (height, width), along the view axis; +inf where nothing is hit
    normal_camera: Float32Array  # (height, width, 3): x right, y up, z to the viewer; 0 where nothing is hit
    position_m: Float32Array  # (height, width, 3) in world space; 0 where nothing is hit
    alpha: Float32Array  # (height, width): 1 where something is hit, 0 where nothing is
    object_ids: Int32Array | None = None  # (height, width): 0 where nothing is hit, else 1 + the place in the names
    object_names: tuple[str, ...] = ()  # every object that could be seen, as `name_full`; of instances, the original
    material_ids: Int32Array | None = None  # likewise; 0 also where an object has no material
    material_names: tuple[str, ...] = ()
    uv: Float32Array | None = None  # (height, width, 2) of the active UV map; 0 where there is none
    motion_px: Float32Array | None = None
    """(height, width, 4): how far each point is, in pixels with y down, from where it is one frame earlier (x, y)
    and one frame later (x, y) on the picture."""
    beauty: UInt8Array | None = None  # (height, width, 3) sRGB: the scene as Cycles renders it, in the Standard view
    camera: Camera
    people: tuple[Person, ...]
    capture_ms: float
    convert_ms: float

    @property
    def extent(self) -> Extent:
        return Extent(width=self.width, height=self.height)


class People(Enum):
    """Whether a capture looks for characters."""

    LEFT_OUT = "left out"
    WISHED = "wished"  # a rig with unknown bone names is no character
    REQUIRED = "required"  # a rig with unknown bone names is an error


@dataclass(kw_only=True)
class Order:
    """A scene for which the engine shall deliver a capture, or the error, instead of a picture."""

    people: "People"
    wants: Wants
    read: Callable[[Any], None] | None = None  # is given the depsgraph, evaluated for rendering, to read from it
    result: Capture | None = None
    error: Exception | None = None


orders: dict[str, Order] = {}
"""By the temporary scene's name; filled and emptied by `capture` and read by the engine during its render."""


def capture(
    scene: Any,
    view_layer: Any = None,
    *,
    camera: Any = None,
    extent: Extent | None = None,
    people: People = People.REQUIRED,
    wants: Wants = NOTHING_MORE,
    read: Callable[[Any], None] | None = None,
) -> Capture:
    """The scene's current frame, for the main thread; blocks for the time of a one-sample render.

    `camera` is the object to look through and `extent` the size, instead of the scene's own. Renders a
    copy of the scene, whose objects are shared and not touched, and removes the copy. What the user's
    Render Result shows stays: the last of its slots is used. Raises NoCamera, PanoramicCamera,
    StereoRender, InvalidSize or UnmappedRig. `read` is called with the depsgraph as it is rendered
    (modifiers at their render levels); what it raises is raised here.
    """
    if extent is not None:
        check_size(extent)  # Blender's own fields would take the nearest that they can hold
    layer = _layer_name(scene, view_layer)
    copy = scene.copy()
    order = Order(people=people, wants=wants, read=read)
    try:
        if camera is not None:
            copy.camera = camera
            copy.timeline_markers.clear()  # a marker's camera would win
        if extent is not None:
            copy.render.resolution_x, copy.render.resolution_y = extent.width, extent.height
            copy.render.resolution_percentage = 100
        cameras.check(copy)
        _only_geometry(copy, layer)
        orders[copy.name] = order
        with _last_slot():
            bpy.ops.render.render(scene=copy.name)
    except NoCamera as error:  # that of the copy
        raise NoCamera(scene=scene.name) from error
    except RuntimeError as error:  # what the engine reported, whose own error says more; else why Blender refused
        if order.error is None:
            raise SceneError(reason=str(error).strip()) from error
    finally:
        orders.pop(copy.name, None)
        bpy.data.scenes.remove(copy)
    if order.error is not None:
        raise order.error
    assert order.result is not None
    return order.result


def observe(depsgraph: Any, people: People) -> pose.Observed | None:
    """The characters in a depsgraph. Raises UnmappedRig where they are required."""
    if people is People.LEFT_OUT:
        return None
    try:
        return pose.observe(depsgraph)
    except UnmappedRig:
        if people is People.REQUIRED:
            raise
        return None


@contextlib.contextmanager
def _last_slot() -> Iterator[None]:
    """Render into the Render Result's last slot, and show the user's again."""
    image = bpy.data.images.get("Render Result")
    if image is None or not len(image.render_slots):
        yield
        return
    slots = image.render_slots
    active = slots.active_index
    slots.active_index = len(slots) - 1
    try:
        yield
    finally:
        slots.active_index = active


def convert(
    raw: passes.RawPasses,
    camera: Camera,
    observed: pose.Observed | None,
    identities: Identities | None,
    *,
    extent: Extent,
    capture_ms: float,
) -> Capture:
    """Blender's buffers as physical quantities: background infinite, normals in camera space, rows top-down."""
    began = time.perf_counter()
    frame = raw.frame
    depth, normal = frame[passes.DEPTH.name][::-1, :, 0], frame[passes.NORMAL.name][::-1]
    hit = (depth < passes.BACKGROUND_M) | normal.any(axis=-1)
    depth_m = np.where(hit, depth, np.float32(np.inf))
    people = () if observed is None else pose.people(observed, camera, extent, depth_m)
    ids: dict[str, Any] = {}
    if identities is not None:
        for sort, names, rank, index in (
            ("object", identities.objects, passes.OBJECTS, passes.OBJECT_INDEX),
            ("material", identities.materials, passes.MATERIALS, passes.MATERIAL_INDEX),
        ):
            numbers = identity.decode(frame[rank.name][::-1], frame[index.name][::-1, :, 0], names)
            ids |= {f"{sort}_ids": np.where(hit, numbers, 0), f"{sort}_names": names.full}
    return Capture(
        width=extent.width,
        height=extent.height,
        depth_m=depth_m,
        normal_camera=_to_camera_space(normal, camera),
        position_m=np.ascontiguousarray(frame[passes.POSITION.name][::-1]),
        alpha=hit.astype(np.float32),
        **ids,
        camera=camera,
        people=people,
        capture_ms=capture_ms,
        convert_ms=(time.perf_counter() - began) * 1e3,
    )


def _to_camera_space(normal_world: Float32Array, camera: Camera) -> Float32Array:
    """Unit normals; Cycles gives them in world space. For row vectors, n_world @ R is R^T n_world."""
    rotation = np.array(camera.world_from_camera, np.float32).reshape(4, 4)[:3, :3]
    normal = normal_world.reshape(-1, 3) @ rotation
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    np.divide(normal, length, out=normal, where=length > 0)
    return normal.reshape(normal_world.shape)


def _layer_name(scene: Any, view_layer: Any) -> str:
    if view_layer is not None:
        return view_layer.name
    window = bpy.context.window
    if window is not None and window.scene == scene:
        return window.view_layer.name
    return next((layer.name for layer in scene.view_layers if layer.use), scene.view_layers[0].name)


def _only_geometry(copy: Any, layer: str) -> None:
    """Set a scene's copy up for the passes of one view layer and nothing else."""
    for other in [entry for entry in copy.view_layers if entry.name != layer]:
        copy.view_layers.remove(other)
    copy.view_layers[0].use = True
    render = copy.render
    render.engine = "UNDERPAINT"
    render.use_compositing = render.use_sequencer = render.use_border = render.use_freestyle = False
    render.use_single_layer = render.use_lock_interface = False
    for item in ("mist", "uv", "vector", "object_index", "material_index"):
        setattr(copy.view_layers[0], f"use_pass_{item}", False)
    for item in ("object", "material", "asset"):
        setattr(copy.view_layers[0], f"use_pass_cryptomatte_{item}", False)
