"""Blender's and Cycles' own panels under our engine: lights, materials, cameras and output stay at hand."""

from typing import Any

import bpy

_ENGINE = "UNDERPAINT"

# Blender lists each panel's engines by hand. "BLENDER_RENDER" marks the engine-neutral ones, which other
# engines take but for those that Cycles draws better, and those for what can't act on a painted picture.
_NOT_NEUTRAL = {
    "DATA_PT_camera_dof",
    "DATA_PT_light",
    "DATA_PT_preview",
    "DATA_PT_spot",
    "MATERIAL_PT_preview",
    "NODE_DATA_PT_light",
    "NODE_DATA_PT_spot",
    "VIEWLAYER_PT_filter",
    "VIEWLAYER_PT_layer_passes",
}
_OF_CYCLES = (
    "CYCLES_LIGHT_PT_",
    "CYCLES_MATERIAL_PT_",
    "CYCLES_OBJECT_PT_",
    "CYCLES_PT_context_material",
    "CYCLES_WORLD_PT_",
)

_own_sets: list[Any] = []
"""Cycles' panels that were given a set of their own; theirs is one set for all, inherited."""


def register() -> None:
    for panel in bpy.types.Panel.__subclasses__():
        engines = getattr(panel, "COMPAT_ENGINES", None)
        if engines is None:
            continue
        neutral = "BLENDER_RENDER" in engines and panel.__name__ not in _NOT_NEUTRAL
        if not neutral and not panel.__name__.startswith(_OF_CYCLES):
            continue
        if "COMPAT_ENGINES" in vars(panel):
            engines.add(_ENGINE)
        else:
            panel.COMPAT_ENGINES = {*engines, _ENGINE}
            _own_sets.append(panel)


def unregister() -> None:
    for panel in _own_sets:
        del panel.COMPAT_ENGINES
    _own_sets.clear()
    for panel in bpy.types.Panel.__subclasses__():
        getattr(panel, "COMPAT_ENGINES", set()).discard(_ENGINE)
