"""What the window's tests do again and again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from blender_window import Window
from PIL import Image
from underpaint.protocol.client import Connection, Home, connect
from underpaint.protocol.errors import BackendUnreachable
from underpaint.protocol.jobs import JobState

ARTEFACTS = Path(__file__).resolve().parents[1] / "artefacts"


def close_render_window(blender: Window) -> None:
    """Leave only Blender's main window, with the pointer over its 3D viewport."""
    blender.call(
        """
for extra in list(bpy.context.window_manager.windows)[1:]:
    with bpy.context.temp_override(window=extra):
        bpy.ops.wm.window_close()
"""
    )
    blender.point(900, 300)


def reachable(session: Path) -> bool:
    """Whether a service runs on the session's data folder."""
    try:
        with connect(Home(session / "home")):
            return True
    except BackendUnreachable:
        return False


def press_render(blender: Window, *, timeout_s: float = 180.0) -> None:
    """F12 through the window, to the end of the render."""
    before = blender.call("answer = rendered + cancelled")
    blender.press("F12")
    blender.wait(f"rendered + cancelled > {before}", timeout_s=timeout_s)
    blender.wait("not bpy.app.is_job_running('RENDER')")


def newest_state(service: Callable[[], Connection]) -> JobState:
    with service() as connection:
        return connection.jobs(limit=1).jobs[0].state


def assert_quiet(blender: Window) -> None:
    """Nothing in the console that a user would report."""
    bad = [
        line for line in blender.said().splitlines() if "Traceback" in line or "rna_uiItem" in line or "Error" in line
    ]
    assert bad == [], blender.said()[-4000:]


def shown(screenshot: Path) -> np.ndarray:
    """The picture in the render window, as large as the tests make it; not the line of words above it."""
    return np.asarray(Image.open(screenshot).convert("RGB"))[590:820, 80:440]


def different(pictures: list[Path]) -> list[Path]:
    """The screenshots that differ from the one before."""
    kept: list[Path] = []
    last: np.ndarray | None = None
    for picture in pictures:
        now = shown(picture)
        if last is None or np.any(now != last):
            kept.append(picture)
        last = now
    return kept
