"""The demo's scene, built once in real Blender for all of these tests."""

from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="these tests run with the Python of a bpy wheel")


@pytest.fixture(scope="session")
def demo_scene() -> Any:
    """The scene as `make demo` builds it."""
    from underpaint.demo import scene

    return scene.build(256)


@pytest.fixture
def depsgraph(demo_scene: Any) -> Any:
    """The scene as Blender evaluates it."""
    return bpy.context.evaluated_depsgraph_get()
