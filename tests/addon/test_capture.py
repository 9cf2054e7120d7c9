"""Passes of real renders against analytic geometry, and against every hostile setting of the user's."""

import math
from typing import Any

import bpy
import numpy as np
import pytest
from underpaint.addon import capture as captures
from underpaint.addon.capture import Capture, capture
from underpaint.protocol.errors import InvalidSize, NoCamera, PanoramicCamera, StereoRender
from underpaint.protocol.geometry import Extent, Projection


def look_at_origin(scene: Any, x: float, y: float, z: float) -> None:
    from mathutils import Vector

    scene.camera.location = (x, y, z)
    scene.camera.rotation_euler = Vector((-x, -y, -z)).to_track_quat("-Z", "Y").to_euler()


def reprojected(seen: Capture) -> tuple[np.ndarray, np.ndarray]:
    """Where each hit's position lands by our camera, and the centre of the pixel it came from."""
    hit = np.isfinite(seen.depth_m)
    camera = seen.camera
    camera_from_world = np.linalg.inv(np.array(camera.world_from_camera).reshape(4, 4))
    x, y, z = (seen.position_m[hit] @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]).T
    along = -z if camera.projection is Projection.PERSPECTIVE else np.ones_like(z)
    found = np.stack([camera.cx_px + camera.fx_px * x / along, camera.cy_px - camera.fy_px * y / along], axis=-1)
    rows, columns = np.nonzero(hit)
    return found, np.stack([columns + 0.5, rows + 0.5], axis=-1)


CAMERAS = {
    "plain": {},
    "shift": {"data.shift_x": 0.2, "data.shift_y": -0.1},
    "vertical fit": {"data.sensor_fit": "VERTICAL"},
    "horizontal fit, portrait": {"data.sensor_fit": "HORIZONTAL", "render.resolution_y": 160},
    "auto fit, portrait": {"render.resolution_y": 160},
    "wide pixels": {"render.pixel_aspect_x": 1.5},
    "tall pixels": {"render.pixel_aspect_y": 1.9, "data.shift_y": 0.1},
    "half size": {"render.resolution_x": 256, "render.resolution_y": 192, "render.resolution_percentage": 50},
    "scaled camera": {"camera.scale": (2.0, 3.0, 0.5)},
    "orthographic": {"data.type": "ORTHO"},
    "orthographic, shift, portrait": {"data.type": "ORTHO", "data.shift_x": 0.1, "render.resolution_y": 160},
}


@pytest.mark.parametrize("name", CAMERAS)
def test_a_position_lands_on_its_own_pixel(scene: Any, name: str) -> None:
    bpy.ops.mesh.primitive_plane_add(size=60)
    owners = {"data": scene.camera.data, "camera": scene.camera, "render": scene.render}
    for path, value in CAMERAS[name].items():
        owner, attribute = path.split(".")
        setattr(owners[owner], attribute, value)
    seen = capture(scene)
    found, expected = reprojected(seen)
    assert len(found) > 1000
    assert np.abs(found - expected).max() < 0.01


def test_depth_is_planar_and_the_background_infinite(scene: Any) -> None:
    bpy.data.objects["Cube"].scale = (2, 2, 0.001)
    look_at_origin(scene, 0, 0, 10)
    seen = capture(scene)
    hit = np.isfinite(seen.depth_m)
    assert 0.1 < hit.mean() < 0.9
    np.testing.assert_allclose(seen.depth_m[hit], 10 - 0.001, rtol=1e-4)
    assert np.isposinf(seen.depth_m[~hit]).all()
    assert not seen.normal_camera[~hit].any()


def test_rows_start_at_the_top(scene: Any) -> None:
    look_at_origin(scene, 0, -10, 0)
    bpy.data.objects["Cube"].location = (1.5, 0, 1.0)  # right and up
    rows, columns = np.nonzero(np.isfinite(capture(scene).depth_m))
    assert rows.mean() < 48 < 64 < columns.mean()


@pytest.mark.parametrize("place", [(0, -6, 0), (6, 0, 0), (0, 0, 6), (-3, -4, 2)])
def test_a_sphere_has_the_same_normals_from_everywhere(scene: Any, place: tuple[float, float, float]) -> None:
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    bpy.ops.mesh.primitive_uv_sphere_add(segments=256, ring_count=128, radius=1)
    bpy.ops.object.shade_smooth()
    scene.camera.data.type, scene.camera.data.ortho_scale = "ORTHO", 2.5
    look_at_origin(scene, *place)
    seen = capture(scene)
    x = (np.arange(128) + 0.5 - 64) * 2.5 / 128
    y = (48 - np.arange(96) - 0.5) * 2.5 / 128
    nx, ny = np.meshgrid(x, y)
    inside = nx**2 + ny**2 < 0.95
    expected = np.stack([nx, ny, np.sqrt(np.maximum(0, 1 - nx**2 - ny**2))], axis=-1)[inside]
    cosine = (seen.normal_camera[inside] * expected).sum(axis=-1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean() < 0.2
    np.testing.assert_allclose(np.linalg.norm(seen.normal_camera[inside], axis=-1), 1, atol=1e-5)


def hostile(scene: Any) -> None:
    """Every setting that could blur, shift, thin out or cut the passes, all at once."""
    cycles, render, layer = scene.cycles, scene.render, scene.view_layers[0]
    cycles.samples, cycles.use_adaptive_sampling, cycles.use_denoising = 512, True, True
    cycles.time_limit, cycles.seed, cycles.use_animated_seed = 0.001, 99, True
    cycles.pixel_filter_type, cycles.filter_width, cycles.film_exposure = "GAUSSIAN", 9.0, 3.0
    cycles.sampling_pattern, cycles.use_auto_tile, cycles.tile_size = "TABULATED_SOBOL", True, 64
    cycles.use_guiding = True
    layer.samples, layer.pass_alpha_threshold = 64, 0.9
    layer.cycles.denoising_store_passes = True
    layer.use_pass_mist = layer.use_pass_vector = layer.use_pass_diffuse_direct = True
    layer.use_pass_cryptomatte_object = True
    render.use_motion_blur = render.use_persistent_data = render.use_freestyle = render.film_transparent = True
    render.use_border, render.use_crop_to_border = True, False
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.2, 0.53, 0.31, 0.8
    scene.view_settings.view_transform, scene.view_settings.exposure = "AgX", 2.0
    scene.camera.data.dof.use_dof = True
    scene.camera.data.dof.focus_distance, scene.camera.data.dof.aperture_fstop = 1.0, 0.1
    cube = bpy.data.objects["Cube"]
    cube.location.x, before = cube.location.x - 1, cube.location.x
    cube.keyframe_insert("location", frame=0)
    cube.location.x = before
    cube.keyframe_insert("location", frame=1)
    compositor(scene)


def compositor(scene: Any) -> None:
    """A compositor of the user's that inverts the picture and the depth with it."""
    if hasattr(scene, "compositing_node_group"):  # 5.0
        tree = bpy.data.node_groups.new("Mine", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        scene.compositing_node_group = tree
        output = tree.nodes.new("NodeGroupOutput")
    else:
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        output = tree.nodes.new("CompositorNodeComposite")
    layers, invert = tree.nodes.new("CompositorNodeRLayers"), tree.nodes.new("CompositorNodeInvert")
    tree.links.new(layers.outputs[0], next(i for i in invert.inputs if i.name == "Color"))
    tree.links.new(invert.outputs[0], output.inputs[0])
    scene.render.use_compositing = True


def assert_same(one: Capture, other: Capture) -> None:
    for name in ("depth_m", "normal_camera", "position_m"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.camera == other.camera


def test_hostile_settings_change_no_bit(scene: Any) -> None:
    calm = capture(scene)
    hostile(scene)
    assert_same(calm, capture(scene))
    assert scene.cycles.samples == 512
    assert scene.cycles.use_denoising
    assert scene.render.use_border
    assert scene.camera.data.dof.use_dof
    assert scene.view_layers[0].samples == 64
    assert not len(scene.view_layers[0].aovs)


def test_nothing_is_left_behind(scene: Any) -> None:
    capture(scene)  # makes Blender's own Render Result
    before = {
        name: [item.name for item in getattr(bpy.data, name)] for name in ("scenes", "cameras", "images", "meshes")
    }
    capture(scene)
    after = {name: [item.name for item in getattr(bpy.data, name)] for name in before}
    assert after == before
    assert not captures.orders


def test_another_camera_may_look(scene: Any) -> None:
    data = bpy.data.cameras.new("Other")
    other = bpy.data.objects.new("Other", data)
    scene.collection.objects.link(other)
    other.location = (0, 0, 7)
    seen = capture(scene, camera=other)
    assert scene.camera.name == "Camera"
    assert math.isclose(seen.depth_m.min(), 6, rel_tol=1e-4)


def test_the_asked_view_layer_is_taken(scene: Any) -> None:
    empty = scene.view_layers.new("Empty")
    empty.layer_collection.children[0].exclude = True
    assert np.isinf(capture(scene, empty).depth_m).all()
    assert np.isfinite(capture(scene).depth_m).any()


def test_a_size_that_no_frame_can_have_is_refused_as_it_was_asked_for(scene: Any) -> None:
    for width, height, nearest in ((0, 96, "8 x 96"), (100_000, 64, "8192 x 64")):
        with pytest.raises(InvalidSize, match=f"is {width} x {height};.* The nearest is {nearest}"):
            capture(scene, extent=Extent(width=width, height=height))


def test_bad_scenes_get_their_own_error(scene: Any) -> None:
    scene.render.resolution_x = 130
    with pytest.raises(InvalidSize, match="128 x 96"):
        capture(scene)
    scene.render.resolution_x = 128
    scene.render.use_multiview = True
    with pytest.raises(StereoRender):
        capture(scene)
    scene.render.use_multiview = False
    scene.camera.data.type = "PANO"
    with pytest.raises(PanoramicCamera):
        capture(scene)
    scene.camera = None
    with pytest.raises(NoCamera, match='"Scene"'):
        capture(scene)
    assert [item.name for item in bpy.data.scenes] == ["Scene"]
