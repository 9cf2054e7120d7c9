"""Joints of posed armatures on the picture, against Blender's own projection, and what the face shows."""

import math
from typing import Any

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Euler, Matrix, Vector
from underpaint.addon.camera import frame, protocol_camera
from underpaint.addon.capture import capture
from underpaint.addon.pose import observe, people
from underpaint.protocol.errors import UnmappedRig
from underpaint.protocol.sources import Person

NOSE, NECK, R_SHOULDER, R_ELBOW, R_WRIST, L_SHOULDER, L_ELBOW, L_WRIST = range(8)
R_HIP, R_KNEE, R_ANKLE, L_HIP, L_KNEE, L_ANKLE, R_EYE, L_EYE, R_EAR, L_EAR = range(8, 18)

LEFT = {  # a man of 1.75 m who looks along -Y, his left on +X: head and tail of each bone
    "upperarm_l": ((0.19, 0.01, 1.42), (0.45, 0.03, 1.40)),
    "lowerarm_l": ((0.45, 0.03, 1.40), (0.70, 0.00, 1.39)),
    "hand_l": ((0.70, 0.00, 1.39), (0.80, 0.00, 1.39)),
    "thigh_l": ((0.10, 0.00, 0.94), (0.11, -0.02, 0.50)),
    "calf_l": ((0.11, -0.02, 0.50), (0.11, 0.02, 0.09)),
    "foot_l": ((0.11, 0.02, 0.09), (0.11, -0.12, 0.02)),
}
BODY = {
    R_SHOULDER: "upperarm_r",
    R_ELBOW: "lowerarm_r",
    R_WRIST: "hand_r",
    L_SHOULDER: "upperarm_l",
    L_ELBOW: "lowerarm_l",
    L_WRIST: "hand_l",
    R_HIP: "thigh_r",
    R_KNEE: "calf_r",
    R_ANKLE: "foot_r",
    L_HIP: "thigh_l",
    L_KNEE: "calf_l",
    L_ANKLE: "foot_l",
}
CHAIN = {"lowerarm": "upperarm", "hand": "lowerarm", "calf": "thigh", "foot": "calf"}
HEAD = (0.0, 0.0, 1.55)


def man(scene: Any, *, skip: tuple[str, ...] = ()) -> Any:
    """An armature with Unreal's names; the right side mirrors the left."""
    data = bpy.data.armatures.new("Man")
    rig = bpy.data.objects.new("Man", data)
    scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bones = {"head": (HEAD, (0, 0, 1.74))} | LEFT
    bones |= {f"{n[:-2]}_r": tuple((-x, y, z) for x, y, z in ends) for n, ends in LEFT.items()}
    for name, (head, tail) in bones.items():
        if name not in skip:
            bone = data.edit_bones.new(name)
            bone.head, bone.tail, bone.roll = head, tail, 0.3
    for bone in data.edit_bones:
        parent = f"{CHAIN.get(bone.name[:-2])}_{bone.name[-1]}"
        bone.parent = data.edit_bones.get(parent)
    bpy.ops.object.mode_set(mode="OBJECT")
    return rig


def head_mesh(rig: Any) -> Any:
    """A head and a body, skinned: an ellipsoid as wide as the ears, and a box."""
    bpy.ops.mesh.primitive_uv_sphere_add(segments=48, ring_count=24, radius=1, location=(0, 0, 0))
    head = bpy.context.object
    head.data.transform(Matrix.Translation((0, -0.02, 1.63)) @ Matrix.Diagonal((0.08, 0.11, 0.14, 1)))
    bpy.ops.mesh.primitive_cube_add(size=1, location=(0, 0, 0))
    body = bpy.context.object
    body.data.transform(Matrix.Translation((0, 0, 1.18)) @ Matrix.Diagonal((0.4, 0.2, 0.6, 1)))
    for mesh in (head, body):
        mesh.parent = rig
        group = mesh.vertex_groups.new(name="head")
        group.add(range(len(mesh.data.vertices)), 1.0, "REPLACE")
        mesh.modifiers.new("Armature", "ARMATURE").object = rig
    return head


def look(scene: Any, place: tuple[float, float, float], at: tuple[float, float, float] = (0, 0, 1)) -> None:
    scene.camera.location = place
    scene.camera.rotation_euler = (Vector(at) - Vector(place)).to_track_quat("-Z", "Y").to_euler()


def on_picture(scene: Any, point: Any) -> np.ndarray:
    """Where Blender's own function puts a world point, in pixels from the top left."""
    view = world_to_camera_view(scene, scene.camera, Vector(point))
    return np.array([view.x * scene.render.resolution_x, (1 - view.y) * scene.render.resolution_y])


def seen(scene: Any) -> tuple[Person, ...]:
    """The people of the scene where nothing is in front of anything."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    extent = frame(scene)
    depth = np.full((extent.height, extent.width), np.inf, np.float32)
    return people(observe(depsgraph), protocol_camera(scene, depsgraph), extent, depth)


def shown(person: Person) -> set[int]:
    return {index for index, point in enumerate(person.body) if point is not None}


def assert_at(person: Person, joint: int, expected: np.ndarray) -> None:
    point = person.body[joint]
    assert point is not None
    np.testing.assert_allclose([point.x_px, point.y_px], expected, atol=0.05)


@pytest.fixture
def stage(scene: Any) -> Any:
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    scene.render.resolution_x, scene.render.resolution_y = 256, 256
    look(scene, (0.4, -6, 1.4))
    return scene


@pytest.mark.parametrize("turn_deg", [0, 180, 37, -90])
def test_joints_are_where_forward_kinematics_puts_them(stage: Any, turn_deg: float) -> None:
    rig = man(stage)
    rig.matrix_world = (
        Matrix.Translation((0.3, 0.2, 0.1)) @ Matrix.Rotation(math.radians(turn_deg), 4, "Z") @ Matrix.Scale(0.9, 4)
    )
    bend = Euler((0.4, -0.7, 0.5))
    turned = {"upperarm_l": bend, "lowerarm_r": Euler((0.2, 0.9, -0.3)), "thigh_r": Euler((-0.8, 0.1, 0.2))}
    for name, euler in turned.items():
        rig.pose.bones[name].rotation_mode = "XYZ"
        rig.pose.bones[name].rotation_euler = euler

    def posed(name: str) -> Matrix:  # in the armature's space, worked out from the rest pose alone
        bone = rig.data.bones[name]
        local = turned.get(name, Euler()).to_matrix().to_4x4()
        if bone.parent is None:
            return bone.matrix_local @ local
        return posed(bone.parent.name) @ bone.parent.matrix_local.inverted() @ bone.matrix_local @ local

    (person,) = seen(stage)
    for joint, name in BODY.items():
        assert_at(person, joint, on_picture(stage, rig.matrix_world @ posed(name).translation))
    shoulders = [on_picture(stage, rig.matrix_world @ posed(name).translation) for name in ("upperarm_l", "upperarm_r")]
    assert_at(person, NECK, sum(shoulders) / 2)


def test_joints_that_inverse_kinematics_and_constraints_move(stage: Any) -> None:
    rig = man(stage)
    target = bpy.data.objects.new("Target", None)
    stage.collection.objects.link(target)
    target.location = (0.45, -0.25, 1.2)
    reach = rig.pose.bones["lowerarm_l"].constraints.new("IK")
    reach.target, reach.chain_count = target, 2
    lift = rig.pose.bones["foot_r"].constraints.new("COPY_LOCATION")
    lift.target = target
    (person,) = seen(stage)
    hand = on_picture(stage, target.location)
    assert_at(person, L_WRIST, hand)
    assert_at(person, R_ANKLE, hand)


@pytest.mark.parametrize("turn_deg", [0, 180, 37])
def test_left_is_the_persons_left(stage: Any, turn_deg: float) -> None:
    rig = man(stage)
    rig.rotation_euler.z = math.radians(turn_deg)
    (person,) = seen(stage)
    for right, left, name in ((R_SHOULDER, L_SHOULDER, "upperarm_l"), (R_KNEE, L_KNEE, "calf_l")):
        expected = on_picture(stage, rig.matrix_basis @ Vector(LEFT[name][0]))
        assert_at(person, left, expected)
        assert person.body[right] != person.body[left]


def test_an_orthographic_camera(stage: Any) -> None:
    rig = man(stage)
    stage.camera.data.type, stage.camera.data.ortho_scale = "ORTHO", 3
    (person,) = seen(stage)
    assert_at(person, L_WRIST, on_picture(stage, rig.matrix_world @ Vector(LEFT["hand_l"][0])))


VIEWS = {
    "front": ((0, -5, 1.6), {NOSE, R_EYE, L_EYE, R_EAR, L_EAR}),
    "back": ((0, 5, 1.6), {R_EAR, L_EAR}),
    "his left": ((5, 0, 1.6), {NOSE, L_EYE, L_EAR}),
    "his right": ((-5, 0, 1.6), {NOSE, R_EYE, R_EAR}),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("with_mesh", [False, True])
def test_the_face_tells_which_way_a_person_looks(stage: Any, view: str, with_mesh: bool) -> None:
    place, face = VIEWS[view]
    rig = man(stage)
    if with_mesh:
        head_mesh(rig)
    look(stage, place)
    (person,) = capture(stage).people
    assert shown(person) & {NOSE, R_EYE, L_EYE, R_EAR, L_EAR} == face
    assert shown(person) >= {NECK, *BODY}  # an arm behind the trunk is drawn


def test_the_face_is_on_the_head_wherever_it_turns(stage: Any) -> None:
    rig = man(stage)
    head = rig.pose.bones["head"]
    head.rotation_mode = "QUATERNION"
    rest = head.bone.matrix_local.to_quaternion()
    head.rotation_quaternion = rest.inverted() @ Euler((0, 0, math.radians(90))).to_quaternion() @ rest
    look(stage, (5, 0, 1.6))  # he looks along +X now, into the camera
    (person,) = seen(stage)
    nose, left, right = person.body[NOSE], person.body[L_EYE], person.body[R_EYE]
    assert nose
    assert left
    assert right
    assert right.x_px < nose.x_px < left.x_px
    assert nose.y_px > left.y_px


def test_a_wall_hides_the_face_and_then_the_person(stage: Any) -> None:
    head_mesh(man(stage))
    look(stage, (0, -5, 1))
    bpy.ops.mesh.primitive_cube_add(size=1, location=(0, -2, 1.4))
    wall = bpy.context.object
    wall.scale = (1, 0.05, 0.5)
    (person,) = capture(stage).people
    assert shown(person) == {NECK, *BODY}
    wall.scale = (6, 0.05, 6)
    assert capture(stage).people == ()


def test_points_out_of_frame_and_behind_the_camera_are_dropped(stage: Any) -> None:
    man(stage)
    look(stage, (0, -1.2, 1.5), (0, 0, 1.5))
    (person,) = seen(stage)
    assert shown(person) & {R_KNEE, L_KNEE, R_WRIST, L_WRIST} == set()
    assert shown(person) >= {NECK, NOSE, R_SHOULDER, L_SHOULDER}
    look(stage, (0, -5, 1.5), (0, -10, 1.5))
    assert seen(stage) == ()


def test_who_is_a_person(stage: Any) -> None:
    rig = man(stage)
    assert len(seen(stage)) == 1
    rig.hide_render = True
    assert seen(stage) == ()  # nothing of it shows
    mesh = head_mesh(rig)
    assert len(seen(stage)) == 1  # a hidden rig of a visible body
    source = man(stage)
    source.location.x = 1
    assert len(seen(stage)) == 1  # what a character was made with is no character
    mesh.parent.hide_render = False
    for thing in stage.objects:
        thing.hide_render = thing.type == "MESH"
    assert len(seen(stage)) == 2
    stage.camera.location.y = -12
    assert capture(stage).people[0].depth_m > 11


def test_every_instance_of_a_collection_is_a_person(stage: Any) -> None:
    rig = man(stage)
    head_mesh(rig)
    crowd = bpy.data.collections.new("Crowd")
    for thing in (rig, *[o for o in stage.objects if o.type == "MESH"]):
        thing.users_collection[0].objects.unlink(thing)
        crowd.objects.link(thing)
    for x in (-1.0, 1.0):
        empty = bpy.data.objects.new("Place", None)
        empty.instance_type, empty.instance_collection = "COLLECTION", crowd
        empty.location.x = x
        stage.collection.objects.link(empty)
    rig.hide_render = True
    look(stage, (0, -8, 1))
    found = sorted(capture(stage).people, key=lambda person: person.body[NECK].x_px)
    assert len(found) == 2
    for person, x in zip(found, (-1.0, 1.0), strict=True):
        assert_at(person, L_WRIST, on_picture(stage, Vector(LEFT["hand_l"][0]) + Vector((x, 0, 0))))


def test_chains_are_ignored_and_half_a_person_is_an_error(stage: Any) -> None:
    data = bpy.data.armatures.new("Chain")
    chain = bpy.data.objects.new("Chain", data)
    stage.collection.objects.link(chain)
    bpy.context.view_layer.objects.active = chain
    bpy.ops.object.mode_set(mode="EDIT")
    for i in range(4):
        bone = data.edit_bones.new("Bone")
        bone.head, bone.tail = (0, 0, i), (0, 0, i + 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    assert seen(stage) == ()
    man(stage, skip=("calf_l", "lowerarm_r"))
    with pytest.raises(UnmappedRig, match="right elbow, left knee"):
        seen(stage)
    with pytest.raises(UnmappedRig, match="right elbow, left knee"):
        capture(stage)
