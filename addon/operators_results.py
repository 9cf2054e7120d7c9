"""What can be done with a result: its settings brought back, its deletion, its projection."""

from typing import Any

import bpy
from bpy.props import IntProperty, StringProperty

from ..protocol.errors import InvalidRequest, NothingSelected, UnderpaintError
from . import images
from .registration import of_classes


class _OnResult:
    """An operator that takes a result by name, or else the history's active one."""

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return any(images.is_result(image) for image in bpy.data.images)

    def result(self) -> Any:
        """Raises NoPicture, or InvalidRequest when the name is that of no result."""
        if not self.image:
            return images.active_result()
        chosen = bpy.data.images.get(self.image)
        if chosen is None or not images.is_result(chosen):
            raise InvalidRequest(reason=f'no result is called "{self.image}"')
        return chosen


def _image_property() -> Any:
    return StringProperty(
        name="Image", description="The result's name; empty takes the active one of the history", options={"SKIP_SAVE"}
    )


class UNDERPAINT_OT_restore_result(_OnResult, bpy.types.Operator):
    """Bring back the settings that made this picture: prompt, models, controls, size and seed"""

    bl_idname = "underpaint.restore_result"
    bl_label = "Restore Settings"
    bl_options = {"REGISTER", "UNDO"}

    image: _image_property()

    def execute(self, context: Any) -> set[str]:
        try:
            image = self.result()
            missing = images.restore(image, context.scene)
        except UnderpaintError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if missing:
            self.report({"WARNING"}, images.lost_words(missing))
        else:
            self.report({"INFO"}, f'The settings of "{image.name}" are back')
        return {"FINISHED"}


class UNDERPAINT_OT_delete_result(_OnResult, bpy.types.Operator):
    """Delete this picture and its settings from the file"""

    bl_idname = "underpaint.delete_result"
    bl_label = "Delete Result"
    bl_options = {"REGISTER", "UNDO"}

    image: _image_property()

    def execute(self, context: Any) -> set[str]:
        try:
            image = self.result()
        except UnderpaintError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        shown = images.results()
        following = shown.index(image) + 1
        neighbour = (shown[following : following + 1] or shown[following - 2 : following - 1])[:1]
        context.window_manager.underpaint.result_name = neighbour[0].name if neighbour else ""
        bpy.data.images.remove(image)
        return {"FINISHED"}


class UNDERPAINT_OT_show_result(_OnResult, bpy.types.Operator):
    """Show this picture in an Image Editor"""

    bl_idname = "underpaint.show_result"
    bl_label = "Show Result"

    image: _image_property()

    def execute(self, context: Any) -> set[str]:
        try:
            image = self.result()
        except UnderpaintError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        context.window_manager.underpaint.result_name = image.name
        if not images.show(image, context):
            self.report({"ERROR"}, "No Image Editor is open (or all are pinned). Open one to see the picture")
            return {"CANCELLED"}
        return {"FINISHED"}


class UNDERPAINT_OT_project(_OnResult, bpy.types.Operator):
    """Project the picture from its camera onto the selected meshes, as a new texture on their UV maps"""

    bl_idname = "underpaint.project"
    bl_label = "Project onto Selection"
    bl_options = {"REGISTER", "UNDO"}

    image: _image_property()
    size: IntProperty(
        name="Texture Size",
        description="Width and height of the new textures",
        default=1024,
        min=64,
        max=16384,
        soft_min=256,
        soft_max=4096,
        subtype="PIXEL",
    )

    @classmethod
    def poll(cls, context: Any) -> bool:
        if context.mode != "OBJECT":
            cls.poll_message_set("Leave the current mode for Object Mode first")
            return False
        if bpy.app.is_job_running("RENDER"):  # a second render beside it would take Blender's own apart
            cls.poll_message_set("Blender is rendering: let it finish, or cancel it with Esc")
            return False
        return True

    def execute(self, context: Any) -> set[str]:
        from . import texture

        try:
            meshes = [thing for thing in context.selected_objects if thing.type == "MESH"]
            if not meshes:
                raise NothingSelected()
            image = self.result()
            textures = texture.project(image, meshes, size=self.size)
        except UnderpaintError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for made in textures:
            for warning in texture.report_of(made).warnings():
                self.report({"WARNING"}, warning)
        self.report({"INFO"}, f'Projected "{image.name}" onto {_count(len(textures), "mesh", "meshes")}')
        return {"FINISHED"}


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


register, unregister = of_classes(
    (
        UNDERPAINT_OT_restore_result,
        UNDERPAINT_OT_delete_result,
        UNDERPAINT_OT_show_result,
        UNDERPAINT_OT_project,
    )
)
