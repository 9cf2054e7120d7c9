"""What properties call when they are set, asked or offered.

Nothing here may refer to bpy, or to a module that does, outside a function: Blender never lets go of a
property's callback, and bpy 4.2 crashes at exit while a callback's module holds on to it.
"""

from typing import Any


def is_usable_image(_self: Any, image: Any) -> bool:
    """Images with pixels of their own; the Render Result has none to read."""
    return image.source in {"FILE", "GENERATED", "MOVIE", "SEQUENCE", "TILED"}


def keep_end(control: Any, _context: Any) -> None:
    """A control can't stop before it starts."""
    if control.end < control.start:
        control.end = control.start


def keep_start(control: Any, _context: Any) -> None:
    """A control can't start after it stops."""
    if control.start > control.end:
        control.start = control.end


def active_result(state: Any) -> int:
    """The index of the history's active picture in bpy.data.images; -1 where there is none."""
    import bpy

    return bpy.data.images.find(state.result_name)


def set_active_result(state: Any, index: int) -> None:
    """Remember a picture by its name, as the order of bpy.data.images changes with every new one."""
    import bpy

    if 0 <= index < len(bpy.data.images):
        state.result_name = bpy.data.images[index].name


def show_active_result(state: Any, context: Any) -> None:
    """Bring the picture that was clicked in the history into an Image Editor."""
    import bpy

    from . import images

    image = bpy.data.images.get(state.result_name)
    if image is not None:
        images.show(image, context)
