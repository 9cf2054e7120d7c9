"""Panels, lists and menus, the way Blender's own are built."""

from . import image_editor, lists, mapping, menus, render_properties, segmentation, view3d

# The editor of bones is first in the sidebar, where a message leads to it; it is there for armatures alone.
_MODULES = (lists, menus, render_properties, mapping, view3d, segmentation, image_editor)


def register() -> None:
    done = []
    try:
        for module in _MODULES:
            module.register()
            done.append(module)
    except BaseException:
        for module in reversed(done):
            module.unregister()
        raise


def unregister() -> None:
    for module in reversed(_MODULES):
        module.unregister()
