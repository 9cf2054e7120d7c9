"""Installing, repairing and removing the backend. In a window it goes on beside the interface; scripts wait for it."""

import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import bpy
from bpy.props import BoolProperty

from ..installer import repair, uninstall
from ..installer.install import Installation
from ..installer.plan import Plan, gigabytes, plan_for
from ..installer.work import Progress, Stage, Work
from ..protocol import client
from ..protocol.errors import InstallOffline, UnderpaintError
from . import backend_state, machine, main_thread, program_log
from .registration import of_classes

_TICK_S = 0.2
_DIALOG_PX, _DIALOG_LETTERS = 520, 82
_running: list[Work] = []
"""At most one; kept so that switching the add-on off, or Blender's end, ends it."""

progress: Progress | None = None
"""Of the work that goes on, for the preferences; None when there is none."""
problem = ""
"""Why the last one failed; "" when it didn't."""
told = ""
"""What the last one came to, where it did not fail."""


class UNDERPAINT_OT_install_backend(bpy.types.Operator):
    """Download PyTorch and diffusers into an environment of their own. Nothing is installed into Blender's Python"""

    bl_idname = "underpaint.install_backend"
    bl_label = "Install Backend"

    _plan: Plan | None = None  # that the dialog has shown

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return _is_idle(cls)

    def invoke(self, context: Any, _event: Any) -> set[str]:
        try:
            self._plan = _plan()
        except UnderpaintError as error:
            return _refused(self, error)
        return context.window_manager.invoke_props_dialog(self, width=_DIALOG_PX, confirm_text="Install")

    def draw(self, _context: Any) -> None:
        for line in self._plan.lines if self._plan is not None else ():
            _write(self.layout, line)

    def execute(self, _context: Any) -> set[str]:
        try:
            _begin(Installation(self._plan or _plan()))
        except UnderpaintError as error:
            return _refused(self, error)
        return _beside() if self._plan is not None else _wait(self)


class UNDERPAINT_OT_repair_backend(bpy.types.Operator):
    """Look what is wrong with the backend, and install only that again; all of it for another version of Underpaint"""

    bl_idname = "underpaint.repair_backend"
    bl_label = "Repair or Update Backend"

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return _is_idle(cls)

    def invoke(self, _context: Any, _event: Any) -> set[str]:
        try:
            plan = _plan()
        except UnderpaintError as error:
            return _refused(self, error)
        _show(Progress(stage=Stage.CHECK, fraction=0.0, line="Looking what is wrong"))
        _in_a_thread(lambda: repair.diagnose(plan), lambda wrong: _mend(plan, wrong))
        return {"FINISHED"}

    def execute(self, _context: Any) -> set[str]:
        try:
            work = repair.begin(_plan())
        except UnderpaintError as error:
            return _refused(self, error)
        if work is None:
            self.report({"INFO"}, "Nothing is wrong with the backend's packages")
            return {"FINISHED"}
        _begin(work)
        return _wait(self)


class UNDERPAINT_OT_cancel_install(bpy.types.Operator):
    """Stop the installation. What was downloaded completely is kept for the next try"""

    bl_idname = "underpaint.cancel_install"
    bl_label = "Cancel Installation"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return bool(_running)

    def execute(self, _context: Any) -> set[str]:
        _stop()
        _end("The installation was cancelled")
        return {"FINISHED"}


class UNDERPAINT_OT_uninstall_backend(bpy.types.Operator):
    """Stop the backend and delete its environment. Models, pictures and the queue stay"""

    bl_idname = "underpaint.uninstall_backend"
    bl_label = "Uninstall Backend"

    with_data: BoolProperty(
        name="Delete the Queue and Its Pictures, Too",
        description="The queue, the pictures and arrays that it keeps, and the logs; never the models",
        default=False,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return _is_idle(cls)

    def invoke(self, context: Any, _event: Any) -> set[str]:
        return context.window_manager.invoke_props_dialog(self, width=_DIALOG_PX, confirm_text="Uninstall")

    def draw(self, _context: Any) -> None:
        home = client.default_home()
        _write(self.layout, f"The backend is stopped, and {home.environment} is deleted.")
        self.layout.prop(self, "with_data")

    def execute(self, _context: Any) -> set[str]:
        home = client.default_home()
        paths = uninstall.environments(home) + (uninstall.data(home) if self.with_data else [])
        freed = uninstall.size(paths)
        try:
            uninstall.uninstall(home, with_data=self.with_data)
        except UnderpaintError as error:
            return _refused(self, error)
        self.report({"INFO"}, f"The backend is uninstalled: {gigabytes(freed)} are free again")
        _end("")
        return {"FINISHED"}


def _write(layout: Any, text: str) -> None:
    """A paragraph in a dialog, which has no region that could tell its width."""
    column = layout.column(align=True)
    for line in textwrap.wrap(text, _DIALOG_LETTERS):
        column.label(text=line)


def _plan() -> Plan:
    if not bpy.app.online_access:
        raise InstallOffline()
    return plan_for(client.default_home(), torch_index=machine.torch_index() or None)


def _is_idle(cls: Any) -> bool:
    if progress is not None:
        cls.poll_message_set("The backend is being installed")
        return False
    return True


def _refused(operator: Any, error: UnderpaintError) -> set[str]:
    _fail(str(error))
    operator.report({"ERROR"}, str(error))
    return {"CANCELLED"}


def _begin(work: Work) -> None:
    _running.append(work)
    _show(Progress(stage=Stage.ENVIRONMENT, fraction=0.0))


def _beside() -> set[str]:
    """Go on while the user does other things."""
    bpy.app.timers.register(_turn, first_interval=_TICK_S, persistent=True)
    return {"FINISHED"}


def _turn() -> float | None:
    if not _running:  # it was cancelled
        return None
    try:
        _show(_running[0].poll())
    except UnderpaintError as error:
        _fail(str(error))
        return None
    if progress is not None and progress.stage is Stage.READY:
        _end("The backend is installed. It starts when it is needed")
        return None
    return _TICK_S


def _wait(operator: Any) -> set[str]:
    """See it through to its end."""
    while True:
        try:
            _show(_running[0].poll())
        except UnderpaintError as error:
            return _refused(operator, error)
        except BaseException:  # Ctrl-C, in a script
            _stop()
            _end("The installation was cancelled")
            raise
        if progress is not None and progress.stage is Stage.READY:
            operator.report({"INFO"}, "The backend is installed. It starts when it is needed")
            _end("")
            return {"FINISHED"}
        time.sleep(_TICK_S)


def _mend(plan: Plan, wrong: dict[str, str] | None) -> None:
    """What the look at the environment has led to; on the main thread."""
    if wrong is not None and not wrong:
        _end("Nothing is wrong with the backend's packages")
        return
    try:
        _begin(Installation(plan) if wrong is None else repair.Repair(plan, tuple(wrong)))
    except UnderpaintError as error:
        _fail(str(error))
        return
    _beside()


def _in_a_thread(work: Callable[[], Any], then: Callable[[Any], None]) -> None:
    def run() -> None:
        try:
            result = work()
        except UnderpaintError as error:
            message = str(error)
            main_thread.post(lambda: _fail(message))
        else:
            main_thread.post(lambda: then(result))

    threading.Thread(target=run, name="underpaint-install", daemon=True).start()


def _show(now: Progress) -> None:
    global progress, problem, told
    progress, problem, told = now, "", ""
    backend_state.redraw()


def _fail(message: str) -> None:
    global problem
    _end("")
    problem = message
    program_log.log.error("%s", message, extra={"event": "install"})


def _end(words: str) -> None:
    global progress, problem, told
    progress, problem, told = None, "", words
    _running.clear()
    backend_state.refresh()
    backend_state.redraw()


def _stop() -> None:
    for work in _running:
        work.cancel()


_register_classes, _unregister_classes = of_classes(
    (
        UNDERPAINT_OT_install_backend,
        UNDERPAINT_OT_repair_backend,
        UNDERPAINT_OT_cancel_install,
        UNDERPAINT_OT_uninstall_backend,
    )
)


def register() -> None:
    _register_classes()


def unregister() -> None:
    _stop()
    _running.clear()
    if bpy.app.timers.is_registered(_turn):
        bpy.app.timers.unregister(_turn)
    _unregister_classes()
