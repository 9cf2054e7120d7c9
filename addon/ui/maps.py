"""The inspector's panel: the maps, what has happened since they were made, and their settings beside them."""

from typing import Any

from .. import inspector, map_images
from ..properties import icon_of
from . import mapping
from .text import paragraph


def section(layout: Any, context: Any) -> None:
    """The button, or the progress in its place, then the maps and what stands in their way."""
    state = inspector.state
    if state.job is not None:
        row = layout.row(align=True)
        row.label(text=state.status, icon="SORTTIME")
        row.operator("underpaint.stop_preview", text="", icon="CANCEL")
    else:
        again = state.look is not None and state.look.scene == context.scene.name
        row = layout.row(align=True)
        row.operator("underpaint.preview_maps", text="Preview Again" if again else None, icon="HIDE_OFF")
        row.operator("underpaint.save_maps", text="", icon="EXPORT")
    if state.error:
        box = layout.box()
        paragraph(box, context, state.error, icon="ERROR")
        if state.armature:
            mapping.settle(box, state.armature)
    look = state.look
    if look is None:
        return
    if look.scene != context.scene.name:
        paragraph(layout, context, f'The maps are those of the scene "{look.scene}".', icon="INFO")
        return
    if look.stale:
        box = layout.box()
        box.alert = True
        paragraph(box, context, f"{look.stale}: these maps are old. Preview again.", icon="ERROR")
    mapping.left_out(layout, context, look.sent.capture.left_out)
    space = getattr(context, "space_data", None)
    shown = space.image if space is not None and space.type == "IMAGE_EDITOR" else None
    column = layout.column(align=True)
    for item in look.maps:
        is_shown = shown is not None and shown.get(map_images.MARK) == item.name
        button = column.operator("underpaint.show_map", text=item.name, icon=icon_of(item.kind.name), depress=is_shown)
        button.name = item.name
    if look.maps:
        row = layout.row()
        row.active = False
        width, height = look.sent.capture.width, look.sent.capture.height
        row.label(text=f"{width} × {height}, in {state.shown_ms / 1e3:.2f} s")
        row.operator("underpaint.stop_preview", text="", icon="X", emboss=False)
