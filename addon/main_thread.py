"""Work that must happen on Blender's main thread, posted from the render thread."""

import queue
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import bpy
from bpy.app.handlers import persistent

_BUDGET_S = 0.005  # of the user interface's time at each turn
_INTERVAL_S = 0.05

_waiting: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()


def post(task: Callable[[], object]) -> None:
    """Have `task` run on the main thread, soon; in background mode, when the render that posts it is over."""
    _waiting.put(task)


def drain(budget_s: float | None = None) -> None:
    """Run what was posted, until the queue is empty or the time is up. Main thread only."""
    ends = None if budget_s is None else time.monotonic() + budget_s
    while ends is None or time.monotonic() < ends:
        try:
            task = _waiting.get_nowait()
        except queue.Empty:
            return
        try:
            task()
        except Exception as error:  # Blender drops a timer that raises, and with it all that is posted later
            traceback.print_exception(error)


def _turn() -> float:
    drain(_BUDGET_S)
    return _INTERVAL_S


@persistent
def _after_render(*_: Any) -> None:
    # timers never fire in background mode, and there a render runs on the main thread
    if bpy.app.background and threading.current_thread() is threading.main_thread():
        drain()


def register() -> None:
    bpy.app.handlers.render_complete.append(_after_render)
    bpy.app.handlers.render_cancel.append(_after_render)
    if not bpy.app.background:
        bpy.app.timers.register(_turn, first_interval=_INTERVAL_S, persistent=True)


def unregister() -> None:
    if bpy.app.timers.is_registered(_turn):
        bpy.app.timers.unregister(_turn)
    for handlers in (bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        if _after_render in handlers:
            handlers.remove(_after_render)
