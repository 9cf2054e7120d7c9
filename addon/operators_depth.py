"""Locking the range of a depth control, so that the same distance has the same grey in every frame."""

from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np

from ..protocol.arrays import Float32Array
from ..protocol.errors import SceneError, UnderpaintError
from . import inspector
from .capture import People, capture
from .registration import of_classes

_TICK_S = 0.03


def depth_range(depth_m: Float32Array) -> tuple[float, float] | None:
    """The nearest and the farthest surface of a depth pass; None where there is none."""
    surface = depth_m[np.isfinite(depth_m)]
    return (float(surface.min()), float(surface.max())) if surface.size else None


def ranges(scene: Any, view_layer: Any, numbers: range) -> Iterator[tuple[float, float] | None]:
    """The depth range of frame after frame; the scene's frame is as before at the end."""
    before = scene.frame_current, scene.frame_subframe
    try:
        for number in numbers:
            scene.frame_set(number)
            yield depth_range(capture(scene, view_layer, people=People.LEFT_OUT).depth_m)
    finally:
        scene.frame_set(before[0], subframe=before[1])


def united(found: list[tuple[float, float] | None]) -> tuple[float, float]:
    """The range that holds all of them. Raises SceneError where the camera sees no surface."""
    known = [limits for limits in found if limits is not None]
    if not known:
        raise SceneError(reason="The camera sees no surface whose distance could be locked. Point it at something.")
    return min(near for near, _ in known), max(far for _, far in known)


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

    def lock(self, scene: Any, found: list[tuple[float, float] | None]) -> set[str]:
        """Write the range that holds all that was found into the active control."""
        try:
            near_m, far_m = united(found)
        except SceneError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
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
        scene, layer = context.scene, context.view_layer
        try:
            if inspector.is_true_of(scene, layer):
                seen = inspector.state.look.sent.capture
            else:
                seen = capture(scene, layer, people=People.LEFT_OUT)
        except UnderpaintError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return self.lock(scene, [depth_range(seen.depth_m)])


class UNDERPAINT_OT_lock_depth_over_range(_OnDepthControl, bpy.types.Operator):
    """Take the nearest and the farthest surface of all of the scene's frames as the range of each. Esc cancels"""

    bl_idname = "underpaint.lock_depth_over_range"
    bl_label = "Lock over Frame Range"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Any) -> set[str]:
        scene = context.scene
        try:
            found = list(ranges(scene, context.view_layer, self._frames(scene)))
        except UnderpaintError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return self.lock(scene, found)

    def invoke(self, context: Any, _event: Any) -> set[str]:
        self._numbers = self._frames(context.scene)
        self._found: list[tuple[float, float] | None] = []
        self._work = ranges(context.scene, context.view_layer, self._numbers)
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
            return {"RUNNING_MODAL"}  # the frame changes: nothing else may in the meantime
        try:
            self._found.append(next(self._work))
        except StopIteration:
            self._clear(context)
            return self.lock(context.scene, self._found)
        except UnderpaintError as error:
            self._clear(context)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
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
