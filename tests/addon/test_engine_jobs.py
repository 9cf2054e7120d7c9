"""F12 against a real service: what is shown meanwhile, what is refused, what a stop leaves behind."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from underpaint.addon import engine, images, passes
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.client import Connection
from underpaint.protocol.jobs import JobState, Phase
from underpaint.protocol.request import ControlKind, GenerateRequest
from underpaint.protocol.sources import DepthPass


def painted(seed: int, width: int = 128, height: int = 96) -> UInt8Array:
    """What the fake worker paints."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels(image: Any) -> UInt8Array:
    values = np.empty(image.size[0] * image.size[1] * 4, np.float32)
    image.pixels.foreach_get(values)
    return np.rint(values.reshape(image.size[1], image.size[0], 4)[::-1, :, :3] * 255).astype(np.uint8)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Every Combined that the engine shows, in order."""
    seen: list[np.ndarray] = []
    write = passes.write

    def spy(target: Any, layer: str, buffers: dict[str, np.ndarray]) -> None:
        seen.append(buffers["Combined"].copy())
        write(target, layer, buffers)

    monkeypatch.setattr(passes, "write", spy)
    return seen


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every line of the render window's status."""
    lines: list[str] = []
    monkeypatch.setattr(engine.UnderpaintRenderEngine, "_tell", lambda _, words: lines.append(words))
    return lines


def test_a_render_goes_through_the_backend_and_back(
    scene: Any, fake_backend: Connection, shown: list[np.ndarray], said: list[str]
) -> None:
    scene.underpaint.seed, scene.underpaint.prompt = 7, "a cube steps=4 pause=0.1"
    bpy.ops.render.render()
    (image,) = images.results()
    np.testing.assert_array_equal(pixels(image), painted(7))
    (job,) = fake_backend.jobs().jobs
    assert job.state is JobState.SUCCEEDED
    assert images.request_of(image) == job.request
    assert {control.kind for control in job.request.controls} == {ControlKind.DEPTH, ControlKind.NORMAL}
    # grey geometry, then previews, which the fake paints as dark as the step's number, then the picture
    assert len(shown) >= 3
    levels = [frame[0, 0, 0] for frame in shown[1:-1]]
    assert levels == sorted(levels)
    assert levels[-1] < 0.01
    assert any("step 4/4" in line for line in said)
    assert said[-1].startswith("Painted without a pose control")
    phases = {timing.phase for timing in engine.last_timings}
    assert {Phase.CAPTURE, Phase.CONVERT, Phase.UPLOAD, Phase.QUEUE, Phase.DOWNLOAD, Phase.WRITE_BACK} <= phases


def test_no_preview_where_none_is_wanted(scene: Any, fake_backend: Connection, shown: list[np.ndarray]) -> None:
    scene.underpaint.use_preview, scene.underpaint.prompt = False, "steps=4 pause=0.1"
    bpy.ops.render.render()
    assert len(shown) == 2


def test_the_same_scene_gives_the_same_request_under_hostile_settings(scene: Any, fake_backend: Connection) -> None:
    from test_capture import hostile

    bpy.ops.render.render()
    hostile(scene)
    scene.render.use_freestyle = False
    bpy.ops.render.render()
    one, other = (job.request for job in fake_backend.jobs().jobs)
    assert one == other  # the arrays are in it by their hash


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("then=fail", "unexpected error: as told"),
        ("then=oom", "Not enough memory"),
        ("then=full", "disk"),
    ],
)
def test_an_error_is_a_sentence(
    scene: Any, fake_backend: Connection, capfd: pytest.CaptureFixture[str], prompt: str, sentence: str
) -> None:
    scene.underpaint.prompt = prompt
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.render.render()
    assert "Traceback" not in "".join(capfd.readouterr())
    assert not images.results()


def test_bad_scenes_are_refused_before_any_work(scene: Any, fake_backend: Connection) -> None:
    scene.render.resolution_y = 100
    with pytest.raises(RuntimeError, match="nearest is 128 x 104"):
        bpy.ops.render.render()
    scene.render.resolution_y = 96
    scene.camera.data.type = "PANO"
    with pytest.raises(RuntimeError, match="panoramic"):
        bpy.ops.render.render()
    scene.camera.data.type = "PERSP"
    scene.render.use_multiview = True
    with pytest.raises(RuntimeError, match="Stereoscopy"):
        bpy.ops.render.render()
    scene.render.use_multiview = False
    pose = scene.underpaint.controls.add()
    pose.kind = "OPENPOSE"
    with pytest.raises(RuntimeError, match="no armature"):
        bpy.ops.render.render()
    pose.kind = "INPAINT"
    with pytest.raises(RuntimeError, match="Inpaint control has no mask"):
        bpy.ops.render.render()
    assert not fake_backend.jobs().jobs
    scene.camera = None
    with pytest.raises(RuntimeError, match="camera"):
        bpy.ops.render.render()


def test_a_missing_backend_names_the_button(scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERPAINT_HOME", str(tmp_path))
    monkeypatch.delenv("UNDERPAINT_BACKEND_PYTHON", raising=False)
    with pytest.raises(RuntimeError, match="Install Backend"):
        bpy.ops.render.render()


def test_a_stop_cancels_the_job(
    scene: Any, fake_backend: Connection, shown: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    # in background mode nobody can press Esc; Blender's answer to `test_break` is what it turns into
    monkeypatch.setattr(engine.UnderpaintRenderEngine, "_stopped", lambda _: len(shown) > 2)
    scene.underpaint.prompt = "steps=200 pause=0.05"
    bpy.ops.render.render()
    (job,) = fake_backend.jobs().jobs
    assert job.state is JobState.CANCELLED
    assert not images.results()
    monkeypatch.undo()
    scene.underpaint.prompt = "again"
    bpy.ops.render.render()
    assert len(images.results()) == 1


def test_an_animation_paints_each_frame_from_its_own_passes(
    scene: Any, fake_backend: Connection, tmp_path: Path
) -> None:
    cube = bpy.data.objects["Cube"]
    for frame in (1, 3):
        cube.location.x = frame
        cube.keyframe_insert("location", frame=frame)
    scene.frame_start, scene.frame_end = 1, 3
    scene.underpaint.keep_image = True
    scene.render.filepath = str(tmp_path / "frame_")
    bpy.ops.render.render(animation=True)
    assert len(list(tmp_path.glob("frame_*.png"))) == 3
    requests = [job.request for job in fake_backend.jobs().jobs]
    assert len({depth_of(request) for request in requests}) == 3
    assert not images.results()  # a thousand frames would fill the file


def depth_of(request: Any) -> str:
    assert isinstance(request, GenerateRequest)
    return next(c.source.metres.sha256 for c in request.controls if isinstance(c.source, DepthPass))
