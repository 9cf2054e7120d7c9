"""Hands and faces, what hides whom, crowds, and bones and matrices as bad files have them."""

import math
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Matrix
from pose_heads import skinned
from pose_rigs import RIGS, build, place
from test_pose import (
    BODY,
    L_ANKLE,
    L_EAR,
    L_EYE,
    L_KNEE,
    L_SHOULDER,
    L_WRIST,
    NECK,
    NOSE,
    R_EYE,
    R_KNEE,
    R_WRIST,
    assert_at,
    head_mesh,
    look,
    man,
    on_picture,
    seen,
    shown,
)
from underpaint.addon.camera import frame, protocol_camera
from underpaint.addon.capture import capture
from underpaint.addon.passes import Wants
from underpaint.addon.pose import Observed, observe, people
from underpaint.protocol.sources import Person, Visibility

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


def captured(stage: Any) -> tuple[Person, ...]:
    return capture(stage, wants=Wants(ids=True)).people


# Hands and faces


def test_fingertips_are_tips_bones_ends_or_what_importers_could_not_spoil(stage: Any) -> None:
    for names, imported, near_m in ((MIXAMO, True, 1e-3), (RIGS["Unreal"], False, 1e-3), (RIGS["Unreal"], True, 0.012)):
        rig = build(stage, names, imported=imported)
        (figure,) = observed().figures
        for side, first in (("left", 18), ("right", 39)):
            for row, finger in enumerate(("thumb", "index", "middle", "ring", "little")):
                tip = figure.points[first + 4 * row + 4]
                assert np.linalg.norm(tip - place(f"{side}_{finger}_4")) < near_m, (finger, imported)
        bpy.data.objects.remove(rig)


def test_a_hand_that_has_no_bones_is_none(stage: Any) -> None:
    man(stage)
    (person,) = seen(stage)
    assert person.left_hand == person.right_hand == ()
    build(stage, RIGS["CMU, BVH"])
    (_, cmu) = sorted(seen(stage), key=lambda person: len(person.left_hand))
    assert [i for i, point in enumerate(cmu.left_hand) if point] == [0, 1, 5]
    assert len(cmu.left_hand) == 21


def test_the_faces_points_are_in_order_and_turn_with_the_head(stage: Any) -> None:
    rig, _ = skinned(stage)
    look(stage, (0, -1.5, 1.62), (0, 0, 1.62))
    (person,) = captured(stage)
    face = person.face
    assert len(face) == 70
    assert all(face)
    x, y = (np.array([getattr(point, axis) for point in face]) for axis in ("x_px", "y_px"))
    assert (np.diff(x[:17]) > 0).all()  # his right ear is on the picture's left
    assert y[8] == y.max()  # the chin
    assert y[24] < y[44] < y[30] < y[33] < y[51] < y[57] < y[8]  # brow, lid, nose, lips, chin
    assert x[36] < x[39] < x[42] < x[45]  # eyes' corners
    assert x[48] < x[54]
    assert abs(x[68] - person.body[R_EYE].x_px) < 1
    head = rig.pose.bones["mixamorig:Head"]
    head.rotation_mode = "QUATERNION"
    rest = head.bone.matrix_local.to_quaternion()
    turn = Matrix.Rotation(math.radians(60), 3, "Z").to_quaternion()  # to his left
    head.rotation_quaternion = rest.inverted() @ turn @ rest
    (turned,) = captured(stage)
    assert turned.face[30].x_px > x[30] + 5
    assert turned.face[0] is not None
    assert turned.face[16] is None  # his left cheek is on the far side


# What hides whom


def test_a_hand_before_the_face_leaves_no_stray_dots(stage: Any) -> None:
    skinned(stage)
    look(stage, (0, -1.5, 1.62), (0, 0, 1.62))
    bpy.ops.mesh.primitive_cube_add(size=1, location=(0.0, -0.5, 1.62))
    hand = bpy.context.object

    def points_of_a_face_behind(width: float, x: float) -> int:
        hand.scale, hand.location.x = (width, 0.02, 0.5), x
        bpy.context.view_layer.update()
        (person,) = captured(stage)
        return sum(point is not None for point in person.face)

    assert points_of_a_face_behind(0.01, 0.3) == 70
    assert 20 < points_of_a_face_behind(0.3, 0.15) < 50  # half of it
    assert points_of_a_face_behind(0.09, 0.0) == 0  # all but the ends of the jaw
    look(stage, (0.58, -1.5, 1.62), (0.58, 0, 1.62))  # cropped is not hidden: what is on the picture stays
    assert 0 < points_of_a_face_behind(0.01, 0.9) < 20


def test_what_stands_before_a_joint_is_told_from_the_body_itself(stage: Any) -> None:
    rig, _ = skinned(stage)
    look(stage, (0, -5, 1.2))
    bpy.ops.mesh.primitive_cube_add(size=1, location=(0.2, -0.09, 0.5))
    shin_guard = bpy.context.object
    shin_guard.scale = (0.3, 0.02, 0.2)
    bpy.context.view_layer.update()
    (person,) = captured(stage)
    assert person.body[L_KNEE].visibility is Visibility.BEHIND_OTHERS  # 6 cm of a box is not the body
    assert person.body[R_KNEE].visibility is Visibility.VISIBLE
    shin_guard.parent, shin_guard.matrix_parent_inverse = rig, rig.matrix_world.inverted()
    (person,) = captured(stage)
    assert person.body[L_KNEE].visibility is Visibility.VISIBLE  # it is his, and as thick as a knee
    shin_guard.location.y = -0.6
    (person,) = captured(stage)
    assert person.body[L_KNEE].visibility is Visibility.BEHIND_ITSELF
    assert person.body[L_ANKLE].visibility is Visibility.VISIBLE


def test_people_behind_others_are_drawn_first_or_not_at_all(stage: Any) -> None:
    rigs = []
    for y in (0.0, 2.0):
        rig = man(stage)
        head_mesh(rig)
        rig.location.y = y
        rigs.append(rig)
    look(stage, (0.9, -5, 1.6))
    near, far = captured(stage)[::-1]
    assert far.depth_m > near.depth_m + 1.5
    assert near.body[L_SHOULDER].visibility is Visibility.VISIBLE
    bpy.ops.mesh.primitive_cube_add(size=1, location=(0, 1, 1))
    bpy.context.object.scale = (6, 0.02, 3)
    (only,) = captured(stage)
    assert abs(only.depth_m - near.depth_m) < 0.01


def test_another_instance_of_a_character_is_somebody_else(stage: Any) -> None:
    rig, mesh = skinned(stage)
    bpy.ops.mesh.primitive_cube_add(size=1)
    trunk = bpy.context.object
    trunk.data.transform(Matrix.Translation((0, 0, 0.9)) @ Matrix.Diagonal((0.5, 0.2, 1.8, 1)))
    trunk.parent = rig
    crowd = bpy.data.collections.new("Crowd")
    for thing in (rig, mesh, trunk):
        thing.users_collection[0].objects.unlink(thing)
        crowd.objects.link(thing)
    for y in (0.0, 3.0):
        empty = bpy.data.objects.new("Place", None)
        empty.instance_type, empty.instance_collection = "COLLECTION", crowd
        empty.location.y = y
        stage.collection.objects.link(empty)
    look(stage, (0, -8, 0.9), (0, 0, 0.9))
    far, near = captured(stage)
    assert far.body[R_KNEE].visibility is Visibility.BEHIND_OTHERS  # the near one's box
    assert near.body[R_KNEE].visibility is not Visibility.BEHIND_OTHERS


def test_a_crowd_of_copies_is_counted_to_the_last_one(stage: Any) -> None:
    rig, mesh = skinned(stage, imported=True)
    extra = mesh.copy()  # clothes: a second mesh on the same armature
    stage.collection.objects.link(extra)
    for i in range(1, 60):
        copy, skin = rig.copy(), mesh.copy()
        copy.location = (i % 10 - 5, 1 + i // 10, 0)
        skin.parent = skin.modifiers[0].object = copy
        for thing in (copy, skin):
            stage.collection.objects.link(thing)
    look(stage, (0, -25, 6))
    crowd = seen(stage)
    assert len(crowd) == 60
    depths = [person.depth_m for person in crowd]
    assert depths == sorted(depths, reverse=True)
    assert len({(round(p.body[NECK].x_px, 2), round(p.body[NECK].y_px, 2)) for p in crowd}) == 60


def test_linked_characters_and_their_overrides(stage: Any, tmp_path: Path) -> None:
    rig, mesh = skinned(stage)
    group = bpy.data.collections.new("Hero")
    for thing in (rig, mesh):
        group.objects.link(thing)
    library = tmp_path / "hero.blend"
    bpy.data.libraries.write(str(library), {group})
    for thing in (rig, mesh):
        bpy.data.objects.remove(thing)
    with bpy.data.libraries.load(str(library), link=True) as (_, into):
        into.collections = ["Hero"]
    linked = into.collections[0]
    empty = bpy.data.objects.new("Place", None)
    empty.instance_type, empty.instance_collection = "COLLECTION", linked
    stage.collection.objects.link(empty)
    assert len(seen(stage)) == 1
    bpy.data.objects.remove(empty)
    linked.override_hierarchy_create(stage, bpy.context.view_layer, do_fully_editable=True)
    (override,) = [o for o in stage.objects if o.type == "ARMATURE"]
    bone = override.pose.bones["mixamorig:LeftHand"]
    bone.location = (0.0, 0.1, 0.0)
    (person,) = seen(stage)
    assert_at(person, L_WRIST, on_picture(stage, override.matrix_world @ bone.head))
    assert person.body[R_WRIST] is not None


# Bad files


@pytest.mark.parametrize("scale", [(-1, 1, 1), (1, -1, 1), (1.5, 0.7, 1.0), (-2, -1, 1.2)])
def test_left_is_the_persons_left_in_a_mirror_too(stage: Any, scale: tuple[float, float, float]) -> None:
    rig, _ = skinned(stage)
    rig.matrix_world = Matrix.Diagonal((*scale, 1)) @ rig.matrix_world
    faces_us = scale[1] > 0
    look(stage, (0, -6 if faces_us else 6, 1.4))
    (person,) = captured(stage)
    assert person.body[NOSE] is not None
    # who faces us has his left on the picture's right, whatever the rig calls it
    assert person.body[R_EYE].x_px < person.body[NOSE].x_px < person.body[L_EYE].x_px
    assert person.body[R_WRIST].x_px < person.body[NECK].x_px < person.body[L_WRIST].x_px
    assert person.body[R_KNEE].x_px < person.body[L_KNEE].x_px
    assert person.left_hand[8].x_px > person.body[L_SHOULDER].x_px
    assert person.face[0].x_px < person.face[16].x_px


def test_a_rig_that_was_mirrored_and_kept_its_names(stage: Any) -> None:
    rig = build(stage, MIXAMO)
    rig.data.transform(Matrix.Diagonal((-1, 1, 1, 1)))  # as Apply Scale leaves it
    look(stage, (0, -6, 1.4))
    (person,) = seen(stage)
    assert person.body[R_KNEE].x_px < person.body[L_KNEE].x_px
    assert person.body[NOSE] is not None
    assert person.body[R_EYE].x_px < person.body[L_EYE].x_px


def test_bones_scaled_to_nothing_and_matrices_that_are_no_numbers(stage: Any) -> None:
    rig, _ = skinned(stage)
    rig.pose.bones["mixamorig:LeftHand"].scale = (0, 0, 0)
    rig.pose.bones["mixamorig:Head"].scale = (0, 0, 0)
    rig.pose.bones["mixamorig:RightLeg"].location = (math.nan, 0, 0)
    rig.pose.bones["mixamorig:RightHand"].location = (math.inf, 3e38, -math.inf)
    rig.pose.bones["mixamorig:RightForeArm"].scale = (1e30, 1e30, 1e30)
    (person,) = captured(stage)
    assert person.body[L_WRIST] is not None
    assert person.body[R_KNEE] is None
    assert person.body[R_WRIST] is None
    assert person.body[L_KNEE] is not None
    assert not any(person.face)
    assert all(math.isfinite(p.x_px + p.y_px) for p in (*person.body, *person.left_hand) if p is not None)
    rig.scale = (0, 0, 0)
    assert captured(stage) == ()
    rig.scale = (1, 1, 1)
    rig.location.x = math.inf
    assert captured(stage) == ()


def test_a_head_mesh_with_vertices_that_are_no_numbers(stage: Any) -> None:
    _, mesh = skinned(stage)
    (before,) = observed().figures
    mesh.data.vertices[5].co.x = math.nan
    mesh.data.vertices[6].co = (math.inf, -3e38, 0)
    mesh.data.update()
    (after,) = observed().figures
    np.testing.assert_allclose(after.points, before.points, atol=0.01)


def test_a_sculpted_nose_is_noticed(stage: Any) -> None:
    _, mesh = skinned(stage)
    (before,) = observed().figures
    for vertex in mesh.data.vertices:
        if abs(vertex.co.x) < 0.03 and vertex.co.y < -0.08:
            vertex.co.y -= 0.05
    mesh.data.update()
    (after,) = observed().figures
    assert before.points[NOSE][1] - after.points[NOSE][1] == pytest.approx(0.05, abs=0.01)


def test_a_rig_that_the_viewport_hides(stage: Any) -> None:
    rig, _ = skinned(stage)
    rig.hide_viewport = True
    rig.hide_render = True
    (person,) = captured(stage)
    assert shown(person) >= {NECK, L_WRIST, NOSE}


def test_clothes_that_cling_to_the_skin_are_the_person(stage: Any) -> None:
    rig, skin = skinned(stage)
    shirt = skin.copy()
    shirt.name, shirt.parent = "Shirt", None
    shirt.modifiers.clear()
    shirt.modifiers.new("Cling", "SURFACE_DEFORM").target = skin
    button = bpy.data.objects.new("Button", bpy.data.curves.new("Button", "CURVE"))
    button.parent = shirt
    for thing in (shirt, button):
        stage.collection.objects.link(thing)
    skin.modifiers.new("Against itself", "SURFACE_DEFORM").target = shirt  # a ring, which Blender can't evaluate
    (figure,) = observed().figures
    assert figure.objects == {skin.name, "Shirt", "Button"}
    assert figure.name == rig.name


def test_hair_and_hats_are_no_face(stage: Any) -> None:
    rig, _ = skinned(stage)
    (before,) = observed().figures
    bpy.ops.mesh.primitive_uv_sphere_add(segments=64, ring_count=48, radius=0.2, location=(0, -0.1, 1.75))
    hat = bpy.context.object
    hat.parent, hat.parent_type, hat.parent_bone = rig, "BONE", "mixamorig:Head"
    bpy.context.view_layer.update()
    hat.matrix_world = Matrix.Translation((0, -0.1, 1.85)) @ Matrix.Diagonal((1, 1, 0.8, 1))
    (after,) = observed().figures
    assert hat.name in after.objects
    np.testing.assert_allclose(after.points[[NOSE, L_EYE, L_EAR]], before.points[[NOSE, L_EYE, L_EAR]], atol=1e-6)


# Arrays alone


def test_no_people_and_nobody_in_view(stage: Any) -> None:
    depsgraph = bpy.context.evaluated_depsgraph_get()
    extent = frame(stage)
    depth = np.full((extent.height, extent.width), np.inf, np.float32)
    assert people(Observed(figures=()), protocol_camera(stage, depsgraph), extent, depth) == ()
    man(stage)
    look(stage, (0, -6, 1.4), (0, -12, 1.4))
    assert seen(stage) == ()
    assert BODY
