"""Edit > Preferences > Add-ons > Underpaint: the backend, and how much of this computer it may take."""

from typing import Any

import bpy
from bpy.props import EnumProperty, FloatProperty

from ..protocol import client
from . import backend_state, operators_backend
from .registration import of_classes
from .samplers import PRECISIONS
from .ui import sections


class UNDERPAINT_AP_preferences(bpy.types.AddonPreferences):
    bl_idname = __package__.rpartition(".")[0]

    memory_budget_gb: FloatProperty(
        name="Memory Budget",
        description=(
            "How much of the graphics card's memory painting may take, in GB (of the computer's, where the processor "
            "paints). With less, the models take turns on the card: slower, and the same pictures. 0 takes what is free"
        ),
        default=0.0,
        min=0.0,
        max=1024.0,
        soft_max=48.0,
        step=50,
        precision=1,
    )
    precision: EnumProperty(
        name="Precision", description="The number format that the models compute in", items=PRECISIONS
    )

    def draw(self, context: Any) -> None:
        layout = self.layout
        known = backend_state.current()
        home = client.default_home()
        chosen = backend_state.overridden_python()
        column = layout.column()
        column.label(text=f"Backend: {known.words}", icon="CHECKMARK" if known.installed or known.running else "ERROR")
        if chosen:
            column.label(text=f"UNDERPAINT_BACKEND_PYTHON is set: {chosen}", icon="INFO")
        else:
            column.label(text=f"Folder: {home.folder}", icon="FILE_FOLDER")
        if operators_backend.progress is not None:
            _draw_progress(layout, operators_backend.progress)
        else:
            _draw_buttons(layout, context, known, overridden=bool(chosen))
        if operators_backend.problem:
            sections.paragraph(layout.box(), context, operators_backend.problem, icon="ERROR")
        _draw_machine(layout, self)


def _draw_machine(layout: Any, preferences: Any) -> None:
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    row = column.row(align=True)
    row.prop(preferences, "memory_budget_gb", text="Memory Budget (GB)")
    if not preferences.memory_budget_gb:
        row.label(text="Automatic")
    column.prop(preferences, "precision")


def _draw_progress(layout: Any, progress: Any) -> None:
    row = layout.row(align=True)
    row.progress(factor=progress.fraction, text=progress.stage.value)
    row.operator("underpaint.cancel_install", text="", icon="CANCEL")
    line = layout.row()
    line.active = False
    line.label(text=progress.line)


def _draw_buttons(layout: Any, context: Any, known: Any, *, overridden: bool) -> None:
    if not bpy.app.online_access and not overridden:
        box = layout.box()
        sections.paragraph(box, context, "Blender is set to stay offline; installing needs the network.", icon="ERROR")
        box.prop(context.preferences.system, "use_online_access")
    row = layout.row()
    install = row.row()
    install.enabled = not overridden
    install.operator(
        "underpaint.install_backend",
        icon="IMPORT",
        text="Repair or Update Backend" if known.installed else "Install Backend",
    )
    if known.installed:
        row.operator("underpaint.stop_backend" if known.running else "underpaint.start_backend")
    row.operator("underpaint.open_logs", icon="FILE_FOLDER")


register, unregister = of_classes((UNDERPAINT_AP_preferences,))
