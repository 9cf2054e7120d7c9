"""Real Blender (the bpy wheel), with the add-on registered for the whole run and a fresh file for each test."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from underpaint.protocol import client
from underpaint.protocol.client import Connection
from underpaint.protocol.errors import BackendError

bpy = pytest.importorskip("bpy", reason="these tests run with the Python of a bpy wheel")


def pytest_sessionstart() -> None:
    from underpaint import addon

    addon.register()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without Blender's own end where Rigify was used: of bpy 4.2 it makes a crash, of 4.5 a hang.

    They come with Rigify alone, without this add-on. test_ui_registration watches over
    how a process with our add-on ends.
    """
    if "rigify" in sys.modules and bpy.app.version < (5, 0) and _STATUS in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[_STATUS])


_STATUS = pytest.StashKey[int]()


@pytest.fixture
def scene() -> Iterator[Any]:
    """Blender's default cube, small, with the Underpaint engine and the Standard view."""
    bpy.ops.wm.read_factory_settings()
    scene = bpy.context.scene
    scene.render.engine = "UNDERPAINT"
    scene.render.resolution_x, scene.render.resolution_y = 128, 96
    scene.render.resolution_percentage = 100
    scene.view_settings.view_transform = "Standard"
    scene.render.dither_intensity = 0.0
    return scene


REPOSITORY = Path(__file__).resolve().parents[2]


def backend_python() -> Path:
    """The backend environment's interpreter, which every suite's conftest names."""
    python = Path(os.environ["UNDERPAINT_BACKEND_PYTHON"])
    if not python.is_file():
        pytest.skip("the backend environment is not built (make test builds it)")
    return python


def serve(folder: Path, *arguments: str) -> Iterator[Connection]:
    """A real service of its own, found by everything in this process until the end."""
    before = {name: os.environ.get(name) for name in ("UNDERPAINT_HOME", "UNDERPAINT_BACKEND_PYTHON")}
    os.environ["UNDERPAINT_BACKEND_PYTHON"] = str(backend_python())
    os.environ["UNDERPAINT_HOME"] = str(folder)
    try:
        with client.ensure_running(service_arguments=arguments) as connection:
            yield connection
        with contextlib.suppress(BackendError), client.connect() as connection:
            connection.shutdown()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@pytest.fixture
def fake_backend(tmp_path: Path) -> Iterator[Connection]:
    """A real service with the fake worker, which does what the prompt tells it."""
    worker = [str(backend_python()), str(REPOSITORY / "tests" / "backend" / "fake_worker.py")]
    command = [*worker, "--blobs", str(tmp_path / "home" / "blobs")]
    yield from serve(tmp_path / "home", "--worker-command", json.dumps(command))


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """The real service with the real worker and the embedded model, which loads once for all tests."""
    yield from serve(tmp_path_factory.mktemp("home"))
