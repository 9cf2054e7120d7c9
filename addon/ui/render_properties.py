"""Properties > Render, under the Underpaint engine."""

from typing import Any

import bpy

from ..presets import UNDERPAINT_PT_presets
from ..registration import of_classes
from . import extras, maps, painting, sections


class _RenderPanel:
    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    bl_context = "render"

    @classmethod
    def poll(cls, context: Any) -> bool:
        return context.engine == "UNDERPAINT"


class UNDERPAINT_PT_render(_RenderPanel, bpy.types.Panel):
    bl_label = "Underpaint"

    def draw_header_preset(self, _context: Any) -> None:
        UNDERPAINT_PT_presets.draw_panel_header(self.layout)

    def draw(self, context: Any) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        sections.prompt(layout, context)
        sections.checkpoint(layout, context)
        extras.advice(layout, context)
        sections.warnings(layout, context)


class UNDERPAINT_PT_render_controls(_RenderPanel, bpy.types.Panel):
    bl_label = "Controls"
    bl_parent_id = "UNDERPAINT_PT_render"

    def draw(self, context: Any) -> None:
        sections.controls(self.layout, context)


class UNDERPAINT_PT_render_maps(_RenderPanel, bpy.types.Panel):
    bl_label = "Control Maps"
    bl_parent_id = "UNDERPAINT_PT_render"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        maps.section(self.layout, context)


class UNDERPAINT_PT_render_sampling(_RenderPanel, bpy.types.Panel):
    bl_label = "Sampling"
    bl_parent_id = "UNDERPAINT_PT_render"

    def draw(self, context: Any) -> None:
        sections.sampling(self.layout, context)


class UNDERPAINT_PT_render_start(_RenderPanel, bpy.types.Panel):
    bl_label = "Start Picture"
    bl_parent_id = "UNDERPAINT_PT_render"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        painting.start(self.layout, context)


class UNDERPAINT_PT_render_loras(_RenderPanel, bpy.types.Panel):
    bl_label = "LoRAs"
    bl_parent_id = "UNDERPAINT_PT_render"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        extras.loras(self.layout, context)


class UNDERPAINT_PT_render_image_prompts(_RenderPanel, bpy.types.Panel):
    bl_label = "Image Prompts"
    bl_parent_id = "UNDERPAINT_PT_render"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        extras.image_prompts(self.layout, context)


class UNDERPAINT_PT_render_second_pass(_RenderPanel, bpy.types.Panel):
    bl_label = "Second Pass"
    bl_parent_id = "UNDERPAINT_PT_render"
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header(self, context: Any) -> None:
        self.layout.prop(context.scene.underpaint.extras.second_pass, "use", text="")

    def draw(self, context: Any) -> None:
        extras.second_pass(self.layout, context)


class UNDERPAINT_PT_render_more(_RenderPanel, bpy.types.Panel):
    bl_label = "More"
    bl_parent_id = "UNDERPAINT_PT_render"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        extras.more(self.layout, context)
        header, body = self.layout.panel("underpaint_embeddings", default_closed=True)
        header.label(text="Embeddings")
        if body is not None:
            extras.embeddings(body, context)


class UNDERPAINT_PT_render_size(_RenderPanel, bpy.types.Panel):
    bl_label = "Size"
    bl_parent_id = "UNDERPAINT_PT_render"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        sections.size(self.layout, context)


class UNDERPAINT_PT_render_output(_RenderPanel, bpy.types.Panel):
    bl_label = "While Painting"
    bl_parent_id = "UNDERPAINT_PT_render"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        column.prop(context.scene.underpaint, "use_preview")
        column.prop(context.scene.underpaint, "keep_image")


class UNDERPAINT_PT_render_backend(_RenderPanel, bpy.types.Panel):
    bl_label = "Backend"
    bl_parent_id = "UNDERPAINT_PT_render"

    def draw(self, context: Any) -> None:
        sections.backend(self.layout, context)


register, unregister = of_classes(
    (
        UNDERPAINT_PT_render,
        UNDERPAINT_PT_render_controls,
        UNDERPAINT_PT_render_maps,
        UNDERPAINT_PT_render_sampling,
        UNDERPAINT_PT_render_start,
        UNDERPAINT_PT_render_loras,
        UNDERPAINT_PT_render_image_prompts,
        UNDERPAINT_PT_render_second_pass,
        UNDERPAINT_PT_render_more,
        UNDERPAINT_PT_render_size,
        UNDERPAINT_PT_render_output,
        UNDERPAINT_PT_render_backend,
    )
)
