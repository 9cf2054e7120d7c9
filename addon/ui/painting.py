"""How a control's weight runs, what painting starts from, how many pictures it makes, and the memory it takes."""

from typing import Any

from .. import curves, plans, starts
from ..job_state import state as job
from .text import paragraph


def weight_curve(layout: Any, context: Any, item: Any) -> None:
    """The points of a control's curve in their order, in a panel of its own that is closed at first."""
    header, body = layout.panel("underpaint_weight_curve", default_closed=True)
    header.label(text="Weight Curve")
    if body is None:
        return
    body.use_property_split = False
    row = body.row(align=True)
    row.operator_menu_enum("underpaint.curve_shape", "shape", text="Shape", icon="SMOOTHCURVE")
    row.operator("underpaint.curve_point_add", text="", icon="ADD")
    level = row.row(align=True)
    level.enabled = len(item.curve) > 0
    level.operator("underpaint.curve_clear", text="", icon="X")
    if not len(item.curve):
        note = body.row()
        note.active = False
        note.label(text="The same at every step")
        return
    column = body.column(align=True)
    for index, point in sorted(enumerate(item.curve), key=lambda entry: entry[1].at):
        row = column.row(align=True)
        row.prop(point, "at", text="At")
        row.prop(point, "factor", text="Weight", slider=True)
        row.operator("underpaint.curve_point_remove", text="", icon="REMOVE").index = index
    problem = curves.problem_of(item.curve)
    if problem:
        paragraph(body.box(), context, problem, icon="ERROR")


def start(layout: Any, context: Any) -> None:
    """Image to image, and inpainting."""
    group = context.scene.underpaint.start
    layout.use_property_split = True
    layout.use_property_decorate = False
    layout.prop(group, "source", text="From")
    if group.source == "NONE":
        return
    if group.source == "IMAGE":
        layout.template_ID(group, "image", open="image.open", text="Image")
    layout.prop(group, "strength", slider=True)
    layout.prop(group, "mask_from")
    if group.mask_from == "OBJECTS":
        layout.prop(group, "mask_object")
        layout.prop(group, "mask_collection")
    elif group.mask_from == "MATERIAL":
        layout.prop(group, "mask_material")
    elif group.mask_from == "IMAGE":
        layout.template_ID(group, "mask_image", open="image.open", text="Mask Image")
    if group.mask_from != "NONE":
        edge = layout.column(align=True)
        edge.prop(group, "mask_grow_px")
        edge.prop(group, "mask_blur_px")
    problem = starts.problem_of(group)
    if problem:
        paragraph(layout.box(), context, problem, icon="ERROR")


def pictures(layout: Any, context: Any) -> None:
    """How many; and in a panel of its own that is closed at first, how many of them at once."""
    settings = context.scene.underpaint
    layout.prop(settings, "pictures")
    header, body = layout.panel("underpaint_advanced_sampling", default_closed=True)
    header.label(text="Advanced")
    if body is not None:
        body.active = settings.pictures > 1
        body.prop(settings, "batch_size")


def memory(layout: Any, context: Any) -> None:
    """The plan of the last check or of the newest picture, and the button that asks for one."""
    if job.checking:
        layout.label(text="Checking the memory", icon="SORTTIME")
    else:
        layout.operator("underpaint.check_memory", icon="VIEWZOOM")
    if job.plan_error:
        paragraph(layout.box(), context, job.plan_error, icon="ERROR")
    elif job.plan:
        column = layout.column()
        column.active = job.plan_key == plans.key(context.scene)  # else it is one of other settings
        paragraph(column, context, job.plan, icon="INFO")


def notes(layout: Any, context: Any) -> None:
    """What the backend had to say of the newest picture."""
    if not job.notes:
        return
    box = layout.box()
    for note in job.notes:
        paragraph(box, context, note, icon="ERROR")
    box.operator("underpaint.dismiss_error", icon="CHECKMARK", text="OK")
