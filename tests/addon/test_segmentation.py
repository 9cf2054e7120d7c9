"""What each thing is: said by material, object or collection, else guessed; and which segment each pixel shows."""

from typing import Any

import bpy
import numpy as np
import pytest
from underpaint.addon import api, callbacks, segmentation
from underpaint.addon.generation import ControlSettings, Settings
from underpaint.addon.segmentation import Classes, Label
from underpaint.protocol.ade20k import NAMES, PALETTE, class_of
from underpaint.protocol.client import Connection
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.request import ControlKind


def _of(scene: Any, thing: str, material: str = "") -> Label:
    return segmentation.classes(scene).of(thing, material)


def _name(label: Label) -> str:
    return "" if label.ade20k is None else NAMES[label.ade20k]


def test_a_material_comes_before_its_object_and_that_before_its_collection(scene: Any) -> None:
    cube = scene.objects["Cube"]
    outer, inner = (bpy.data.collections.new(name) for name in ("outer", "inner"))
    scene.collection.children.link(outer)
    outer.children.link(inner)
    for collection in list(cube.users_collection):
        collection.objects.unlink(cube)
    inner.objects.link(cube)
    assert _of(scene, "Cube") == Label(ade20k=None, guessed=True)
    outer.underpaint.ade20k = "building"
    assert _of(scene, "Cube") == Label(ade20k=class_of("building"))
    inner.underpaint.ade20k = "house"
    assert _name(_of(scene, "Cube")) == "house"
    cube.underpaint.ade20k = "wall"
    assert _name(_of(scene, "Cube", "Material")) == "wall"
    cube.active_material.underpaint.ade20k = "painting"
    assert _name(_of(scene, "Cube", "Material")) == "painting"
    assert _name(_of(scene, "Cube")) == "wall"


def test_names_are_guessed_from_where_nothing_is_said(scene: Any) -> None:
    cube, material = scene.objects["Cube"], bpy.data.materials["Material"]
    cube.users_collection[0].name = "Furniture_chairs"
    assert _of(scene, "Cube", "Material") == Label(ade20k=class_of("chair"), guessed=True)
    material.name = "Sofa leather"
    assert _name(_of(scene, "Cube", "Sofa leather")) == "sofa"
    cube.name = "KitchenTable.003"
    assert _of(scene, cube.name, "Sofa leather") == Label(ade20k=class_of("table"), guessed=True)
    cube.users_collection[0].underpaint.ade20k = "box"  # what is said comes before any guess
    assert _of(scene, cube.name, "Sofa leather") == Label(ade20k=class_of("box"))


def test_the_list_shows_what_the_map_will(scene: Any) -> None:
    cube = scene.objects["Cube"]
    for change in ("cube.name = 'Lamp'", "cube.users_collection[0].underpaint.ade20k = 'box'"):
        exec(change, {"cube": cube})
        assert segmentation.label_of(cube) == _of(scene, cube.name)
    cube.underpaint.ade20k = "bed"
    assert segmentation.label_of(cube) == Label(ade20k=class_of("bed"))
    assert segmentation.label_of(bpy.data.materials["Material"]) == Label(ade20k=None, guessed=True)


def test_a_class_that_does_not_exist_is_named_with_its_owner(scene: Any) -> None:
    scene.underpaint.controls.add().kind = "SEGMENTATION"
    scene.objects["Cube"].underpaint.ade20k = "wal"
    with pytest.raises(InvalidRequest, match='the object "Cube" has the class "wal"'):
        Settings.from_scene(scene)
    scene.objects["Cube"].underpaint.ade20k = ""
    scene.underpaint.controls[0].segmentation.background = "heaven"
    with pytest.raises(InvalidRequest, match='"heaven" is none'):
        Settings.from_scene(scene)


def test_classes_are_searched_by_any_of_their_words() -> None:
    assert callbacks.search_ade20k(None, None, "couch") == ["sofa"]
    assert len(callbacks.search_ade20k(None, None, "")) == 150


def test_the_same_pixels_get_the_same_numbers_whatever_is_in_view() -> None:
    known = Classes(
        objects={"a": Label(ade20k=1), "b": Label(ade20k=2), "c": Label(ade20k=None)},
        materials={"paint": Label(ade20k=7)},
        collections={},
    )
    names = ("a", "b", "c")
    objects = np.array([[0, 1, 2], [2, 3, 3]], np.int32)
    materials = np.array([[0, 0, 0], [1, 2, 1]], np.int32)
    indices, found = segmentation.segments(objects, names, materials, ("paint", "plain"), known)
    assert indices.tolist() == [[-1, 0, 1], [3, 2, 4]]
    assert [(segment.name, segment.ade20k) for segment in found] == [
        ("a", 1),
        ("b", 2),
        ("c", None),
        ("b (paint)", 7),
        ("c (paint)", 7),
    ]
    alone, _ = segmentation.segments(objects[:1, :2], names, materials[:1, :2], ("paint", "plain"), known)
    assert alone.tolist() == [[-1, 0]]


def test_classes_are_assigned_to_what_is_selected_and_cleared(scene: Any) -> None:
    cube = scene.objects["Cube"]
    bpy.ops.underpaint.assign_class(ade20k="wall")
    assert cube.underpaint.ade20k == "wall"
    with pytest.raises(RuntimeError, match="none of ADE20K's 150"):
        bpy.ops.underpaint.assign_class(ade20k="wal")
    bpy.ops.underpaint.clear_class()
    assert cube.underpaint.ade20k == ""
    bpy.ops.object.select_all(action="DESELECT")
    assert not bpy.ops.underpaint.assign_class.poll()


def test_an_assignment_can_be_undone(scene: Any) -> None:
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.underpaint.assign_class(ade20k="wall")
    bpy.ops.ed.undo_push(message="after")
    bpy.ops.ed.undo()
    assert bpy.data.objects["Cube"].underpaint.ade20k == ""
    bpy.ops.ed.redo()
    assert bpy.data.objects["Cube"].underpaint.ade20k == "wall"


def test_what_could_be_seen_is_listed_with_what_collections_show(scene: Any) -> None:
    inner = bpy.data.collections.new("inner")
    hidden = bpy.data.objects.new("shown by the instance", bpy.data.meshes["Cube"])
    inner.objects.link(hidden)
    instance = bpy.data.objects.new("instance", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", inner
    bpy.data.objects.new("nowhere", bpy.data.meshes["Cube"])
    layer = scene.view_layers[0]
    assert segmentation.in_view(scene, layer) == {"Cube"}
    scene.collection.objects.link(instance)
    layer.update()
    assert segmentation.in_view(scene, layer) == {"Cube", "shown by the instance"}
    scene.objects["Cube"].hide_render = True
    assert segmentation.in_view(scene, layer) == {"shown by the instance"}


def test_the_map_has_the_colours_of_the_classes(scene: Any, backend: Connection) -> None:
    scene.objects["Cube"].underpaint.ade20k = "bed"
    (item,) = api.control_maps(scene, controls=[ControlSettings(kind=ControlKind.SEGMENTATION, background=2)])
    colours = {tuple(colour) for colour in item.values.reshape(-1, 3).tolist()}
    assert colours == {PALETTE[class_of("bed")], PALETTE[2]}
    middle = item.values[48, 64]
    assert tuple(middle) == PALETTE[class_of("bed")]
