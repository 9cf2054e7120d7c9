"""Looking at the control maps, and saving them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..protocol import client
from ..protocol.errors import UnderpaintError, UnmappedRig
from . import backend_state, control_maps, inspector, map_images, words
from .capture import capture
from .control_maps import FileFormat, Sent
from .generation import OF_PAINTING, Settings
from .inspector import state
from .registration import of_classes

_TICK_S = 0.03


class _BesidesNoRender:
    """An operator that renders, which Blender can't do twice at a time."""

    @classmethod
    def poll(cls, _context: Any) -> bool:
        if bpy.app.is_job_running("RENDER"):
            cls.poll_message_set("Blender is rendering: let it finish, or cancel it with Esc")
            return False
        return True


class UNDERPAINT_OT_preview_maps(_BesidesNoRender, bpy.types.Operator):
    """Show what the ControlNets are given, without painting. The maps follow their settings from then on"""

    bl_idname = "underpaint.preview_maps"
    bl_label = "Preview Control Maps"

    def execute(self, context: Any) -> set[str]:
        try:
            settings = inspector.look(context.scene, context.view_layer)
            inspector.finish(settings)
        except UnderpaintError as error:
            return self._refuse(error)
        return self._shown(context)

    def invoke(self, context: Any, _event: Any) -> set[str]:
        try:
            inspector.begin(inspector.look(context.scene, context.view_layer))
        except UnderpaintError as error:
            return self._refuse(error)
        self._timer = context.window_manager.event_timer_add(_TICK_S, window=context.window)
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set("Underpaint: Making the control maps    Esc: Cancel")
        self._workspace = context.workspace.name
        backend_state.redraw()
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS":
            inspector.cancel()
            self._end(context)
            self.report({"INFO"}, "Cancelled")
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        inspector.turn()
        if state.job is not None:
            return {"PASS_THROUGH"}
        self._end(context)
        if state.error:
            self.report({"ERROR"}, state.error)
            return {"CANCELLED"}
        if state.look is None or not state.look.maps:  # cancelled with the button, or closed
            return {"CANCELLED"}
        return self._shown(context)

    def cancel(self, context: Any) -> None:
        """Blender ends the operator: another file is loaded, or the window is closed."""
        inspector.cancel()
        self._end(context)

    def _end(self, context: Any) -> None:
        context.window_manager.event_timer_remove(self._timer)
        if self._workspace in bpy.data.workspaces:
            bpy.data.workspaces[self._workspace].status_text_set(None)
        backend_state.redraw()

    def _shown(self, context: Any) -> set[str]:
        state.live = True
        name = inspector.active_name() or state.look.maps[0].name
        seen = map_images.show(name, context)
        where = "" if seen or bpy.app.background else ". Open an Image Editor to see them"
        self.report({"INFO"}, f"{_count(len(state.look.maps))} in {state.shown_ms / 1e3:.2f} s{where}")
        left_out = state.look.sent.capture.left_out
        if left_out:
            self.report({"WARNING"}, words.left_out(left_out))
        return {"FINISHED"}

    def _refuse(self, error: UnderpaintError) -> set[str]:
        state.error = str(error)
        state.armature = error.details["armature"] if isinstance(error, UnmappedRig) else ""
        self.report({"ERROR"}, str(error))
        backend_state.redraw()
        return {"CANCELLED"}


class UNDERPAINT_OT_stop_preview(bpy.types.Operator):
    """Stop following the settings, and free the memory that the scene's passes take. The maps stay"""

    bl_idname = "underpaint.stop_preview"
    bl_label = "Stop Following"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return state.look is not None or state.job is not None

    def execute(self, _context: Any) -> set[str]:
        inspector.close()
        backend_state.redraw()
        return {"FINISHED"}


class UNDERPAINT_OT_show_map(bpy.types.Operator):
    """Show this control map in an Image Editor"""

    bl_idname = "underpaint.show_map"
    bl_label = "Show Control Map"
    bl_options = {"INTERNAL"}

    name: StringProperty(name="Name", description="Of the map, as it is listed", options={"SKIP_SAVE"})

    def execute(self, context: Any) -> set[str]:
        if map_images.find(self.name) is None:
            self.report({"ERROR"}, f'There is no control map "{self.name}". Press "Preview Control Maps"')
            return {"CANCELLED"}
        if not map_images.show(self.name, context):
            self.report({"ERROR"}, "No Image Editor is open (or all are pinned). Open one to see the map")
            return {"CANCELLED"}
        return {"FINISHED"}


def _frames(
    scene: Any, view_layer: Any, numbers: range | None, folder: Path, file_format: FileFormat
) -> Iterator[list[Path]]:
    """Save frame after frame, and yield what was written of each; the scene's frame is as before at the end."""
    if numbers is None:
        yield control_maps.save(_maps_of_now(scene, view_layer), folder, file_format)
        return
    before = scene.frame_current, scene.frame_subframe
    try:
        with client.ensure_running() as connection:
            for number in numbers:
                scene.frame_set(number)
                settings = Settings.from_scene(scene, without=OF_PAINTING)
                seen = capture(scene, view_layer, people=settings.people, wants=settings.wants())
                maps = control_maps.make(connection, settings, Sent(seen))
                yield control_maps.save(maps, folder, file_format, frame=number)
    finally:
        scene.frame_set(before[0], subframe=before[1])


def _maps_of_now(scene: Any, view_layer: Any) -> tuple[control_maps.ControlMap, ...]:
    """The maps of the scene as it is; what was rendered to look at is used again, where it is still true."""
    if inspector.is_true_of(scene, view_layer):
        return inspector.follow(scene)
    settings = Settings.from_scene(scene, without=OF_PAINTING)
    seen = capture(scene, view_layer, people=settings.people, wants=settings.wants())
    with client.ensure_running() as connection:
        return control_maps.make(connection, settings, Sent(seen))


class UNDERPAINT_OT_save_maps(_BesidesNoRender, bpy.types.Operator):
    """Save the control maps of this frame, or of a range of frames, as files: just what the ControlNets are given"""

    bl_idname = "underpaint.save_maps"
    bl_label = "Save Control Maps"

    directory: StringProperty(name="Folder", description="Where the files are put", subtype="DIR_PATH")
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})
    file_format: EnumProperty(
        name="Format",
        description="How the maps are saved",
        items=(
            ("PNG", "PNG", "8 bits a channel: the very bytes", 0),
            ("EXR", "OpenEXR", "32-bit floats from 0 to 1, without colour management; Inpaint's with its negatives", 1),
        ),
    )
    use_range: BoolProperty(name="Frame Range", description="Save the scene's frames from start to end", default=False)

    def invoke(self, context: Any, _event: Any) -> set[str]:
        if not self.directory:
            self.directory = bpy.path.abspath("//")
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, context: Any) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "file_format")
        layout.prop(self, "use_range")
        if self.use_range:
            column = layout.column(align=True)
            column.prop(context.scene, "frame_start")
            column.prop(context.scene, "frame_end")
            column.prop(context.scene, "frame_step")

    def execute(self, context: Any) -> set[str]:
        if not self.directory:
            self.report({"ERROR"}, "No folder was chosen")
            return {"CANCELLED"}
        scene = context.scene
        if self.use_range and not bpy.app.background:  # the file browser can't run a modal operator itself
            return bpy.ops.underpaint.save_maps_of_frames(
                "INVOKE_DEFAULT", directory=self.directory, file_format=self.file_format
            )
        numbers = range(scene.frame_start, scene.frame_end + 1, scene.frame_step) if self.use_range else None
        folder = Path(bpy.path.abspath(self.directory))
        written: list[Path] = []
        try:
            for paths in _frames(scene, context.view_layer, numbers, folder, FileFormat[self.file_format]):
                written += paths
        except (UnderpaintError, OSError) as error:
            self.report({"ERROR"}, f"{error} ({len(written)} files were saved before)" if written else str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, _saved(written, folder))
        return {"FINISHED"}


class UNDERPAINT_OT_save_maps_of_frames(_BesidesNoRender, bpy.types.Operator):
    """Save the control maps of the scene's frames, one after the other. Esc stops"""

    bl_idname = "underpaint.save_maps_of_frames"
    bl_label = "Save Control Maps of Frames"
    bl_options = {"INTERNAL"}

    directory: StringProperty(name="Folder", description="Where the files are put", subtype="DIR_PATH")
    file_format: EnumProperty(
        name="Format",
        description="How the maps are saved",
        items=(("PNG", "PNG", "8 bits a channel"), ("EXR", "OpenEXR", "32-bit floats")),
    )

    def invoke(self, context: Any, _event: Any) -> set[str]:
        scene = context.scene
        self._numbers = range(scene.frame_start, scene.frame_end + 1, scene.frame_step)
        self._folder = Path(bpy.path.abspath(self.directory))
        self._written: list[Path] = []
        self._done = 0
        self._work = _frames(scene, context.view_layer, self._numbers, self._folder, FileFormat[self.file_format])
        self._workspace = context.workspace.name
        self._timer = context.window_manager.event_timer_add(_TICK_S, window=context.window)
        context.window_manager.progress_begin(0, max(1, len(self._numbers)))
        context.window_manager.modal_handler_add(self)
        self._say(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS":
            return self._end(context, "INFO", f"Stopped. {_saved(self._written, self._folder)}", {"CANCELLED"})
        if event.type != "TIMER":
            return {"RUNNING_MODAL"}  # the frame changes: nothing else may in the meantime
        try:
            paths = next(self._work, None)
        except (UnderpaintError, OSError) as error:
            return self._end(context, "ERROR", str(error), {"CANCELLED"})
        except BaseException:  # as where the scene is deleted in another window
            self._clear(context)
            raise
        if paths is None:
            return self._end(context, "INFO", _saved(self._written, self._folder), {"FINISHED"})
        self._written += paths
        self._done += 1
        self._say(context)
        return {"RUNNING_MODAL"}

    def cancel(self, context: Any) -> None:
        """Blender ends the operator: another file is loaded, or the window is closed."""
        self._clear(context)

    def _say(self, context: Any) -> None:
        context.window_manager.progress_update(self._done)
        context.workspace.status_text_set(
            f"Underpaint: Saving control maps, frame {self._done + 1} of {len(self._numbers)}    Esc: Stop"
        )

    def _end(self, context: Any, kind: str, words: str, result: set[str]) -> set[str]:
        self._clear(context)
        self.report({kind}, words)
        return result

    def _clear(self, context: Any) -> None:
        self._work.close()
        context.window_manager.event_timer_remove(self._timer)
        context.window_manager.progress_end()
        if self._workspace in bpy.data.workspaces:
            bpy.data.workspaces[self._workspace].status_text_set(None)


def _saved(written: list[Path], folder: Path) -> str:
    if not written:
        return "No control map was saved"
    shown = ", ".join(path.name for path in written[:6]) + (", …" if len(written) > 6 else "")
    return f"{_count(len(written))} in {folder}: {shown}"


def _count(number: int) -> str:
    return "1 control map" if number == 1 else f"{number} control maps"


register, unregister = of_classes(
    (
        UNDERPAINT_OT_preview_maps,
        UNDERPAINT_OT_stop_preview,
        UNDERPAINT_OT_show_map,
        UNDERPAINT_OT_save_maps,
        UNDERPAINT_OT_save_maps_of_frames,
    )
)
