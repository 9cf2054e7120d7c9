"""The editor of an armature's bone mapping, in its Data properties and in the 3D Viewport's sidebar."""

from collections.abc import Collection
from typing import Any

import bpy
from bl_ui.utils import PresetPanel

from .. import operators_rig_files, rig_mapping, words
from ..pose import mapping
from ..pose.match import ANY, match
from ..pose.points import REQUIRED, label
from ..registration import of_classes
from ..rig_mapping import armature_of, bones_of
from .text import paragraph

_BY_HAND, _FOUND, _LOST, _MISSING, _ABSENT = "CHECKMARK", "AUTO", "ERROR", "CANCEL", "BLANK1"


def state(point: str, bone: str, bones: Any, found: Any) -> tuple[str, str]:
    """An icon and words for how a point is mapped. `found`: what the names say, by point."""
    if bone and bone in bones:
        return _BY_HAND, f'Mapped by you to "{bone}"'
    if bone:
        return _LOST, f'No bone is called "{bone}" any more'
    if point in found:
        return _FOUND, f'Found by its name: "{found[point]}"'
    if point in REQUIRED:
        return _MISSING, "Not found: a person can't be drawn without it"
    return _ABSENT, "Not found; the pose is drawn without it, or it is worked out from others"


class UNDERPAINT_UL_points(bpy.types.UIList):
    """The points of a person, and the bones that mark them"""

    def draw_item(
        self,
        _context: Any,
        layout: Any,
        data: Any,
        item: Any,
        _icon: int,
        _active: Any,
        _property: str,
        _index: int = 0,
    ) -> None:
        armature = data.id_data
        bones = bones_of(armature)
        icon, _words = state(item.name, item.bone, bones, rig_mapping.guessed(armature))
        row = layout.split(factor=0.45, align=True)
        row.label(text=rig_mapping.short(label(item.name)), icon=icon)
        row.prop_search(item, "bone", armature, "edit_bones" if armature.is_editmode else "bones", text="")

    def filter_items(self, _context: Any, data: Any, _property: str) -> tuple[list[int], list[int]]:
        listed = rig_mapping.shown_points(data.id_data)
        wanted = self.filter_name.casefold()
        flags = [
            self.bitflag_filter_item if item.name in listed and wanted in label(item.name) else 0 for item in data.bones
        ]
        return flags, []


class UNDERPAINT_PT_rig_presets(PresetPanel, bpy.types.Panel):
    bl_label = "Rig Presets"
    preset_subdir = operators_rig_files.SUBDIR
    preset_operator = "underpaint.load_rig_preset"
    preset_add_operator = "underpaint.rig_preset"
    preset_extensions = frozenset({".json"})

    def draw(self, context: Any) -> None:
        if bpy.utils.preset_paths(operators_rig_files.SUBDIR):
            PresetPanel.draw(self, context)
            return
        self.layout.label(text="No presets yet")  # where Blender would say that paths are missing
        row = self.layout.row()
        row.prop(context.window_manager, "preset_name", text="")
        row.operator("underpaint.rig_preset", text="", icon="ADD").name = context.window_manager.preset_name


class UNDERPAINT_MT_bone_mapping(bpy.types.Menu):
    bl_label = "Bone Mapping Specials"

    def draw(self, _context: Any) -> None:
        layout = self.layout
        layout.operator("underpaint.mirror_bones", text="Mirror Right to Left", icon="MOD_MIRROR").direction = "RIGHT"
        layout.operator("underpaint.guess_bones", text="Guess All Anew", icon="FILE_REFRESH").replace = True
        layout.operator("underpaint.clear_bones", text="Clear All", icon="TRASH")
        layout.separator()
        layout.operator("underpaint.import_bones", icon="IMPORT")
        layout.operator("underpaint.export_bones", icon="EXPORT")


_SETTLED_AT_ONCE = 4  # armatures with buttons of their own


def left_out(layout: Any, context: Any, armatures: Collection[str]) -> None:
    """Which armatures a pose is without, and the two ways to settle each; nothing where none is left."""
    names = rig_mapping.unsettled(armatures)
    if not names:
        return
    box = layout.box()
    paragraph(box, context, f"{words.left_out(names)}.", icon="INFO")
    for name in names[:_SETTLED_AT_ONCE]:
        settle(box, name, f'Map "{name}"')


def settle(layout: Any, armature: str, text: str | None = None) -> None:
    """The buttons for an armature object whose bones are not known."""
    row = layout.row(align=True)
    row.operator("underpaint.edit_mapping", text=text, icon="ARMATURE_DATA").armature = armature
    row.operator("underpaint.not_a_person", icon="GHOST_DISABLED").armature = armature


def editor(layout: Any, context: Any, armature: Any) -> None:
    """The list of points with its tools; a button in its place where nothing is mapped by hand."""
    bones = bones_of(armature)
    if mapping.is_nobody(armature):
        paragraph(layout, context, "Left out of the pose.", icon="INFO")
    else:
        _summary(layout, context, armature)
    if not armature.is_editable:
        paragraph(layout, context, "The armature is linked from another file.", icon="LINKED")
        layout.operator("underpaint.override_bones", icon="LIBRARY_DATA_OVERRIDE")
        return
    group = armature.underpaint
    layout.prop(group, "not_a_person")
    layout = layout.column()
    layout.active = not group.not_a_person
    row = layout.row(align=True)
    row.operator("underpaint.guess_bones", icon="VIEWZOOM")
    if not len(group.bones):
        row.operator("underpaint.map_bones", text="By Hand", icon="GREASEPENCIL")
        return
    row.operator("underpaint.mirror_bones", text="Left to Right", icon="MOD_MIRROR").direction = "LEFT"
    layout.row(align=True).prop(group, "group", expand=True)
    # No buttons beside the list: in a narrow editor they would leave no room for the bones' names.
    layout.template_list("UNDERPAINT_UL_points", "", group, "bones", group, "active", rows=8)
    row = layout.row(align=True)
    row.operator("underpaint.pick_bone", icon="EYEDROPPER")
    row.menu("UNDERPAINT_MT_bone_mapping", text="", icon="DOWNARROW_HLT")
    if 0 <= group.active < len(group.bones):
        item = group.bones[group.active]
        icon, words = state(item.name, item.bone, bones, rig_mapping.guessed(armature))
        paragraph(layout, context, f"{label(item.name).capitalize()}: {words}", icon=icon)


def _summary(layout: Any, context: Any, armature: Any) -> None:
    chosen = mapping.of(armature) or {}
    known = {**rig_mapping.guessed(armature), **chosen}
    missing = [label(point) for point in REQUIRED if point not in known]
    if not missing:
        rig = match(tuple(bones_of(armature).keys()))
        named = f" as {rig.rig.name} names them" if rig is not None and rig.rig is not ANY and not rig.missing else ""
        by_hand = f", {len(chosen)} of them by hand" if chosen else ""
        paragraph(layout, context, f"{len(known)} points found{named}{by_hand}.", icon="CHECKMARK")
    elif len(missing) == len(REQUIRED):
        paragraph(layout, context, "The bones' names don't say what they are: map them by hand.", icon="ERROR")
    else:
        paragraph(layout, context, f"Not found: {', '.join(missing)}.", icon="ERROR")


class UNDERPAINT_PT_armature(bpy.types.Panel):
    bl_label = "Bone Mapping"
    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    bl_context = "data"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        return getattr(context, "armature", None) is not None

    def draw_header_preset(self, _context: Any) -> None:
        UNDERPAINT_PT_rig_presets.draw_panel_header(self.layout)

    def draw(self, context: Any) -> None:
        editor(self.layout, context, armature_of(context))


class UNDERPAINT_PT_view3d_armature(bpy.types.Panel):
    bl_label = "Bone Mapping"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Underpaint"

    @classmethod
    def poll(cls, context: Any) -> bool:
        return context.object is not None and context.object.type == "ARMATURE"

    def draw_header_preset(self, _context: Any) -> None:
        UNDERPAINT_PT_rig_presets.draw_panel_header(self.layout)

    def draw(self, context: Any) -> None:
        editor(self.layout, context, armature_of(context))


register, unregister = of_classes(
    (
        UNDERPAINT_UL_points,
        UNDERPAINT_PT_rig_presets,
        UNDERPAINT_MT_bone_mapping,
        UNDERPAINT_PT_armature,
        UNDERPAINT_PT_view3d_armature,
    )
)
