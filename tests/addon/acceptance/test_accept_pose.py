"""Pose, acceptance tests 13 to 16: joints against the skeletons that they come from, through Blender's projection."""

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import addon_utils
import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix, Vector

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import pose_heads
from pose_rigs import FINGERS, RIGS, UNKNOWN, Names, build, place
from test_pose import BODY, LEFT, head_mesh, look, man, on_picture, seen
from underpaint.addon.capture import capture
from underpaint.addon.passes import Wants
from underpaint.addon.pose import Figure, observe
from underpaint.protocol.sources import Keypoint, Person, Visibility

NOSE, R_EYE, L_EYE, R_EAR, L_EAR = 0, 14, 15, 16, 17
LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO = {
    **{index: f"right_{part}" for index, part in zip((2, 3, 4, 8, 9, 10), LIMBS, strict=True)},
    **{index: f"left_{part}" for index, part in zip((5, 6, 7, 11, 12, 13), LIMBS, strict=True)},
    NOSE: "nose",
    R_EYE: "right_eye",
    L_EYE: "left_eye",
    R_EAR: "right_ear",
    L_EAR: "left_ear",
}
FACE = {NOSE, R_EYE, L_EYE, R_EAR, L_EAR}


@pytest.fixture
def stage(scene: Any) -> Any:
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    scene.render.resolution_x = scene.render.resolution_y = 512
    look(scene, (0.4, -5, 1.4))
    return scene


@pytest.fixture
def rigify(stage: Any) -> Iterator[Any]:
    addon_utils.enable("rigify", default_set=True)
    yield stage
    addon_utils.disable("rigify", default_set=True)


def away(stage: Any, found: Keypoint | None, expected: Any) -> float:
    """Pixels between a keypoint and a world point as Blender projects it."""
    if found is None:
        return math.inf
    return float(np.linalg.norm(np.array((found.x_px, found.y_px)) - on_picture(stage, expected)))


# 13


def test_joints_of_a_posed_armature(stage: Any, accept: Callable[..., None]) -> None:
    rig = man(stage)
    rig.matrix_world = Matrix.Translation((0.3, 0.2, 0.1)) @ Matrix.Rotation(0.6, 4, "Z") @ Matrix.Scale(0.9, 4)
    random = np.random.default_rng(3)
    turned = {name: Euler(random.uniform(-0.5, 0.5, 3).tolist()) for name in BODY.values()}
    for name, euler in turned.items():
        rig.pose.bones[name].rotation_mode = "XYZ"
        rig.pose.bones[name].rotation_euler = euler

    def posed(name: str) -> Matrix:  # worked out from the rest pose alone
        bone = rig.data.bones[name]
        local = turned[name].to_matrix().to_4x4()
        if bone.parent is None:
            return bone.matrix_local @ local
        return posed(bone.parent.name) @ bone.parent.matrix_local.inverted() @ bone.matrix_local @ local

    (person,) = seen(stage)
    worst = max(away(stage, person.body[i], rig.matrix_world @ posed(n).translation) for i, n in BODY.items())
    accept(13, "posed armature, farthest joint", worst, 0.5, unit=" px")


def test_joints_that_inverse_kinematics_and_constraints_move(stage: Any, accept: Callable[..., None]) -> None:
    rig = man(stage)
    target = bpy.data.objects.new("Target", None)
    stage.collection.objects.link(target)
    target.location = (0.45, -0.25, 1.2)
    reach = rig.pose.bones["lowerarm_l"].constraints.new("IK")
    reach.target, reach.chain_count = target, 2
    rig.pose.bones["foot_r"].constraints.new("COPY_LOCATION").target = target
    bpy.context.view_layer.update()
    (person,) = seen(stage)
    expected = {i: rig.matrix_world @ rig.pose.bones[name].head for i, name in BODY.items()}
    expected[7] = expected[10] = target.location  # left wrist, right ankle
    assert (expected[6] - rig.matrix_world @ rig.data.bones["lowerarm_l"].head_local).length > 0.05  # it did bend
    upper = (expected[6] - expected[5]).length
    assert upper == pytest.approx((Vector(LEFT["lowerarm_l"][0]) - Vector(LEFT["upperarm_l"][0])).length, abs=1e-3)
    worst = max(away(stage, person.body[i], point) for i, point in expected.items())
    accept(13, "joints moved by IK and constraints, farthest", worst, 0.5, unit=" px")


def test_joints_of_an_action_between_frames(stage: Any, accept: Callable[..., None]) -> None:
    rig = man(stage)
    bone = rig.pose.bones["hand_l"]
    for frame, x in ((1, 0.0), (3, 0.4)):
        bone.location = (x, 0, 0)
        bone.keyframe_insert("location", frame=frame)
    for curve in _curves(rig):
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"
    stage.frame_set(1, subframe=0.75)
    (person,) = seen(stage)
    moved = rig.data.bones["hand_l"].matrix_local @ Vector((0.4 * 0.75 / 2, 0, 0))
    accept(13, "action at a subframe", away(stage, person.body[7], moved), 0.5, unit=" px")


def _curves(rig: Any) -> Any:
    action = rig.animation_data.action
    if bpy.app.version < (5, 0):
        return action.fcurves
    return [
        curve for layer in action.layers for strip in layer.strips for bag in strip.channelbags for curve in bag.fcurves
    ]


# 14


@pytest.mark.parametrize("name", [*RIGS, *UNKNOWN])
def test_every_table_finds_its_points_on_their_sides(stage: Any, accept: Callable[..., None], name: str) -> None:
    names = {**RIGS, **UNKNOWN}[name]
    wrong: list[str] = []
    count = 0
    for imported in (False, True):
        rig = build(stage, names, imported=imported, seed=len(name))
        rest = rig.matrix_world.copy()
        for turn_deg in (0, 180, 37):
            turn = Matrix.Rotation(math.radians(turn_deg), 4, "Z")
            rig.matrix_world = turn @ rest
            bpy.context.view_layer.update()
            (person,) = seen(stage)
            unseen = {0: set(), 180: {NOSE, R_EYE, L_EYE}, 37: {L_EAR}}[turn_deg]  # on the far side of the head
            for point, keypoint in expected_points(names, person, imported, unseen).items():
                count += 1
                if not away(stage, keypoint, turn @ place(point)) < 0.5:
                    wrong.append(f"{point} ({turn_deg} deg{', imported' if imported else ''})")
        bpy.data.objects.remove(rig)
    assert count > 6 * 12
    print(wrong)
    accept(14, f"{name}: of {count} points, missing, misplaced or swapped", len(wrong), 0)


def expected_points(names: Names, person: Person, imported: bool, unseen: set[int]) -> dict[str, Keypoint | None]:
    """What was found for every point that the rig has a bone for, and for fingertips that bones end at."""
    known = names.bones()
    points: dict[str, Keypoint | None] = {}
    for index, point in COCO.items():
        if point in known and index not in unseen:
            points[point] = person.body[index]
    for side, hand in (("left", person.left_hand), ("right", person.right_hand)):
        for row, finger in enumerate(FINGERS):
            for joint in (1, 2, 3, 4):
                point = f"{side}_{finger}_{joint}"
                ends = joint == 4 and not imported and f"{side}_{finger}_3" in known
                if point in known or ends:
                    points[point] = hand[4 * row + joint] if hand else None
    return points


# 15


def off(found: np.ndarray, truth: Any, height: float) -> float:
    return 100 * float(np.linalg.norm(found - np.array(truth))) / height


def test_a_face_from_a_head_bone_and_a_mesh_against_rigify(rigify: Any, accept: Callable[..., None]) -> None:
    bpy.ops.object.armature_human_metarig_add()
    metarig = bpy.context.object
    (truth,) = observe(bpy.context.evaluated_depsgraph_get()).figures
    pupils = [np.array(metarig.data.bones[f"eye.{side}"].tail_local) for side in "LR"]
    skin = pose_heads.rigify_head(metarig, "spine.006")
    _keep_only_the_head_bone(metarig)
    (figure,) = observe(bpy.context.evaluated_depsgraph_get()).figures
    height = float(np.ptp(np.array([vertex.co.z for vertex in skin.data.vertices])))
    places = {"nose": (NOSE, truth.points[NOSE]), "left eye": (L_EYE, pupils[0]), "right eye": (R_EYE, pupils[1])}
    places |= {"left ear": (L_EAR, truth.points[L_EAR]), "right ear": (R_EAR, truth.points[R_EAR])}
    for what, (index, point) in places.items():
        accept(15, f"{what} of Rigify's human", off(figure.points[index], point, height), 8.0, unit=" % of the head")
    mean = np.mean([off(figure.points[60 + i], truth.points[60 + i], height) for i in range(68)])
    accept(15, "68 points of the face of Rigify's human, mean", float(mean), 8.0, unit=" % of the head")


def _keep_only_the_head_bone(metarig: Any) -> None:
    bpy.ops.object.select_all(action="DESELECT")
    bpy.context.view_layer.objects.active = metarig
    bpy.ops.object.mode_set(mode="EDIT")
    edit = metarig.data.edit_bones
    for bone in list(edit["spine.006"].children_recursive):
        edit.remove(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    assert not any(bone.name.startswith(("eye", "nose", "ear")) for bone in metarig.data.bones)


@pytest.mark.parametrize("ears", [True, False])
@pytest.mark.parametrize("imported", [False, True])
def test_a_face_from_another_head(stage: Any, accept: Callable[..., None], ears: bool, imported: bool) -> None:
    rig, truth = carved_man(stage, ears=ears, imported=imported)
    rig.matrix_world = Matrix.Rotation(2.5, 4, "Z") @ rig.matrix_world
    bpy.context.view_layer.update()
    (figure,) = observe(bpy.context.evaluated_depsgraph_get()).figures
    turn = np.array(Matrix.Rotation(2.5, 3, "Z"))
    kind = f"head {'with' if ears else 'without'} ears{', imported' if imported else ''}"
    for what, (index, point) in truth.items():
        accept(15, f"{what} of a {kind}", off(figure.points[index], turn @ point, 0.225), 8.0, unit=" % of the head")


def carved_man(stage: Any, *, ears: bool, imported: bool) -> tuple[Any, dict[str, tuple[int, np.ndarray]]]:
    """A rig with Mixamo's names, a neck, and a head that is not Rigify's; where its nose, eyes and ears are."""
    rig = build(stage, RIGS["Mixamo, mixamorig:"], imported=imported)
    skin, faces, places = pose_heads.carved(ears=ears)
    to_world = np.array((1, -1, 1))
    between_ears = np.array((0.0, 0.01, 1.63))
    skin = np.concatenate([skin * to_world, pose_heads.neck() * to_world]) + between_ears
    into = np.array(rig.matrix_world.inverted())
    mesh = pose_heads.hang(skin @ into[:3, :3].T + into[:3, 3], faces, rig, "mixamorig:Head")
    head, neck = mesh.vertex_groups["mixamorig:Head"], mesh.vertex_groups.new(name="mixamorig:Spine")
    for i, (_, _, z) in enumerate(skin):  # as automatic weights have it: the neck takes over below the jaw
        share = float(np.clip((z - 1.44) / 0.12, 0, 1))
        head.add([i], share, "REPLACE")
        neck.add([i], 1 - share, "REPLACE")
    nose, eye, ear = (places[name] * to_world + between_ears for name in ("nose", "eye", "ear"))
    flip = np.array((-1, 1, 1))
    return rig, {
        "nose": (NOSE, nose),
        "left eye": (L_EYE, eye),
        "right eye": (R_EYE, eye * flip),
        "left ear": (L_EAR, ear),
        "right ear": (R_EAR, ear * flip),
    }


# 16

VIEWS = {
    "front": ((0, -5, 1.6), FACE),
    "back": ((0, 5, 1.6), {R_EAR, L_EAR}),
    "left profile": ((5, 0, 1.6), {NOSE, L_EYE, L_EAR}),
    "right profile": ((-5, 0, 1.6), {NOSE, R_EYE, R_EAR}),
}


def bare(stage: Any) -> None:
    man(stage)


def ellipsoid(stage: Any) -> None:
    head_mesh(man(stage))


def carved(stage: Any) -> None:
    carved_man(stage, ears=True, imported=True)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("body", [bare, ellipsoid, carved])
def test_the_face_tells_which_way_a_person_looks(
    stage: Any, accept: Callable[..., None], view: str, body: Callable[[Any], None]
) -> None:
    body(stage)
    where, face = VIEWS[view]
    look(stage, where)
    (person,) = capture(stage, wants=Wants(ids=True)).people
    shown = {index for index, point in enumerate(person.body) if point is not None}
    accept(16, f"{view}, {body.__name__}: face points too many or too few", len((shown & FACE) ^ face), 0)
    assert bool(any(person.face)) == (view != "back")


def test_an_arm_behind_the_trunk_is_drawn(stage: Any, accept: Callable[..., None]) -> None:
    rig = man(stage)
    head_mesh(rig)
    arm = rig.pose.bones["upperarm_r"]
    arm.rotation_mode = "QUATERNION"
    rest = arm.bone.matrix_local.to_quaternion()
    behind = Euler((0, 0, math.radians(-120))).to_quaternion()  # to the back and across
    arm.rotation_quaternion = rest.inverted() @ behind @ rest
    look(stage, (0, -5, 1.4))
    (person,) = capture(stage, wants=Wants(ids=True)).people
    elbow, wrist = person.body[3], person.body[4]
    missing = sum(point is None for point in person.body)
    accept(16, "arm behind the trunk: joints not drawn", missing, 0)
    assert elbow is not None
    assert Visibility.BEHIND_ITSELF in (elbow.visibility, wrist.visibility if wrist else None)


def test_figures_hold_no_blender_data(stage: Any) -> None:
    man(stage)
    (figure,) = observe(bpy.context.evaluated_depsgraph_get()).figures
    assert isinstance(figure, Figure)
    assert all(isinstance(value, (str, frozenset, float, np.ndarray)) for value in vars(figure).values())
