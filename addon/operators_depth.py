"""Locking the range of a depth control, so that the same distance has the same grey in every frame."""

from collections.abc import Iterator
from typing import Any

import bpy

from ..protocol.errors import NothingInView, UnderpaintError
from .capture import depth_range
from .registration import of_classes

_TICK_S = 0.03


def _ranges(scene: Any, view_layer: Any, numbers: range) -> Iterator[tuple[float, float] | None]:
    """The depth range of frame after frame; None for those in which the camera sees nothing."""
    for number in numbers:
        try:
            yield depth_range(scene, view_layer, frames=(number,))
        except NothingInView:
            yield None


class _OnDepthControl:
    @classmethod
    def poll(cls, context: Any) -> bool:
        settings = context.scene.underpaint
        if not 0 <= settings.active_control < len(settings.controls):
            cls.poll_message_set("Choose a depth control in the list")
            return False
        if settings.controls[settings.active_control].kind != "DEPTH":
            cls.poll_message_set("The active control is none of depth")
            return False
        if bpy.app.is_job_running("RENDER"):
            cls.poll_message_set("Blender is rendering: let it finish, or cancel it with Esc")
            return False
        return True

    def lock(self, scene: Any, limits: tuple[float, float]) -> set[str]:
        """Write a range into the active control."""
        near_m, far_m = limits
        group = scene.underpaint.controls[scene.underpaint.active_control].depth
        group.far_m = far_m  # first, as near pushes it away
        group.near_m = near_m
        group.far_m = far_m
        group.use_range = True
        self.report({"INFO"}, f"Depth runs from {near_m:.3f} m to {far_m:.3f} m now")
        return {"FINISHED"}


class UNDERPAINT_OT_lock_depth_to_frame(_OnDepthControl, bpy.types.Operator):
    """Take the nearest and the farthest surface of this frame as the range of every frame"""

    bl_idname = "underpaint.lock_depth_to_frame"
    bl_label = "Lock to This Frame"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Any) -> set[str]:
        try:
            return self.lock(context.scene, depth_range(context.scene, context.view_layer))
        except UnderpaintError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}


class UNDERPAINT_OT_lock_depth_over_range(_OnDepthControl, bpy.types.Operator):
    """Take the nearest and the farthest surface of all of the scene's frames as the range of each. Esc cancels"""

    bl_idname = "underpaint.lock_depth_over_range"
    bl_label = "Lock over Frame Range"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Any) -> set[str]:
        scene = context.scene
        try:
            return self.lock(scene, depth_range(scene, context.view_layer, frames=self._frames(scene)))
        except UnderpaintError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}

    def invoke(self, context: Any, _event: Any) -> set[str]:
        self._numbers = self._frames(context.scene)
        self._found: list[tuple[float, float] | None] = []
        self._work = _ranges(context.scene, context.view_layer, self._numbers)
        self._workspace = context.workspace.name
        self._timer = context.window_manager.event_timer_add(_TICK_S, window=context.window)
        context.window_manager.progress_begin(0, max(1, len(self._numbers)))
        context.window_manager.modal_handler_add(self)
        self._say(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS":
            self._clear(context)
            self.report({"INFO"}, "Cancelled")
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"RUNNING_MODAL"}  # what is measured must not change in the meantime
        try:
            self._found.append(next(self._work))
        except StopIteration:
            self._clear(context)
            known = [limits for limits in self._found if limits is not None]
            if not known:
                self.report({"ERROR"}, str(NothingInView()))
                return {"CANCELLED"}
            return self.lock(context.scene, (min(near for near, _ in known), max(far for _, far in known)))
        except UnderpaintError as error:
            self._clear(context)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        except BaseException:  # as where the scene is deleted in another window
            self._clear(context)
            raise
        self._say(context)
        return {"RUNNING_MODAL"}

    def cancel(self, context: Any) -> None:
        """Blender ends the operator: another file is loaded, or the window is closed."""
        self._clear(context)

    @staticmethod
    def _frames(scene: Any) -> range:
        return range(scene.frame_start, scene.frame_end + 1, scene.frame_step)

    def _say(self, context: Any) -> None:
        context.window_manager.progress_update(len(self._found))
        context.workspace.status_text_set(
            f"Underpaint: Measuring depth, frame {len(self._found) + 1} of {len(self._numbers)}    Esc: Cancel"
        )

    def _clear(self, context: Any) -> None:
        self._work.close()
        context.window_manager.event_timer_remove(self._timer)
        context.window_manager.progress_end()
        if self._workspace in bpy.data.workspaces:
            bpy.data.workspaces[self._workspace].status_text_set(None)


register, unregister = of_classes((UNDERPAINT_OT_lock_depth_to_frame, UNDERPAINT_OT_lock_depth_over_range))
