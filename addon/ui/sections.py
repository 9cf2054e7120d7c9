"""Parts of panels that stand in more than one editor."""

from typing import Any

import bpy

from ...protocol.checks import nearest_size
from .. import backend_state, beauty, colour, images
from .. import camera as cameras
from ..job_state import state as job
from ..properties import DEFAULT_CONTROLS, label_of
from . import control_options, extras, mapping, painting
from .text import paragraph


def prompt(layout: Any, context: Any) -> None:
    settings = context.scene.underpaint
    column = layout.column()
    column.use_property_split = False
    column.prop(settings, "prompt", text="", icon="OUTLINER_DATA_FONT", placeholder="Prompt")
    column.prop(settings, "negative_prompt", text="", icon="REMOVE", placeholder="Negative Prompt")


def checkpoint(layout: Any, context: Any) -> None:
    settings = context.scene.underpaint
    row = layout.row(align=True)
    row.prop(settings, "checkpoint", placeholder="Underpaint's own")
    row.operator("underpaint.choose_model", text="", icon="FILE_FOLDER").target = "CHECKPOINT"
    column = layout.column()
    column.active = bpy.app.online_access
    column.prop(settings, "allow_download", text="Allow Download")
    extras.download(layout, context)


def controls(layout: Any, context: Any) -> None:
    settings = context.scene.underpaint
    row = layout.row()
    row.template_list(
        "UNDERPAINT_UL_controls",
        "",
        settings,
        "controls",
        settings,
        "active_control",
        rows=4 if settings.controls else 3,
    )
    side = row.column(align=True)
    side.menu("UNDERPAINT_MT_add_control", text="", icon="ADD")
    side.operator("underpaint.control_remove", text="", icon="REMOVE")
    side.separator()
    side.menu("UNDERPAINT_MT_controls", text="", icon="DOWNARROW_HLT")
    if not settings.controls:
        box = layout.box()
        *most, last = (label_of(kind.name).lower() for kind in DEFAULT_CONTROLS)
        paragraph(box, context, f"Without a list, the scene gives {', '.join(most)} and {last}.", icon="INFO")
        box.operator("underpaint.add_default_controls", icon="ADD")
        return
    side.separator()
    side.operator("underpaint.control_move", text="", icon="TRIA_UP").direction = "UP"
    side.operator("underpaint.control_move", text="", icon="TRIA_DOWN").direction = "DOWN"
    if 0 <= settings.active_control < len(settings.controls):
        active_control(layout, context, settings.controls[settings.active_control])


def active_control(layout: Any, context: Any, item: Any) -> None:
    layout.use_property_split = True
    layout.use_property_decorate = False
    column = layout.column()
    column.active = item.enabled
    column.prop(item, "kind")
    control_options.source(column, context, item)
    row = column.row(align=True)
    row.prop(item, "controlnet", placeholder="The checkpoint's own")
    row.operator("underpaint.choose_model", text="", icon="FILE_FOLDER").target = "CONTROLNET"
    column.prop(item, "conditioning_scale", text="Scale", slider=True)
    part = column.column(align=True)
    part.prop(item, "start", text="Start")
    part.prop(item, "end", text="End")
    column.prop(item, "guess_mode")
    painting.weight_curve(column, context, item)
    control_options.options(column, item)


def sampling(layout: Any, context: Any) -> None:
    settings = context.scene.underpaint
    layout.use_property_split = True
    layout.use_property_decorate = False
    column = layout.column()
    column.prop(settings, "steps")
    column.prop(settings, "guidance_scale", text="Guidance")  # the whole name doesn't fit beside its field
    column.prop(settings, "scheduler")
    column.prop(settings, "sigmas")
    seed(column, context)
    painting.pictures(column, context)


def seed(layout: Any, context: Any) -> None:
    row = layout.row(align=True)
    row.prop(context.scene.underpaint, "seed")
    row.operator("underpaint.new_seed", text="", icon="FILE_REFRESH")


def size(layout: Any, context: Any) -> None:
    render = context.scene.render
    layout.use_property_split = True
    layout.use_property_decorate = False
    column = layout.column(align=True)
    column.prop(render, "resolution_x", text="Resolution X")
    column.prop(render, "resolution_y", text="Y")
    column.prop(render, "resolution_percentage", text="%")


def warnings(layout: Any, context: Any, *, colours: bool = True) -> None:
    """What stands between these settings and the picture, each with its one-click remedy."""
    scene = context.scene
    extent = cameras.frame(scene)
    nearest = nearest_size(extent)
    if nearest != extent:
        _remedy(
            layout,
            context,
            f"{extent.width} × {extent.height} is not divisible by 8.",
            "underpaint.round_size",
            f"Round to {nearest.width} × {nearest.height}",
        )
    if scene.camera is None:
        paragraph(layout.box(), context, "The scene has no active camera.", icon="ERROR")
    if context.engine == "UNDERPAINT" and not scene.render.use_persistent_data and beauty.wanted(scene):
        _remedy(
            layout,
            context,
            "F12 needs Persistent Data to paint from the rendered scene.",
            "underpaint.use_persistent_data",
            "Use Persistent Data",
        )
    if colours and not colour.shows_exactly(scene):
        _remedy(
            layout,
            context,
            f"The {scene.view_settings.view_transform} view changes the painted colours.",
            "underpaint.use_standard_view",
            "Use Standard View",
        )


def backend(layout: Any, context: Any) -> None:
    known = backend_state.current()
    if known.problem:
        paragraph(layout, context, known.problem, icon="ERROR")
    words = "Restart it" if known.problem else known.words
    layout.label(text=words, icon="CHECKMARK" if known.running else "DOT")  # no room for a button in a narrow sidebar
    if not known.installed:
        layout.operator("underpaint.open_preferences", text="Install…", icon="IMPORT")
    elif known.running or known.problem:
        layout.operator("underpaint.stop_backend", text="Stop")
    else:
        layout.operator("underpaint.start_backend", text="Start")
    if known.installed or known.running:
        painting.memory(layout, context)


def generate(layout: Any, context: Any) -> None:
    """The button, or the progress in its place, and how the last job ended."""
    known = backend_state.current()
    if not known.installed and not known.running:
        box = layout.box()
        paragraph(box, context, "The backend, which paints, is not installed yet.", icon="INFO")
        box.operator("underpaint.open_preferences", text="Install Backend…", icon="IMPORT")
    if job.running:
        row = layout.row(align=True)
        row.scale_y = 1.4
        row.progress(factor=job.progress, text="Cancelling" if job.cancelling else job.status)
        row.operator("underpaint.cancel", text="", icon="CANCEL")
    else:
        row = layout.row()
        row.scale_y = 1.4
        row.operator("underpaint.generate", icon="RENDER_STILL")
    if job.error:
        box = layout.box()
        paragraph(box, context, job.error, icon="ERROR")
        if job.armature:
            mapping.settle(box, job.armature)
        box.operator("underpaint.dismiss_error", icon="CHECKMARK", text="OK")
    elif not job.running:
        painting.notes(layout, context)
        mapping.left_out(layout, context, job.left_out)


def history(layout: Any, context: Any) -> None:
    if not any(images.is_result(image) for image in bpy.data.images):
        layout.label(text="No pictures yet")
        layout.operator("underpaint.restore_picture", text="From Picture File…", icon="FILE_IMAGE")
        return
    state = context.window_manager.underpaint
    row = layout.row()
    row.template_list("UNDERPAINT_UL_results", "", bpy.data, "images", state, "active_result", rows=4)
    side = row.column(align=True)
    side.operator("underpaint.show_result", text="", icon="HIDE_OFF")
    side.operator("underpaint.delete_result", text="", icon="TRASH")
    layout.operator("underpaint.restore_result", icon="LOOP_BACK")
    layout.operator("underpaint.restore_picture", text="From Picture File…", icon="FILE_IMAGE")


def _remedy(layout: Any, context: Any, problem: str, operator: str, text: str) -> None:
    box = layout.box()
    paragraph(box, context, problem, icon="ERROR")
    box.operator(operator, text=text)
