"""Runs inside Blender: executes the Python files that appear in a folder, and measures how alive the window is.

Each NNNN.py is run in the main thread from a timer, with `bpy`, `window` and `meter` at hand, and answered by
NNNN.json with what it left in `answer`, or its traceback.
"""

import json
import sys
import time
import traceback
from pathlib import Path

import bpy

bpy.context.preferences.view.show_splash = False

CALLS = Path(sys.argv[sys.argv.index("--") + 1])


class Meter:
    """Counts how long a 20 ms timer had to wait for its turn."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.last = time.perf_counter()
        self.longest_s = 0.0
        self.ticks = 0

    def tick(self):
        now = time.perf_counter()
        self.longest_s = max(self.longest_s, now - self.last)
        self.last = now
        self.ticks += 1
        return 0.02


meter = Meter()
state = {"bpy": bpy, "meter": meter, "rendered": 0, "cancelled": 0}


def answer_calls():
    for file in sorted(CALLS.glob("*.py")):
        reply = {"answer": None, "error": None}
        try:
            code = compile(file.read_text(encoding="utf-8"), str(file), "exec")
            state["answer"] = None
            with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
                exec(code, state)
            reply["answer"] = state["answer"]
        except Exception:
            reply["error"] = traceback.format_exc()
        file.unlink()
        answered = file.with_suffix(".answered")
        answered.write_text(json.dumps(reply), encoding="utf-8")
        answered.rename(file.with_suffix(".json"))
    return 0.02


@bpy.app.handlers.persistent
def count_rendered(scene, depsgraph=None):
    state["rendered"] += 1


@bpy.app.handlers.persistent
def count_cancelled(scene, depsgraph=None):
    state["cancelled"] += 1


bpy.app.handlers.render_complete.append(count_rendered)
bpy.app.handlers.render_cancel.append(count_cancelled)
bpy.app.timers.register(meter.tick, persistent=True)
bpy.app.timers.register(answer_calls, persistent=True)
