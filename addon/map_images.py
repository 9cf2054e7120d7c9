"""Control maps as image datablocks, one for each control, reused as long as they are looked at.

They are no results: they carry no request, are packed into no file, and a file that is opened with some in it, whose
pixels were never saved, loses them at once. For the main thread only.
"""

from typing import Any

import bpy
import numpy as np

from . import images
from .control_maps import ControlMap

MARK = "underpaint_control_map"  # the map's name; no result has it


def is_map(image: Any) -> bool:
    """Whether an image datablock shows a control map."""
    return MARK in image


def is_lasting(image: Any) -> bool:
    """Whether an image stays: a map is drawn anew, and goes with its control, until the user packs or saves it."""
    return not is_map(image) or bool(image.packed_file) or image.source != "GENERATED"


def find(name: str) -> Any:
    """The datablock of a map; None where there is none."""
    return next((image for image in bpy.data.images if image.get(MARK) == name and image.library is None), None)


def put(item: ControlMap) -> Any:
    """Show a map in its datablock: its bytes, or floats, as they are."""
    height, width, _ = item.values.shape
    is_float = item.values.dtype != np.uint8
    _let_go()
    image = find(item.name)
    if image is not None and image.is_float != is_float:
        old, image = image, _new(item.name, width, height, is_float=is_float)
        old.user_remap(image)
        bpy.data.images.remove(old)
    if image is None:
        image = _new(item.name, width, height, is_float=is_float)
    if tuple(image.size) != (width, height):
        image.scale(width, height)
    values = np.ones((height, width, 4), np.float32)
    values[..., :3] = item.floats()[::-1]
    image.pixels.foreach_set(values.ravel())
    image.update()
    return image


def keep_only(names: set[str]) -> None:
    """Remove the maps of controls that are gone."""
    _let_go()
    for image in [image for image in bpy.data.images if is_map(image) and image[MARK] not in names]:
        if image.library is None:
            bpy.data.images.remove(image)


def _let_go() -> None:
    """Leave maps that the user has packed, or saved as files, to the user."""
    for image in bpy.data.images:
        if is_map(image) and is_lasting(image) and image.library is None:
            del image[MARK]


def drop_blank() -> None:
    """Remove maps that came with a file: Blender saves no pixels of images that nobody has packed."""
    for image in [image for image in bpy.data.images if is_map(image) and image.library is None]:
        if image.source == "GENERATED" and not image.packed_file:
            bpy.data.images.remove(image)


def redraw() -> None:
    """Have Blender draw the Image Editors that show maps."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "IMAGE_EDITOR":
                area.tag_redraw()


def show(name: str, context: Any) -> bool:
    """Show a map in an Image Editor; False where none is open, or there is no such map."""
    image = find(name)
    return image is not None and images.show(image, context)


def is_shown() -> bool:
    """Whether an Image Editor shows any map."""
    return any(
        area.ui_type == "IMAGE_EDITOR" and area.spaces.active.image is not None and is_map(area.spaces.active.image)
        for window in bpy.context.window_manager.windows
        for area in window.screen.areas
    )


def _new(name: str, width: int, height: int, *, is_float: bool) -> Any:
    """A datablock for a map.

    Bytes are drawn as they are under sRGB, and too bright as Non-Color data; their numbers are the same. Floats
    are drawn too bright whatever is chosen; as data their numbers stay.
    """
    image = bpy.data.images.new(f"Control {name}", width, height, alpha=False, float_buffer=is_float, is_data=is_float)
    image[MARK] = name
    return image
