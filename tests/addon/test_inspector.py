"""Looking at control maps: shown to the byte, made anew without rendering, and never silently old."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from underpaint.addon import api, callbacks, control_maps, generation, images, inspector, map_images
from underpaint.addon.generation import ControlSettings
from underpaint.addon.inspector import state
from underpaint.protocol.client import Connection
from underpaint.protocol.errors import SceneError
from underpaint.protocol.options import DepthOptions
from underpaint.protocol.request import ControlKind


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    inspector.close()


def _bytes(name: str) -> np.ndarray:
    """What Blender shows of a map, read past our own code."""
    image = bpy.data.images[f"Control {name}"]
    assert image.colorspace_settings.name == "sRGB"  # the window draws no other space of bytes as they are
    assert not image.packed_file
    values = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(values)
    return np.rint(values.reshape(image.size[1], image.size[0], 4)[::-1, :, :3] * 255).astype(np.uint8)


def _add(scene: Any, *kinds: str) -> list[Any]:
    for kind in kinds:
        bpy.ops.underpaint.control_add(kind=kind)
    return list(scene.underpaint.controls)


def _until(done: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
    """Let time pass as Blender's timer would."""
    ends = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < ends, state
        inspector.turn()
        time.sleep(0.02)


def test_every_map_is_shown_to_the_byte_and_is_no_result(scene: Any, backend: Connection) -> None:
    bpy.ops.underpaint.preview_maps()
    assert [item.name for item in state.look.maps] == ["Depth", "Normal"]
    for item in state.look.maps:
        np.testing.assert_array_equal(_bytes(item.name), item.values)
    assert _bytes("Depth").max() == 255
    assert tuple(_bytes("Normal")[0, 0]) == (128, 128, 255)
    assert images.results() == []
    assert state.shown_ms > 0


def test_changed_settings_give_other_maps_without_a_render(
    scene: Any, backend: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    depth, _ = _add(scene, "DEPTH", "DEPTH")
    bpy.ops.underpaint.preview_maps()
    datablock = bpy.data.images["Control Depth"]
    seen = state.look.sent.capture.depth_m
    before = _bytes("Depth")
    np.testing.assert_array_equal(before, _bytes("Depth 2"))
    monkeypatch.setattr(inspector, "capture", None)  # nothing may render
    depth.depth.invert = True
    assert state.touched_at is not None
    _until(
        lambda: (
            state.job is None and state.touched_at is None and state.look.maps[0].values[50, 64, 0] != before[50, 64, 0]
        )
    )
    surface = np.isfinite(seen)
    np.testing.assert_array_equal(_bytes("Depth")[surface], 255 - before[surface])
    np.testing.assert_array_equal(_bytes("Depth 2"), before)
    assert bpy.data.images["Control Depth"] == datablock
    depth.enabled = False
    _until(lambda: [item.name for item in state.look.maps] == ["Depth"])
    np.testing.assert_array_equal(_bytes("Depth"), before)
    assert "Control Depth 2" not in bpy.data.images


def test_what_a_capture_lacks_is_said_and_not_guessed(scene: Any, backend: Connection) -> None:
    _add(scene, "DEPTH")
    bpy.ops.underpaint.preview_maps()
    _add(scene, "LINEART")
    _until(lambda: bool(state.error))
    assert "preview the maps again" in state.error
    with pytest.raises(SceneError, match="more of the scene"):
        inspector.follow(scene)
    assert not inspector.is_true_of(scene, scene.view_layers[0])
    bpy.ops.underpaint.preview_maps()
    assert state.error == ""
    assert [item.name for item in state.look.maps] == ["Depth", "Line Art"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("scene.frame_set(7)", "frame"),
        ("scene.render.resolution_x = 64", "camera"),
        ("scene.objects['Cube'].location.x = 3", "Cube"),
        ("scene.objects['Cube'].data.vertices[0].co.x = 3; scene.objects['Cube'].data.update()", "Cube"),
        ("bpy.data.objects.remove(scene.objects['Cube'])", "gone"),
        ("scene.objects['Cube'].hide_render = True", "hidden"),
        ("scene.objects['Cube'].name = 'Chair'", "renamed"),  # classes and colours go by names
        ("scene.objects['Cube'].visible_camera = False", "Cube"),
        ("scene.objects['Cube'].is_holdout = True", "held out"),
        ("scene.objects['Cube'].active_material = bpy.data.materials.new('Other')", "Cube"),
        ("scene.view_layers[0].layer_collection.children[0].holdout = True", "held out"),
        ("scene.view_layers[0].layer_collection.children[0].indirect_only = True", "held out"),
        ("scene.render.use_simplify = True; scene.render.simplify_subdivision_render = 0", "settings"),
        ("scene.collection.objects.link(bpy.data.objects.new('new', bpy.data.meshes['Cube']))", "come"),
    ],
)
def test_a_scene_that_has_changed_is_said_to_have(
    scene: Any, fake_backend: Connection, change: str, words: str
) -> None:
    inspector.look(scene, scene.view_layers[0])
    assert state.look.stale == ""
    exec(change, {"scene": scene, "bpy": bpy})
    bpy.context.view_layer.update()
    inspector.turn()
    assert words in state.look.stale
    assert not inspector.is_true_of(scene, scene.view_layers[0])


@pytest.mark.parametrize(
    "change",
    [
        "scene.cycles.samples = 7",
        "scene.render.film_transparent = True",
        "scene.world.color = (1, 0, 0)",
        "scene.objects['Light'].data.energy = 1",
    ],
)
def test_a_picture_of_the_scene_gets_old_with_its_light(scene: Any, fake_backend: Connection, change: str) -> None:
    scene.cycles.samples = 1
    for kind, old in (("DEPTH", False), ("TILE", True)):
        scene.underpaint.controls.clear()
        _add(scene, kind)
        inspector.look(scene, scene.view_layers[0])
        if old:
            exec(change, {"scene": scene})
        else:
            scene.objects["Light"].data.energy = 50
        bpy.context.view_layer.update()
        inspector.turn()
        assert bool(state.look.stale) is old


def test_what_changes_no_geometry_leaves_the_look_true(scene: Any, fake_backend: Connection) -> None:
    _add(scene, "SEGMENTATION")
    inspector.look(scene, scene.view_layers[0])
    scene.underpaint.prompt = "a barn"
    scene.underpaint.controls[0].segmentation.seed = 3
    scene.objects["Light"].data.energy = 7
    scene.objects["Cube"].underpaint.ade20k = "box"
    scene.objects["Cube"].active_material.underpaint.ade20k = "wall"
    scene.objects["Cube"].users_collection[0].underpaint.ade20k = "floor"
    scene.objects["Cube"].select_set(False)
    bpy.context.view_layer.update()
    inspector.turn()
    assert state.look.stale == ""
    scene.objects["Cube"].underpaint.ade20k = "wall"
    scene.objects["Cube"].location.x = 1
    bpy.context.view_layer.update()
    assert state.look.stale != ""


def test_other_captures_and_renders_leave_the_look_true(scene: Any, backend: Connection, tmp_path: Path) -> None:
    _add(scene, "DEPTH")
    scene.underpaint.steps, scene.frame_end = 1, 2
    bpy.ops.underpaint.preview_maps()
    for work in (
        bpy.ops.underpaint.lock_depth_to_frame,
        bpy.ops.underpaint.lock_depth_over_range,
        lambda: bpy.ops.underpaint.save_maps(directory=str(tmp_path)),
        api.control_maps,
        bpy.ops.underpaint.generate,
        bpy.ops.render.render,
    ):
        work()
        bpy.context.view_layer.update()
        inspector.turn()
        assert state.look.stale == ""
    scene.objects["Cube"].location.x = 1  # not told yet
    bpy.ops.underpaint.lock_depth_to_frame()
    assert state.look.stale == '"Cube" has changed'


def test_a_render_needs_the_look_no_more_and_another_file_closes_it(scene: Any, backend: Connection) -> None:
    bpy.ops.underpaint.preview_maps()
    bpy.ops.underpaint.stop_preview()
    assert state.look is None
    assert "Control Depth" in bpy.data.images
    bpy.ops.underpaint.preview_maps()
    bpy.ops.wm.read_factory_settings()
    assert state.look is None


def test_a_file_is_opened_without_the_blank_maps_it_was_saved_with(
    scene: Any, backend: Connection, tmp_path: Path
) -> None:
    bpy.ops.underpaint.preview_maps()
    kept = bpy.data.images["Control Normal"]
    kept.pack()
    kept.use_fake_user = True
    bpy.data.images["Control Depth"].use_fake_user = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    assert "Control Depth" not in bpy.data.images
    assert "Control Normal" in bpy.data.images  # what the user packs is the user's


def test_a_map_that_the_user_has_packed_or_saved_is_the_user_s(scene: Any, backend: Connection, tmp_path: Path) -> None:
    _add(scene, "DEPTH", "NORMAL")
    bpy.ops.underpaint.preview_maps()
    packed, saved = bpy.data.images["Control Depth"], bpy.data.images["Control Normal"]
    before = _bytes("Depth")
    assert not callbacks.is_usable_image(None, packed)  # for a control: it is drawn anew all the time
    packed.pack()
    assert callbacks.is_usable_image(None, packed)
    saved.filepath_raw, saved.file_format = str(tmp_path / "normal.png"), "PNG"
    saved.save()
    scene.underpaint.controls[0].depth.invert = True
    bpy.ops.underpaint.preview_maps()
    assert {packed, saved} <= set(bpy.data.images)
    assert not map_images.is_map(packed)
    np.testing.assert_array_equal(generation.pixels_of(packed), before)
    assert map_images.find("Depth") != packed
    scene.underpaint.controls.clear()
    bpy.ops.underpaint.preview_maps()
    assert {packed, saved} <= set(bpy.data.images)


def test_an_image_of_the_user_s_is_not_written_over(scene: Any, backend: Connection) -> None:
    own = bpy.data.images.new("Control Depth", 4, 4)
    bpy.ops.underpaint.preview_maps()
    assert tuple(own.size) == (4, 4)
    assert tuple(map_images.find("Depth").size) == (128, 96)
    scene.render.resolution_x = 64
    bpy.ops.underpaint.preview_maps()
    assert tuple(map_images.find("Depth").size) == (64, 96)


def test_masked_pixels_keep_their_negative_numbers(scene: Any, backend: Connection, tmp_path: Path) -> None:
    (inpaint,) = _add(scene, "INPAINT")
    with pytest.raises(RuntimeError, match="Choose an object or a collection"):
        bpy.ops.underpaint.preview_maps()
    assert "Choose an object" in state.error
    inpaint.mask_object = scene.objects["Cube"]
    scene.cycles.samples = 1
    bpy.ops.underpaint.preview_maps()
    (item,) = state.look.maps
    image = bpy.data.images["Control Inpaint"]
    assert image.is_float
    assert image.colorspace_settings.is_data
    values = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(values)
    shown = values.reshape(96, 128, 4)[::-1, :, :3]
    np.testing.assert_array_equal(shown, item.values)
    cube = np.isfinite(state.look.sent.capture.depth_m)
    assert (shown[cube] == -1).all()
    assert (shown[~cube] >= 0).all()


def test_a_locked_range_gives_the_frame_s_own_map(scene: Any, backend: Connection) -> None:
    (depth,) = _add(scene, "DEPTH")
    depth.depth.use_outliers, depth.depth.outliers = True, 0.0
    bpy.ops.underpaint.preview_maps()
    before = _bytes("Depth")
    bpy.ops.underpaint.lock_depth_to_frame()
    assert depth.depth.use_range
    inspector.follow(scene)
    np.testing.assert_array_equal(_bytes("Depth"), before)
    near_m = state.look.settings.controls[0].options.near_m
    assert np.float32(near_m) == state.look.sent.capture.depth_m.min()


def test_a_range_is_locked_over_all_frames(scene: Any) -> None:
    (depth,) = _add(scene, "DEPTH")
    scene.frame_start, scene.frame_end = 1, 3
    scene.frame_set(2)
    cube = scene.objects["Cube"]
    for frame, scale in ((1, 1.0), (3, 2.0)):
        cube.scale = (scale,) * 3
        cube.keyframe_insert("scale", frame=frame)
    bpy.ops.underpaint.lock_depth_to_frame()
    one = depth.depth.near_m, depth.depth.far_m
    bpy.ops.underpaint.lock_depth_over_range()
    assert depth.depth.near_m < one[0]
    assert depth.depth.far_m > one[1]
    assert scene.frame_current == 2
    for thing in list(scene.objects):
        thing.hide_render = True
    with pytest.raises(RuntimeError, match="sees no surface"):
        bpy.ops.underpaint.lock_depth_to_frame()
    depth.kind = "NORMAL"
    assert not bpy.ops.underpaint.lock_depth_over_range.poll()


def test_a_script_gets_the_maps(scene: Any, backend: Connection, tmp_path: Path) -> None:
    maps = api.control_maps(scene, size=(64, 80))
    assert [(item.kind, item.values.shape) for item in maps] == [
        (ControlKind.DEPTH, (80, 64, 3)),
        (ControlKind.NORMAL, (80, 64, 3)),
    ]
    flat = ControlSettings(kind=ControlKind.DEPTH, options=DepthOptions(floor=1.0))
    lines = ControlSettings(kind=ControlKind.SEGMENTATION)
    depth, classes = api.control_maps(scene, size=(64, 80), controls=[flat, lines])
    assert set(np.unique(depth.values)) == {0, 255}
    assert classes.name == "Segmentation"
    assert not bpy.data.images.get("Control Depth")
    paths = control_maps.save(maps, tmp_path / "new", control_maps.FileFormat.PNG)
    assert [path.name for path in paths] == ["control_depth.png", "control_normal.png"]


def test_the_active_control_s_map_is_the_one_to_show(scene: Any, backend: Connection) -> None:
    _add(scene, "DEPTH", "NORMAL", "DEPTH")
    scene.underpaint.controls[0].enabled = False
    bpy.ops.underpaint.preview_maps()
    names = []
    for index in range(3):
        scene.underpaint.active_control = index
        names.append(inspector.active_name())
    assert names == ["", "Normal", "Depth"]


def test_weights_that_are_missing_are_named_with_what_to_do(scene: Any, backend: Connection) -> None:
    (edges,) = _add(scene, "SOFTEDGE")
    edges.image = bpy.data.images.new("photo", 64, 64)
    edges.image.pixels = [1.0] * 4 * 64 * 32 + [0.0, 0.0, 0.0, 1.0] * 64 * 32
    with pytest.raises(RuntimeError, match="hed detector has no weights"):
        bpy.ops.underpaint.preview_maps()
    assert "hed detector has no weights" in state.error
    assert len(state.error) > 80  # and what to do about it
    edges.kind = "CANNY"
    edges.detection.use_thresholds = True
    bpy.ops.underpaint.preview_maps()
    assert [item.name for item in state.look.maps] == ["Canny Edges"]
    assert state.error == ""


def test_people_that_were_only_wished_for_do_not_do_for_a_pose_control(scene: Any, fake_backend: Connection) -> None:
    inspector.look(scene, scene.view_layers[0])  # with the default controls, which pass over unknown rigs
    assert inspector.is_true_of(scene, scene.view_layers[0])
    _add(scene, "OPENPOSE")
    assert not inspector.is_true_of(scene, scene.view_layers[0])
    scene.underpaint.controls[0].kind = "NORMAL"
    assert inspector.is_true_of(scene, scene.view_layers[0])


def test_without_a_backend_the_way_to_one_is_said(scene: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNDERPAINT_HOME", str(tmp_path))
    monkeypatch.delenv("UNDERPAINT_BACKEND_PYTHON")
    with pytest.raises(RuntimeError, match='press "Install Backend"'):
        bpy.ops.underpaint.preview_maps()
    assert "Install Backend" in state.error


def test_an_undo_that_takes_the_images_away_brings_them_again(scene: Any, backend: Connection) -> None:
    bpy.context.preferences.edit.use_global_undo = True
    _add(scene, "DEPTH")
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.underpaint.preview_maps()
    before = _bytes("Depth")
    bpy.ops.ed.undo_push(message="after")
    bpy.context.scene.underpaint.controls[0].depth.invert = True
    _until(lambda: state.look.settings is not None and state.look.settings.controls[0].options.invert)
    bpy.ops.ed.undo_push(message="inverted")
    bpy.ops.ed.undo()
    bpy.ops.ed.undo()
    _until(lambda: state.touched_at is None and state.job is None and state.look.settings is not None)
    np.testing.assert_array_equal(_bytes("Depth"), before)


def test_callbacks_of_properties_do_nothing_where_nobody_looks(scene: Any) -> None:
    callbacks.control_changed(None, None)
    callbacks.active_control_changed(None, None)
    assert state.touched_at is None
    assert inspector.active_name() == ""
