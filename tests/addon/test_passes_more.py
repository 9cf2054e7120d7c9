"""Motion, UV and the beauty, the locked depth range, and what becomes of broken scenes."""

import itertools
import math
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from blend_dump import changes, dump
from test_capture import assert_same, hostile, look_at_origin
from underpaint.addon import capture as captures
from underpaint.addon import engine, passes
from underpaint.addon.capture import Wants, capture, depth_range
from underpaint.protocol.errors import (
    BeautyNeedsPersistentData,
    BeautyNeedsWholeFrame,
    BrokenCamera,
    InvalidSize,
    JobCancelled,
    MovingParallelCamera,
    NothingInView,
    NothingRendered,
    ReversedClip,
    SceneError,
)
from underpaint.protocol.geometry import Extent

ALL = Wants(ids=True, uv=True, motion=True)
NAN, INFINITE = math.nan, math.inf


@pytest.fixture
def above(scene: Any) -> Any:
    """An orthographic camera over the default cube, 16 pixels a metre."""
    scene.camera.data.type, scene.camera.data.ortho_scale = "ORTHO", 8.0
    look_at_origin(scene, 0, 0, 20)
    return scene


def moving(thing: Any, *, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> None:
    """Let it pass x = y = 0 at frame 10 with so many metres a frame."""
    for frame in (0, 20):
        thing.location = (x * (frame - 10), y * (frame - 10), z)
        thing.keyframe_insert("location", frame=frame)
    channels = thing.animation_data.action
    curves = channels.fcurves if hasattr(channels, "fcurves") else channels.layers[0].strips[0].channelbags[0].fcurves
    for curve in curves:
        curve.extrapolation = "LINEAR"
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"


@pytest.mark.parametrize("frame", [0, 1, 10, 10.5, 12.25])
def test_motion_is_from_here_to_the_frames_beside(above: Any, frame: float) -> None:
    moving(bpy.data.objects["Cube"], x=0.1, y=0.2)  # to the right and up
    seen = capture(above, frame=frame, wants=ALL)
    hit = seen.alpha > 0
    assert hit.any()
    expected = np.array((-1.6, 3.2, 1.6, -3.2))  # y down
    np.testing.assert_allclose(seen.motion_px[hit], np.broadcast_to(expected, (hit.sum(), 4)), atol=1e-3)
    assert not seen.motion_px[~hit].any()
    centre = np.argwhere(hit).mean(axis=0)
    np.testing.assert_allclose(centre, (47.5 - 3.2 * (frame - 10), 63.5 + 1.6 * (frame - 10)), atol=0.6)


def test_motion_of_the_camera_and_of_the_users_motion_blur(above: Any) -> None:
    above.render.use_motion_blur = True
    above.camera.data.type = "PERSP"
    moving(above.camera, x=0.1, z=20)
    above.frame_set(10)
    seen = capture(above, wants=ALL)
    hit = seen.alpha > 0
    expected = seen.camera.fx_px * 0.1 / 19  # the cube's upper side is 19 m away
    np.testing.assert_allclose(seen.motion_px[hit].mean(axis=0), (expected, 0, -expected, 0), atol=1e-3)


def test_a_moving_parallel_camera_is_right_or_refused(above: Any) -> None:
    moving(above.camera, x=0.1, z=20)
    above.frame_set(10)
    if bpy.app.version >= (4, 3):
        with pytest.raises(MovingParallelCamera, match='"Camera" moves'):
            capture(above, wants=ALL)
        return
    seen = capture(above, wants=ALL)
    np.testing.assert_allclose(seen.motion_px[seen.alpha > 0].mean(axis=0), (1.6, 0, -1.6, 0), atol=1e-3)


def test_another_frame_leaves_the_current_one(above: Any) -> None:
    cube = bpy.data.objects["Cube"]
    moving(cube, x=0.1)
    above.frame_set(7, subframe=0.25)
    place = cube.matrix_world.copy()
    later = capture(above, frame=15.5, wants=ALL)
    assert (above.frame_current, above.frame_subframe) == (7, 0.25)
    assert cube.matrix_world == place
    assert cube.location == place.translation
    above.frame_set(15, subframe=0.5)
    assert_same(later, capture(above, wants=ALL))


@pytest.mark.parametrize("frame", [-1, -0.5, 1e12, NAN, INFINITE])
def test_a_frame_that_blender_has_not_is_refused(above: Any, frame: float) -> None:
    with pytest.raises(SceneError, match="has no frame"):
        capture(above, frame=frame)
    assert len(bpy.data.scenes) == 1


def test_a_marker_binds_its_camera_at_another_frame(above: Any) -> None:
    near = bpy.data.objects.new("Near", above.camera.data.copy())
    near.location = (0, 0, 5)
    above.collection.objects.link(near)
    for frame, camera in ((1, above.camera), (50, near)):
        above.timeline_markers.new(camera.name, frame=frame).camera = camera
    assert math.isclose(capture(above, frame=49).depth_m.min(), 19, rel_tol=1e-5)
    assert math.isclose(capture(above, frame=50).depth_m.min(), 4, rel_tol=1e-5)
    assert above.camera.name == "Camera"


def test_uv_are_those_of_the_map(above: Any) -> None:
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    bpy.ops.mesh.primitive_plane_add(size=4)
    seen = capture(above, wants=ALL)
    rows, columns = np.nonzero(seen.alpha)
    expected = np.stack([(columns + 0.5 - 32) / 64, 1 - (rows + 0.5 - 16) / 64], axis=-1)
    np.testing.assert_allclose(seen.uv[rows, columns], expected, atol=1e-3)
    assert not seen.uv[seen.alpha == 0].any()


def test_only_what_is_asked_for_is_there(scene: Any) -> None:
    seen = capture(scene)
    assert (seen.object_ids, seen.material_ids, seen.uv, seen.motion_px, seen.beauty) == (None,) * 5
    assert seen.object_names == seen.material_names == ()
    np.testing.assert_array_equal(seen.alpha > 0, np.isfinite(seen.depth_m))


# -------------------------------------------------------------------------------------------------- beauty


def own_render(scene: Any, path: Path) -> np.ndarray:
    """What Blender writes for the scene with Cycles."""
    scene.render.engine, scene.render.filepath = "CYCLES", str(path)
    scene.render.image_settings.color_mode = "RGB"
    bpy.ops.render.render(write_still=True)
    scene.render.engine = "UNDERPAINT"
    image = bpy.data.images.load(str(path))
    width, height = image.size
    values = np.array(image.pixels[:]).reshape(height, width, image.channels)[::-1, :, :3]
    return np.rint(values * 255).astype(np.int16)


def test_the_beauty_is_what_cycles_renders(scene: Any, tmp_path: Path) -> None:
    scene.cycles.samples, scene.cycles.use_denoising = 8, False
    seen = capture(scene, wants=Wants(ids=True, beauty=True))
    assert seen.beauty.dtype == np.uint8
    assert seen.beauty.std() > 10
    assert np.abs(own_render(scene, tmp_path / "own.png") - seen.beauty).max() <= 1
    assert_same(seen, capture(scene))


def test_in_f12_the_beauty_comes_from_the_same_engine(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a window this needs Persistent Data; the error says so, and a region can't be had either."""
    scene.cycles.samples, scene.cycles.use_denoising = 8, False
    wants = Wants(ids=True, uv=True, motion=True, beauty=True)
    expected = capture(scene, wants=wants)
    found: list[Any] = []

    def see_only(self: Any, depsgraph: Any, layer: str) -> None:
        found.append(self._see(depsgraph, captures.People.LEFT_OUT)[1])

    monkeypatch.setattr(engine.UnderpaintRenderEngine, "_wished", lambda *_: wants)
    monkeypatch.setattr(engine.UnderpaintRenderEngine, "_paint", see_only)
    with pytest.raises(RuntimeError, match=str(BeautyNeedsPersistentData())[:60]):
        bpy.ops.render.render()
    scene.render.use_persistent_data = True
    bpy.ops.render.render()
    bpy.ops.render.render()
    scene.render.use_border, scene.render.border_max_x = True, 0.5
    with pytest.raises(RuntimeError, match=str(BeautyNeedsWholeFrame())[:60]):
        bpy.ops.render.render()
    assert len(found) == 2
    for seen in found:
        assert_same(seen, expected)
        np.testing.assert_array_equal(seen.beauty, expected.beauty)
        np.testing.assert_array_equal(seen.object_ids, expected.object_ids)


def test_in_f12_the_same_is_seen_with_and_without_a_region(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile(scene)
    expected = capture(scene, wants=ALL)
    found: list[Any] = []

    def see_only(self: Any, depsgraph: Any, layer: str) -> None:
        found.append(self._see(depsgraph, captures.People.LEFT_OUT)[1])

    monkeypatch.setattr(engine.UnderpaintRenderEngine, "_wished", lambda *_: ALL)
    monkeypatch.setattr(engine.UnderpaintRenderEngine, "_paint", see_only)
    scene.render.use_freestyle = False
    bpy.ops.render.render()
    scene.render.use_border = False
    bpy.ops.render.render()
    for seen in found:
        assert_same(seen, expected)
        for name in ("object_ids", "material_ids", "uv", "motion_px"):
            np.testing.assert_array_equal(getattr(seen, name), getattr(expected, name), err_msg=name)
    assert len(found) == 2


def test_every_wish_leaves_the_scene_as_it_is(scene: Any) -> None:
    hostile(scene)
    scene.cycles.samples = 4
    scene.view_layers[0].samples = 0
    capture(scene)  # the first render brings the start-up file's nodes up to date
    before = dump()
    capture(scene, frame=3.5, wants=Wants(ids=True, uv=True, motion=True, beauty=True))
    depth_range(scene, frames=(0, 1.5))
    found = changes(before, dump())
    if bpy.app.version < (4, 3):  # its scene.copy() leaves a user too many; see docs/blender-facts.md
        found.pop("collections/Collection.users", None)
    assert found == {}


# -------------------------------------------------------------------------------------------- depth range


def test_a_depth_range_holds_every_frame_and_camera(above: Any) -> None:
    cube = bpy.data.objects["Cube"]
    for frame, z in ((1, 0), (11, 5)):
        cube.location.z = z
        cube.keyframe_insert("location", frame=frame)
    above.frame_set(3, subframe=0.5)
    lower = bpy.data.objects.new("Lower", above.camera.data)
    lower.location = (0, 0, 15)
    above.collection.objects.link(lower)
    heard: list[float] = []
    near, far = depth_range(above, frames=(1, 6.5, 11), cameras=(above.camera, lower), progress=heard.append)
    assert math.isclose(near, 15 - 6, rel_tol=1e-5)
    assert math.isclose(far, 20 - 1, rel_tol=1e-5)
    assert heard == sorted(heard)
    assert len(heard) == 6
    assert heard[-1] == 1
    assert (above.frame_current, above.frame_subframe, above.camera.name) == (3, 0.5, "Camera")


def test_a_wall_has_a_range_too(above: Any) -> None:
    near, far = depth_range(above)
    assert near < 19 < far
    assert far - near < 0.1


def test_a_depth_range_can_be_stopped_and_may_be_of_nothing(above: Any) -> None:
    asked = itertools.count()
    with pytest.raises(JobCancelled):
        depth_range(above, frames=range(1000), cancelled=lambda: next(asked) == 2)
    assert next(asked) == 3
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    with pytest.raises(NothingInView):
        depth_range(above)


# ---------------------------------------------------------------------------------------------- bad input

BROKEN = {
    "NaN": lambda cube: setattr(cube.data.vertices[0], "co", (NAN,) * 3),
    "infinite": lambda cube: setattr(cube.data.vertices[0], "co", (INFINITE, 0, 0)),
    "beyond floats": lambda cube: setattr(cube.data.vertices[0], "co", (1e30, 1e30, 0)),
    "all NaN": lambda cube: cube.data.vertices.foreach_set("co", [NAN] * 24),
    "nowhere": lambda cube: setattr(cube.location, "x", NAN),
    "nowhere at all": lambda cube: setattr(cube, "matrix_world", [[NAN] * 4] * 4),
    "no size": lambda cube: setattr(cube, "scale", (0, 0, 0)),
    "flat": lambda cube: setattr(cube, "scale", (1, 1, 0)),
    "broken UV": lambda cube: [setattr(item, "uv", (NAN, INFINITE)) for item in cube.data.uv_layers[0].data],
    "no UV": lambda cube: cube.data.uv_layers.remove(cube.data.uv_layers[0]),
}


@pytest.mark.parametrize("way", BROKEN)
def test_broken_geometry_spoils_no_pixel(scene: Any, way: str) -> None:
    """What can't be shown is left out; the rest of the scene is as it would be without."""
    bpy.ops.mesh.primitive_plane_add(size=60, location=(0, 0, -3))
    cube = bpy.data.objects["Cube"]
    cube.hide_render = True
    floor = capture(scene, wants=ALL)
    cube.hide_render = False
    BROKEN[way](cube)
    seen = capture(scene, wants=ALL)
    for name in ("normal_camera", "position_m", "uv", "motion_px"):
        assert np.isfinite(getattr(seen, name)).all(), name
    assert not np.isnan(seen.depth_m).any()
    rest = seen.object_ids != 1 + seen.object_names.index("Cube")
    assert rest.any()
    np.testing.assert_array_equal(seen.depth_m[rest], floor.depth_m[rest])
    if way in ("all NaN", "nowhere", "nowhere at all", "no size"):
        assert rest.all()


CAMERAS = {
    "NaN": (BrokenCamera, lambda camera: setattr(camera.location, "x", NAN)),
    "no scale": (BrokenCamera, lambda camera: setattr(camera, "scale", (0, 0, 0))),
    "NaN shift": (BrokenCamera, lambda camera: setattr(camera.data, "shift_x", NAN)),
    "clip": (ReversedClip, lambda camera: setattr(camera.data, "clip_start", 2000)),
}


@pytest.mark.parametrize("way", CAMERAS)
def test_cameras_that_can_see_nothing_are_refused(scene: Any, way: str) -> None:
    error, spoil = CAMERAS[way]
    spoil(scene.camera)
    with pytest.raises(error, match='"Camera"'):
        capture(scene)
    with pytest.raises(RuntimeError, match='"Camera"'):
        bpy.ops.render.render()
    assert [item.name for item in bpy.data.scenes] == ["Scene"]


def test_a_camera_inside_a_mesh_sees_its_inside(scene: Any) -> None:
    scene.camera.location = (0, 0, 0)
    seen = capture(scene, wants=ALL)
    assert seen.alpha.all()
    assert (seen.object_ids == 1).all()
    assert (seen.normal_camera[..., 2] > 0).mean() > 0.99  # toward the viewer
    assert 0.9 < seen.depth_m.min() < seen.depth_m.max() < 2


def test_an_empty_scene_is_all_background_and_makes_no_picture(scene: Any) -> None:
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    seen = capture(scene, wants=ALL)
    assert np.isposinf(seen.depth_m).all()
    assert not seen.alpha.any()
    assert not seen.object_ids.any()
    assert seen.object_names == ()
    with pytest.raises(RuntimeError, match="sees no surface"):
        bpy.ops.render.render()


def test_places_far_from_the_origin(scene: Any) -> None:
    """The precision of a float is a metre there; depth and ids hold all the same."""
    bpy.data.objects["Cube"].location = (1e7, 0, 0)
    bpy.data.objects["Cube"].scale = (100, 100, 100)
    look_at_origin(scene, 0, -1000, 0)
    scene.camera.location.x += 1e7
    scene.camera.data.clip_end = 1e4
    seen = capture(scene, wants=ALL)
    assert (seen.object_ids == 1).any()
    assert abs(seen.depth_m.min() - 900) < 1


def test_things_that_are_farther_than_the_moon(scene: Any) -> None:
    cube = bpy.data.objects["Cube"]
    cube.location, cube.scale = (0, 5e9, 0), (1e9, 1e9, 1e9)
    scene.camera.location, scene.camera.rotation_euler = (0, 0, 0), (math.pi / 2, 0, 0)
    scene.camera.data.clip_end = 1e12
    seen = capture(scene, wants=ALL)
    np.testing.assert_allclose(seen.depth_m[seen.object_ids == 1], 4e9, rtol=1e-5)
    assert (seen.object_ids == 1).any()


@pytest.mark.parametrize("region", [False, True])
def test_the_smallest_frame(scene: Any, region: bool) -> None:
    seen = capture(scene, extent=Extent(width=8, height=8), wants=Wants(ids=True, uv=True, motion=True, beauty=True))
    assert seen.depth_m.shape == seen.object_ids.shape == (8, 8)
    assert seen.beauty.shape == (8, 8, 3)
    assert seen.alpha.any()
    with pytest.raises(InvalidSize):
        capture(scene, extent=Extent(width=1, height=1))
    scene.render.resolution_x = scene.render.resolution_y = 4  # Blender's least
    scene.render.resolution_percentage = 25  # 1 x 1
    scene.render.use_border = region
    with pytest.raises(RuntimeError, match="multiples of 8"):
        bpy.ops.render.render()


def test_a_render_that_cycles_gives_up_is_no_black_map(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As out of memory: Cycles tells the user, and leaves every pass zero."""
    monkeypatch.setattr(passes.cycles_engine, "render", lambda *_: None)
    with pytest.raises(NothingRendered):
        capture(scene)
    with pytest.raises(NothingRendered):
        capture(scene, wants=Wants(beauty=True))
