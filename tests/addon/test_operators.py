"""The operators, as a script or a button calls them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest
from underpaint.addon import colour, images, operators_generate, presets, properties
from underpaint.addon.background_job import Advanced, BackgroundJob, Done, Failed, Preview
from underpaint.addon.capture import capture
from underpaint.addon.generation import Settings
from underpaint.protocol.errors import JobCancelled
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import GenerateRequest


def _result(prompt: str = "a barn") -> Any:
    picture = np.full((16, 24, 3), 90, np.uint8)
    return images.new_result(picture, GenerateRequest(prompt=prompt, seed=5, size=Extent(width=24, height=16)))


def test_the_list_of_controls_is_edited(scene: Any) -> None:
    settings, ops = scene.underpaint, bpy.ops.underpaint
    assert properties.effective_kinds(settings) == list(properties.DEFAULT_CONTROLS)
    ops.add_default_controls()
    assert properties.effective_kinds(settings) == list(properties.DEFAULT_CONTROLS)
    ops.control_add(kind="CANNY")
    assert settings.controls[settings.active_control].name == "Canny Edges"
    ops.control_move(direction="UP")
    assert [item.kind for item in settings.controls] == ["DEPTH", "NORMAL", "CANNY", "OPENPOSE"]
    assert settings.active_control == 2
    ops.control_remove()
    ops.control_remove()
    assert [item.kind for item in settings.controls] == ["DEPTH", "NORMAL"]
    assert settings.active_control == 1
    assert ops.control_move(direction="DOWN") == {"CANCELLED"}
    ops.controls_clear()
    assert not ops.control_remove.poll()


def test_the_render_result_has_a_pass_for_each_control(scene: Any, fake_backend: Any) -> None:
    """As the compositor offers them, whose sockets Blender takes from the list of passes."""
    assert _sockets(scene) == ["Control Depth", "Control Normal", "Control Pose"]
    bpy.ops.underpaint.control_add(kind="SEGMENTATION")
    bpy.ops.underpaint.control_add(kind="DEPTH")
    assert _sockets(scene) == ["Control Depth", "Control Segmentation"]
    scene.underpaint.controls[0].kind = "TILE"
    assert _sockets(scene) == ["Control Depth", "Control Tile"]
    scene.underpaint.controls[1].enabled = False
    assert _sockets(scene) == ["Control Tile"]
    bpy.ops.underpaint.control_remove()
    bpy.ops.underpaint.controls_clear()
    assert _sockets(scene) == ["Control Depth", "Control Normal", "Control Pose"]


def _sockets(scene: Any) -> list[str]:
    """The control passes that a Render Layers node offers."""
    if bpy.app.version < (5, 0):
        scene.use_nodes = True
        tree = scene.node_tree
    else:
        tree = scene.compositing_node_group or bpy.data.node_groups.new("compositor", "CompositorNodeTree")
        scene.compositing_node_group = tree
    node = next((node for node in tree.nodes if node.type == "R_LAYERS"), None)
    node = node or tree.nodes.new("CompositorNodeRLayers")
    return sorted(socket.name for socket in node.outputs if socket.enabled and socket.name.startswith("Control "))


def test_a_control_cannot_stop_before_it_starts(scene: Any) -> None:
    item = scene.underpaint.controls.add()
    item.end = 0.4
    item.start = 0.7
    assert (item.start, item.end) == (pytest.approx(0.7), pytest.approx(0.7))
    item.end = 0.2
    assert (item.start, item.end) == (pytest.approx(0.2), pytest.approx(0.2))


def test_the_standard_view_is_one_click_away(scene: Any) -> None:
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.exposure = 1.5
    scene.view_settings.use_curve_mapping = True
    assert not colour.shows_exactly(scene)
    bpy.ops.underpaint.use_standard_view()
    assert colour.shows_exactly(scene)


def test_the_size_is_rounded_in_one_click(scene: Any) -> None:
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 1023, 601, 50
    bpy.ops.underpaint.round_size()
    assert (scene.render.resolution_x, scene.render.resolution_y) == (512, 304)
    assert scene.render.resolution_percentage == 100


def test_a_chosen_folder_is_absolute_for_the_backend(scene: Any, tmp_path: Path) -> None:
    bpy.ops.underpaint.choose_model(filepath=f"{tmp_path}/", target="CHECKPOINT")
    assert scene.underpaint.checkpoint == str(tmp_path)
    with pytest.raises(RuntimeError, match="No row is active"):
        bpy.ops.underpaint.choose_model(filepath=f"{tmp_path}/", target="CONTROLNET")
    bpy.ops.underpaint.add_default_controls()
    bpy.ops.underpaint.choose_model(filepath=f"{tmp_path}/", target="CONTROLNET")
    assert scene.underpaint.controls[0].controlnet == str(tmp_path)


def test_a_result_is_restored_shown_and_deleted(scene: Any) -> None:
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.underpaint.restore_result()
    _result("a mill")
    barn = _result()
    bpy.ops.underpaint.restore_result(image="a mill")
    assert scene.underpaint.prompt == "a mill"
    bpy.ops.underpaint.restore_result()
    assert (scene.underpaint.prompt, scene.underpaint.seed) == ("a barn", 5)
    bpy.data.images.new("the user's own", 8, 8)
    for name in ("the user's own", "nowhere"):
        with pytest.raises(RuntimeError, match=f'no result is called "{name}"'):
            bpy.ops.underpaint.delete_result(image=name)
    assert "the user's own" in bpy.data.images
    bpy.ops.underpaint.delete_result(image=barn.name)
    assert [image.name for image in images.results()] == ["a mill"]
    assert images.active_result().name == "a mill"


def test_the_history_s_choice_survives_new_images(scene: Any) -> None:
    state = bpy.context.window_manager.underpaint
    chosen = _result("m")
    state.active_result = bpy.data.images.find("m")
    bpy.data.images.new("a", 8, 8)
    assert bpy.data.images[state.active_result] == chosen


def test_projecting_asks_for_meshes_and_a_picture(scene: Any) -> None:
    bpy.ops.object.select_all(action="DESELECT")
    with pytest.raises(RuntimeError, match="No mesh is selected"):
        bpy.ops.underpaint.project()
    scene.objects["Cube"].select_set(True)
    with pytest.raises(RuntimeError, match="no picture to project"):
        bpy.ops.underpaint.project()


@pytest.mark.parametrize("name", ["Faithful", "Loose", "Quick_Sketch"])
def test_a_shipped_preset_is_found_and_applied(scene: Any, name: str) -> None:
    path = bpy.utils.preset_find(name, presets.SUBDIR)
    assert path
    scene.underpaint.prompt = "mine"
    for _ in range(2):  # a second time adds nothing
        bpy.ops.script.execute_preset(filepath=path, menu_idname="UNDERPAINT_PT_presets")
        assert len(scene.underpaint.controls) >= 2
    assert scene.underpaint.prompt == "mine"
    assert len({item.kind for item in scene.underpaint.controls}) == len(scene.underpaint.controls)


def test_a_preset_of_one_s_own_is_written_and_read_back(scene: Any, tmp_path: Path) -> None:
    settings = scene.underpaint
    settings.steps, settings.guidance_scale, settings.negative_prompt = 33, 6.3, 'no "fog"\\'
    bpy.ops.underpaint.add_default_controls()
    settings.controls[1].enabled = False
    settings.controls[2].end = 0.35
    depth = settings.controls[0].depth
    depth.use_range, depth.far_m, depth.near_m, depth.encoding = True, 90.0, 25.5, "LINEAR"
    presets.writing.write(tmp_path / "own.py", settings)
    bpy.ops.wm.read_factory_settings()

    bpy.ops.script.execute_preset(filepath=str(tmp_path / "own.py"), menu_idname="UNDERPAINT_PT_presets")

    settings = bpy.context.scene.underpaint
    assert (settings.steps, settings.negative_prompt) == (33, 'no "fog"\\')
    assert settings.guidance_scale == pytest.approx(6.3)
    assert [item.enabled for item in settings.controls] == [True, False, True]
    assert settings.controls[2].end == pytest.approx(0.35)
    depth = settings.controls[0].depth
    assert (depth.use_range, depth.near_m, depth.far_m, depth.encoding) == (True, 25.5, 90.0, "LINEAR")


def test_generate_paints_into_an_image_under_any_engine(scene: Any, fake_backend: Any) -> None:
    scene.render.engine = "CYCLES"
    scene.underpaint.prompt = "steps=2"
    assert bpy.ops.underpaint.generate() == {"FINISHED"}
    result = images.active_result()
    assert tuple(result.size) == (128, 96)
    assert images.request_of(result).prompt == "steps=2"


def test_generate_says_what_is_wrong(scene: Any) -> None:
    scene.render.resolution_x = 100
    with pytest.raises(RuntimeError, match="multiples of 8"):
        bpy.ops.underpaint.generate()
    scene.render.resolution_x = 96
    scene.camera = None
    with pytest.raises(RuntimeError, match="no active camera"):
        bpy.ops.underpaint.generate()
    assert images.results() == []


def _job(scene: Any, prompt: str) -> BackgroundJob:
    scene.underpaint.prompt = prompt
    settings = Settings.from_scene(scene)
    return BackgroundJob(settings, capture(scene, people=settings.people))


def test_a_background_job_tells_its_steps_and_ends_in_one_message(scene: Any, fake_backend: Any) -> None:
    job = _job(scene, "steps=3")
    job.start()
    assert job.join(60.0)
    *before, last = job.messages()
    assert isinstance(last, Done)
    assert last.outcome.request.prompt == "steps=3"
    assert any(isinstance(message, Advanced) for message in before)
    assert sum(isinstance(message, Preview) for message in before) == 1  # only the newest
    assert job.messages() == []


def test_a_background_job_is_cancelled(scene: Any, fake_backend: Any) -> None:
    job = _job(scene, "steps=1 then=hang")
    job.start()
    job.cancel()
    assert job.join(60.0)
    last = job.messages()[-1]
    assert isinstance(last, Failed)
    assert isinstance(last.error, JobCancelled)


def test_nothing_renders_beside_a_render_of_blender_s(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _result()
    asked = (bpy.ops.underpaint.generate.poll, bpy.ops.underpaint.project.poll)
    assert all(poll() for poll in asked)
    # without a window Blender has no jobs that run beside anything
    monkeypatch.setattr(bpy, "app", SimpleNamespace(is_job_running=lambda kind: kind == "RENDER"))
    assert not any(poll() for poll in asked)


def test_nothing_is_left_running() -> None:
    assert operators_generate._running == []
