"""Real Blender (the bpy wheel), with the add-on registered for the whole run and a fresh file for each test."""

from collections.abc import Iterator
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="these tests run with the Python of a bpy wheel")


def pytest_sessionstart() -> None:
    from underpaint import addon

    addon.register()


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
