"""Whether a scene still looks like what was captured of it: compared where that is cheap, else told by Blender."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import bpy

from ..protocol.geometry import Extent
from . import camera as cameras

_UNSEEN = ("Image", "Screen", "WindowManager", "WorkSpace", "Brush", "Text", "Palette", "Library")
_LIT = ("World", "Light", "LightProbe")  # change the picture and no geometry


@dataclass(frozen=True, kw_only=True)
class View:
    """What a capture was made of; another one shows something else."""

    layer: str
    frame: float
    camera: str
    extent: Extent
    pixel_aspect: tuple[float, float]
    simplified: int | None  # the most subdivisions that Simplify leaves; None without it
    things: int  # a hash of the objects that are rendered, and how
    rendering: int | None  # a hash of how the scene is rendered; None where it was not, beside its geometry


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a capture holds, as far as changes matter to it."""

    view: View
    lit: bool  # the scene was rendered with its lights, too
    rebuilt: bool  # Blender has put its dependencies together anew, for which it tells of every object's shading


def view(scene: Any, layer: str, *, lit: bool, things: int | None = None) -> View | None:
    """What would be captured now; `things` where it is known, as it takes time with many objects.

    `lit` is whether the scene is rendered with its lights, too.
    """
    if scene.camera is None or layer not in scene.view_layers:
        return None
    return View(
        layer=layer,
        frame=scene.frame_current_final,
        camera=scene.camera.name_full,
        extent=cameras.frame(scene),
        pixel_aspect=(scene.render.pixel_aspect_x, scene.render.pixel_aspect_y),
        simplified=scene.render.simplify_subdivision_render if scene.render.use_simplify else None,
        things=_hash(scene.view_layers[layer]) if things is None else things,
        rendering=_rendering(scene) if lit else None,
    )


def _hash(layer: Any) -> int:
    things = tuple(
        (thing.name_full, thing.hide_render, thing.visible_camera, thing.is_holdout) for thing in layer.objects
    )
    return hash((things, tuple(_flags(layer.layer_collection))))


def _rendering(scene: Any) -> int:
    render = scene.render
    values = [
        getattr(scene.cycles, item.identifier)
        for item in scene.cycles.bl_rna.properties
        if item.type in ("BOOLEAN", "INT", "FLOAT", "ENUM") and not getattr(item, "is_array", False)
    ]
    flags = (render.film_transparent, render.use_motion_blur, render.motion_blur_shutter)
    return hash((*flags, *(tuple(value) if isinstance(value, set) else value for value in values)))


def _flags(layer_collection: Any) -> Iterator[tuple[str, bool, bool]]:
    yield layer_collection.name, layer_collection.holdout, layer_collection.indirect_only
    for child in layer_collection.children:
        yield from _flags(child)


def change(update: Any, seen: Seen, ours: set[Any]) -> str:
    """What an update of the depsgraph has changed that a capture shows, in words; "" for nothing.

    `ours` got another class: Blender tells of that as of any change, for them, their data and what they are used by.
    """
    thing = update.id.original
    kind = type(thing).__name__
    if isinstance(thing, bpy.types.Scene):  # its own settings are compared by `view`
        return _objects_changed(thing, seen)
    if ours and (
        thing in ours
        or thing in {getattr(it, "data", None) for it in ours}
        or isinstance(thing, bpy.types.NodeTree)
        or not (update.is_updated_geometry or update.is_updated_transform)
    ):
        return ""
    lit = kind.endswith(_LIT) or (kind == "Object" and thing.type in ("LIGHT", "LIGHT_PROBE", "SPEAKER"))
    if kind.startswith(_UNSEEN) or (lit and not seen.lit):
        return ""
    shading = update.is_updated_shading and not (seen.rebuilt and kind == "Object")
    if not (update.is_updated_geometry or update.is_updated_transform or shading):
        return ""
    return "The camera has changed" if thing.name_full == seen.view.camera else f'"{thing.name}" has changed'


def _objects_changed(scene: Any, seen: Seen) -> str:
    layer = scene.view_layers.get(seen.view.layer)
    changed = layer is not None and _hash(layer) != seen.view.things
    return "Objects have come, gone, or been renamed, hidden or held out" if changed else ""


def renamed(update: Any, scene: Any, seen: Seen) -> str:
    """Whether an object has another name, as `change` says it: classes and colours go by names."""
    flagged = update.is_updated_geometry or update.is_updated_transform or update.is_updated_shading
    told = not flagged and isinstance(update.id.original, bpy.types.Object)
    return _objects_changed(scene, seen) if told else ""


def place(thing: Any) -> tuple[float, ...]:
    """Where an object was at the last evaluation; () for anything else."""
    matrix = getattr(thing, "matrix_world", ())
    return tuple(value for row in matrix for value in row)


def key(thing: Any) -> tuple[str, str]:
    return type(thing).__name__, thing.name_full
