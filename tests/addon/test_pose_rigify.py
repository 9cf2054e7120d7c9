"""Rigify's own human, as a metarig and as the rig that is generated from it."""

import math
from collections.abc import Iterator
from typing import Any

import addon_utils
import bpy
import pytest
from mathutils import Vector
from test_pose import (
    L_ANKLE,
    L_EAR,
    L_ELBOW,
    L_EYE,
    L_WRIST,
    NOSE,
    R_EYE,
    R_HIP,
    R_SHOULDER,
    assert_at,
    head_mesh,
    look,
    on_picture,
    seen,
)

METARIG = {
    NOSE: "nose.002",
    R_SHOULDER: "upper_arm.R",
    L_ELBOW: "forearm.L",
    L_WRIST: "hand.L",
    R_HIP: "thigh.R",
    L_ANKLE: "foot.L",
    R_EYE: "eye.R",
    L_EYE: "eye.L",
    L_EAR: "ear.L",
}


@pytest.fixture
def rigify(scene: Any) -> Iterator[Any]:
    addon_utils.enable("rigify", default_set=True)
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    scene.render.resolution_x, scene.render.resolution_y = 256, 256
    look(scene, (1, -6, 1.4))
    yield scene
    addon_utils.disable("rigify", default_set=True)


def test_the_metarig_and_the_rig_made_from_it(rigify: Any) -> None:
    bpy.ops.object.armature_human_metarig_add()
    metarig = bpy.context.object
    (person,) = seen(rigify)
    rest = {joint: metarig.data.bones[name].head_local.copy() for joint, name in METARIG.items()}
    for joint, place in rest.items():
        assert_at(person, joint, on_picture(rigify, place))

    bpy.ops.pose.rigify_generate()
    rig = bpy.context.object
    head_mesh(rig)  # the character is the rig that has a body, and not the metarig beside it
    bpy.ops.object.select_all(action="DESELECT")
    (person,) = seen(rigify)
    for joint, place in rest.items():
        assert_at(person, joint, on_picture(rigify, place))

    hand = rig.pose.bones["hand_ik.L"]  # arms follow it by inverse kinematics
    hand.location = hand.bone.matrix_local.to_3x3().inverted() @ Vector((-0.15, -0.2, 0.1))
    rig.pose.bones["head"].rotation_mode = "XYZ"
    rig.pose.bones["head"].rotation_euler.z = math.radians(20)
    bpy.context.view_layer.update()
    (person,) = seen(rigify)
    target = on_picture(rigify, hand.head)
    assert_at(person, L_WRIST, target)
    assert abs(target - on_picture(rigify, rest[L_WRIST])).max() > 4
    assert person.body[NOSE] is not None
    assert abs(person.body[NOSE].x_px - on_picture(rigify, rest[NOSE])[0]) > 1


@pytest.mark.parametrize("animal", ["wolf", "cat", "horse", "bird", "shark", "basic_quadruped"])
def test_animals_are_no_people(rigify: Any, animal: str) -> None:
    getattr(bpy.ops.object, f"armature_{animal}_metarig_add")()
    assert bpy.context.object.type == "ARMATURE"
    assert seen(rigify) == ()
