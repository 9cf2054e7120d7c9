"""People in an evaluated depsgraph: which armatures are one, and where their joints are in the world.

Only reads, so it may run in the render thread; what it returns holds no reference to Blender's data.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .match import Match, Place, match, unmapped
from .rigs import FacePoint, Part

Points = NDArray[np.float64]

# The order of COCO-18, without the neck (1), which is halfway between the shoulders.
COCO: dict[int, Place] = {
    0: (Part.NOSE, 0),
    2: (Part.SHOULDER, 1),
    3: (Part.ELBOW, 1),
    4: (Part.WRIST, 1),
    5: (Part.SHOULDER, 0),
    6: (Part.ELBOW, 0),
    7: (Part.WRIST, 0),
    8: (Part.HIP, 1),
    9: (Part.KNEE, 1),
    10: (Part.ANKLE, 1),
    11: (Part.HIP, 0),
    12: (Part.KNEE, 0),
    13: (Part.ANKLE, 0),
    14: (Part.EYE, 1),
    15: (Part.EYE, 0),
    16: (Part.EAR, 1),
    17: (Part.EAR, 0),
}
NECK = 1
FACE = (0, 14, 15, 16, 17)
_HEAD_PER_TORSO = 0.387  # head bone to torso, shoulders' middle to hips' middle, in Rigify's human


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One person in the world, in metres."""

    name: str  # the armature object's
    joints: Points  # (18, 3), COCO-18; NaN where the rig has no such bone
    outward: Points  # (18, 3), unit: where the face's points look; NaN for the body's
    head_m: float  # length of the head bone, or what it would be in Rigify's human: 0.2 for a grown man


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Every person of one frame, in view or not."""

    figures: tuple[Figure, ...]


def observe(depsgraph: Any) -> Observed:
    """The people of an evaluated scene, each instance of a collection for itself.

    A person is an armature with the bones of one, that deforms or carries a mesh which is rendered.
    Armatures on their own count where no such person is: they stand in for characters to come. (Next to
    a character they are what it was made with: a metarig, the source of a retargeting.)
    Raises UnmappedRig.
    """
    skinned, bare = _armatures(depsgraph)
    figures = _figures(skinned) or _figures(bare)
    return Observed(figures=tuple(figures))


@dataclass(kw_only=True)
class _Placed:
    """An armature object, evaluated, at one place in the world."""

    armature: Any
    world: Points  # (4, 4)


def _armatures(depsgraph: Any) -> tuple[list[_Placed], list[_Placed]]:
    """Armatures with rendered meshes, and those without; the same one at the same place once."""
    skinned: dict[tuple[Any, ...], _Placed] = {}
    bare: dict[tuple[Any, ...], _Placed] = {}
    for instance in depsgraph.object_instances:
        thing = instance.object  # valid until the next instance
        if thing.hide_render or not instance.show_self:
            continue
        world = np.array(instance.matrix_world, np.float64)
        if thing.type == "ARMATURE":
            _add(bare, thing.original.evaluated_get(depsgraph), world)
            continue
        if thing.type != "MESH":
            continue
        moved = world @ np.linalg.pinv(np.array(thing.original.evaluated_get(depsgraph).matrix_world, np.float64))
        for armature in _behind(thing):
            evaluated = armature.original.evaluated_get(depsgraph)
            _add(skinned, evaluated, moved @ np.array(evaluated.matrix_world, np.float64))
    return list(skinned.values()), list(bare.values())


def _behind(mesh: Any) -> Iterator[Any]:
    """The armatures that deform a mesh or carry it."""
    for modifier in mesh.modifiers:
        if modifier.type == "ARMATURE" and modifier.show_render and modifier.object is not None:
            yield modifier.object
    parent = mesh.original.parent
    if parent is not None and parent.type == "ARMATURE":
        yield parent


def _add(placed: dict[tuple[Any, ...], _Placed], armature: Any, world: Points) -> None:
    key = (armature.original.as_pointer(), *np.round(world, 4).ravel())
    placed.setdefault(key, _Placed(armature=armature, world=world))


def _figures(placed: list[_Placed]) -> list[Figure]:
    figures: list[Figure] = []
    for item in placed:
        found = match([bone.name for bone in item.armature.pose.bones])
        if found is None or not _upright(item.armature.pose.bones, found):
            continue
        if found.missing:
            raise unmapped(item.armature.name, found)
        figures.append(_figure(item, found))
    return figures


def _upright(bones: Any, found: Match) -> bool:
    """Whether the rest pose has legs in line with the trunk; a cat's bones have a person's names."""

    def middle(*parts: Part, end: str = "head_local") -> Points | None:
        for part in parts:
            heads = [getattr(bones[name].bone, end) for place, name in found.bones.items() if place[0] is part]
            if heads:
                return np.mean(np.array(heads, np.float64), axis=0)
        return None

    hips, shoulders = middle(Part.HIP), middle(Part.SHOULDER, Part.ELBOW)
    foot = middle(Part.ANKLE, Part.KNEE)
    if foot is None:
        foot = middle(Part.HIP, end="tail_local")
    if hips is None or shoulders is None or foot is None:
        return True  # nothing speaks against it
    trunk, leg = shoulders - hips, hips - foot
    return bool(trunk @ leg > 0.6 * np.linalg.norm(trunk) * np.linalg.norm(leg))


def _figure(item: _Placed, found: Match) -> Figure:
    bones = item.armature.pose.bones
    joints, outward = np.full((18, 3), np.nan), np.full((18, 3), np.nan)
    for index, place in COCO.items():
        if place in found.bones:
            joints[index] = bones[found.bones[place]].head  # in the armature's space
    axes, length = _head(bones, found)
    if (Part.HEAD, 0) in found.bones:
        _face(joints, outward, np.array(bones[found.bones[(Part.HEAD, 0)]].head), axes, length, found)
    rotation = item.world[:3, :3]
    outward = outward @ rotation.T
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    return Figure(
        name=item.armature.name,
        joints=joints @ rotation.T + item.world[:3, 3],
        outward=outward,
        head_m=float(length * np.cbrt(abs(np.linalg.det(rotation)))),
    )


def _head(bones: Any, found: Match) -> tuple[Points, float]:
    """The head's own left, forward and up (rows) in the armature's space as posed, and its size.

    Taken from where the rest pose has shoulders and hips, since every exporter turns bones as it likes.
    """

    def rest(part: Part, side: int) -> Points:
        return np.array(bones[found.bones[(part, side)]].bone.head_local, np.float64)

    left_shoulder, right_shoulder = rest(Part.SHOULDER, 0), rest(Part.SHOULDER, 1)
    torso = (left_shoulder + right_shoulder) / 2 - (rest(Part.HIP, 0) + rest(Part.HIP, 1)) / 2
    up = torso / np.linalg.norm(torso)
    left = left_shoulder - right_shoulder
    left -= up * (left @ up)
    left /= np.linalg.norm(left)
    axes = np.stack([left, np.cross(left, up), up])
    head = bones[found.bones[(Part.HEAD, 0)]] if (Part.HEAD, 0) in found.bones else None
    if head is None:
        return axes, float(np.linalg.norm(torso)) * _HEAD_PER_TORSO
    posed = np.array(head.matrix, np.float64)[:3, :3] @ np.linalg.inv(
        np.array(head.bone.matrix_local, np.float64)[:3, :3]
    )
    length = head.bone.length if found.rig.true_length else float(np.linalg.norm(torso)) * _HEAD_PER_TORSO
    axes = axes @ posed.T
    scale = np.linalg.norm(axes, axis=1, keepdims=True)
    return axes / scale, float(length * scale.mean())


def _face(joints: Points, outward: Points, head: Points, axes: Points, length: float, found: Match) -> None:
    """Fill in what the face lacks bones for, and where each of its points looks."""
    left, forward, up = axes

    def at(point: FacePoint, sign: int) -> Points:
        return head + length * (sign * point.lateral * left + point.forward * forward + point.up * up)

    face = found.rig.face
    for index in FACE:
        part, side = COCO[index]
        sign = 1 if side == 0 else -1
        if part is Part.NOSE:
            point, outward[index] = at(face.nose, 0), forward
        elif part is Part.EYE:
            point, outward[index] = at(face.eye, sign), 0.8 * forward + sign * 0.6 * left
        else:
            point, outward[index] = at(face.ear, sign), sign * left
        if np.isnan(joints[index, 0]):
            joints[index] = point
