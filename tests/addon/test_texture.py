"""Pictures projected onto meshes and compared with what was there; all through real Cycles renders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Matrix
from texture_stage import (
    SIDE,
    glowing,
    known_texture,
    look,
    mirrored,
    psnr,
    rendered,
    result,
    smooth_picture,
    sphere,
    stretched,
    suzanne,
    texels,
)
from underpaint.addon import texture
from underpaint.addon.camera import frame, protocol_camera
from underpaint.addon.texture import projection
from underpaint.addon.texture.raster import hits
from underpaint.protocol.errors import NoPicture, NotEditable, NothingSelected, NotInView, NoUVMap


@pytest.fixture
def stage(scene: Any) -> Any:
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    scene.render.resolution_x = scene.render.resolution_y = SIDE
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGB"
    scene.cycles.samples = 16
    scene.cycles.use_denoising = False
    scene.world.node_tree.nodes["Background"].inputs[0].default_value = (0, 0, 0, 1)
    look(scene, (1.5, -4, 1.2))
    return scene


@pytest.mark.parametrize("make", [sphere, suzanne, stretched, mirrored])
def test_a_known_texture_comes_back(
    stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any]
) -> None:
    # what is well seen, without what fills the rim of the view
    monkeypatch.setattr(projection, "_LIMIT_DEG", 75.0)
    monkeypatch.setattr(projection, "_SPREAD", 0)
    monkeypatch.setattr(projection, "_SPREAD_OVER_EARLIER", 0)
    thing = make()
    known = known_texture(thing)
    thing.data.materials.append(glowing(known))
    stage.cycles.samples, stage.cycles.pixel_filter_type = 1, "BOX"
    stage.cycles.filter_width = 0.01  # the colour at each pixel's centre
    (made,) = texture.project(result(stage, rendered(stage, tmp_path)), [thing], size=512)
    seen = texture.report_of(made).seen
    assert 0.1 < seen < 0.6
    found, expected = texels(made)[..., :3] * 255, texels(known)[..., :3] * 255
    same = accepted(stage, thing, made)
    assert same.mean() > 0.05
    assert psnr(found[same], expected[same]) >= 45
    assert np.abs(found[same] - expected[same]).max() < 0.15 * 255
    assert (texels(made)[..., 3] == 1).all()


def accepted(scene: Any, thing: Any, made: Any) -> np.ndarray:
    """Texels that a projection sees: those that change when a white picture follows a black one."""
    answers = []
    for value in (0, 255):
        (image,) = texture.project(result(scene, np.full((SIDE, SIDE, 3), value, np.uint8)), [thing], size=made.size[0])
        answers.append(texels(image)[..., :3])
    return (answers[0] == 0).all(axis=-1) & (answers[1] == 1).all(axis=-1) & covered(thing, made.size[0])


def covered(thing: Any, size: int) -> np.ndarray:
    uv = np.array([[thing.data.uv_layers.active.uv[loop].vector[:] for loop in t.loops] for t in triangles(thing)])
    mask = np.zeros(size * size, bool)
    for batch in hits(uv, size):
        mask[batch.texel] = True
    return mask.reshape(size, size)


def triangles(thing: Any) -> Any:
    thing.data.calc_loop_triangles()
    return thing.data.loop_triangles


@pytest.mark.parametrize("projection", ["PERSP", "ORTHO"])
def test_the_textured_mesh_looks_like_the_picture(stage: Any, tmp_path: Path, projection: str) -> None:
    thing = suzanne()
    stage.camera.data.type, stage.camera.data.ortho_scale = projection, 2.8
    stage.camera.data.shift_x, stage.camera.data.shift_y = 0.05, -0.08
    stage.render.pixel_aspect_y = 1.25
    picture = smooth_picture()
    texture.project(result(stage, picture), [thing])
    stage.cycles.samples = 1
    stage.cycles.pixel_filter_type, stage.cycles.filter_width = "BOX", 0.01
    seen = rendered(stage, tmp_path)
    on_mesh = seen.any(axis=-1)
    assert 0.15 < on_mesh.mean() < 0.8
    assert psnr(seen[on_mesh], picture[on_mesh]) >= 40


def test_what_is_behind_gets_nothing_of_what_is_in_front(stage: Any) -> None:
    bpy.ops.mesh.primitive_plane_add(size=1, location=(0, -0.2, 0), rotation=(np.pi / 2, 0, 0))
    bpy.ops.mesh.primitive_plane_add(size=2, location=(0, 0, 0), rotation=(np.pi / 2, 0, 0))
    back = bpy.context.object
    look(stage, (0, -4, 0))
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[..., 1] = 255
    depth = 4 - 0.2  # the front plane covers what lies within this half width, in pixels
    half = 0.5 / depth * protocol_camera(stage, bpy.context.evaluated_depsgraph_get()).fx_px
    middle = np.abs(np.arange(SIDE) + 0.5 - SIDE / 2) < half
    picture[middle[:, None] & middle] = (255, 0, 0)
    (made,) = texture.project(result(stage, picture), [back])
    red = (texels(made)[..., 0] > 0.55) & (texels(made)[..., 1] < 0.45)
    assert red.sum() == 0
    green = (texels(made)[..., 1] == 1) & (texels(made)[..., 0] == 0)
    assert 0.5 < green.mean() < 0.8
    np.testing.assert_array_equal(texels(made)[512, 512, :3], np.float32(128 / 255))  # hidden: mid grey


def test_colours_are_the_pictures_own(stage: Any, tmp_path: Path) -> None:
    thing = sphere()
    (made,) = texture.project(result(stage, np.full((SIDE, SIDE, 3), 128, np.uint8)), [thing])
    assert made.colorspace_settings.name == "sRGB"
    assert not made.is_float
    assert made.packed_file is not None
    values = np.unique(np.rint(texels(made)[..., :3] * 255))
    assert set(values) <= {127.0, 128.0}
    stage.view_settings.view_transform = "Raw"
    middle = rendered(stage, tmp_path)[SIDE // 2, SIDE // 2]
    np.testing.assert_allclose(middle / 255, 0.2159, atol=0.004)


def test_islands_have_padding(stage: Any) -> None:
    thing = suzanne()
    thing.modifiers.clear()
    (made,) = texture.project(result(stage, np.full((SIDE, SIDE, 3), (255, 0, 255), np.uint8)), [thing], size=512)
    inside = covered(thing, 512)
    seen = (texels(made)[..., :3] == (1, 0, 1)).all(axis=-1)
    around = near(seen & inside, 6) & ~near(inside & ~seen, 9) & ~inside
    assert around.sum() > 100
    assert seen[around].all()


def near(mask: np.ndarray, distance: int) -> np.ndarray:
    """What lies within a square of so many texels around a mask."""
    for _ in range(distance):
        padded = np.pad(mask, 1)
        wide = mask | padded[1:-1, :-2] | padded[1:-1, 2:]
        padded = np.pad(wide, 1)
        mask = wide | padded[:-2, 1:-1] | padded[2:, 1:-1]
    return mask


def test_what_is_not_seen_keeps_its_colour(stage: Any) -> None:
    thing = sphere()
    for colour in ((1, 0, 0, 1), (0, 0, 1, 1)):
        material = bpy.data.materials.new("Plain")
        if material.node_tree is None:
            material.use_nodes = True
        material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = colour
        thing.data.materials.append(material)
    for face in thing.data.polygons:
        face.material_index = int(face.center.z > 0)
    before = [face.material_index for face in thing.data.polygons]
    (first,) = texture.project(result(stage, np.full((SIDE, SIDE, 3), (0, 255, 0), np.uint8)), [thing], size=256)
    colours = {tuple(texel) for texel in np.rint(texels(first)[..., :3]).astype(int).reshape(-1, 3)}
    assert {(0, 1, 0), (1, 0, 0), (0, 0, 1)} <= colours
    assert [face.material_index for face in thing.data.polygons] == before

    look(stage, (-1.5, 4, 1.2))  # from behind
    (second,) = texture.project(result(stage, np.full((SIDE, SIDE, 3), (255, 255, 0), np.uint8)), [thing], size=256)
    assert ((texels(second)[..., :3] == (1, 1, 0)).all(axis=-1)).mean() > 0.3
    assert ((texels(second)[..., :3] == (0, 1, 0)).all(axis=-1)).mean() > 0.25  # of the first projection


def datablocks() -> dict[str, set[str]]:
    return {
        name: {block.name for block in getattr(bpy.data, name)}
        for name in ("images", "materials", "objects", "meshes", "cameras", "scenes", "collections", "node_groups")
    }


def test_nothing_but_the_texture_and_its_material_appears(stage: Any) -> None:
    thing = sphere()
    old = bpy.data.materials.new("Old")
    thing.data.materials.append(old)
    picture = result(stage, smooth_picture())
    before, render = datablocks(), (stage.render.pixel_aspect_x, stage.camera.name, stage.render.engine)
    (made,) = texture.project(picture, [thing], size=128)
    after = datablocks()
    assert after.pop("images") - before.pop("images") == {made.name}
    assert len(after["materials"]) == len(before.pop("materials")) + 1
    assert "Old" in after.pop("materials")
    assert after == before
    assert (stage.render.pixel_aspect_x, stage.camera.name, stage.render.engine) == render
    assert old.users == 1  # held by the new material, so that saving the file keeps it
    assert thing.material_slots[0].material["underpaint_replaced"]["0"] == old


def test_objects_that_share_a_mesh_get_a_texture_each(stage: Any) -> None:
    first = sphere()
    first.location.x = -0.9
    old = bpy.data.materials.new("Old")
    first.data.materials.append(old)
    second, third = first.copy(), first.copy()
    for thing in (second, third):
        stage.collection.objects.link(thing)
    second.location.x, third.location.z = 0.9, 50
    look(stage, (0, -7, 0))
    made = texture.project(result(stage, smooth_picture()), [first, second], size=128)
    assert len({image.name for image in made}) == 2
    assert first.material_slots[0].material != second.material_slots[0].material
    assert third.material_slots[0].material == old
    assert first.data.materials[0] == old


def test_overlapping_and_tiling_uvs_are_told(stage: Any) -> None:
    thing = sphere()
    thing.modifiers.new("Mirror", "MIRROR").use_mirror_u = False
    thing.data.transform(Matrix.Translation((1.0, 0, 0)))
    for corner in thing.data.uv_layers.active.uv:
        corner.vector.x += 1.5
    look(stage, (0, -6, 0))
    (made,) = texture.project(result(stage, smooth_picture()), [thing], size=128)
    report = texture.report_of(made)
    assert report.overlap > 0.9
    assert report.outside > 0.9
    assert len(report.warnings()) == 2
    assert texture.report_of(bpy.data.images.new("Other", 8, 8)) is None


def test_no_uv_map(stage: Any) -> None:
    good, bare = sphere(), sphere()
    bare.data.uv_layers.remove(bare.data.uv_layers[0])
    picture, before = result(stage, smooth_picture()), datablocks()
    with pytest.raises(NoUVMap, match=bare.name):
        texture.project(picture, [good, bare])
    good.modifiers.new("Remesh", "REMESH")  # leaves none
    with pytest.raises(NoUVMap, match=good.name):
        texture.project(picture, [good])
    assert datablocks() == before


def test_nothing_to_project_onto(stage: Any) -> None:
    picture = result(stage, smooth_picture())
    with pytest.raises(NothingSelected):
        texture.project(picture, [])
    with pytest.raises(NothingSelected):
        texture.project(picture, [stage.camera])
    thing = sphere()
    with pytest.raises(NoPicture):
        texture.project(bpy.data.images.new("Other", 8, 8), [thing])
    before = datablocks()
    thing.location.z = 100
    with pytest.raises(NotInView, match=thing.name):
        texture.project(picture, [thing])
    thing.location.z = 0
    thing.hide_render = True
    with pytest.raises(NotInView):
        texture.project(picture, [thing])
    assert datablocks() == before


def test_one_undo_takes_it_back(stage: Any) -> None:
    thing = sphere()
    thing.data.materials.append(bpy.data.materials.new("Old"))
    picture = result(stage, smooth_picture())
    names = thing.name, picture.name
    bpy.ops.ed.undo_push(message="Before")
    before = datablocks()
    texture.project(picture, [thing], size=64)
    bpy.ops.ed.undo_push(message="Project")
    assert datablocks() != before
    bpy.ops.ed.undo()
    assert datablocks() == before
    assert [slot.material.name for slot in bpy.data.objects[names[0]].material_slots] == ["Old"]
    assert bpy.data.images[names[1]].packed_file is not None


CAMERAS = {
    "plain": {},
    "shift": {"data.shift_x": 0.2, "data.shift_y": -0.1},
    "vertical fit, portrait": {"data.sensor_fit": "VERTICAL", "render.resolution_y": 512},
    "wide pixels": {"render.pixel_aspect_x": 1.5, "data.shift_y": 0.3},
    "tall pixels": {"render.pixel_aspect_y": 1.9, "data.shift_y": 0.3},
    "fisheye-like": {"data.lens": 1.0, "data.sensor_width": 60.0},
    "orthographic": {"data.type": "ORTHO", "data.shift_x": 0.1, "render.resolution_y": 512},
}


@pytest.mark.parametrize("name", CAMERAS)
def test_a_camera_is_made_again_from_its_numbers(stage: Any, name: str) -> None:
    owners = {"data": stage.camera.data, "render": stage.render}
    for path, value in CAMERAS[name].items():
        setattr(owners[path.split(".")[0]], path.split(".")[1], value)
    expected = protocol_camera(stage, bpy.context.evaluated_depsgraph_get())
    stage.camera = bpy.data.objects.new("Again", bpy.data.cameras.new("Again"))
    stage.collection.objects.link(stage.camera)
    projection._set_up(stage, stage.camera, expected, frame(stage))
    found = protocol_camera(stage, bpy.context.evaluated_depsgraph_get())
    for number in ("fx_px", "fy_px", "cx_px", "cy_px", "world_from_camera", "clip_start_m", "clip_end_m"):
        np.testing.assert_allclose(getattr(found, number), getattr(expected, number), rtol=1e-4, atol=1e-3)
    assert found.projection is expected.projection


def test_linked_meshes(stage: Any, tmp_path: Path) -> None:
    thing = sphere()
    thing.name = "Linked"
    bpy.data.libraries.write(str(tmp_path / "library.blend"), {thing})
    bpy.data.objects.remove(thing)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, target):
        target.objects = ["Linked"]
    linked = target.objects[0]
    stage.collection.objects.link(linked)
    local = bpy.data.objects.new("Local", linked.data)
    stage.collection.objects.link(local)
    picture = result(stage, smooth_picture())
    for thing in (linked, local):  # the second has no slot, and its mesh can't be given one
        with pytest.raises(NotEditable, match=thing.name):
            texture.project(picture, [thing])
