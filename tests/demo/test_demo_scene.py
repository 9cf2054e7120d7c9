"""The scene is sound: a figure that stands, bends and is found; objects that can take a texture."""

import math
import re
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix
from underpaint.demo import figure, paint, room, shapes

_NUMBERED = re.compile(r"\.\d{3}$")  # Blender's way with names that are taken


def world_points(depsgraph: Any, name: str) -> np.ndarray:
    evaluated = bpy.data.objects[name].evaluated_get(depsgraph)
    points = np.empty(len(evaluated.data.vertices) * 3, np.float32)
    evaluated.data.vertices.foreach_get("co", points)
    matrix = np.array(evaluated.matrix_world)
    return points.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def test_the_figure_is_as_tall_as_a_person_with_a_hand_up(depsgraph: Any) -> None:
    points = world_points(depsgraph, figure.BODY)
    assert abs(points[:, 2].min() - room.RUG_M) < 0.006
    assert 1.7 < points[:, 2].max() < 2.1


def test_both_soles_touch_the_ground(depsgraph: Any) -> None:
    rig = bpy.data.objects[figure.RIG].evaluated_get(depsgraph)
    points = world_points(depsgraph, figure.BODY)
    for side in ("L", "R"):
        foot = np.array(rig.matrix_world @ rig.pose.bones[f"DEF-foot.{side}"].tail)
        near = points[np.linalg.norm(points[:, :2] - foot[:2], axis=1) < 0.08]
        assert abs(near[:, 2].min() - room.RUG_M) < 0.006, side


def test_every_vertex_is_skinned(demo_scene: Any) -> None:
    body = bpy.data.objects[figure.BODY]
    totals = [sum(group.weight for group in vertex.groups) for vertex in body.data.vertices]
    assert len(totals) > 10_000
    np.testing.assert_allclose(totals, 1.0, atol=1e-3)
    assert max(len(vertex.groups) for vertex in body.data.vertices) <= 4


def test_the_body_follows_the_rig(demo_scene: Any) -> None:
    bone = bpy.data.objects[figure.RIG].pose.bones["forearm_fk.R"]
    before = world_points(bpy.context.evaluated_depsgraph_get(), figure.BODY)
    kept = bone.matrix.copy()
    pivot = Matrix.Translation(bone.head.copy())
    bone.matrix = pivot @ Matrix.Rotation(math.radians(40), 4, "Y") @ pivot.inverted() @ bone.matrix
    try:
        bpy.context.view_layer.update()
        moved = np.linalg.norm(world_points(bpy.context.evaluated_depsgraph_get(), figure.BODY) - before, axis=1)
    finally:
        bone.matrix = kept
        bpy.context.view_layer.update()
    assert moved.max() > 0.15  # the hand
    assert 0.02 < (moved > 0.01).mean() < 0.4  # the forearm and hand, and nothing else


def test_objects_have_names_and_named_materials(demo_scene: Any) -> None:
    for entry in demo_scene.objects:
        if entry.name.startswith("WGT-"):
            continue  # Rigify's shapes for its controls
        assert not entry.name.startswith(("Cube", "Sphere", "Plane", "Object", "part")), entry.name
        assert not _NUMBERED.search(entry.name), entry.name
        if entry.type == "MESH":
            assert entry.data.materials, entry.name
            assert all(slot is not None and not _NUMBERED.search(slot.name) for slot in entry.data.materials), (
                entry.name
            )


def test_what_takes_the_texture_has_a_uv_map_inside_the_unit_square(demo_scene: Any) -> None:
    for name in paint.TEXTURED:
        layer = bpy.data.objects[name].data.uv_layers[shapes.UV_MAP]
        uv = np.empty(len(layer.uv) * 2, np.float32)
        layer.uv.foreach_get("vector", uv)
        assert uv.min() >= -1e-4, name
        assert uv.max() <= 1 + 1e-4, name
        assert np.ptp(uv) > 0.5, name


def test_the_camera_sees_one_person_with_all_eighteen_joints(demo_scene: Any) -> None:
    from underpaint import addon
    from underpaint.addon.capture import capture

    addon.register()
    try:
        seen = capture(demo_scene)
    finally:
        addon.unregister()
    assert len(seen.people) == 1
    missing = [index for index, joint in enumerate(seen.people[0].body) if joint is None]
    assert not missing
    assert np.isinf(seen.depth_m).any()  # the sky in the window
    assert np.isfinite(seen.depth_m).mean() > 0.9
