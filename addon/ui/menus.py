"""The menu beside the list of controls."""

from typing import Any

import bpy

from .. import properties
from ..registration import of_classes


class UNDERPAINT_MT_add_control(bpy.types.Menu):
    bl_label = "Add Control"
    bl_description = "Add a ControlNet that paints along"

    def draw(self, _context: Any) -> None:
        for kind, label, _tip, icon, _number in properties.KINDS:
            self.layout.operator("underpaint.control_add", text=label, icon=icon).kind = kind


class UNDERPAINT_MT_controls(bpy.types.Menu):
    bl_label = "Control Specials"

    def draw(self, _context: Any) -> None:
        self.layout.operator("underpaint.add_default_controls", icon="ADD")
        self.layout.separator()
        self.layout.operator("underpaint.controls_clear", icon="TRASH")
        self.layout.separator()
        self.layout.operator("underpaint.import_openpose", icon="IMPORT")
        self.layout.operator("underpaint.export_openpose", icon="EXPORT")


register, unregister = of_classes((UNDERPAINT_MT_add_control, UNDERPAINT_MT_controls))
