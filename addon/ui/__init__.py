"""Panels, lists and menus, the way Blender's own are built."""

from . import image_editor, lists, mapping, menus, render_properties, segmentation, view3d

_MODULES = (lists, menus, render_properties, view3d, mapping, segmentation, image_editor)


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
