"""Whatever a render ends in, everything in the file that the user did not ask to change is as it was."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import bpy
import pytest
from blend_dump import changes, dump
from test_capture import hostile
from underpaint.addon import engine
from underpaint.protocol.client import Connection, default_home, endpoint
from underpaint.protocol.jobs import JobState


@pytest.fixture
def rich(scene: Any) -> Any:
    """A scene with something of everything that a render comes across, and every hostile setting."""
    bpy.ops.object.armature_add()
    bpy.ops.object.light_add(type="SUN")
    bpy.ops.mesh.primitive_uv_sphere_add(location=(2, 0, 0))
    bpy.context.object.modifiers.new("Subdivision", "SUBSURF")
    scene.view_layers.new("Second")
    scene.underpaint.keep_image = False
    scene.underpaint.negative_prompt = "blurry"
    # The first render of any engine brings the start-up file's nodes up to date. Not ours: what it changed once and
    # for all would be in both dumps.
    scene.render.engine, scene.cycles.samples = "CYCLES", 1
    bpy.ops.render.render()
    scene.render.engine = "UNDERPAINT"
    hostile(scene)
    scene.render.use_freestyle = False
    scene.frame_set(1)
    return scene


def unchanged_by(render: Callable[[], object]) -> dict[str, Any]:
    before = dump()
    assert len(before) > 10_000
    render()
    return changes(before, dump())


def test_success(rich: Any, fake_backend: Connection) -> None:
    assert unchanged_by(bpy.ops.render.render) == {}
    assert fake_backend.jobs().jobs[0].state is JobState.SUCCEEDED


def test_success_from_the_rendered_scene(rich: Any, fake_backend: Connection) -> None:
    rich.render.use_border, rich.render.use_persistent_data = False, True
    rich.cycles.samples = 2
    rich.underpaint.start.source, rich.underpaint.start.mask_from = "RENDER", "SELECTED"
    assert unchanged_by(bpy.ops.render.render) == {}
    job = fake_backend.jobs().jobs[0]
    assert job.state is JobState.SUCCEEDED
    assert job.request.start.mask is not None


def test_cancel(rich: Any, fake_backend: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    rich.underpaint.prompt = "steps=200 pause=0.05"
    asked = itertools.count()
    monkeypatch.setattr(engine.UnderpaintRenderEngine, "_stopped", lambda _: next(asked) > 10)
    assert unchanged_by(bpy.ops.render.render) == {}
    assert fake_backend.jobs().jobs[0].state is JobState.CANCELLED


def test_error(rich: Any, fake_backend: Connection) -> None:
    rich.underpaint.prompt = "then=fail"
    assert unchanged_by(lambda: fails_with("unexpected error")) == {}


def test_killed_worker(rich: Any, fake_backend: Connection) -> None:
    rich.underpaint.prompt = "then=crash"
    assert unchanged_by(lambda: fails_with("worker died")) == {}


def test_killed_backend(rich: Any, fake_backend: Connection) -> None:
    rich.underpaint.prompt = "then=deaf"
    process = endpoint.read(default_home())[0].pid

    def kill() -> None:
        ends = time.monotonic() + 20
        while not any(job.state is JobState.RUNNING for job in watcher.jobs().jobs) and time.monotonic() < ends:
            time.sleep(0.02)
        os.kill(process, signal.SIGKILL)  # its worker goes with it

    watcher = Connection.to(default_home())
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        assert unchanged_by(lambda: fails_with("backend")) == {}
    finally:
        killer.join()
        watcher.close()


def test_a_refused_scene(rich: Any) -> None:
    rich.render.resolution_x = 100
    assert unchanged_by(lambda: fails_with("multiples of 8")) == {}


def fails_with(sentence: str) -> None:
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.render.render()
