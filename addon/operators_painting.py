"""Setting up a picture: weight curves, the picture to start from, and a look at the memory it takes."""

from typing import Any

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from ..protocol import client
from ..protocol.errors import JobCancelled, UnderpaintError
from . import backend_state, curves, images, plans
from . import camera as cameras
from .generation import Settings
from .job_state import state
from .plan_job import PlanJob
from .registration import of_classes

_TICK_S = 0.05
_EXIT_WAIT_S = 2.0

_running: list[PlanJob] = []
"""At most one; kept so that switching the add-on off ends it."""


class _OnActiveControl:
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        settings = context.scene.underpaint
        return 0 <= settings.active_control < len(settings.controls)


def _curve(context: Any) -> Any:
    settings = context.scene.underpaint
    return settings.controls[settings.active_control].curve


class UNDERPAINT_OT_curve_shape(_OnActiveControl, bpy.types.Operator):
    """Give the active control's weight a shape over the steps, to begin with"""

    bl_idname = "underpaint.curve_shape"
    bl_label = "Set Weight Curve"

    shape: EnumProperty(name="Shape", description="How the weight runs", items=[shape[:3] for shape in curves.SHAPES])

    def execute(self, context: Any) -> set[str]:
        curves.write(_curve(context), curves.shape(self.shape))
        return {"FINISHED"}


class UNDERPAINT_OT_curve_point_add(_OnActiveControl, bpy.types.Operator):
    """Add a point in the widest gap of the weight curve, which doesn't change until the point is moved"""

    bl_idname = "underpaint.curve_point_add"
    bl_label = "Add Point"

    def execute(self, context: Any) -> set[str]:
        rows = _curve(context)
        problem = curves.problem_of(rows)
        if problem:
            self.report({"ERROR"}, problem)
            return {"CANCELLED"}
        curves.write(rows, curves.further(curves.read(rows)))
        return {"FINISHED"}


class UNDERPAINT_OT_curve_point_remove(_OnActiveControl, bpy.types.Operator):
    """Remove this point of the weight curve"""

    bl_idname = "underpaint.curve_point_remove"
    bl_label = "Remove Point"

    index: IntProperty(name="Index", description="The point's place in the list", min=0, options={"SKIP_SAVE"})

    def execute(self, context: Any) -> set[str]:
        rows = _curve(context)
        if not self.index < len(rows):
            return {"CANCELLED"}
        rows.remove(self.index)
        return {"FINISHED"}


class UNDERPAINT_OT_curve_clear(_OnActiveControl, bpy.types.Operator):
    """Remove all points, so that the conditioning scale counts throughout"""

    bl_idname = "underpaint.curve_clear"
    bl_label = "Level"

    def execute(self, context: Any) -> set[str]:
        _curve(context).clear()
        return {"FINISHED"}


class UNDERPAINT_OT_start_from_result(bpy.types.Operator):
    """Paint the next pictures over this one (image to image)"""

    bl_idname = "underpaint.start_from_result"
    bl_label = "Start from This Picture"
    bl_options = {"REGISTER", "UNDO"}

    image: StringProperty(
        name="Image", description="The result's name; empty takes the active one of the history", options={"SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return any(images.is_result(image) for image in bpy.data.images)

    def execute(self, context: Any) -> set[str]:
        chosen = bpy.data.images.get(self.image) if self.image else images.active_result()
        if chosen is None:
            self.report({"ERROR"}, f'No image is called "{self.image}"')
            return {"CANCELLED"}
        start = context.scene.underpaint.start
        start.source, start.image = "IMAGE", chosen
        return {"FINISHED"}


class UNDERPAINT_OT_check_memory(bpy.types.Operator):
    """Say where the picture would be painted and how much memory that takes, before anything is painted"""

    bl_idname = "underpaint.check_memory"
    bl_label = "Check Memory"

    @classmethod
    def poll(cls, _context: Any) -> bool:
        if _running:
            cls.poll_message_set("The memory is being checked already")
            return False
        return True

    def execute(self, context: Any) -> set[str]:
        self._key = plans.key(context.scene)
        try:
            settings, extent = self._asked(context)
            with client.ensure_running() as connection:
                plan = plans.ask(connection, settings, extent)
        except UnderpaintError as error:
            return self._refuse(error)
        return self._tell(plan)

    def invoke(self, context: Any, _event: Any) -> set[str]:
        self._key = plans.key(context.scene)
        try:
            self._job = PlanJob(*self._asked(context))
        except UnderpaintError as error:
            return self._refuse(error)
        _running.append(self._job)
        self._job.start()
        state.checking = True
        self._timer = context.window_manager.event_timer_add(_TICK_S, window=context.window)
        context.window_manager.modal_handler_add(self)
        backend_state.redraw()
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[str]:
        if event.type != "TIMER" or not self._job.ended:
            return {"PASS_THROUGH"}
        self._end(context)
        if isinstance(self._job.error, JobCancelled):
            return {"CANCELLED"}
        if self._job.error is not None:
            return self._refuse(self._job.error)
        return self._tell(self._job.plan)

    def cancel(self, context: Any) -> None:
        """Blender ends the operator: another file is loaded, or the window is closed."""
        self._job.cancel()
        self._end(context)

    def _asked(self, context: Any) -> tuple[Settings, Any]:
        scene = context.scene
        return plans.for_scene(Settings.from_scene(scene, context.view_layer), scene), cameras.frame(scene)

    def _end(self, context: Any) -> None:
        context.window_manager.event_timer_remove(self._timer)
        _running.remove(self._job)
        state.checking = False
        backend_state.refresh()
        backend_state.redraw()

    def _tell(self, plan: str) -> set[str]:
        state.plan, state.plan_key, state.plan_error = plan, self._key, ""
        self.report({"INFO"}, plan)
        return {"FINISHED"}

    def _refuse(self, error: Exception) -> set[str]:
        if isinstance(error, UnderpaintError):
            message = str(error)
        else:
            message = f"Unexpected error, {type(error).__name__}: {error}. The console has the details"
        state.plan, state.plan_error = "", message
        self.report({"ERROR"}, message)
        return {"CANCELLED"}


_register_classes, _unregister_classes = of_classes(
    (
        UNDERPAINT_OT_curve_shape,
        UNDERPAINT_OT_curve_point_add,
        UNDERPAINT_OT_curve_point_remove,
        UNDERPAINT_OT_curve_clear,
        UNDERPAINT_OT_start_from_result,
        UNDERPAINT_OT_check_memory,
    )
)


def register() -> None:
    _register_classes()


def unregister() -> None:
    for job in _running:
        job.cancel()
    for job in _running:
        job.join(_EXIT_WAIT_S)
    state.checking = False
    _unregister_classes()
