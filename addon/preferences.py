"""Edit > Preferences > Add-ons > Underpaint: the backend, and how much of this computer it may take."""

from typing import Any

import bpy
from bpy.props import EnumProperty, FloatProperty, StringProperty

from ..protocol import client
from . import backend_state, operators_backend, operators_install
from .registration import of_classes
from .samplers import PRECISIONS
from .ui import extras, sections


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

    torch_index: StringProperty(
        name="PyTorch Index",
        description=(
            "Address of an index of PyTorch's own builds, as PyTorch's page Get Started tells it: for AMD cards, for "
            "NVIDIA cards on Windows, or for the small build for processors on Linux. Empty takes the ordinary build"
        ),
        default="",
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
        if operators_install.progress is not None:
            _draw_progress(layout, operators_install.progress)
        else:
            _draw_buttons(layout, context, known, overridden=bool(chosen))
        if operators_install.problem:
            sections.paragraph(layout.box(), context, operators_install.problem, icon="ERROR")
        for told in (operators_install.told, operators_backend.diagnosing):
            if told:
                layout.label(text=told, icon="INFO")
        _draw_machine(layout, self)
        _draw_models(layout, context)


def _draw_machine(layout: Any, preferences: Any) -> None:
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    row = column.row(align=True)
    row.prop(preferences, "memory_budget_gb", text="Memory Budget (GB)")
    if not preferences.memory_budget_gb:
        row.label(text="Automatic")
    column.prop(preferences, "precision")
    column.prop(preferences, "torch_index")


def _draw_models(layout: Any, context: Any) -> None:
    header, body = layout.panel("underpaint_models_folders", default_closed=True)
    header.label(text="Models Folders")
    if body is not None:
        extras.folders(body, context)


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
    install.operator("underpaint.repair_backend" if known.installed else "underpaint.install_backend", icon="IMPORT")
    if known.installed:
        row.operator("underpaint.stop_backend" if known.running else "underpaint.start_backend")
        remove = row.row()
        remove.enabled = not overridden
        remove.operator("underpaint.uninstall_backend", icon="TRASH")
    row = layout.row()
    row.operator("underpaint.open_logs", icon="FILE_FOLDER")
    row.operator("underpaint.copy_diagnostics", icon="COPYDOWN")


register, unregister = of_classes((UNDERPAINT_AP_preferences,))
