"""Bones mapped by hand: an armature with invented names fails loudly, is mapped, and then poses a person."""

import json
import math
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Euler, Matrix, Vector
from underpaint.addon.camera import frame, protocol_camera
from underpaint.addon.pose import mapping, observe, people
from underpaint.addon.pose.points import POINTS, REQUIRED, SIDES
from underpaint.addon.rig_mapping import guessed
from underpaint.protocol.errors import InvalidMapping, UnmappedRig
from underpaint.protocol.sources import Person

# A woman of 1.7 m who looks along -Y, her left on +X: head and tail of the bones of her left and her middle.
_LEFT = {
    "left_shoulder": ((0.18, 0.01, 1.40), (0.43, 0.02, 1.38)),
    "left_elbow": ((0.43, 0.02, 1.38), (0.67, 0.00, 1.37)),
    "left_wrist": ((0.67, 0.00, 1.37), (0.76, 0.00, 1.37)),
    "left_hip": ((0.10, 0.00, 0.92), (0.11, -0.02, 0.48)),
    "left_knee": ((0.11, -0.02, 0.48), (0.11, 0.02, 0.09)),
    "left_ankle": ((0.11, 0.02, 0.09), (0.11, -0.12, 0.02)),
}
_PARENT = {"elbow": "shoulder", "wrist": "elbow", "knee": "hip", "ankle": "knee"}
_JOINTS = {
    2: "right_shoulder", 3: "right_elbow", 4: "right_wrist", 5: "left_shoulder", 6: "left_elbow", 7: "left_wrist",
    8: "right_hip", 9: "right_knee", 10: "right_ankle", 11: "left_hip", 12: "left_knee", 13: "left_ankle",
}  # fmt: skip


def invented(names: dict[str, str]) -> Any:
    """An armature whose bones at these points are called as `names` says, with a skinned mesh."""
    data = bpy.data.armatures.new("Figur")
    rig = bpy.data.objects.new("Figur", data)
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    places = {"head": ((0, 0, 1.52), (0, 0, 1.7))} | _LEFT
    places |= {mapping.twin(point): tuple((-x, y, z) for x, y, z in ends) for point, ends in _LEFT.items()}
    for point, name in names.items():
        bone = data.edit_bones.new(name)
        bone.head, bone.tail = places[point]
    for point, name in names.items():
        side, _, part = point.partition("_")
        if part in _PARENT:
            data.edit_bones[name].parent = data.edit_bones[names[f"{side}_{_PARENT[part]}"]]
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.mesh.primitive_cube_add(size=0.3, location=(0, 0, 1.1))
    skin = bpy.context.object
    skin.modifiers.new("Armature", "ARMATURE").object = rig
    bpy.context.view_layer.objects.active = rig
    return rig


def numbered() -> dict[str, str]:
    """Names that say nothing, counted in an order of their own."""
    points = ("head", *_LEFT, *(mapping.twin(point) for point in _LEFT))
    return {point: f"Knochen_{number * 7 % 13:02}" for number, point in enumerate(points)}


def seen(scene: Any) -> tuple[Person, ...]:
    depsgraph = bpy.context.evaluated_depsgraph_get()
    extent = frame(scene)
    depth = np.full((extent.height, extent.width), np.inf, np.float32)
    return people(observe(depsgraph), protocol_camera(scene, depsgraph), extent, depth)


def map_by_hand(rig: Any, names: dict[str, str]) -> None:
    bpy.context.view_layer.objects.active = rig
    bpy.ops.underpaint.map_bones()
    for item in rig.data.underpaint.bones:
        item.bone = names.get(item.name, "")


def assert_posed(scene: Any, rig: Any, names: dict[str, str]) -> None:
    """Every joint within half a pixel of where forward kinematics and Blender's own projection put it."""

    def posed(bone: Any) -> Matrix:
        local = rig.pose.bones[bone.name].matrix_basis
        if bone.parent is None:
            return bone.matrix_local @ local
        return posed(bone.parent) @ bone.parent.matrix_local.inverted() @ bone.matrix_local @ local

    def on_picture(point: str) -> np.ndarray:
        head = rig.matrix_world @ posed(rig.data.bones[names[point]]).translation
        view = world_to_camera_view(scene, scene.camera, Vector(head))
        return np.array([view.x * scene.render.resolution_x, (1 - view.y) * scene.render.resolution_y])

    (person,) = seen(scene)
    expected = {joint: on_picture(point) for joint, point in _JOINTS.items()}
    expected[1] = (expected[2] + expected[5]) / 2
    for joint, place in expected.items():
        point = person.body[joint]
        assert point is not None, joint
        np.testing.assert_allclose([point.x_px, point.y_px], place, atol=0.5)


@pytest.fixture
def stage(scene: Any) -> Any:
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    scene.render.resolution_x, scene.render.resolution_y = 256, 256
    scene.camera.location = (0.4, -6, 1.4)
    scene.camera.rotation_euler = (Vector((0, 0, 1)) - scene.camera.location).to_track_quat("-Z", "Y").to_euler()
    return scene


@pytest.fixture
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's presets folder, for this test alone."""
    monkeypatch.setattr(bpy.utils, "user_resource", lambda _kind, path="", create=False: str(_made(tmp_path, path)))
    monkeypatch.setattr(bpy.utils, "preset_paths", lambda subdir: [str(tmp_path / "presets" / subdir)])
    return tmp_path / "presets" / "underpaint" / "rigs"


def _made(folder: Path, path: str) -> Path:
    (folder / path).mkdir(parents=True, exist_ok=True)
    return folder / path


def test_invented_names_fail_loudly_and_are_mapped_for_good(stage: Any, tmp_path: Path) -> None:
    names = numbered()
    rig = invented(names)
    with pytest.raises(UnmappedRig, match="Figur") as failure:
        seen(stage)
    for point in REQUIRED:
        assert point.replace("_", " ") in str(failure.value)
    assert "Bone Mapping" in str(failure.value)  # where scripts and F12, which have no button, send the user
    map_by_hand(rig, names)
    assert_posed(stage, rig, names)
    assert None not in seen(stage)[0].body  # the face is worked out from the head bone
    rig.location, rig.rotation_euler.z = (0.2, 0.3, 0.05), math.radians(37)
    for point, turn in (
        ("left_shoulder", (0.4, -0.6, 0.3)),
        ("right_hip", (-0.7, 0.1, 0.2)),
        ("right_elbow", (1, 0, 0)),
    ):
        bone = rig.pose.bones[names[point]]
        bone.rotation_mode, bone.rotation_euler = "XYZ", Euler(turn)
    assert_posed(stage, rig, names)
    path = tmp_path / "figur.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_factory_settings()
    bpy.ops.wm.open_mainfile(filepath=str(path))
    assert_posed(bpy.context.scene, bpy.data.objects["Figur"], names)


def test_an_incomplete_mapping_is_told_by_its_points(stage: Any) -> None:
    names = numbered()
    rig = invented(names)
    map_by_hand(rig, {point: name for point, name in names.items() if point not in ("left_knee", "right_elbow")})
    with pytest.raises(UnmappedRig, match="right elbow, left knee"):
        seen(stage)


def test_a_mapping_goes_before_the_names(stage: Any) -> None:
    names = {point: point for point in numbered()}  # words that anybody understands
    rig = invented(names)
    assert_posed(stage, rig, names)
    map_by_hand(rig, {"left_wrist": "left_elbow"})
    assert_posed(stage, rig, names | {"left_wrist": "left_elbow"})


def test_a_mapped_bone_that_is_gone_is_found_by_name_or_missed(stage: Any) -> None:
    names = numbered()
    rig = invented(names)
    map_by_hand(rig, names)
    rig.data.bones[names["left_knee"]].name = "Anderer Knochen"
    assert "left_knee" not in (mapping.of(rig.data) or {})
    with pytest.raises(UnmappedRig, match="left knee"):
        seen(stage)


def test_reading_a_mapping_writes_nothing(stage: Any) -> None:
    rig = invented(numbered())
    assert mapping.of(rig.data) is None
    assert not rig.data.is_property_set("underpaint")
    bpy.ops.underpaint.map_bones()
    assert mapping.of(rig.data) is None
    assert [item.name for item in rig.data.underpaint.bones] == list(POINTS)


def test_the_guess_fills_in_and_keeps_what_is_mapped(stage: Any) -> None:
    rig = invented({point: point.replace("_", ".") for point in numbered()})
    map_by_hand(rig, {"left_knee": "right.ankle"})
    assert bpy.ops.underpaint.guess_bones() == {"FINISHED"}
    chosen = mapping.of(rig.data)
    assert chosen is not None
    assert chosen["left_knee"] == "right.ankle"
    assert chosen["right_knee"] == "right.knee"
    bpy.ops.underpaint.guess_bones(replace=True)
    assert (mapping.of(rig.data) or {})["left_knee"] == "left.knee"


def test_the_other_side_by_name_and_by_place(stage: Any) -> None:
    names = numbered()
    rig = invented(names)
    left = {point: name for point, name in names.items() if point.startswith("left_")}
    map_by_hand(rig, left)
    assert bpy.ops.underpaint.mirror_bones(direction="LEFT") == {"FINISHED"}
    assert mapping.of(rig.data) == {point: name for point, name in names.items() if point != "head"}
    bones = {"Arm_L": np.zeros((2, 3)), "Arm_R": np.ones((2, 3))}
    assert mapping.mirrored("Arm_L", bones, bpy.utils.flip_name) == "Arm_R"
    assert mapping.mirrored("a", {"a": np.array(((1.0, 0, 0), (2, 0, 0)))}, bpy.utils.flip_name) is None


def test_picking_goes_through_the_list(stage: Any) -> None:
    names = numbered()
    rig = invented(names)
    bpy.ops.underpaint.map_bones()
    group = rig.data.underpaint
    for side in SIDES:
        point = f"{side}_shoulder"
        assert group.bones[group.active].name == point
        rig.data.bones.active = rig.data.bones[names[point]]
        assert bpy.ops.underpaint.pick_bone() == {"FINISHED"}
        assert group.bones[point].bone == names[point]
    assert group.bones[group.active].name == "left_elbow"


def test_undo_and_clear(stage: Any) -> None:
    names = {point: point for point in numbered()}
    invented(names)
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.underpaint.guess_bones()
    bpy.ops.ed.undo_push(message="Guess")
    assert mapping.of(bpy.data.armatures["Figur"]) is not None
    bpy.ops.ed.undo()
    assert mapping.of(bpy.data.armatures["Figur"]) is None
    bpy.ops.underpaint.guess_bones()
    bpy.ops.underpaint.clear_bones(point="left_knee")
    chosen = mapping.of(bpy.data.armatures["Figur"])
    assert chosen is not None
    assert "left_knee" not in chosen
    assert "right_knee" in chosen
    bpy.ops.underpaint.clear_bones()
    assert mapping.of(bpy.data.armatures["Figur"]) is None


def test_a_preset_for_the_next_armature(stage: Any, presets: Path) -> None:
    names = numbered()
    map_by_hand(invented(names), names)
    assert bpy.ops.underpaint.rig_preset(name="Die Knochen") == {"FINISHED"}
    (path,) = presets.glob("*.json")
    assert json.loads(path.read_text())["bones"] == names
    other = invented({point: name for point, name in names.items() if point != "head"})
    assert len(seen(stage)) == 1
    assert bpy.ops.underpaint.load_rig_preset(filepath=str(path)) == {"FINISHED"}
    assert mapping.of(other.data) == {point: name for point, name in names.items() if point != "head"}
    other.location.x = 1
    assert len(seen(stage)) == 2
    assert bpy.ops.underpaint.rig_preset(name="Die Knochen", remove_name=True) == {"FINISHED"}
    assert not path.exists()


def test_a_file_for_other_people(stage: Any, tmp_path: Path) -> None:
    names = numbered()
    rig = invented(names)
    map_by_hand(rig, names)
    path = tmp_path / "Größe.json"
    bpy.ops.underpaint.export_bones(filepath=str(path))
    bpy.ops.underpaint.clear_bones()
    bpy.ops.underpaint.import_bones(filepath=str(path))
    assert mapping.of(rig.data) == names


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[]", "no preset of bones"),
        ('{"underpaint_rig": 2, "bones": {}}', "version 2"),
        ('{"underpaint_rig": 1}', 'its "bones" are no object'),
        ('{"underpaint_rig": 1, "bones": {"tail": "x"}}', 'a point "tail"'),
        ('{"underpaint_rig": 1, "bones": {"nose": 3}}', 'the bone of "nose" is no name'),
    ],
)
def test_a_preset_that_is_none(stage: Any, tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(InvalidMapping, match=reason):
        mapping.from_json(text)
    invented(numbered())
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(RuntimeError, match=reason):
        bpy.ops.underpaint.import_bones(filepath=str(path))


def test_a_linked_armature_is_mapped_in_an_override(stage: Any, tmp_path: Path) -> None:
    names = numbered()
    rig = invented(names)
    collection = bpy.data.collections.new("Cast")
    stage.collection.children.link(collection)
    for thing in (rig, next(thing for thing in bpy.data.objects if thing.type == "MESH")):
        for before in thing.users_collection:
            before.objects.unlink(thing)
        collection.objects.link(thing)
    library = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(library))
    bpy.ops.wm.read_factory_settings()
    with bpy.data.libraries.load(str(library), link=True) as (_there, here):
        here.collections = ["Cast"]
    cast = bpy.data.collections["Cast"]
    bpy.context.scene.collection.children.link(cast)
    bpy.context.view_layer.objects.active = bpy.data.objects["Figur"]
    with pytest.raises(RuntimeError, match="linked from another file"):
        bpy.ops.underpaint.map_bones()
    with pytest.raises(RuntimeError, match="Make the character itself local first"):
        bpy.ops.underpaint.override_bones()
    cast.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer)
    rig = next(thing for thing in bpy.data.objects if thing.type == "ARMATURE" and thing.override_library)
    bpy.context.view_layer.objects.active = rig
    assert bpy.ops.underpaint.override_bones() == {"FINISHED"}
    map_by_hand(rig, names)
    path = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.open_mainfile(filepath=str(path))
    rig = next(thing for thing in bpy.data.objects if thing.type == "ARMATURE" and thing.override_library)
    assert mapping.of(rig.data) == names


def test_the_error_leads_to_the_editor(stage: Any) -> None:
    rig = invented(numbered())
    stage.camera.select_set(True)
    bpy.context.view_layer.objects.active = stage.camera
    assert bpy.ops.underpaint.edit_mapping(armature="Figur") == {"FINISHED"}
    assert bpy.context.object == rig
    assert list(bpy.context.selected_objects) == [rig]
    assert len(rig.data.underpaint.bones) == len(POINTS)
    with pytest.raises(RuntimeError, match='No armature "Camera"'):
        bpy.ops.underpaint.edit_mapping(armature="Camera")


def test_bones_are_found_while_they_are_edited(stage: Any) -> None:
    rig = invented({point: point for point in numbered()})
    bpy.ops.object.mode_set(mode="EDIT")
    rig.data.edit_bones["left_knee"].name = "left_shin"
    assert guessed(rig.data)["left_knee"] == "left_shin"
    bpy.ops.underpaint.guess_bones()
    assert rig.data.underpaint.bones["left_knee"].bone == "left_shin"


def test_without_an_armature_the_buttons_say_what_is_missing(stage: Any) -> None:
    bpy.context.view_layer.objects.active = stage.camera
    for name in ("map_bones", "guess_bones", "mirror_bones", "pick_bone", "clear_bones", "export_bones"):
        with pytest.raises(RuntimeError, match="Select an armature first"):
            getattr(bpy.ops.underpaint, name)()
