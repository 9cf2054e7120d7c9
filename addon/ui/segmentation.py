"""What things are: a class in each thing's own properties, and all of them in one list."""

from typing import Any

import bpy

from ...protocol import ade20k
from .. import segmentation
from ..registration import of_classes
from .text import paragraph


class _ClassPanel:
    bl_label = "Underpaint"
    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        thing = self.thing(context)
        if thing is None:
            return
        row = layout.row(align=True)
        row.prop(thing.underpaint, "ade20k", placeholder=_inherited(context, thing))
        _swatch(row, thing)
        _unknown(layout, context, thing)


class UNDERPAINT_PT_object_class(_ClassPanel, bpy.types.Panel):
    bl_context = "object"

    @staticmethod
    def thing(context: Any) -> Any:
        return context.object

    @classmethod
    def poll(cls, context: Any) -> bool:
        return context.object is not None and context.object.type not in segmentation.WITHOUT_SURFACE


class UNDERPAINT_PT_material_class(_ClassPanel, bpy.types.Panel):
    bl_context = "material"

    @staticmethod
    def thing(context: Any) -> Any:
        return context.material

    @classmethod
    def poll(cls, context: Any) -> bool:
        return context.material is not None


class UNDERPAINT_PT_collection_class(_ClassPanel, bpy.types.Panel):
    bl_context = "collection"

    @staticmethod
    def thing(context: Any) -> Any:
        return context.collection

    @classmethod
    def poll(cls, context: Any) -> bool:
        return context.collection is not None and context.collection != context.scene.collection


class UNDERPAINT_UL_classes(bpy.types.UIList):
    """What each thing is, for segmentation. Grey ones are guessed by their names"""

    def draw_item(
        self,
        context: Any,
        layout: Any,
        _data: Any,
        item: Any,
        icon: int,
        _active: Any,
        _property: str,
        _index: int = 0,
    ) -> None:
        row = layout.row(align=True)
        row.label(text=item.name, icon_value=icon)
        row.prop(item.underpaint, "ade20k", text="", placeholder=_inherited(context, item), emboss=False)
        _swatch(row, item)

    def filter_items(self, context: Any, data: Any, name: str) -> tuple[list[int], list[int]]:
        every = list(getattr(data, name))
        wanted = self.filter_name.casefold()
        seen = segmentation.in_view(context.scene, context.view_layer)
        flags = [
            self.bitflag_filter_item if thing.name_full in seen and wanted in thing.name.casefold() else 0
            for thing in every
        ]
        return flags, []


class UNDERPAINT_PT_view3d_segmentation(bpy.types.Panel):
    bl_label = "Segmentation"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Underpaint"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        layout = self.layout
        state = context.window_manager.underpaint
        layout.template_list("UNDERPAINT_UL_classes", "", bpy.data, "objects", state, "active_thing", rows=5)
        column = layout.column(align=True)
        column.operator("underpaint.assign_class", text="Assign to Selected…", icon="ADD")
        column.operator("underpaint.clear_class", text="Clear of Selected", icon="X")
        if 0 <= state.active_thing < len(bpy.data.objects):
            _active(layout, context, bpy.data.objects[state.active_thing])


def _active(layout: Any, context: Any, thing: Any) -> None:
    """The class of the thing that is active in the list, and of what it is made of."""
    layout.use_property_split = True
    layout.use_property_decorate = False
    _unknown(layout, context, thing)
    for slot in thing.material_slots:
        if slot.material is not None:
            row = layout.row(align=True)
            row.prop(
                slot.material.underpaint,
                "ade20k",
                text=slot.material.name,
                icon="MATERIAL",
                placeholder=_inherited(context, slot.material),
            )
            _swatch(row, slot.material)


def _inherited(_context: Any, thing: Any) -> str:
    """The class that a thing has without one of its own, in words."""
    label = segmentation.label_of(thing)
    if label.ade20k is None:
        return "No class"
    return f"{ade20k.NAMES[label.ade20k]}?" if label.guessed else ade20k.NAMES[label.ade20k]


def _swatch(layout: Any, thing: Any) -> None:
    """A dot of the colour that a map gives a thing; black is without a class."""
    number = segmentation.label_of(thing).ade20k
    red, green, blue = (0, 0, 0) if number is None else ade20k.PALETTE[number]
    dot = layout.row()
    dot.use_property_split = False  # it would be put under the field
    dot.template_node_socket(color=(red / 255, green / 255, blue / 255, 1.0))


def _unknown(layout: Any, context: Any, thing: Any) -> None:
    name = thing.underpaint.ade20k
    if name and ade20k.class_of(name) is None:
        paragraph(layout.box(), context, f'"{name}" is none of ADE20K\'s 150 classes: choose another.', icon="ERROR")


register, unregister = of_classes(
    (
        UNDERPAINT_PT_object_class,
        UNDERPAINT_PT_material_class,
        UNDERPAINT_PT_collection_class,
        UNDERPAINT_UL_classes,
        UNDERPAINT_PT_view3d_segmentation,
    )
)
