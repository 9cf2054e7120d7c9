"""Who each pixel shows: every sort of object, however it came into the scene."""

import math
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from blend_dump import changes, dump
from test_capture import look_at_origin
from underpaint.addon import identity
from underpaint.addon.capture import Capture, Wants, capture

IDS = Wants(ids=True)


def shown(seen: Capture, *, materials: bool = False) -> set[str]:
    """The names of what can be seen somewhere."""
    ids, names = (seen.material_ids, seen.material_names) if materials else (seen.object_ids, seen.object_names)
    return {names[number - 1] for number in np.unique(ids) if number}


def at(seen: Capture, x: float, y: float) -> str:
    """The name of the object at a place on the picture, in pixels."""
    number = seen.object_ids[int(y), int(x)]
    return seen.object_names[number - 1] if number else ""


@pytest.fixture
def empty(scene: Any) -> Any:
    """Nothing but a camera above the origin, looking down at 8 x 6 metres: 16 pixels a metre."""
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    scene.camera.data.type, scene.camera.data.ortho_scale = "ORTHO", 8.0
    look_at_origin(scene, 0, 0, 20)
    return scene


def plane(name: str, x: float, y: float, z: float = 0.0, material: Any = None, size: float = 1.0) -> Any:
    bpy.ops.mesh.primitive_plane_add(size=size, location=(x, y, z))
    thing = bpy.context.object
    thing.name = name
    if material is not None:
        thing.data.materials.append(material)
    return thing


def move(thing: Any, collection: Any) -> None:
    for owner in list(thing.users_collection):
        owner.objects.unlink(thing)
    collection.objects.link(thing)


def see_through(name: str, alpha: float) -> Any:
    """A material whose alpha is everywhere the same, with the transparent shader second."""
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0):
        material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    mix, output = nodes.new("ShaderNodeMixShader"), nodes.new("ShaderNodeOutputMaterial")
    mix.inputs[0].default_value = 1 - alpha
    links.new(nodes.new("ShaderNodeBsdfGlossy").outputs[0], mix.inputs[1])
    links.new(nodes.new("ShaderNodeBsdfTransparent").outputs[0], mix.inputs[2])
    links.new(mix.outputs[0], output.inputs[0])
    return material


@pytest.mark.parametrize(("name", "bits"), [("Sphere", 0xE5E9B0DB), ("Plane", 0x4159B52A), ("", 0x00800000)])
def test_names_hash_as_cryptomatte_has_them(name: str, bits: int) -> None:
    assert identity.cryptomatte(name) == bits


def test_no_hash_is_a_float_that_arithmetic_spoils() -> None:
    bits = np.array([identity.cryptomatte(f"Thing.{number:03}") for number in range(3000)], np.uint32)
    floats = bits.view(np.float32)
    assert np.isfinite(floats).all()
    assert (np.abs(floats) >= np.finfo(np.float32).tiny).all()


def test_objects_and_materials_have_their_names_where_they_are(empty: Any) -> None:
    red, blue = bpy.data.materials.new("Red"), bpy.data.materials.new("Blue")
    plane("Left", -2, 1, material=red)
    plane("Right", 2, -1, material=blue)
    plane("Bare", 0, 0)
    seen = capture(empty, wants=IDS)
    assert at(seen, 64 - 32, 48 - 16) == "Left"
    assert at(seen, 64 + 32, 48 + 16) == "Right"
    assert at(seen, 64, 48) == "Bare"
    assert at(seen, 2, 2) == ""
    assert shown(seen, materials=True) == {"Red", "Blue"}
    assert not seen.material_ids[48, 64]
    assert seen.object_ids.dtype == seen.material_ids.dtype == np.int32
    for number, name in ((1, "Bare"), (2, "Left"), (3, "Right")):  # as large as they are: 16 x 16 pixels
        assert seen.object_names[number - 1] == name
        assert (seen.object_ids == number).sum() == 256


def test_several_materials_of_one_mesh(empty: Any) -> None:
    thing = plane("Two", 0, 0, size=4)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.subdivide(number_cuts=1)
    bpy.ops.object.mode_set(mode="OBJECT")
    for name in ("A", "B"):
        thing.data.materials.append(bpy.data.materials.new(name))
    for polygon in thing.data.polygons:
        polygon.material_index = int(polygon.center.x > 0)
    seen = capture(empty, wants=IDS)
    assert shown(seen) == {"Two"}
    assert seen.material_names[seen.material_ids[48, 50] - 1] == "A"
    assert seen.material_names[seen.material_ids[48, 78] - 1] == "B"


@pytest.mark.parametrize("alphas", [(0.1,), (0.3, 0.3, 0.3), (0.2,) * 5, (0.45,)])
def test_what_is_more_transparent_than_not_is_not_there(empty: Any, alphas: tuple[float, ...]) -> None:
    plane("Floor", 0, 0, size=20)
    for number, alpha in enumerate(alphas):
        plane(f"Pane {number}", 0, 0, 1 + number, see_through(f"Pane {number}", alpha), size=20)
    seen = capture(empty, wants=IDS)
    assert shown(seen) == {"Floor"}
    np.testing.assert_allclose(seen.depth_m, 20, rtol=1e-5)
    np.testing.assert_allclose(seen.normal_camera[..., 2], 1, rtol=1e-5)


def test_ids_and_depth_agree_behind_several_surfaces(empty: Any) -> None:
    """Cryptomatte's first rank is the first pane, which covers most; the depth is that of the second."""
    plane("Floor", 0, 0, size=20)
    plane("Half", 0, 0, 1, see_through("Half", 0.55), size=20)
    plane("Thin", 0, 0, 2, see_through("Thin", 0.4), size=20)
    seen = capture(empty, wants=IDS)
    assert shown(seen) == shown(seen, materials=True) == {"Half"}
    np.testing.assert_allclose(seen.depth_m, 19, rtol=1e-5)


def test_instances_share_their_objects_name(empty: Any) -> None:
    inside = bpy.data.collections.new("Inside")
    ball = plane("Ball", 0, 0, size=1)
    move(ball, inside)
    for number in range(3):
        instance = bpy.data.objects.new(f"Instance {number}", None)
        instance.instance_type, instance.instance_collection = "COLLECTION", inside
        instance.location.x = number * 2 - 2
        empty.collection.objects.link(instance)
    seen = capture(empty, wants=IDS)
    assert shown(seen) == {"Ball"}
    assert (seen.object_ids > 0).sum() == 3 * 256


def test_geometry_nodes_instances_and_their_objects(empty: Any) -> None:
    stamp = plane("Stamp", 0, 20)
    field = plane("Field", 0, 0, size=4)
    group = bpy.data.node_groups.new("Scatter", "GeometryNodeTree")
    group.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    nodes, links = group.nodes, group.links
    start, end = nodes.new("NodeGroupInput"), nodes.new("NodeGroupOutput")
    stamped, info = nodes.new("GeometryNodeInstanceOnPoints"), nodes.new("GeometryNodeObjectInfo")
    info.inputs["Object"].default_value = stamp
    info.inputs["As Instance"].default_value = True
    links.new(start.outputs[0], stamped.inputs["Points"])
    links.new(info.outputs["Geometry"], stamped.inputs["Instance"])
    links.new(stamped.outputs[0], end.inputs[0])
    field.modifiers.new("Scatter", "NODES").node_group = group
    seen = capture(empty, wants=IDS)
    assert shown(seen) == {"Stamp"}
    assert (seen.object_ids > 0).sum() == 4 * 256


def test_curves_text_and_metaballs(empty: Any) -> None:
    bpy.ops.curve.primitive_bezier_circle_add(radius=1, location=(-2, 0, 0))
    bpy.context.object.name = "Ring"
    bpy.context.object.data.bevel_depth = 0.2
    bpy.ops.object.text_add(location=(0, 1, 0))
    bpy.ops.object.metaball_add(location=(2, 0, 0))
    assert shown(capture(empty, wants=IDS)) == {"Ring", "Text", "Mball"}


def test_hair_is_its_emitter(empty: Any) -> None:
    emitter = plane("Skin", 0, 0, size=4)
    emitter.modifiers.new("Hair", "PARTICLE_SYSTEM")
    settings = emitter.particle_systems[0].settings
    settings.type, settings.count, settings.hair_length = "HAIR", 200, 2.0
    settings.root_radius = settings.tip_radius = 10.0
    emitter.show_instancer_for_render = False
    seen = capture(empty, wants=IDS)
    assert shown(seen) == {"Skin"}
    assert (seen.depth_m[seen.object_ids > 0] < 19.9).any()


def test_a_modifier_changes_the_shape_and_not_the_name(empty: Any) -> None:
    thing = plane("Row", -3, 0)
    array = thing.modifiers.new("Array", "ARRAY")
    array.count, array.relative_offset_displace = 3, (2, 0, 0)
    seen = capture(empty, wants=IDS)
    assert (seen.object_ids == 1).sum() == 3 * 256


def test_equal_names_from_two_libraries_stay_apart(empty: Any, tmp_path: Path) -> None:
    for library, x in (("one", -2), ("two", 2)):
        thing = plane("Same", x, 0, material=bpy.data.materials.new("Paint"))
        bpy.data.libraries.write(str(tmp_path / f"{library}.blend"), {thing})
        bpy.data.materials.remove(thing.data.materials[0])
        bpy.data.objects.remove(thing)
    for library in ("one", "two"):
        with bpy.data.libraries.load(str(tmp_path / f"{library}.blend"), link=True) as (_, wanted):
            wanted.objects = ["Same"]
        empty.collection.objects.link(wanted.objects[0])
    seen = capture(empty, wants=IDS)
    assert at(seen, 64 - 32, 48) == "Same [one.blend]"
    assert at(seen, 64 + 32, 48) == "Same [two.blend]"
    assert shown(seen, materials=True) == {"Paint [one.blend]", "Paint [two.blend]"}


def test_hundreds_of_objects(empty: Any) -> None:
    mesh = plane("Tile 0", 0, 0, size=0.25).data
    bpy.data.objects.remove(bpy.data.objects["Tile 0"])
    for number in range(400):
        tile = bpy.data.objects.new(f"Tile {number}", mesh)
        tile.location = ((number % 20) * 0.25 - 2.4, number // 20 * 0.25 - 2.4, 0)
        empty.collection.objects.link(tile)
    seen = capture(empty, wants=IDS)
    assert len(shown(seen)) == 400
    numbers = {name: number for number, name in enumerate(seen.object_names, 1)}
    rows, columns = np.nonzero(seen.object_ids == numbers["Tile 21"])
    assert math.isclose(columns.mean(), 64 - 2.15 * 16 - 0.5, abs_tol=1)
    assert math.isclose(rows.mean(), 48 + 2.15 * 16 - 0.5, abs_tol=1)


def test_a_view_layer_with_a_material_of_its_own(empty: Any) -> None:
    plane("Thing", 0, 0, material=bpy.data.materials.new("Red"))
    layer = empty.view_layers.new("Clay")
    layer.material_override = bpy.data.materials.new("Clay")
    assert shown(capture(empty, layer, wants=IDS), materials=True) == {"Clay"}
    assert shown(capture(empty, empty.view_layers[0], wants=IDS), materials=True) == {"Red"}


@pytest.mark.parametrize("way", ["exclude", "holdout", "indirect_only"])
def test_collections_that_a_view_layer_does_not_show(empty: Any, way: str) -> None:
    hidden = bpy.data.collections.new("Hidden")
    empty.collection.children.link(hidden)
    plane("Stays", -2, 0)
    thing = plane("Goes", 2, 0)
    move(thing, hidden)
    setattr(empty.view_layers[0].layer_collection.children["Hidden"], way, True)
    seen = capture(empty, wants=IDS)
    assert shown(seen) == {"Stays"}
    assert not seen.alpha[48, 64 + 32]
    assert seen.alpha.sum() == 256


def test_a_background_set_belongs_to_the_picture(empty: Any) -> None:
    plane("Actor", -2, 0)
    stage = bpy.data.scenes.new("Stage")
    prop = plane("Prop", 2, 0)
    move(prop, stage.collection)
    empty.background_set = stage
    assert shown(capture(empty, wants=IDS)) == {"Actor", "Prop"}


def test_a_scene_that_is_not_the_current_one(empty: Any) -> None:
    plane("Here", 0, 0)
    other = bpy.data.scenes.new("Other")
    there = plane("There", 0, 0)
    move(there, other.collection)
    other.camera = empty.camera
    other.collection.objects.link(empty.camera)
    other.render.resolution_x, other.render.resolution_y = 64, 64
    assert shown(capture(other, wants=IDS)) == {"There"}
    assert shown(capture(empty, wants=IDS)) == {"Here"}


def fog(owner: Any, output: str) -> None:
    if bpy.app.version < (5, 0):
        owner.use_nodes = True
    tree = owner.node_tree
    volume = tree.nodes.new("ShaderNodeVolumePrincipled")
    volume.inputs["Density"].default_value = 5.0
    tree.links.new(volume.outputs[0], tree.nodes[output].inputs["Volume"])


def test_fog_makes_no_holes(empty: Any) -> None:
    """Neither in the world, nor in a box that is nothing but fog, nor in a body that is filled with it."""
    plane("Floor", 0, 0, size=20)
    fog(empty.world, "World Output")
    cloud, filled = bpy.data.materials.new("Cloud"), bpy.data.materials.new("Filled")
    for material in (cloud, filled):
        fog(material, "Material Output")
    cloud.node_tree.nodes.remove(cloud.node_tree.nodes["Principled BSDF"])
    for name, material, x in (("Cloud", cloud, -2), ("Body", filled, 2)):
        bpy.ops.mesh.primitive_cube_add(size=2, location=(x, 0, 3))
        bpy.context.object.name = name
        bpy.context.object.data.materials.append(material)
    bpy.ops.object.volume_add(location=(0, 0, 4))
    capture(empty)  # the first render brings the start-up file's nodes up to date
    before = dump()
    seen = capture(empty, wants=IDS)
    found = changes(before, dump())
    if bpy.app.version < (4, 3):  # its scene.copy() leaves a user too many; see docs/blender-facts.md
        found.pop("collections/Collection.users", None)
    assert found == {}
    assert shown(seen) == {"Floor", "Body"}
    assert at(seen, 64 - 32, 48) == "Floor"
    np.testing.assert_allclose(np.unique(seen.depth_m.round(4)), (16, 20), rtol=1e-4)


def test_what_has_no_surface_has_no_name(empty: Any) -> None:
    """Lights write neither depth nor ids; they are not in the maps at all."""
    plane("Floor", 0, 0, size=20)
    bpy.ops.object.light_add(type="AREA", location=(0, 0, 5), radius=3)
    seen = capture(empty, wants=IDS)
    assert shown(seen) == {"Floor"}
    assert seen.object_names == ("Floor",)
