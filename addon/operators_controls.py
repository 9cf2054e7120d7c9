"""Editing the list of controls."""

from typing import Any

import bpy
from bpy.props import EnumProperty

from . import inspector, passes, properties
from .registration import of_classes


def _changed(scene: Any) -> None:
    passes.refresh(scene)
    inspector.touch()


class _OnActiveControl:
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        settings = context.scene.underpaint
        return 0 <= settings.active_control < len(settings.controls)


class UNDERPAINT_OT_control_add(bpy.types.Operator):
    """Add a ControlNet that paints along"""

    bl_idname = "underpaint.control_add"
    bl_label = "Add Control"
    bl_options = {"REGISTER", "UNDO"}

    kind: EnumProperty(name="Kind", description="What the ControlNet follows", items=properties.KINDS)

    def execute(self, context: Any) -> set[str]:
        settings = context.scene.underpaint
        item = settings.controls.add()
        item.kind = self.kind
        item.name = properties.label_of(self.kind)
        settings.active_control = len(settings.controls) - 1
        _changed(context.scene)
        return {"FINISHED"}


class UNDERPAINT_OT_add_default_controls(bpy.types.Operator):
    """Begin the list with depth, normal and pose, all taken from the scene, each in full"""

    bl_idname = "underpaint.add_default_controls"
    bl_label = "Add Default Controls"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Any) -> set[str]:
        settings = context.scene.underpaint
        properties.add_default_controls(settings)
        settings.active_control = len(settings.controls) - len(properties.DEFAULT_CONTROLS)
        _changed(context.scene)
        return {"FINISHED"}


class UNDERPAINT_OT_control_remove(_OnActiveControl, bpy.types.Operator):
    """Remove the active control from the list"""

    bl_idname = "underpaint.control_remove"
    bl_label = "Remove Control"

    def execute(self, context: Any) -> set[str]:
        settings = context.scene.underpaint
        settings.controls.remove(settings.active_control)
        settings.active_control = max(0, min(settings.active_control, len(settings.controls) - 1))
        _changed(context.scene)
        return {"FINISHED"}


class UNDERPAINT_OT_control_move(_OnActiveControl, bpy.types.Operator):
    """Move the active control in the list"""

    bl_idname = "underpaint.control_move"
    bl_label = "Move Control"

    direction: EnumProperty(items=(("UP", "Up", "Toward the top"), ("DOWN", "Down", "Toward the bottom")))

    def execute(self, context: Any) -> set[str]:
        settings = context.scene.underpaint
        target = settings.active_control + (1 if self.direction == "DOWN" else -1)
        if not 0 <= target < len(settings.controls):
            return {"CANCELLED"}
        settings.controls.move(settings.active_control, target)
        settings.active_control = target
        _changed(context.scene)
        return {"FINISHED"}


class UNDERPAINT_OT_controls_clear(bpy.types.Operator):
    """Empty the list, so that depth, normal and pose count in full again"""

    bl_idname = "underpaint.controls_clear"
    bl_label = "Clear Controls"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        return len(context.scene.underpaint.controls) > 0

    def execute(self, context: Any) -> set[str]:
        settings = context.scene.underpaint
        settings.controls.clear()
        settings.active_control = 0
        _changed(context.scene)
        return {"FINISHED"}


register, unregister = of_classes(
    (
        UNDERPAINT_OT_control_add,
        UNDERPAINT_OT_add_default_controls,
        UNDERPAINT_OT_control_remove,
        UNDERPAINT_OT_control_move,
        UNDERPAINT_OT_controls_clear,
    )
)
