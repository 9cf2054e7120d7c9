"""Presets of the painting settings, the way Cycles has them for sampling.

Blender finds the shipped ones in `underpaint/painting` beside this file, and keeps the user's own in the
user's presets folder.
"""

from pathlib import Path
from typing import Any

import bpy
from bl_operators.presets import AddPresetBase
from bl_ui.utils import PresetPanel

from ..registration import of_classes
from . import writing

SUBDIR = "underpaint/painting"
_SEARCH_PATH = str(Path(__file__).resolve().parent.parent)  # Blender looks in its "presets" folder


class UNDERPAINT_PT_presets(PresetPanel, bpy.types.Panel):
    bl_label = "Painting Presets"
    preset_subdir = SUBDIR
    preset_operator = "script.execute_preset"
    preset_add_operator = "underpaint.preset_add"


class UNDERPAINT_OT_preset_add(AddPresetBase, bpy.types.Operator):
    """Add or remove a preset of the painting settings; the prompt and the seed are no part of it"""

    bl_idname = "underpaint.preset_add"
    bl_label = "Add Painting Preset"
    preset_menu = "UNDERPAINT_PT_presets"
    preset_subdir = SUBDIR

    def add(self, context: Any, filepath: str) -> None:
        writing.write(Path(filepath), context.scene.underpaint)


_register_classes, _unregister_classes = of_classes((UNDERPAINT_PT_presets, UNDERPAINT_OT_preset_add))


def register() -> None:
    _register_classes()
    bpy.utils.register_preset_path(_SEARCH_PATH)


def unregister() -> None:
    bpy.utils.unregister_preset_path(_SEARCH_PATH)
    _unregister_classes()
