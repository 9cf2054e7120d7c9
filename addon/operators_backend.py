"""Installing, starting and stopping the backend."""

import threading
from collections.abc import Callable
from typing import Any

import bpy

from ..protocol import client
from ..protocol.errors import BackendUnreachable, InstallOffline, UnderpaintError
from . import backend_state, install, main_thread
from .job_state import state as job
from .registration import of_classes

_TICK_S = 0.2
_running: list[install.Installation] = []
"""At most one; kept so that switching the add-on off, or Blender's end, ends it."""

progress: install.Progress | None = None
"""Of the installation at work, for the preferences; None when there is none."""
problem = ""
"""Why the last installation failed; "" when it didn't."""


class UNDERPAINT_OT_install_backend(bpy.types.Operator):
    """Download PyTorch and diffusers into an environment of their own. Nothing is installed into Blender's Python"""

    bl_idname = "underpaint.install_backend"
    bl_label = "Install Backend"

    @classmethod
    def poll(cls, _context: Any) -> bool:
        if _running:
            cls.poll_message_set("The backend is being installed")
            return False
        return True

    def execute(self, _context: Any) -> set[str]:
        import time

        if not self._begin():
            return {"CANCELLED"}
        while True:
            ended = self._look()
            if ended is not None:
                return ended
            time.sleep(_TICK_S)

    def invoke(self, context: Any, _event: Any) -> set[str]:
        if not self._begin():
            return {"CANCELLED"}
        self._timer = context.window_manager.event_timer_add(_TICK_S, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[str]:
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        ended = self._look()
        if ended is None:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        return ended

    def cancel(self, context: Any) -> None:
        """Another file is loaded, or the window is closed."""
        _stop()
        context.window_manager.event_timer_remove(self._timer)

    def _begin(self) -> bool:
        global progress, problem
        problem = ""
        try:
            if not bpy.app.online_access:
                raise InstallOffline()
            _running.append(install.Installation(install.Plan(home=client.default_home())))
        except UnderpaintError as error:
            problem = str(error)
            self.report({"ERROR"}, problem)
            return False
        progress = install.Progress(stage=install.Stage.ENVIRONMENT, fraction=0.0)
        return True

    def _look(self) -> set[str] | None:
        """See how far it is; the operator's end, when there is one."""
        global progress, problem
        if not _running:  # the button beside the progress, or the add-on is being switched off
            self.report({"INFO"}, "The installation was cancelled")
            backend_state.redraw()
            return {"CANCELLED"}
        try:
            progress = _running[0].poll()
        except UnderpaintError as error:
            problem = str(error)
            self.report({"ERROR"}, problem)
            _forget()
            return {"CANCELLED"}
        backend_state.redraw()
        if progress.stage is not install.Stage.READY:
            return None
        _forget()
        self.report({"INFO"}, "The backend is installed. It starts when it is needed")
        return {"FINISHED"}


class UNDERPAINT_OT_cancel_install(bpy.types.Operator):
    """Stop the installation. What was downloaded is kept for the next try"""

    bl_idname = "underpaint.cancel_install"
    bl_label = "Cancel Installation"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return bool(_running)

    def execute(self, _context: Any) -> set[str]:
        _stop()
        return {"FINISHED"}


class UNDERPAINT_OT_start_backend(bpy.types.Operator):
    """Start the backend now, so that the first picture needn't wait for it"""

    bl_idname = "underpaint.start_backend"
    bl_label = "Start Backend"

    def execute(self, _context: Any) -> set[str]:
        return _blocking(self, _start)

    def invoke(self, _context: Any, _event: Any) -> set[str]:
        return _beside(_start)


class UNDERPAINT_OT_stop_backend(bpy.types.Operator):
    """Stop the backend, and free its memory. Queued pictures stay in the queue"""

    bl_idname = "underpaint.stop_backend"
    bl_label = "Stop Backend"

    def execute(self, _context: Any) -> set[str]:
        return _blocking(self, _shut_down)

    def invoke(self, _context: Any, _event: Any) -> set[str]:
        return _beside(_shut_down)


class UNDERPAINT_OT_open_logs(bpy.types.Operator):
    """Open the folder with the logs of the backend and its installation"""

    bl_idname = "underpaint.open_logs"
    bl_label = "Open Log Folder"

    def execute(self, _context: Any) -> set[str]:
        home = client.default_home()
        home.create()
        return bpy.ops.wm.path_open(filepath=str(home.logs))


def _start() -> None:
    client.ensure_running().close()


def _shut_down() -> None:
    try:
        with client.connect() as connection:
            connection.shutdown()
    except BackendUnreachable:
        return  # there is none that could be stopped


def _blocking(operator: Any, work: Callable[[], None]) -> set[str]:
    try:
        work()
    except UnderpaintError as error:
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    return {"FINISHED"}


def _beside(work: Callable[[], None]) -> set[str]:
    """Do it in a thread, which may take seconds; the panels show how it ended."""

    def run() -> None:
        message = ""
        try:
            work()
        except UnderpaintError as error:
            message = str(error)
        main_thread.post(lambda: _told(message))

    threading.Thread(target=run, name="underpaint-backend", daemon=True).start()
    return {"FINISHED"}


def _told(message: str) -> None:
    job.error = message
    backend_state.refresh()
    backend_state.redraw()


def _stop() -> None:
    if _running:
        _running[0].cancel()
        _forget()


def _forget() -> None:
    global progress
    progress = None
    _running.clear()
    backend_state.refresh()
    backend_state.redraw()


_register_classes, _unregister_classes = of_classes(
    (
        UNDERPAINT_OT_install_backend,
        UNDERPAINT_OT_cancel_install,
        UNDERPAINT_OT_start_backend,
        UNDERPAINT_OT_stop_backend,
        UNDERPAINT_OT_open_logs,
    )
)


def register() -> None:
    _register_classes()


def unregister() -> None:
    if _running:
        _running[0].cancel()
        _running.clear()
    _unregister_classes()
