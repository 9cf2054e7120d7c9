"""Saying what things are, for segmentation."""

from typing import Any

import bpy
from bpy.props import StringProperty

from ..protocol.ade20k import class_of
from . import callbacks
from .registration import of_classes


class _OnSelected:
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        if not context.selected_objects:
            cls.poll_message_set("Select objects first")
            return False
        return True


class UNDERPAINT_OT_assign_class(_OnSelected, bpy.types.Operator):
    """Say what the selected objects are, for segmentation"""

    bl_idname = "underpaint.assign_class"
    bl_label = "Assign Class"

    ade20k: StringProperty(
        name="Class",
        description="One of ADE20K's 150 classes",
        search=callbacks.search_ade20k,
        options={"SKIP_SAVE"},
    )

    def invoke(self, context: Any, _event: Any) -> set[str]:
        if self.ade20k:
            return self.execute(context)
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: Any) -> set[str]:
        if class_of(self.ade20k) is None:
            self.report({"ERROR"}, f'"{self.ade20k}" is none of ADE20K\'s 150 classes. Choose one from the list')
            return {"CANCELLED"}
        return _give(self, context, self.ade20k)


class UNDERPAINT_OT_clear_class(_OnSelected, bpy.types.Operator):
    """Take the classes of the selected objects away, so that their collection or their name tells"""

    bl_idname = "underpaint.clear_class"
    bl_label = "Clear Class"

    def execute(self, context: Any) -> set[str]:
        return _give(self, context, "")


def _give(operator: Any, context: Any, name: str) -> set[str]:
    changed = [thing for thing in context.selected_objects if thing.is_editable]
    for thing in changed:
        thing.underpaint.ade20k = name
    linked = len(context.selected_objects) - len(changed)
    if linked:
        operator.report({"WARNING"}, f"{linked} linked objects can't be changed here: make them local first")
    return {"FINISHED"} if changed else {"CANCELLED"}


register, unregister = of_classes((UNDERPAINT_OT_assign_class, UNDERPAINT_OT_clear_class))
