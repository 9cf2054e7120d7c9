"""Mapping a person's points to bones by hand: what an armature keeps of it, and the operators of the editor."""

import functools
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, IntProperty, PointerProperty, StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..protocol.errors import InvalidMapping
from . import callbacks
from .pose import mapping
from .pose.humanoid import vrm
from .pose.match import ANY, match
from .pose.points import GROUPS, POINTS, REQUIRED, SIDES, label
from .pose.tokens import by_tokens
from .registration import of_classes

SUBDIR = "underpaint/rigs"
"""Where presets are, under the presets folders of Blender and of the user."""

_OVERRIDABLE = {"LIBRARY_OVERRIDABLE"}
_SHOWN = 4  # names in a message, of many


def short(name: str) -> str:
    """A name that fits into a sidebar: "L Hand"."""
    side, _, rest = name.partition(" ")
    return f"{side[0].upper()} {rest.capitalize()}" if side.lower() in SIDES else name.capitalize()


class UNDERPAINT_PG_point(bpy.types.PropertyGroup):
    """A point of a person, and the bone that marks it"""

    name: StringProperty(name="Point", override=_OVERRIDABLE)
    bone: StringProperty(
        name="Bone",
        description="The bone whose head lies at this point. Empty takes the one that is found by its name",
        update=callbacks.mapping_changed,
        override=_OVERRIDABLE,
    )


class UNDERPAINT_PG_armature(bpy.types.PropertyGroup):
    """How Underpaint reads this armature"""

    bones: CollectionProperty(type=UNDERPAINT_PG_point, override={"LIBRARY_OVERRIDABLE", "USE_INSERTION"})
    active: IntProperty(name="Active Point", description="The point that is shown below", override=_OVERRIDABLE)
    group: EnumProperty(
        name="Points",
        description="The part of a person whose points are listed",
        items=[
            (name.upper().replace(" ", "_"), short(name), f"{name}: {len(points)} points", number)
            for number, (name, points) in enumerate(GROUPS.items())
        ],
        override=_OVERRIDABLE,
    )


# ------------------------------------------------------------------------------------ reading


def armature_of(context: Any) -> Any | None:
    """The armature's data that the editor is about: the Properties editor's, or the active object's."""
    pinned = getattr(context, "armature", None)
    if pinned is not None:
        return pinned
    active = context.object
    return active.data if active is not None and active.type == "ARMATURE" else None


def bones_of(armature: Any) -> Any:
    """The bones as they are now, also while they are edited."""
    return armature.edit_bones if armature.is_editmode else armature.bones


def guessed(armature: Any) -> Mapping[str, str]:
    """What is found without the user, by point, however little it is.

    A rig's table, the VRM add-on's humanoid, or else the words in the bones' names.
    """
    names = tuple(bones_of(armature).keys())
    found = match(names)
    if found is None or found.missing or found.rig is ANY:
        told = {point: bone for point, bone in vrm(armature).items() if bone in names}
        if all(point in told for point in REQUIRED):
            return told
    return _in_words(names) if found is None else found.bones


@functools.lru_cache(maxsize=8)  # the list asks for each of its rows
def _in_words(names: tuple[str, ...]) -> Mapping[str, str]:
    return by_tokens(names)


def shown_points(armature: Any) -> tuple[str, ...]:
    """The points of the group that is listed."""
    number = armature.underpaint.bl_rna.properties["group"].enum_items[armature.underpaint.group].value
    return tuple(GROUPS.values())[number]


def _many(names: Collection[str]) -> str:
    """Names for a message, the first few of many."""
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


# ------------------------------------------------------------------------------------ writing


def _entries(armature: Any) -> dict[str, Any]:
    """An entry for every point; those that are not there yet are made."""
    if armature.override_library is not None:
        # What an override says of a group is lost in 5.0 where the group is not there in the linked data; asking
        # for it makes it.
        len(armature.override_library.reference.underpaint.bones)
    group = armature.underpaint
    there = {item.name for item in group.bones}
    for point in POINTS:
        if point not in there:
            group.bones.add().name = point
    return {item.name: item for item in group.bones}


def _put(armature: Any, chosen: Mapping[str, str]) -> None:
    entries = _entries(armature)
    for point, bone in chosen.items():
        entries[point].bone = bone


def _replace(operator: Any, armature: Any, chosen: Mapping[str, str]) -> None:
    """Put a preset in the place of what was there; bones that this armature lacks are told."""
    bones = bones_of(armature)
    known = {point: bone for point, bone in chosen.items() if bone in bones}
    _put(armature, dict.fromkeys(POINTS, "") | known)
    lacking = sorted({bone for bone in chosen.values() if bone not in bones})
    if lacking:
        operator.report({"WARNING"}, f"{len(known)} points mapped; the armature has no {_many(lacking)}")
    else:
        operator.report({"INFO"}, f"{len(known)} points mapped")


class _OnArmature:
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        armature = armature_of(context)
        if armature is None:
            cls.poll_message_set("Select an armature first")
            return False
        if not armature.is_editable:
            cls.poll_message_set("The armature is linked from another file: press Make Editable first")
            return False
        return cls.works(context, armature)

    @classmethod
    def works(cls, _context: Any, _armature: Any) -> bool:
        return True


class _OnMapped(_OnArmature):
    @classmethod
    def works(cls, _context: Any, armature: Any) -> bool:
        if mapping.of(armature) is None:
            cls.poll_message_set("No bone is mapped by hand")
            return False
        return True


class UNDERPAINT_OT_map_bones(_OnArmature, bpy.types.Operator):
    """List every point, to say by hand which bone marks it"""

    bl_idname = "underpaint.map_bones"
    bl_label = "Map Bones by Hand"

    def execute(self, context: Any) -> set[str]:
        _put(armature_of(context), {})
        return {"FINISHED"}


class UNDERPAINT_OT_guess_bones(_OnArmature, bpy.types.Operator):
    """Fill in the bones that are found by their names; what you have mapped stays"""

    bl_idname = "underpaint.guess_bones"
    bl_label = "Guess"

    replace: BoolProperty(name="Replace", description="Guess anew what you have mapped, too", options={"SKIP_SAVE"})

    def execute(self, context: Any) -> set[str]:
        armature = armature_of(context)
        kept = {} if self.replace else mapping.of(armature) or {}
        found = {point: bone for point, bone in guessed(armature).items() if point not in kept}
        _put(armature, found)
        missing = [label(point) for point in REQUIRED if point not in found and point not in kept]
        told = f"{len(found)} points found by their bones' names"
        if missing:
            self.report({"WARNING"}, f"{told}; map {_many(missing)} by hand")
        else:
            self.report({"INFO"}, told)
        return {"FINISHED"}


class UNDERPAINT_OT_mirror_bones(_OnMapped, bpy.types.Operator):
    """Map one side as the other: the bone that is called so, or that lies there in the rest pose"""

    bl_idname = "underpaint.mirror_bones"
    bl_label = "Mirror"

    direction: EnumProperty(
        name="Direction",
        items=(
            ("LEFT", "Left to Right", "The right side as the left one"),
            ("RIGHT", "Right to Left", "The left side as the right one"),
        ),
    )

    def execute(self, context: Any) -> set[str]:
        armature = armature_of(context)
        ends = _rest(armature)
        side = SIDES[0] if self.direction == "LEFT" else SIDES[1]
        found: dict[str, str] = {}
        lost: list[str] = []
        for point, bone in (mapping.of(armature) or {}).items():
            twin = mapping.twin(point)
            if twin is None or not point.startswith(f"{side}_"):
                continue
            other = mapping.mirrored(bone, ends, bpy.utils.flip_name)
            if other is None:
                lost.append(label(twin))
            else:
                found[twin] = other
        if not found and not lost:
            self.report({"ERROR"}, f"Nothing is mapped on the {side}")
            return {"CANCELLED"}
        _put(armature, found)
        if lost:
            self.report({"WARNING"}, f"{len(found)} points mirrored; no bone lies opposite for {_many(lost)}")
        else:
            self.report({"INFO"}, f"{len(found)} points mirrored")
        return {"FINISHED"}


def _rest(armature: Any) -> dict[str, mapping.Ends]:
    if armature.is_editmode:
        return {bone.name: np.array((bone.head, bone.tail)) for bone in armature.edit_bones}
    return {bone.name: np.array((bone.head_local, bone.tail_local)) for bone in armature.bones}


class UNDERPAINT_OT_pick_bone(_OnArmature, bpy.types.Operator):
    """Map the active point to the active bone, and go on to the next point"""

    bl_idname = "underpaint.pick_bone"
    bl_label = "Pick Active Bone"

    @classmethod
    def works(cls, _context: Any, armature: Any) -> bool:
        if not 0 <= armature.underpaint.active < len(armature.underpaint.bones):
            cls.poll_message_set("Choose a point in the list first")
            return False
        if bones_of(armature).active is None:
            cls.poll_message_set("Make a bone active first, in Pose Mode")
            return False
        return True

    def execute(self, context: Any) -> set[str]:
        armature = armature_of(context)
        group = armature.underpaint
        item = group.bones[group.active]
        _put(armature, {item.name: bones_of(armature).active.name})
        listed = shown_points(armature)
        following = listed[listed.index(item.name) + 1 :] if item.name in listed else ()
        for number, entry in enumerate(group.bones):
            if following and entry.name == following[0]:
                group.active = number
        return {"FINISHED"}


class UNDERPAINT_OT_clear_bones(_OnArmature, bpy.types.Operator):
    """Forget what is mapped by hand, and find the bones by their names again"""

    bl_idname = "underpaint.clear_bones"
    bl_label = "Clear"

    point: StringProperty(name="Point", description="One point alone; empty clears all of them", options={"SKIP_SAVE"})

    @classmethod
    def works(cls, _context: Any, armature: Any) -> bool:
        if not any(item.bone for item in armature.underpaint.bones):
            cls.poll_message_set("No bone is mapped by hand")
            return False
        return True

    def execute(self, context: Any) -> set[str]:
        if self.point and self.point not in POINTS:
            self.report({"ERROR"}, f'No point is called "{self.point}"')
            return {"CANCELLED"}
        # Entries stay: those that a library brings along can't be taken out of an override.
        _put(armature_of(context), dict.fromkeys([self.point] if self.point else POINTS, ""))
        return {"FINISHED"}


class UNDERPAINT_OT_override_bones(bpy.types.Operator):
    """Make a library override of the linked armature, whose mapping is then this file's own"""

    bl_idname = "underpaint.override_bones"
    bl_label = "Make Editable"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        active = context.object
        if active is None or active.type != "ARMATURE" or active.data.library is None:
            cls.poll_message_set("Select an armature that is linked from another file")
            return False
        if active.library is not None:
            cls.poll_message_set("Make the character itself local first: Object > Library Override > Make")
            return False
        return True

    def execute(self, context: Any) -> set[str]:
        data = context.object.data
        if data.override_create(remap_local_usages=True) is None:
            self.report({"ERROR"}, f'Blender can\'t make an override of "{data.name}"')
            return {"CANCELLED"}
        self.report({"INFO"}, f'"{data.name}" is editable here')
        return {"FINISHED"}


# ------------------------------------------------------------------------------------ presets and files


class UNDERPAINT_OT_rig_preset(_OnArmature, bpy.types.Operator):
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


def _load(operator: Any, context: Any, path: str) -> set[str]:
    try:
        chosen = mapping.from_json(Path(bpy.path.abspath(path)).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, InvalidMapping) as error:
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    _replace(operator, armature_of(context), chosen)
    return {"FINISHED"}


class UNDERPAINT_OT_load_rig_preset(_OnArmature, bpy.types.Operator):
    """Map the bones as this preset says"""

    bl_idname = "underpaint.load_rig_preset"
    bl_label = "Load Rig Preset"

    filepath: StringProperty(subtype="FILE_PATH", options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: Any) -> set[str]:
        return _load(self, context, self.filepath)


class UNDERPAINT_OT_import_bones(_OnArmature, ImportHelper, bpy.types.Operator):
    """Map the bones as a file says that was exported from another armature"""

    bl_idname = "underpaint.import_bones"
    bl_label = "Import Bone Mapping"

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def execute(self, context: Any) -> set[str]:
        return _load(self, context, self.filepath)


class UNDERPAINT_OT_export_bones(_OnMapped, ExportHelper, bpy.types.Operator):
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


# ------------------------------------------------------------------------------------ the way there


class UNDERPAINT_OT_edit_mapping(bpy.types.Operator):
    """Select the armature, and show where its bones are mapped to a person's points"""

    bl_idname = "underpaint.edit_mapping"
    bl_label = "Map Bones"
    bl_options = {"REGISTER", "UNDO"}

    armature: StringProperty(
        name="Armature", description="The armature object's name; empty takes the active one", options={"SKIP_SAVE"}
    )

    def execute(self, context: Any) -> set[str]:
        objects = context.view_layer.objects
        thing = objects.get(self.armature) if self.armature else context.object
        if thing is None or thing.type != "ARMATURE":
            self.report({"ERROR"}, f'No armature "{self.armature}" is in this view layer. Select it where it is')
            return {"CANCELLED"}
        if context.object is not None and context.object.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        for other in context.selected_objects:
            other.select_set(False)
        thing.select_set(True)
        objects.active = thing
        if thing.data.is_editable:
            _put(thing.data, {})
        if not _show_sidebar(context):
            self.report({"INFO"}, f'Map the bones of "{thing.name}" in Object Data Properties > Bone Mapping')
        return {"FINISHED"}


def _show_sidebar(context: Any) -> bool:
    """Open the tab with the editor in a 3D Viewport; False where there is none."""
    areas = [] if context.screen is None else [area for area in context.screen.areas if area.type == "VIEW_3D"]
    for area in areas:
        if not area.spaces.active.show_region_ui:  # one that is there already would be closed
            area.spaces.active.show_region_ui = True
        for region in area.regions:
            # A sidebar that was never drawn has no tabs yet, and begins with any of them.
            if region.type == "UI" and region.active_panel_category not in ("", "UNSUPPORTED"):
                region.active_panel_category = "Underpaint"
    return bool(areas)


_register_classes, _unregister_classes = of_classes(
    (
        UNDERPAINT_PG_point,
        UNDERPAINT_PG_armature,
        UNDERPAINT_OT_map_bones,
        UNDERPAINT_OT_guess_bones,
        UNDERPAINT_OT_mirror_bones,
        UNDERPAINT_OT_pick_bone,
        UNDERPAINT_OT_clear_bones,
        UNDERPAINT_OT_override_bones,
        UNDERPAINT_OT_rig_preset,
        UNDERPAINT_OT_load_rig_preset,
        UNDERPAINT_OT_import_bones,
        UNDERPAINT_OT_export_bones,
        UNDERPAINT_OT_edit_mapping,
    )
)


def register() -> None:
    _register_classes()
    bpy.types.Armature.underpaint = PointerProperty(
        type=UNDERPAINT_PG_armature, name="Underpaint", override=_OVERRIDABLE
    )


def unregister() -> None:
    del bpy.types.Armature.underpaint
    _unregister_classes()
