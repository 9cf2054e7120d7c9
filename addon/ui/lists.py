"""The list of controls, and the history of results."""

from typing import Any

import bpy

from ...protocol.errors import UnderpaintError
from .. import images, properties
from ..registration import of_classes
from . import extras


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
        seed = row.row()
        seed.alignment = "RIGHT"
        seed.active = False
        seed.label(text=_seed(item))

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


def _seed(result: Any) -> str:
    """What tells the pictures of one job apart where their names are cut off."""
    try:
        return f"Seed {images.request_of(result).seed}"
    except UnderpaintError:  # the Result panel says what is wrong with it
        return ""


register, unregister = of_classes((UNDERPAINT_UL_controls, UNDERPAINT_UL_results, *extras.LISTS))
