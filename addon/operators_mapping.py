"""Mapping a person's points to bones by hand: the operators of the editor, and the way to it."""

from typing import Any

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, StringProperty

from . import inspector
from .job_state import state as job
from .pose import mapping
from .pose.points import POINTS, REQUIRED, SIDES, label
from .registration import of_classes
from .rig_mapping import armature_of, bones_of, guessed, put, shown_points
from .words import many


class OnArmature:
    """An operator on the armature that the editor is about."""

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


class OnMapped(OnArmature):
    @classmethod
    def works(cls, _context: Any, armature: Any) -> bool:
        if mapping.of(armature) is None:
            cls.poll_message_set("No bone is mapped by hand")
            return False
        return True


class UNDERPAINT_OT_map_bones(OnArmature, bpy.types.Operator):
    """List every point, to say by hand which bone marks it"""

    bl_idname = "underpaint.map_bones"
    bl_label = "Map Bones by Hand"

    def execute(self, context: Any) -> set[str]:
        put(armature_of(context), {})
        return {"FINISHED"}


class UNDERPAINT_OT_guess_bones(OnArmature, bpy.types.Operator):
    """Fill in the bones that are found by their names; what you have mapped stays"""

    bl_idname = "underpaint.guess_bones"
    bl_label = "Guess"

    replace: BoolProperty(name="Replace", description="Guess anew what you have mapped, too", options={"SKIP_SAVE"})

    def execute(self, context: Any) -> set[str]:
        armature = armature_of(context)
        kept = {} if self.replace else mapping.of(armature) or {}
        found = {point: bone for point, bone in guessed(armature).items() if point not in kept}
        put(armature, found)
        missing = [label(point) for point in REQUIRED if point not in found and point not in kept]
        told = f"{len(found)} points found by their bones' names"
        if missing:
            self.report({"WARNING"}, f"{told}; map {many(missing)} by hand")
        else:
            self.report({"INFO"}, told)
        return {"FINISHED"}


class UNDERPAINT_OT_mirror_bones(OnMapped, bpy.types.Operator):
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
        put(armature, found)
        if lost:
            self.report({"WARNING"}, f"{len(found)} points mirrored; no bone lies opposite for {many(lost)}")
        else:
            self.report({"INFO"}, f"{len(found)} points mirrored")
        return {"FINISHED"}


def _rest(armature: Any) -> dict[str, mapping.Ends]:
    if armature.is_editmode:
        return {bone.name: np.array((bone.head, bone.tail)) for bone in armature.edit_bones}
    return {bone.name: np.array((bone.head_local, bone.tail_local)) for bone in armature.bones}


class UNDERPAINT_OT_pick_bone(OnArmature, bpy.types.Operator):
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
        put(armature, {item.name: bones_of(armature).active.name})
        listed = shown_points(armature)
        following = listed[listed.index(item.name) + 1 :] if item.name in listed else ()
        for number, entry in enumerate(group.bones):
            if following and entry.name == following[0]:
                group.active = number
        return {"FINISHED"}


class UNDERPAINT_OT_clear_bones(OnArmature, bpy.types.Operator):
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
        put(armature_of(context), dict.fromkeys([self.point] if self.point else POINTS, ""))
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
            put(thing.data, {})
        if not _show_sidebar(context):
            self.report({"INFO"}, f'Map the bones of "{thing.name}" in Object Data Properties > Bone Mapping')
        return {"FINISHED"}


class UNDERPAINT_OT_not_a_person(bpy.types.Operator):
    """Leave this armature out of poses: it is an animal, a machine or a prop. Kept with the armature"""

    bl_idname = "underpaint.not_a_person"
    bl_label = "Not a Person"
    bl_options = {"REGISTER", "UNDO"}

    armature: StringProperty(
        name="Armature", description="The armature object's name; empty takes the active one", options={"SKIP_SAVE"}
    )

    def execute(self, context: Any) -> set[str]:
        thing = bpy.data.objects.get(self.armature) if self.armature else context.object
        if thing is None or thing.type != "ARMATURE":
            self.report(
                {"ERROR"}, f'No armature is called "{self.armature}"' if self.armature else "Select an armature"
            )
            return {"CANCELLED"}
        if not thing.data.is_editable:
            self.report(
                {"ERROR"},
                f'"{thing.name}" is linked from another file. Say it in that file, or override the armature here',
            )
            return {"CANCELLED"}
        thing.data.underpaint.not_a_person = True
        for said in (job, inspector.state):
            if said.armature == thing.name:
                said.error = said.armature = ""
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


register, unregister = of_classes(
    (
        UNDERPAINT_OT_map_bones,
        UNDERPAINT_OT_guess_bones,
        UNDERPAINT_OT_mirror_bones,
        UNDERPAINT_OT_pick_bone,
        UNDERPAINT_OT_clear_bones,
        UNDERPAINT_OT_override_bones,
        UNDERPAINT_OT_edit_mapping,
        UNDERPAINT_OT_not_a_person,
    )
)
