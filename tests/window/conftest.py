"""Blender 5.2 in a real window, with the zip installed by its command line and the real backend."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import blender_window
import build_extension
import pytest
from blender_window import Window
from underpaint.protocol.client import Connection, Home, connect
from window_steps import ARTEFACTS, close_render_window


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that Blender sees, with the extension installed as the user's."""
    try:
        blender_window.ensure_tree()
    except blender_window.NoWindow as reason:
        if os.environ.get("CI") and os.geteuid() == 0:
            raise
        pytest.skip(str(reason))
    folder = tmp_path_factory.mktemp("window")
    archive = shutil.copyfile(build_extension.build(tmp_path_factory.mktemp("dist")), folder / "underpaint.zip")
    blender_window.run_blender(
        folder, ["--command", "extension", "install-file", "-r", "user_default", "-e", str(archive)]
    )
    return folder


@pytest.fixture(scope="session")
def environment(session: Path) -> dict[str, str]:
    """What tells the extension where the backend is and where it keeps its data."""
    python = blender_window.outside_python(session, Path(os.environ["UNDERPAINT_BACKEND_PYTHON"]))
    return {"UNDERPAINT_HOME": str(session / "home"), "UNDERPAINT_BACKEND_PYTHON": str(python)}


@pytest.fixture(scope="session")
def blender(session: Path, environment: dict[str, str]) -> Iterator[Window]:
    """The window. Everything that runs in it, the service too, ends with it."""
    with (
        blender_window.screen() as display,
        blender_window.open_window(session, display, environment=environment) as it,
    ):
        yield it


@pytest.fixture
def scene(blender: Window) -> Window:
    """The default scene under the Underpaint engine, small, with no render window open."""
    close_render_window(blender)
    blender.call(
        """
scene = bpy.context.scene
scene.render.engine = "UNDERPAINT"
scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 384, 256, 100
scene.view_settings.view_transform = "Standard"
scene.underpaint.prompt = "a box in a quiet room"
scene.underpaint.steps = 20
rendered = cancelled = 0
"""
    )
    return blender


@pytest.fixture
def service(session: Path) -> Callable[[], Connection]:
    """Reach the service that the add-on started."""
    return lambda: connect(Home(session / "home"))


@pytest.fixture(autouse=True)
def keep_what_blender_said(blender: Window) -> Iterator[None]:
    """The console's text is an artefact too."""
    yield
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    (ARTEFACTS / "window_console.txt").write_text(blender.said())
