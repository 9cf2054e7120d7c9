"""What is known of the backend, for panels to show: they are drawn many times a second and ask nobody.

A look takes a few milliseconds at most when the service runs, and up to seconds when it hangs; so a
thread takes it, and the main thread hears of it through `main_thread`.
"""

import os
import threading
import time
from dataclasses import dataclass, replace

import bpy

from ..protocol import client
from ..protocol.errors import BackendError, BackendNotInstalled
from . import main_thread

_FRESH_S = 3.0


@dataclass(frozen=True, kw_only=True)
class BackendState:
    """The backend at the last look."""

    installed: bool = False
    running: bool = False
    version: str = ""  # of the running service's software
    device: str = ""  # where its worker ran last, "" as long as unknown
    problem: str = ""  # why the service that runs can't be used

    @property
    def words(self) -> str:
        """One line for a panel."""
        if self.problem:
            return self.problem
        if self.running:
            return f"Running on {self.device}" if self.device else "Running"
        return "Installed, starts when needed" if self.installed else "Not installed"


_state = BackendState()
_looked_at = float("-inf")
_looking = threading.Lock()


def current() -> BackendState:
    """What is known now; an old knowledge is refreshed in the background."""
    if time.monotonic() - _looked_at > _FRESH_S:
        refresh()
    return _state


def refresh() -> None:
    """Look again, beside the interface; the panels are redrawn when something has changed."""
    if bpy.app.background:  # nobody sees a panel
        return
    if _looking.acquire(blocking=False):
        threading.Thread(target=_look_and_tell, name="underpaint-backend-state", daemon=True).start()


def look() -> BackendState:
    """Look now and say what is there; blocks until the service answers, or doesn't."""
    home = client.default_home()
    try:
        client.backend_python(home)
        installed = True
    except BackendNotInstalled:
        installed = False
    try:
        with client.connect(home) as connection:
            return BackendState(installed=installed, running=True, version=connection.hello().software_version)
    except BackendError as error:
        here = not home.remote_file.exists()  # another computer's is not started when needed
        stale = here and (not home.endpoint_file.exists() or error.code == "backend_unreachable")
        return BackendState(installed=installed, problem="" if stale else str(error))


def on_device(device: str) -> None:
    """Note where the worker runs, as an event has told."""
    global _state
    _state = replace(_state, running=True, installed=True, device=device, problem="")


_REGIONS = {"VIEW_3D": "UI", "IMAGE_EDITOR": "UI", "PROPERTIES": "WINDOW", "PREFERENCES": "WINDOW"}
"""Where our panels are, by the editor's type; the scene and the image beside them needn't be drawn for them."""


def redraw() -> None:
    """Have Blender draw the panels that show the backend or its jobs."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                if region.type == _REGIONS.get(area.type):
                    region.tag_redraw()


def _look_and_tell() -> None:
    try:
        seen = look()
        main_thread.post(lambda: _take(seen))
    finally:
        _looking.release()


def _take(seen: BackendState) -> None:
    global _state, _looked_at
    _looked_at = time.monotonic()
    if seen.running:
        seen = replace(seen, device=_state.device)
    if seen != _state:
        _state = seen
        redraw()


def overridden_python() -> str:
    """The interpreter that `UNDERPAINT_BACKEND_PYTHON` names; "" where it isn't set."""
    return os.environ.get("UNDERPAINT_BACKEND_PYTHON", "")
