"""What a scene looks like to a ControlNet, in physical quantities, and the way to get it outside F12."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import bpy

from ..protocol.arrays import UInt8Array
from ..protocol.checks import check_size
from ..protocol.errors import JobCancelled, NoCamera, NothingInView, NothingRendered, SceneError
from ..protocol.geometry import Extent
from . import pose
from .camera import check
from .conversion import Capture, convert
from .passes import NOTHING_MORE, Wants

__all__ = [
    "Capture",
    "Order",
    "People",
    "Wants",
    "capture",
    "convert",
    "depth_range",
    "layer_name",
    "observe",
    "orders",
]


class People(Enum):
    """Whether a capture looks for characters."""

    LEFT_OUT = "left out"
    WISHED = "wished"  # a rig with unknown bone names is no character
    REQUIRED = "required"  # a rig with unknown bone names is an error


@dataclass(kw_only=True)
class Order:
    """A scene for which the engine shall deliver a capture, or the error, instead of a picture."""

    people: "People"
    wants: Wants  # with the beauty among them, the beauty is all that is delivered
    read: Callable[[Any], None] | None = None  # is given the depsgraph, evaluated for rendering, to read from it
    beauty: UInt8Array | None = None
    result: Capture | None = None
    error: Exception | None = None


orders: dict[str, Order] = {}
"""By the temporary scene's name; filled and emptied by `capture` and read by the engine during its render."""


around: list[Callable[[], contextlib.AbstractContextManager[None]]] = []
"""Entered while a capture makes a scene and takes it away again, of which Blender tells as of the user's changes."""


def capture(
    scene: Any,
    view_layer: Any = None,
    *,
    camera: Any = None,
    frame: float | None = None,
    extent: Extent | None = None,
    people: People = People.REQUIRED,
    wants: Wants = NOTHING_MORE,
    read: Callable[[Any], None] | None = None,
) -> Capture:
    """One frame of the scene, for the main thread; blocks for the time of a one-sample render.

    `camera` is the object to look through, `frame` the time, with its fraction as subframe, and `extent`
    the size, instead of the scene's own. Renders a copy of the scene, whose objects are shared and not
    touched, and removes the copy; the scene's current frame stays. What the user's Render Result shows
    stays: the last of its slots is used. Render regions are left out. `read` is called with the depsgraph
    as it is rendered (modifiers at their render levels); what it raises is raised here.

    Raises NoCamera, PanoramicCamera, ReversedClip, BrokenCamera, StereoRender, InvalidSize, UnmappedRig,
    NothingRendered, or SceneError for a frame that Blender hasn't; JobCancelled where the user stops the render.
    """
    if extent is not None:
        check_size(extent)  # Blender's own fields would take the nearest that they can hold
    layer = layer_name(scene, view_layer)
    try:
        with _copied(scene) as copy:
            if frame is not None:
                _set_frame(copy, frame)
            if camera is not None:
                copy.camera = camera
                copy.timeline_markers.clear()  # a marker's camera would win
            if extent is not None:
                copy.render.resolution_x, copy.render.resolution_y = extent.width, extent.height
                copy.render.resolution_percentage = 100
            check(copy)
            _only_geometry(copy, layer)
            picture = None
            if wants.beauty:
                began = time.perf_counter()
                picture = _fulfilled(copy, Order(people=People.LEFT_OUT, wants=wants)).beauty
                beauty_ms = (time.perf_counter() - began) * 1e3
            result = _fulfilled(copy, Order(people=people, wants=replace(wants, beauty=False), read=read)).result
    except NoCamera as error:  # that of the copy
        raise NoCamera(scene=scene.name) from error
    assert result is not None
    if picture is not None:
        result = replace(result, beauty=picture, capture_ms=result.capture_ms + beauty_ms)
    return result


def depth_range(
    scene: Any,
    view_layer: Any = None,
    *,
    frames: Iterable[float] | None = None,
    cameras: Sequence[Any] | None = None,
    extent: Extent | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[float, float]:
    """The nearest and the farthest depth in metres that any of the cameras sees at any of the frames.

    What a locked depth range needs, for an animation or several views. `frames` may have fractions; without
    them the current frame is taken, without `cameras` the scene's own. Every frame is rendered as `capture`
    does it, and the scene's current frame stays. `progress` hears the fraction that is done. The far end is
    always beyond the near one. Raises what `capture` raises, NothingInView, or JobCancelled soon after
    `cancelled()` turned true.
    """
    views = [(frame, camera) for frame in (frames if frames is not None else [None]) for camera in cameras or [None]]
    near_m, far_m = math.inf, -math.inf
    for done, (frame, camera) in enumerate(views):
        if cancelled is not None and cancelled():
            raise JobCancelled()
        seen = capture(scene, view_layer, camera=camera, frame=frame, extent=extent, people=People.LEFT_OUT)
        depths = seen.depth_m[seen.alpha > 0]
        if depths.size:
            near_m, far_m = min(near_m, float(depths.min())), max(far_m, float(depths.max()))
        if progress is not None:
            progress((done + 1) / len(views))
    if far_m < near_m:
        raise NothingInView()
    return (near_m, far_m) if near_m < far_m else (near_m * 0.999, far_m * 1.001)


@contextlib.contextmanager
def _copied(scene: Any) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        for enter in around:
            stack.enter_context(enter())
        copy = scene.copy()
        try:
            yield copy
        finally:
            bpy.data.scenes.remove(copy)


def _fulfilled(copy: Any, order: Order) -> Order:
    orders[copy.name] = order
    try:
        with _last_slot(), _at(copy):
            state = bpy.ops.render.render(scene=copy.name)
    except RuntimeError as error:  # what the engine reported, whose own error says more; else why Blender refused
        if order.error is None:
            raise SceneError(reason=str(error).strip()) from error
    finally:
        del orders[copy.name]
    if order.error is not None:
        try:
            raise order.error
        finally:
            order.error = None  # its traceback holds the order, and with it the engine
    if order.result is None and order.beauty is None:  # the engine stops without a word where the user stops it
        raise JobCancelled() if "CANCELLED" in state else NothingRendered()
    return order


def _set_frame(copy: Any, frame: float) -> None:
    whole = math.floor(frame) if math.isfinite(frame) else None
    if whole is not None and abs(whole) < 2**31:
        copy.frame_current, copy.frame_subframe = whole, frame - whole  # Blender takes the nearest that it has
    if copy.frame_current != whole:
        raise SceneError(
            reason=f"Blender has no frame {frame:g}. It counts from 0, or from below 0 with "
            "Preferences > Animation > Allow Negative Frames."
        )


@contextlib.contextmanager
def _at(copy: Any) -> Iterator[None]:
    """Render a scene's copy at its own frame.

    A scene that is rendered by its name gets the frame, though not the subframe, of the scene in the context. Making
    it the context's is no way out: every operator brings that up to date, and so would write the animation's values at
    the copy's frame into the objects that it shares with the user's scene.
    """
    frame, subframe = copy.frame_current, copy.frame_subframe

    def set_again(scene: Any, *_: Any) -> None:
        if scene.name == copy.name:
            scene.frame_current, scene.frame_subframe = frame, subframe

    bpy.app.handlers.render_pre.append(set_again)
    try:
        yield
    finally:
        bpy.app.handlers.render_pre.remove(set_again)


def observe(depsgraph: Any, people: People) -> pose.Observed | None:
    """The characters in a depsgraph. Raises UnmappedRig where they are required."""
    if people is People.LEFT_OUT:
        return None
    return pose.observe(depsgraph, strict=people is People.REQUIRED)


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


def layer_name(scene: Any, view_layer: Any) -> str:
    """The view layer that a capture takes, where none is given: the window's, or else the first that is rendered."""
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
