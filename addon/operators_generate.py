"""Generate: the Image Editor's route to a picture, under any render engine."""

import time
from collections.abc import Callable
from typing import Any

import bpy

from ..protocol.client import logs
from ..protocol.client.logs import Program
from ..protocol.errors import JobCancelled, UnderpaintError, UnmappedRig
from ..protocol.jobs import Phase, Timing
from . import backend_state, images, plans, words
from . import camera as cameras
from .background_job import Advanced, BackgroundJob, Done, Failed, Message, OnDevice, Preview
from .job_state import state
from .live_image import LiveImage
from .registration import of_classes

_TICK_S = 0.05
_EXIT_WAIT_S = 2.0

_running: list[BackgroundJob] = []
"""At most one; kept so that switching the add-on off ends it."""


class UNDERPAINT_OT_generate(bpy.types.Operator):
    """Paint over the scene as its camera sees it, into a new image, or several of them. Esc cancels"""

    bl_idname = "underpaint.generate"
    bl_label = "Generate"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, _context: Any) -> bool:
        if state.running:
            cls.poll_message_set("A picture is being painted already")
            return False
        if bpy.app.is_job_running("RENDER"):  # a second render beside it would take Blender's own apart
            cls.poll_message_set("Blender is rendering: let it finish, or cancel it with Esc")
            return False
        return True

    def execute(self, context: Any) -> set[str]:
        from . import api

        try:
            result = api.generate(context.scene, view_layer=context.view_layer)
        except UnderpaintError as error:
            return self._refuse(error)
        context.window_manager.underpaint.result_name = result.image.name
        state.left_out, state.plan, state.notes = result.left_out, result.plan, result.notes
        state.plan_key = plans.key(context.scene)
        _warn(self.report)
        return {"FINISHED"}

    def invoke(self, context: Any, _event: Any) -> set[str]:
        from .capture import capture
        from .generation import Settings

        state.error = ""
        try:
            settings = Settings.from_scene(context.scene, context.view_layer)
            plans.check(settings, cameras.frame(context.scene))  # before a render, for which Blender stands still
            seen = capture(context.scene, context.view_layer, people=settings.people, wants=settings.wants())
        except UnderpaintError as error:
            return self._refuse(error)
        state.left_out = seen.left_out
        self._plan_key = plans.key(context.scene)
        self._live = LiveImage(seen.extent)
        self._texts: set[str] = set()  # workspaces whose status bar is ours
        self._job = BackgroundJob(settings, seen)
        _running.append(self._job)
        self._job.start()
        state.begin(words.PHASES[Phase.UPLOAD])
        self._timer = context.window_manager.event_timer_add(_TICK_S, window=context.window)
        context.window_manager.modal_handler_add(self)
        self._say(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS":
            state.cancelling = True
            self._say(context)
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        if state.cancelling:
            self._job.cancel()
        try:
            for message in self._job.messages():
                ended = self._take(context, message)
                if ended is not None:
                    return ended
        except BaseException:
            if state.running:
                self.cancel(context)
            raise
        return {"PASS_THROUGH"}

    def cancel(self, context: Any) -> None:
        """Blender ends the operator: another file is loaded, or the window is closed."""
        self._job.cancel()
        self._end(context)

    def _take(self, context: Any, message: Message) -> set[str] | None:
        """Act on a message; the operator's end, if it is the last."""
        if isinstance(message, Advanced):
            state.progress = message.progress.fraction
            state.status = words.of(message.progress)
            self._say(context)
        elif isinstance(message, Preview):
            self._live.show(message.picture, context)
        elif isinstance(message, OnDevice):
            backend_state.on_device(message.device)
        elif isinstance(message, Failed):
            self._end(context)
            return self._refuse(message.error)
        elif isinstance(message, Done):
            self._keep(context, message)
            return {"FINISHED"}
        return None

    def _keep(self, context: Any, done: Done) -> None:
        began = time.perf_counter()
        outcome = done.outcome
        made = images.keep(outcome, packed=done.packed)
        image = made[0]
        state.plan, state.plan_key, state.notes = outcome.plan, self._plan_key, outcome.notes
        context.window_manager.underpaint.result_name = image.name
        self._end(context, image)
        shown = images.show(image, context)
        write_back = Timing(phase=Phase.WRITE_BACK, ms=(time.perf_counter() - began) * 1e3)
        for result in made:
            images.set_timings(result, (*outcome.timings, write_back))
        where = "" if shown else ". Open an Image Editor to see it, or take it from the history"
        more = f" and {len(made) - 1} more" if len(made) > 1 else ""
        self.report({"INFO"}, f'Painted "{image.name}"{more}{where}')
        _warn(self.report)

    def _end(self, context: Any, result: Any = None) -> None:
        """Leave nothing behind but the result."""
        state.end()
        context.window_manager.event_timer_remove(self._timer)
        for name in self._texts:
            if name in bpy.data.workspaces:
                bpy.data.workspaces[name].status_text_set(None)
        self._live.close(context, result)
        _running.remove(self._job)
        backend_state.refresh()
        backend_state.redraw()

    def _say(self, context: Any) -> None:
        what = "Cancelling" if state.cancelling else state.status
        self._texts.add(context.workspace.name)
        context.workspace.status_text_set(f"Underpaint: {what} ({state.progress:.0%})    Esc: Cancel")
        backend_state.redraw()

    def _refuse(self, error: Exception) -> set[str]:
        if isinstance(error, JobCancelled):
            self.report({"INFO"}, "Cancelled")
            return {"CANCELLED"}
        if isinstance(error, UnderpaintError):
            message = str(error)
        else:
            message = f"Unexpected error, {type(error).__name__}: {error}. The console has the details"
        state.error = message
        state.armature = error.details["armature"] if isinstance(error, UnmappedRig) else ""
        self.report({"ERROR"}, message)
        logs.logger(Program.BLENDER).error("%s", message, extra={"event": "generate"})
        return {"CANCELLED"}


def _warn(report: Callable[[set[str], str], None]) -> None:
    """Say what the newest picture is without, and what had to be done about it."""
    for note in state.notes:
        report({"WARNING"}, note)
    if state.left_out:
        report({"WARNING"}, words.left_out(state.left_out))


class UNDERPAINT_OT_cancel(bpy.types.Operator):
    """Stop painting; the scene stays as it is"""

    bl_idname = "underpaint.cancel"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return state.running

    def execute(self, _context: Any) -> set[str]:
        state.cancelling = True
        return {"FINISHED"}


class UNDERPAINT_OT_dismiss_error(bpy.types.Operator):
    """Take the message away"""

    bl_idname = "underpaint.dismiss_error"
    bl_label = "Dismiss"
    bl_options = {"INTERNAL"}

    def execute(self, _context: Any) -> set[str]:
        state.error, state.notes = "", ()
        return {"FINISHED"}


_register_classes, _unregister_classes = of_classes(
    (UNDERPAINT_OT_generate, UNDERPAINT_OT_cancel, UNDERPAINT_OT_dismiss_error)
)


def register() -> None:
    _register_classes()


def unregister() -> None:
    for job in _running:
        job.cancel()
    for job in _running:
        job.join(_EXIT_WAIT_S)
    state.end()
    _unregister_classes()
