"""3D Viewport > Sidebar > Underpaint, under any engine."""

from typing import Any

import bpy

from ..presets import UNDERPAINT_PT_presets
from ..registration import of_classes
from . import extras, maps, painting, sections


class _SidebarPanel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Underpaint"


class UNDERPAINT_PT_view3d(_SidebarPanel, bpy.types.Panel):
    bl_label = "Underpaint"

    def draw_header_preset(self, _context: Any) -> None:
        UNDERPAINT_PT_presets.draw_panel_header(self.layout)

    def draw(self, context: Any) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        sections.prompt(layout, context)
        sections.generate(layout, context)
        # The Generate button makes an image, whose colours no view transform of the scene touches.
        sections.warnings(layout, context, colours=context.engine == "UNDERPAINT")
        column = layout.column()
        column.prop(context.scene.underpaint, "steps")
        sections.seed(column, context)
        column.prop(context.scene.underpaint, "pictures")


class UNDERPAINT_PT_view3d_controls(_SidebarPanel, bpy.types.Panel):
    bl_label = "Controls"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        sections.controls(self.layout, context)


class UNDERPAINT_PT_view3d_maps(_SidebarPanel, bpy.types.Panel):
    bl_label = "Control Maps"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        maps.section(self.layout, context)


class UNDERPAINT_PT_view3d_start(_SidebarPanel, bpy.types.Panel):
    bl_label = "Start Picture"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        painting.start(self.layout, context)


class UNDERPAINT_PT_view3d_extras(_SidebarPanel, bpy.types.Panel):
    bl_label = "Extras"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        drawn = (
            ("loras", "LoRAs", extras.loras),
            ("image_prompts", "Image Prompts", extras.image_prompts),
            ("second_pass", "Second Pass", extras.second_pass),
            ("more", "More", extras.more),
            ("embeddings", "Embeddings", extras.embeddings),
        )
        for name, label, draw in drawn:
            header, body = self.layout.panel(f"underpaint_extras_{name}", default_closed=True)
            if name == "second_pass":
                header.prop(context.scene.underpaint.extras.second_pass, "use", text="")
            header.label(text=label)
            if body is not None:
                draw(body, context)


class UNDERPAINT_PT_view3d_settings(_SidebarPanel, bpy.types.Panel):
    bl_label = "Settings"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        sections.checkpoint(layout, context)
        extras.advice(layout, context)
        column = layout.column()
        column.prop(context.scene.underpaint, "guidance_scale", text="Guidance")
        column.prop(context.scene.underpaint, "scheduler")
        column.prop(context.scene.underpaint, "sigmas")
        column.prop(context.scene.underpaint, "batch_size")
        column.prop(context.scene.underpaint, "use_preview")
        sections.size(layout, context)


class UNDERPAINT_PT_view3d_history(_SidebarPanel, bpy.types.Panel):
    bl_label = "History"

    def draw(self, context: Any) -> None:
        sections.history(self.layout, context)


class UNDERPAINT_PT_view3d_texture(_SidebarPanel, bpy.types.Panel):
    bl_label = "Texture"

    def draw(self, _context: Any) -> None:
        self.layout.operator("underpaint.project", icon="MOD_UVPROJECT")


class UNDERPAINT_PT_view3d_backend(_SidebarPanel, bpy.types.Panel):
    bl_label = "Backend"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        sections.backend(self.layout, context)


register, unregister = of_classes(
    (
        UNDERPAINT_PT_view3d,
        UNDERPAINT_PT_view3d_controls,
        UNDERPAINT_PT_view3d_maps,
        UNDERPAINT_PT_view3d_start,
        UNDERPAINT_PT_view3d_extras,
        UNDERPAINT_PT_view3d_settings,
        UNDERPAINT_PT_view3d_history,
        UNDERPAINT_PT_view3d_texture,
        UNDERPAINT_PT_view3d_backend,
    )
)
