"""Image Editor > Sidebar > Underpaint: what the picture shown was made from, and the history."""

import datetime
from typing import Any

import bpy

from ...protocol.errors import UnderpaintError
from ...protocol.jobs import Phase
from ...protocol.request import Sigmas
from .. import images
from ..properties import icon_of, label_of
from ..registration import of_classes
from ..samplers import scheduler_label, sigmas_label
from . import maps, painting, sections


class _SidebarPanel:
    bl_space_type = "IMAGE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Underpaint"


class UNDERPAINT_PT_image_generate(_SidebarPanel, bpy.types.Panel):
    bl_label = "Underpaint"

    def draw(self, context: Any) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        sections.prompt(layout, context)
        sections.generate(layout, context)
        sections.warnings(layout, context, colours=False)
        column = layout.column()
        sections.seed(column, context)
        column.prop(context.scene.underpaint, "pictures")


class UNDERPAINT_PT_image_maps(_SidebarPanel, bpy.types.Panel):
    bl_label = "Control Maps"

    def draw(self, context: Any) -> None:
        maps.section(self.layout, context)


class UNDERPAINT_PT_image_controls(_SidebarPanel, bpy.types.Panel):
    bl_label = "Controls"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        sections.controls(self.layout, context)


class UNDERPAINT_PT_image_start(_SidebarPanel, bpy.types.Panel):
    bl_label = "Start Picture"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        painting.start(self.layout, context)


class UNDERPAINT_PT_image_result(_SidebarPanel, bpy.types.Panel):
    bl_label = "Result"

    @classmethod
    def poll(cls, context: Any) -> bool:
        image = context.space_data.image
        return image is not None and images.is_result(image)

    def draw(self, context: Any) -> None:
        layout = self.layout
        image = context.space_data.image
        try:
            details = images.details_of(image)
        except UnderpaintError as error:
            sections.paragraph(layout, context, str(error), icon="ERROR")
            return
        request = details.request
        sections.paragraph(layout, context, request.prompt or "No prompt")
        if request.negative_prompt:
            sections.paragraph(layout, context, f"Not: {request.negative_prompt}")
        layout.separator()
        column = layout.column(align=True)
        _line(column, "Checkpoint", request.checkpoint or "Underpaint's own")
        _line(column, "Size", f"{request.size.width} × {request.size.height}")
        _line(column, "Steps", str(request.steps))
        _line(column, "Guidance Scale", f"{request.guidance_scale:g}")
        _line(column, "Scheduler", scheduler_label(request.scheduler))
        if request.sigmas is not Sigmas.DEFAULT:
            _line(column, "Noise Levels", sigmas_label(request.sigmas))
        _line(column, "Seed", str(request.seed))
        if request.start is not None:
            masked = "" if request.start.mask is None else ", masked"
            _line(column, "Start Picture", f"Strength {request.start.strength:.2f}{masked}")
        _line(column, "Painted", datetime.datetime.fromtimestamp(details.made_at).strftime("%Y-%m-%d %H:%M"))
        if details.timings:
            _line(column, "Steps took", _seconds(details, Phase.STEP))
        for control in request.controls:
            row = layout.row()
            row.label(text=label_of(control.kind.name), icon=icon_of(control.kind.name))
            row.label(text=f"{control.conditioning_scale:.2f}, {control.start:.0%} – {control.end:.0%}")
            more = ["Curve"] * bool(control.curve) + ["guess mode"] * control.guess_mode
            if more:
                _line(layout, "", ", ".join(more).capitalize())
        layout.operator("underpaint.restore_result", icon="LOOP_BACK").image = image.name
        layout.operator("underpaint.start_from_result", icon="IMAGE_REFERENCE").image = image.name


class UNDERPAINT_PT_image_history(_SidebarPanel, bpy.types.Panel):
    bl_label = "History"

    def draw(self, context: Any) -> None:
        sections.history(self.layout, context)


def _line(layout: Any, label: str, value: str) -> None:
    split = layout.split(factor=0.4)
    left = split.row()
    left.alignment = "RIGHT"
    left.active = False
    left.label(text=label)
    split.label(text=value)


def _seconds(details: images.Details, phase: Phase) -> str:
    return f"{sum(timing.ms for timing in details.timings if timing.phase is phase) / 1e3:.1f} s"


register, unregister = of_classes(
    (
        UNDERPAINT_PT_image_generate,
        UNDERPAINT_PT_image_maps,
        UNDERPAINT_PT_image_controls,
        UNDERPAINT_PT_image_start,
        UNDERPAINT_PT_image_result,
        UNDERPAINT_PT_image_history,
    )
)
