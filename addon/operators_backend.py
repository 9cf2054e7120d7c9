"""Starting and stopping the backend, and telling others about it."""

import threading
from collections.abc import Callable
from typing import Any

import bpy

from ..installer.diagnostics import diagnostics
from ..protocol import client
from ..protocol.errors import BackendUnreachable, UnderpaintError
from . import backend_state, main_thread, program_log
from .job_state import state as job
from .registration import of_classes


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


class UNDERPAINT_OT_copy_diagnostics(bpy.types.Operator):
    """Copy what a bug report needs: versions, findings and the ends of the logs, without prompts, tokens and folders"""

    bl_idname = "underpaint.copy_diagnostics"
    bl_label = "Copy Diagnostics"

    def execute(self, context: Any) -> set[str]:
        context.window_manager.clipboard = diagnostics(client.default_home(), about=_about(), prompts=_prompts())
        self.report({"INFO"}, "The diagnostics are on the clipboard")
        return {"FINISHED"}

    def invoke(self, _context: Any, _event: Any) -> set[str]:
        home, about, prompts = client.default_home(), _about(), _prompts()

        def run() -> None:
            text = diagnostics(home, about=about, prompts=prompts)
            main_thread.post(lambda: _copied(text))

        global diagnosing
        diagnosing = "Looking, this takes some seconds"
        threading.Thread(target=run, name="underpaint-diagnostics", daemon=True).start()
        return {"FINISHED"}


diagnosing = ""
"""What became of Copy Diagnostics, for the preferences."""


def _copied(text: str) -> None:
    global diagnosing
    bpy.context.window_manager.clipboard = text
    diagnosing = "Diagnostics are on the clipboard"
    backend_state.redraw()


def _about() -> dict[str, str]:
    """This Blender, as a bug report names it. Its graphics card is known where there is a window."""
    about = {"Blender": f"{bpy.app.version_string} ({bpy.app.build_hash.decode()}), background {bpy.app.background}"}
    if not bpy.app.background:
        import gpu

        about["Drawn by"] = f"{gpu.platform.renderer_get()}, {gpu.platform.version_get()}"
    return about


def _prompts() -> list[str]:
    """What the file's scenes and pictures say, so that it can be left out."""
    settings = [scene.underpaint for scene in bpy.data.scenes]
    texts = [text for each in settings for text in (each.prompt, each.negative_prompt)]
    return [text for text in texts if text]


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
        program_log.reported(operator, error)
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
    if message:
        program_log.log.error("%s", message)
    backend_state.refresh()
    backend_state.redraw()


register, unregister = of_classes(
    (UNDERPAINT_OT_start_backend, UNDERPAINT_OT_stop_backend, UNDERPAINT_OT_open_logs, UNDERPAINT_OT_copy_diagnostics)
)
