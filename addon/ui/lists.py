"""The list of controls, and the history of results."""

from typing import Any

import bpy

from .. import images, properties
from ..registration import of_classes


class UNDERPAINT_UL_controls(bpy.types.UIList):
    """The ControlNets that paint together"""

    def draw_item(
        self,
        _context: Any,
        layout: Any,
        _data: Any,
        item: Any,
        _icon: int,
        _active: Any,
        _property: str,
        _index: int = 0,
    ) -> None:
        row = layout.row(align=True)
        row.prop(item, "enabled", text="")
        name = row.row()
        name.active = item.enabled
        name.prop(item, "name", text="", emboss=False, icon=properties.icon_of(item.kind))
        scale = row.row()
        scale.active = item.enabled
        scale.ui_units_x = 4
        scale.prop(item, "conditioning_scale", text="", slider=True)


class UNDERPAINT_UL_results(bpy.types.UIList):
    """The results in this file, newest first"""

    def draw_item(
        self,
        _context: Any,
        layout: Any,
        _data: Any,
        item: Any,
        icon: int,
        _active: Any,
        _property: str,
        _index: int = 0,
    ) -> None:
        row = layout.row(align=True)
        row.prop(item, "name", text="", emboss=False, icon_value=icon)
        size = row.row()
        size.alignment = "RIGHT"
        size.active = False
        size.label(text=f"{item.size[0]} × {item.size[1]}")

    def filter_items(self, _context: Any, data: Any, _property: str) -> tuple[list[int], list[int]]:
        every = list(getattr(data, _property))
        wanted = self.filter_name.casefold()
        flags = [
            self.bitflag_filter_item if images.is_result(image) and wanted in image.name.casefold() else 0
            for image in every
        ]
        newest_first = {image.name: place for place, image in enumerate(images.results())}
        last = len(newest_first)
        places = sorted(range(len(every)), key=lambda index: newest_first.get(every[index].name, last))
        order = [0] * len(every)
        for place, index in enumerate(places):
            order[index] = place
        return flags, order


register, unregister = of_classes((UNDERPAINT_UL_controls, UNDERPAINT_UL_results))
