"""The figure: a Rigify rig made from the human metarig, posed, with a skinned body of its own."""

import math
from typing import Any

import bpy
from mathutils import Matrix, Vector

from .body import garments
from .materials import material
from .shapes import unwrap_uv
from .weights import weigh

SCALE = 0.88  # Rigify's human is 2 m tall
RIG = "Figure Rig"
BODY = "Figure"


def build(collection: Any, *, location: tuple[float, float, float], turn: float) -> tuple[Any, Any]:
    """The rig and the body skinned to it, posed, standing at `location`."""
    rig = _generate_rig(collection)
    body = _skinned_body(collection, rig)
    rig.location = location
    rig.rotation_euler.z = turn
    bpy.context.view_layer.update()
    pose(rig)
    return rig, body


def _generate_rig(collection: Any) -> Any:
    bpy.ops.preferences.addon_enable(module="rigify")
    bpy.ops.object.armature_human_metarig_add()
    metarig = bpy.context.object
    metarig.data.transform(Matrix.Scale(SCALE, 4))
    bpy.ops.pose.rigify_generate()
    rig = bpy.context.object
    rig.name = rig.data.name = RIG
    bpy.data.objects.remove(metarig)
    for holder in list(rig.users_collection):
        holder.objects.unlink(rig)
    collection.objects.link(rig)
    rig.hide_set(False)
    return rig


def _skinned_body(collection: Any, rig: Any) -> Any:
    """Clothes, skin and hair, each weighted on its own, joined to one mesh with five materials."""
    parts = garments(collection, scale=SCALE)
    for name, part in parts.items():
        part.data.materials.clear()
        part.data.materials.append(material(name))
        weigh(part, name, rig, scale=SCALE)
    body = parts["Jumper"]
    _select(body, *parts.values())
    bpy.ops.object.join()
    body.name = body.data.name = BODY
    unwrap_uv(body)
    body.parent = rig
    modifier = body.modifiers.new("Armature", "ARMATURE")
    modifier.object = rig
    return body


def _select(active: Any, *others: Any) -> None:
    for entry in bpy.context.selected_objects:
        entry.select_set(False)
    for entry in (active, *others):
        entry.select_set(True)
    bpy.context.view_layer.objects.active = active


def pose(rig: Any) -> None:
    """Weight on the left leg, right knee loose, left hand on the hip, right arm up in greeting."""
    bones = rig.pose.bones
    for side in ("L", "R"):
        bones[f"upper_arm_parent.{side}"]["IK_FK"] = 1.0
    _shift(rig, "torso", (0.045, 0.01, -0.022))
    _swing(rig, "torso", "Y", 3.0)
    _swing(rig, "hips", "Y", -7.0)
    _swing(rig, "chest", "Y", 9.0)
    _swing(rig, "chest", "Z", 6.0)
    _shift(rig, "foot_ik.R", (-0.085, -0.10, 0.0))
    _swing(rig, "foot_ik.R", "Z", -24.0)
    _shift(rig, "foot_ik.L", (0.01, 0.03, 0.0))
    _swing(rig, "foot_ik.L", "Z", 10.0)
    _swing(rig, "neck", "Y", -5.0)
    _swing(rig, "head", "Y", -8.0)
    _swing(rig, "head", "Z", 14.0)
    _aim(rig, "upper_arm_fk.R", (-0.88, -0.22, 0.26))
    _aim(rig, "forearm_fk.R", (-0.08, -0.25, 1.0))
    _aim(rig, "hand_fk.R", (0.16, -0.10, 1.0))
    _roll(rig, "hand_fk.R", 40.0)
    _aim(rig, "upper_arm_fk.L", (0.50, 0.36, -0.79))
    _aim(rig, "forearm_fk.L", (-0.52, -0.36, -0.78))
    _aim(rig, "hand_fk.L", (-0.28, -0.80, -0.50))


def _shift(rig: Any, bone: str, by: tuple[float, float, float]) -> None:
    """Move a control in the armature's space."""
    entry = rig.pose.bones[bone]
    entry.matrix = Matrix.Translation(by) @ entry.matrix
    bpy.context.view_layer.update()


def _swing(rig: Any, bone: str, axis: str, degrees: float) -> None:
    """Turn a control about its own head, around an axis of the armature's space."""
    entry = rig.pose.bones[bone]
    pivot = Matrix.Translation(entry.head.copy())
    entry.matrix = pivot @ Matrix.Rotation(math.radians(degrees), 4, axis) @ pivot.inverted() @ entry.matrix
    bpy.context.view_layer.update()


def _aim(rig: Any, bone: str, direction: tuple[float, float, float]) -> None:
    """Point a bone in a direction of the armature's space, by the shortest turn."""
    entry = rig.pose.bones[bone]
    wanted = Vector(direction).normalized()
    turn = entry.y_axis.rotation_difference(wanted).to_matrix().to_4x4()
    pivot = Matrix.Translation(entry.head.copy())
    entry.matrix = pivot @ turn @ pivot.inverted() @ entry.matrix
    bpy.context.view_layer.update()


def _roll(rig: Any, bone: str, degrees: float) -> None:
    """Turn a bone about its own length."""
    entry = rig.pose.bones[bone]
    entry.matrix = entry.matrix @ Matrix.Rotation(math.radians(degrees), 4, "Y")
    bpy.context.view_layer.update()
