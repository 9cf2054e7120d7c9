"""Bones that a user has mapped, as presets and as files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..protocol.errors import InvalidMapping
from .operators_mapping import OnArmature, OnMapped
from .pose import mapping
from .pose.points import POINTS
from .registration import of_classes
from .rig_mapping import armature_of, bones_of, put
from .words import many

SUBDIR = "underpaint/rigs"
"""Where presets are, under the presets folders of Blender and of the user."""


class UNDERPAINT_OT_rig_preset(OnArmature, bpy.types.Operator):
    """Save the bones that are mapped by hand as a preset for other armatures, or remove a preset"""

    bl_idname = "underpaint.rig_preset"
    bl_label = "Add Rig Preset"
    bl_options = {"REGISTER"}

    name: StringProperty(name="Name", description="What the preset is called", options={"SKIP_SAVE"})
    remove_name: BoolProperty(default=False, options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: Any) -> set[str]:
        try:
            return self._remove() if self.remove_name else self._add(armature_of(context))
        except OSError as error:
            self.report({"ERROR"}, f"The preset can't be written: {error}")
            return {"CANCELLED"}

    def _add(self, armature: Any) -> set[str]:
        chosen = mapping.of(armature)
        name = bpy.path.clean_name(self.name.strip())
        if chosen is None or not name:
            self.report({"ERROR"}, "No bone is mapped by hand" if chosen is None else "The preset needs a name")
            return {"CANCELLED"}
        # Not in the extension's own folder: that is thrown away with the extension.
        folder = bpy.utils.user_resource("SCRIPTS", path=f"presets/{SUBDIR}", create=True)
        if not folder:
            self.report({"ERROR"}, "The user's presets folder can't be made")
            return {"CANCELLED"}
        Path(folder, f"{name}.json").write_text(mapping.to_json(chosen), encoding="utf-8")
        return {"FINISHED"}

    def _remove(self) -> set[str]:
        found = bpy.utils.preset_find(self.name, SUBDIR, display_name=True, ext=".json")
        users = bpy.utils.user_resource("SCRIPTS", path="presets")
        if not found or not Path(found).is_relative_to(users):
            self.report({"ERROR"}, f'There is no preset "{self.name}" of yours')
            return {"CANCELLED"}
        Path(found).unlink()
        return {"FINISHED"}


def _replace(operator: Any, armature: Any, chosen: Mapping[str, str]) -> None:
    """Put a preset in the place of what was there; bones that this armature lacks are told."""
    bones = bones_of(armature)
    known = {point: bone for point, bone in chosen.items() if bone in bones}
    put(armature, dict.fromkeys(POINTS, "") | known)
    lacking = sorted({bone for bone in chosen.values() if bone not in bones})
    if lacking:
        operator.report({"WARNING"}, f"{len(known)} points mapped; the armature has no {many(lacking)}")
    else:
        operator.report({"INFO"}, f"{len(known)} points mapped")


def _load(operator: Any, context: Any, path: str) -> set[str]:
    try:
        chosen = mapping.from_json(Path(bpy.path.abspath(path)).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, InvalidMapping) as error:
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    _replace(operator, armature_of(context), chosen)
    return {"FINISHED"}


class UNDERPAINT_OT_load_rig_preset(OnArmature, bpy.types.Operator):
    """Map the bones as this preset says"""

    bl_idname = "underpaint.load_rig_preset"
    bl_label = "Load Rig Preset"

    filepath: StringProperty(subtype="FILE_PATH", options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: Any) -> set[str]:
        return _load(self, context, self.filepath)


class UNDERPAINT_OT_import_bones(OnArmature, ImportHelper, bpy.types.Operator):
    """Map the bones as a file says that was exported from another armature"""

    bl_idname = "underpaint.import_bones"
    bl_label = "Import Bone Mapping"

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        return _load(self, context, self.filepath)


class UNDERPAINT_OT_export_bones(OnMapped, ExportHelper, bpy.types.Operator):
    """Write the bones that are mapped by hand into a file, for other armatures and other people"""

    bl_idname = "underpaint.export_bones"
    bl_label = "Export Bone Mapping"
    bl_options = {"REGISTER"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        chosen = mapping.of(armature_of(context)) or {}
        try:
            Path(bpy.path.abspath(self.filepath)).write_text(mapping.to_json(chosen), encoding="utf-8")
        except OSError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{len(chosen)} points written")
        return {"FINISHED"}


register, unregister = of_classes(
    (
        UNDERPAINT_OT_rig_preset,
        UNDERPAINT_OT_load_rig_preset,
        UNDERPAINT_OT_import_bones,
        UNDERPAINT_OT_export_bones,
    )
)
