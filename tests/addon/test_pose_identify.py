"""Who is a person: names that no table has, the VRM add-on's humanoid, and rigs of which too little is known."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import addon_utils
import bpy
import numpy as np
import pytest
from pose_heads import skinned
from pose_rigs import FINGERS, RIGS, build, build_named, place
from test_pose import L_ANKLE, L_WRIST, NECK, R_KNEE, R_WRIST, assert_at, head_mesh, look, man, on_picture, seen
from underpaint.addon.capture import People, capture
from underpaint.addon.pose import Observed, observe
from underpaint.addon.pose.match import match
from underpaint.addon.pose.plan import COCO
from underpaint.addon.pose.points import POINTS
from underpaint.addon.pose.tokens import by_tokens
from underpaint.protocol.errors import UnmappedRig

MIXAMO = RIGS["Mixamo, mixamorig:"]
BODY_POINTS = {R_WRIST: "right_wrist", L_WRIST: "left_wrist", R_KNEE: "right_knee", L_ANKLE: "left_ankle"}


@pytest.fixture
def stage(scene: Any) -> Any:
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    scene.render.resolution_x = scene.render.resolution_y = 256
    look(scene, (0.4, -6, 1.4))
    return scene


def observed() -> Observed:
    bpy.context.view_layer.update()
    return observe(bpy.context.evaluated_depsgraph_get())


WORDS = {
    "Hero:L_upArm_jnt": "left_shoulder",
    "RightLowerLeg": "right_knee",
    "char|rig:foot.R": "right_ankle",
    "b_l_wrist": "left_wrist",
    "LThigh": "left_hip",
    "ElbowR": "right_elbow",
    "左ひじ": None,  # the table of MMD knows it, the words don't
    "r_index_metacarpal": None,
    "indexFinger02_R": "right_index_1",  # the only one, and the first that there is
    "PinkyProximal_L": "left_little_1",
    "thumb.L.001": "left_thumb_1",
    "eye_target.L": None,
    "upper_arm_twist_l": None,
    "hand_ik.R": None,
    "L_arm_to_R_arm": None,  # two sides
    "forearm": None,  # no side
    "front_thigh.L": None,
    "skull": "head",
}


@pytest.mark.parametrize("name", WORDS)
def test_the_words_in_a_name(name: str) -> None:
    expected = WORDS[name]
    found = by_tokens([name, "root", "spine_01", "tail_02"])
    assert found == ({} if expected is None else {expected: name})
    assert found.keys() <= set(POINTS)


@pytest.mark.parametrize(
    ("upper", "lower"),
    [("UpLeg", "Leg"), ("leg", "knee"), ("thigh", "shin"), ("leg_01", "leg_02"), ("hip", "knee"), ("femur", "tibia")],
)
def test_what_a_leg_is_depends_on_what_else_there_is(upper: str, lower: str) -> None:
    found = by_tokens([f"l_{upper}", f"l_{lower}", f"r_{lower}", f"r_{upper}"])
    assert found == {
        "left_hip": f"l_{upper}",
        "left_knee": f"l_{lower}",
        "right_hip": f"r_{upper}",
        "right_knee": f"r_{lower}",
    }


def test_four_bones_of_a_finger_are_joints_and_a_tip_or_a_palm_and_joints() -> None:
    from_one = by_tokens([f"ring{i}_l" for i in (1, 2, 3, 4)])
    assert from_one == {f"left_ring_{i}": f"ring{i}_l" for i in (1, 2, 3, 4)}
    from_zero = by_tokens([f"ring{i}_l" for i in (0, 1, 2, 3)])
    assert from_zero == {f"left_ring_{i}": f"ring{i}_l" for i in (1, 2, 3)}
    thumb = by_tokens([f"thumb{i}_l" for i in (0, 1, 2)])
    assert thumb == {f"left_thumb_{i + 1}": f"thumb{i}_l" for i in (0, 1, 2)}


def test_a_table_wins_over_words() -> None:
    names = RIGS["Unreal"].bones()
    found = match([*names.values(), "upperarm_twist_01_l", "l_hand_helper", "Left Thigh"])
    assert found is not None
    assert found.bones == names


# Who is a person


def test_a_skinned_rig_with_names_that_nobody_knows_is_an_error_where_nobody_else_is(stage: Any) -> None:
    names = {name: f"b{i:03}" for i, name in enumerate(MIXAMO.bones().values())}
    rig, _ = skinned(stage)
    for bone in rig.data.bones:
        bone.name = names.get(bone.name, f"x{bone.name[-9:]}")
    with pytest.raises(UnmappedRig, match="left shoulder, right shoulder, left elbow"):
        observed()
    known = man(stage)
    head_mesh(known)
    assert [figure.name for figure in observed().figures] == ["Man"]  # the other one may be a horse


def test_who_is_only_wished_for_is_left_out_where_joints_are_unknown(stage: Any) -> None:
    head_mesh(man(stage))
    head_mesh(man(stage, skip=("calf_l",)))
    seen_by = capture(stage, people=People.WISHED).people
    assert len(seen_by) == 1
    with pytest.raises(UnmappedRig, match="left knee"):
        capture(stage, people=People.REQUIRED)


def test_an_armature_without_bones_is_nobody(stage: Any) -> None:
    rig = bpy.data.objects.new("Empty", bpy.data.armatures.new("Empty"))
    stage.collection.objects.link(rig)
    assert seen(stage) == ()


IMPORTERS: dict[str, tuple[str, Callable[[str], None], Callable[[str], None]]] = {
    "FBX": (
        "io_scene_fbx",
        lambda path: bpy.ops.export_scene.fbx(filepath=path, object_types={"ARMATURE", "MESH"}),
        lambda path: bpy.ops.import_scene.fbx(filepath=path),
    ),
    "FBX, bones turned along their children": (
        "io_scene_fbx",
        lambda path: bpy.ops.export_scene.fbx(filepath=path, object_types={"ARMATURE", "MESH"}, add_leaf_bones=False),
        lambda path: bpy.ops.import_scene.fbx(filepath=path, automatic_bone_orientation=True),
    ),
    "glTF": (
        "io_scene_gltf2",
        lambda path: bpy.ops.export_scene.gltf(filepath=path, export_format="GLB"),
        lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ),
}


@pytest.mark.parametrize("how", IMPORTERS)
@pytest.mark.parametrize("rig_name", ["Mixamo, mixamorig:", "Unreal"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Blender's exporters
def test_a_character_that_went_through_a_file(stage: Any, tmp_path: Path, how: str, rig_name: str) -> None:
    add_on, write, read = IMPORTERS[how]
    addon_utils.enable(add_on)
    names = RIGS[rig_name]
    for thing in skinned(stage, names):
        thing.select_set(True)
    path = str(tmp_path / f"hero.{'glb' if how == 'glTF' else 'fbx'}")
    write(path)
    for thing in [thing for thing in stage.objects if thing.type in ("ARMATURE", "MESH")]:
        bpy.data.objects.remove(thing)
    read(path)
    (figure,) = observed().figures
    known = names.bones()
    for index, point in {i: point for i, point in COCO.items() if point in known}.items():
        assert np.linalg.norm(figure.points[index] - place(point)) < 2e-3, point
    for side, first in (("left", 18), ("right", 39)):
        for row, finger in enumerate(FINGERS):
            for joint in (1, 2, 3, 4):
                off = np.linalg.norm(figure.points[first + 4 * row + joint] - place(f"{side}_{finger}_{joint}"))
                assert off < (2e-3 if joint < 4 else 0.012), (side, finger, joint)
    nose = figure.points[0]
    assert np.linalg.norm(nose - (0, -0.115, 1.61)) < 0.015


THUMB_1 = {1: "metacarpal", 2: "proximal", 3: "distal"}
PHALANGES = {1: "proximal", 2: "intermediate", 3: "distal"}
VRM = {"shoulder": "upper_arm", "elbow": "lower_arm", "wrist": "hand", "hip": "upper_leg", "knee": "lower_leg"}
VRM |= {"ankle": "foot", "toe": "toes"}


def vrm_name(point: str, thumb: dict[int, str]) -> str:
    """VRM's name of a point, as VRM 1 has it for a field."""
    side, _, part = point.partition("_")
    finger, _, joint = part.rpartition("_")
    if finger:
        return f"{side}_{finger}_{(thumb if finger == 'thumb' else PHALANGES)[int(joint)]}"
    return f"{side}_{VRM[part]}" if part else point


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@pytest.fixture
def vrm_add_on() -> Iterator[None]:
    """What the VRM add-on (2.x, 3.x) registers on armatures, as far as it is read."""

    def group(name: str, **fields: Any) -> Any:
        made = type(name, (bpy.types.PropertyGroup,), {"__annotations__": fields})
        bpy.utils.register_class(made)
        groups.append(made)
        return made

    groups: list[Any] = []
    text, pointer = bpy.props.StringProperty, bpy.props.PointerProperty
    points = [point for point in MIXAMO.bones() if not point.endswith("_4")]
    node = group("VrmNode", bone_name=text())
    one = group("Vrm1Bone", node=pointer(type=node))
    fields = {vrm_name(point, THUMB_1): pointer(type=one) for point in points}
    humanoid_1 = group("Vrm1Humanoid", human_bones=pointer(type=group("Vrm1Bones", **fields)))
    zero = group("Vrm0Bone", bone=text(), node=pointer(type=node))
    humanoid_0 = group("Vrm0Humanoid", human_bones=bpy.props.CollectionProperty(type=zero))
    vrm1, vrm0 = group("Vrm1", humanoid=pointer(type=humanoid_1)), group("Vrm0", humanoid=pointer(type=humanoid_0))
    extension = group("VrmExtension", vrm1=pointer(type=vrm1), vrm0=pointer(type=vrm0))
    bpy.types.Armature.vrm_addon_extension = pointer(type=extension)
    yield
    del bpy.types.Armature.vrm_addon_extension
    for made in reversed(groups):
        bpy.utils.unregister_class(made)


@pytest.mark.usefixtures("vrm_add_on")
@pytest.mark.parametrize("version", [0, 1])
def test_the_vrm_add_ons_humanoid_is_read(stage: Any, version: int) -> None:
    points = [point for point in MIXAMO.bones() if not point.endswith("_4")]
    numbered = {point: f"b{i}" for i, point in enumerate(points)}
    rig = build_named(stage, numbered)
    with_words = build(stage, RIGS["Unreal"])
    with_words.location.x = 2  # with the add-on installed, every armature has its fields, and most are empty
    extension = rig.data.vrm_addon_extension
    for point, bone in numbered.items():
        if version == 1:
            getattr(extension.vrm1.humanoid.human_bones, vrm_name(point, THUMB_1)).node.bone_name = bone
        else:
            entry = extension.vrm0.humanoid.human_bones.add()
            entry.bone, entry.node.bone_name = camel(vrm_name(point, PHALANGES)), bone
    bpy.context.view_layer.update()
    (person, _) = sorted(seen(stage), key=lambda person: person.body[NECK].x_px)
    for index, point in BODY_POINTS.items():
        assert_at(person, index, on_picture(stage, place(point)))
    for row, finger in enumerate(("thumb", "index", "middle", "ring", "little")):
        for joint in (1, 2, 3):
            spot = on_picture(stage, place(f"right_{finger}_{joint}"))
            found = person.right_hand[4 * row + joint]
            np.testing.assert_allclose((found.x_px, found.y_px), spot, atol=0.05)
