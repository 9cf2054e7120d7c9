"""Where a rig's points lie on its bones, worked out once from the rest pose. Arrays only.

A point is an offset in the space of one bone, so that posing a person is one multiplication.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import face
from .face import Features, Points
from .match import Match
from .points import JOINTS, SIDES, Finger, Part, finger, paired

# The order of COCO-18, without the neck (1), which is halfway between the shoulders.
COCO: dict[int, str] = {
    0: "nose",
    **{i: paired("right", part) for i, part in zip((2, 3, 4), (Part.SHOULDER, Part.ELBOW, Part.WRIST), strict=True)},
    **{i: paired("left", part) for i, part in zip((5, 6, 7), (Part.SHOULDER, Part.ELBOW, Part.WRIST), strict=True)},
    **{i: paired("right", part) for i, part in zip((8, 9, 10), (Part.HIP, Part.KNEE, Part.ANKLE), strict=True)},
    **{i: paired("left", part) for i, part in zip((11, 12, 13), (Part.HIP, Part.KNEE, Part.ANKLE), strict=True)},
    14: "right_eye",
    15: "left_eye",
    16: "right_ear",
    17: "left_ear",
}
NECK = 1
NOSE, R_EYE, L_EYE, R_EAR, L_EAR = 0, 14, 15, 16, 17
BODY, LEFT_HAND, RIGHT_HAND, FACE = slice(0, 18), slice(18, 39), slice(39, 60), slice(60, 130)
"""Where each part of a person is among its points."""
COUNT = 130

MIRROR = np.array((
    0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16,
    *range(39, 60), *range(18, 39), *(60 + index for index in face.MIRROR),
))  # fmt: skip
"""For each point, the one that is in its place on a person seen in a mirror."""

_HEAD_PER_TORSO = 0.387  # head bone to torso, shoulders' middle to hips' middle, in Rigify's human
# A fingertip's bone is taken at its word if it is so long, by the bone before, and goes on like that one.
_TIP_LENGTHS, _TIP_COSINE, _TIP = (0.3, 2.0), 0.5, 0.8


@dataclass(frozen=True, kw_only=True)
class Rest:
    """An armature's rest pose, in its own space."""

    names: tuple[str, ...]
    matrices: Points  # (bones, 4, 4)
    lengths: Points  # (bones)

    def head(self, bone: str) -> Points:
        return self.matrices[self.names.index(bone), :3, 3]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The space of a head: x to the person's left, y forward, z up, from the head of the head bone."""

    bone: str
    rotation: Points  # (3, 3), from the bone's space
    size: float  # length of the head bone, or what it would be in Rigify's human


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The points of a person on the bones of one armature."""

    bones: NDArray[np.intp]  # (n >= 130); -1 where the rig has no such point
    offsets: Points  # (n, 3) in the bone's space
    outward: Points  # (130, 3) in the bone's space, unit: where the face's points look; NaN for limbs
    carriers: NDArray[np.intp]  # (130): the bones whose space `outward` is in
    knots: Points | None  # (68, n - 130): how the face is mixed from the last points
    head: float  # length of the head bone, or what it would be in Rigify's human
    mirrored: bool  # the rig's left is the person's right: a rig that was mirrored and kept its names

    def posed(self, matrices: Points, world: Points) -> tuple[Points, Points]:
        """Points and outward directions (130, 3) in the world, from the bones' matrices (bones, 4, 4)."""
        bones = matrices[self.bones]
        places = np.einsum("nij,nj->ni", bones[:, :3, :3], self.offsets) + bones[:, :3, 3]
        places[self.bones < 0] = np.nan
        points = places[:COUNT]
        if self.knots is not None:
            points[60:128] = self.knots @ places[COUNT:]
        outward = np.einsum("nij,nj->ni", matrices[self.carriers][:, :3, :3], self.outward)
        points, outward = points @ world[:3, :3].T + world[:3, 3], outward @ world[:3, :3].T
        if (np.linalg.det(world[:3, :3]) < 0) != self.mirrored:
            points, outward = points[MIRROR], outward[MIRROR]
        with np.errstate(invalid="ignore", divide="ignore"):
            return points, outward / np.linalg.norm(outward, axis=1, keepdims=True)


def plan(found: Match, rest: Rest, skin: Callable[[Frame], Features | None]) -> Plan:
    """The plan for an armature whose required bones are all found.

    `skin` measures the character's meshes in the head's space; it is only asked where bones say too little.
    """
    index = {name: i for i, name in enumerate(rest.names)}
    bones, offsets = np.full(COUNT, -1, np.intp), np.zeros((COUNT, 3))
    outward, carriers = np.full((COUNT, 3), np.nan), np.zeros(COUNT, np.intp)
    for point, name in COCO.items():
        if name in found.bones:
            bones[point] = index[found.bones[name]]
    for side, points in zip(SIDES, (LEFT_HAND, RIGHT_HAND), strict=True):
        bones[points], offsets[points] = _hand(side, found, rest, index)
    frame = head_frame(found, rest)
    size = _size(found, rest)
    knots = None
    if frame is not None:
        carrier = index[frame.bone]
        features = _features(found, rest, frame, skin)
        back = frame.rotation.T

        def put(point: int, place: Points) -> None:
            if bones[point] < 0:
                bones[point], offsets[point] = carrier, back @ place

        put(NOSE, features.nose)
        for side, eye, ear in ((0, L_EYE, L_EAR), (1, R_EYE, R_EAR)):
            put(eye, features.eyes[side])
            put(ear, features.ears[side])
        bones[FACE], offsets[FACE] = carrier, face.face(features) @ back.T
        carriers[:] = carrier
        looks = np.array(((0, 1, 0), (-0.6, 0.8, 0), (0.6, 0.8, 0), (-1, 0, 0), (1, 0, 0)), np.float64)
        outward[[NOSE, R_EYE, L_EYE, R_EAR, L_EAR]] = looks @ back.T
        outward[FACE] = face.OUTWARD @ back.T
        rigged = _knots(found, index, rest)
        if rigged is not None:
            knots, ends, spots = rigged
            bones[128:130], offsets[128:130] = ends[-2:], spots[-2:]  # the pupils
            bones, offsets = np.append(bones, ends), np.concatenate([offsets, spots])
    return Plan(
        bones=bones,
        offsets=offsets,
        outward=outward,
        carriers=carriers,
        knots=knots,
        head=size,
        mirrored=_mirrored(found, rest),
    )


def upright(found: Match, rest: Rest) -> bool:
    """Whether the rest pose has legs in line with the trunk; a cat's bones have a person's names."""
    shoulders = _middle(found, rest, Part.SHOULDER, Part.ELBOW)
    hips, foot = _middle(found, rest, Part.HIP), _middle(found, rest, Part.ANKLE, Part.KNEE)
    if foot is None and hips is not None:
        ends = [found.bones[name] for side in SIDES if (name := paired(side, Part.HIP)) in found.bones]
        along = [rest.matrices[i, :3, 1] * rest.lengths[i] for i in map(rest.names.index, ends)]
        foot = hips + np.mean(along, axis=0)
    if hips is None or shoulders is None or foot is None:
        return True  # nothing speaks against it
    trunk, leg = shoulders - hips, hips - foot
    return bool(trunk @ leg > 0.6 * np.linalg.norm(trunk) * np.linalg.norm(leg))


def head_frame(found: Match, rest: Rest) -> Frame | None:
    """The head's own left, forward and up, from where the rest pose has shoulders and feet.

    Every exporter turns bones as it likes, so the head bone's own axes say nothing. None without a head
    bone, or where the limbs all lie in one place.
    """
    if Part.HEAD not in found.bones:
        return None
    left, up = _axes(found, rest)
    if not (np.isfinite(left).all() and np.isfinite(up).all()):
        return None
    axes = np.stack([left, np.cross(left, up), up])
    if _mirrored(found, rest):
        axes[1] *= -1  # left and right change places when the person is posed
    turn = rest.matrices[rest.names.index(found.bones[Part.HEAD]), :3, :3]
    return Frame(bone=found.bones[Part.HEAD], rotation=axes @ turn, size=_size(found, rest))


def _axes(found: Match, rest: Rest) -> tuple[Points, Points]:
    """Left, by the rig's own word, and up; units, NaN where there is no telling."""
    shoulders, hips = _middle(found, rest, Part.SHOULDER), _middle(found, rest, Part.HIP)
    feet = _middle(found, rest, Part.ANKLE, Part.KNEE)
    assert shoulders is not None
    assert hips is not None
    up = shoulders - (hips if feet is None else feet)  # over a long way, a slouch counts for little
    left = rest.head(found.bones["left_shoulder"]) - rest.head(found.bones["right_shoulder"])
    with np.errstate(invalid="ignore", divide="ignore"):
        up = up / np.linalg.norm(up)
        left = left - up * (left @ up)
        return left / np.linalg.norm(left), up


def _mirrored(found: Match, rest: Rest) -> bool:
    """Whether both feet point backwards, if the rig's left is left: then it is the person's right."""
    names = [(paired(side, Part.ANKLE), paired(side, Part.TOE)) for side in SIDES]
    if not all(name in found.bones for pair in names for name in pair):
        return False
    left, up = _axes(found, rest)
    for ankle, toe in names:
        foot = rest.head(found.bones[toe]) - rest.head(found.bones[ankle])
        foot = foot - up * (foot @ up)
        if not foot @ np.cross(left, up) < -0.8 * np.linalg.norm(foot):
            return False
    return True


def _middle(found: Match, rest: Rest, *parts: Part) -> Points | None:
    """Halfway between the left and the right one of the first of these parts that the rig has."""
    for part in parts:
        heads = [rest.head(found.bones[name]) for side in SIDES if (name := paired(side, part)) in found.bones]
        if heads:
            return np.mean(heads, axis=0)
    return None


def _size(found: Match, rest: Rest) -> float:
    if found.rig.true_length and Part.HEAD in found.bones:
        return float(rest.lengths[rest.names.index(found.bones[Part.HEAD])])
    shoulders, hips = _middle(found, rest, Part.SHOULDER), _middle(found, rest, Part.HIP)
    assert shoulders is not None
    assert hips is not None
    return float(np.linalg.norm(shoulders - hips)) * _HEAD_PER_TORSO


def _hand(side: str, found: Match, rest: Rest, index: Mapping[str, int]) -> tuple[NDArray[np.intp], Points]:
    bones, offsets = np.full(21, -1, np.intp), np.zeros((21, 3))
    if not any(finger(side, name, 1) in found.bones for name in Finger):
        return bones, offsets  # a wrist alone is no hand
    for number, name in enumerate(Finger):
        joints = [found.bones.get(finger(side, name, joint)) for joint in JOINTS]
        for joint, bone in zip(JOINTS, joints, strict=True):
            if bone is not None:
                bones[4 * number + joint] = index[bone]
        _, second, third, tip = joints
        if tip is None and second is not None and third is not None:
            bones[4 * number + 4] = index[third]
            offsets[4 * number + 4] = _tip(rest, index[second], index[third])
    wrist = paired(side, Part.WRIST)
    if wrist in found.bones:
        bones[0] = index[found.bones[wrist]]
    return bones, offsets


def _tip(rest: Rest, second: int, third: int) -> Points:
    """The fingertip in the space of the last bone: its tail, unless an importer made that up."""
    turn, length = rest.matrices[third, :3, :3], rest.lengths[third]
    before = turn.T @ (rest.matrices[third, :3, 3] - rest.matrices[second, :3, 3])
    span = np.linalg.norm(before)
    low, high = _TIP_LENGTHS
    if low * span < length < high * span and before[1] > _TIP_COSINE * span:
        return np.array((0.0, length, 0.0))
    return before * _TIP


def _features(found: Match, rest: Rest, frame: Frame, skin: Callable[[Frame], Features | None]) -> Features:
    """Nose, eyes and ears in the head's space: of bones, else of the skin, else where they are on most people."""
    base = rest.head(frame.bone)
    turn = rest.matrices[rest.names.index(frame.bone), :3, :3]

    def at(name: str) -> Points | None:
        return frame.rotation @ turn.T @ (rest.head(found.bones[name]) - base) if name in found.bones else None

    def pair(part: Part) -> Points | None:
        places = [at(paired(side, part)) for side in SIDES]
        return None if places[0] is None or places[1] is None else np.array(places)

    nose, eyes, ears = at(Part.NOSE), pair(Part.EYE), pair(Part.EAR)
    measured = None if nose is not None and eyes is not None and ears is not None else skin(frame)
    height = None if measured is None else measured.height
    if measured is None:
        measured = _usual(found, frame)
    if eyes is not None:
        scale = float(np.linalg.norm(eyes[0] - eyes[1])) / face.PUPILS_MM
        eyes[:, 1] += face.EYEBALL_MM * scale
        if height is None and nose is None:  # from the eyes is a shorter way than from the head bone
            nose = eyes.mean(axis=0) + face.TEMPLATE[face.NOSE_TIP] * scale
            ears = ears if ears is not None else face.tragi(eyes.mean(axis=0), scale)
    return Features(
        nose=measured.nose if nose is None else nose,
        eyes=measured.eyes if eyes is None else eyes,
        ears=measured.ears if ears is None else ears,
        height=height,
    )


def _usual(found: Match, frame: Frame) -> Features:
    """A face where most characters of the rig's family have it."""
    usual = found.rig.face

    def on_both_sides(lateral: float, forward: float, up: float) -> Points:
        return np.array(((lateral, forward, up), (-lateral, forward, up))) * frame.size

    nose, eye, ear = usual.nose, usual.eye, usual.ear
    return Features(
        nose=np.array((0.0, nose.forward, nose.up)) * frame.size,
        eyes=on_both_sides(eye.lateral, eye.forward, eye.up),
        ears=on_both_sides(ear.lateral, ear.forward, ear.up),
    )


def _knots(found: Match, index: Mapping[str, int], rest: Rest) -> tuple[Points, NDArray[np.intp], Points] | None:
    """A face rig: how its 68 points are mixed (68, k) from ends of bones, and these ends; None without one."""
    rig = found.rig.knots
    before = found.prefix + rig.prefix
    ends = list(dict.fromkeys(name for line in rig.lines for name in line.bones))
    pupils = [found.prefix + name for name in rig.pupils]
    if not ends or not all(before + end.removesuffix(">") in index for end in ends):
        return None
    if not all(pupil in index for pupil in pupils):
        return None
    mix = np.zeros((68, len(ends) + 2))
    for line in rig.lines:
        for number, t in enumerate(np.linspace(0, len(line.bones) - 1, line.last - line.first + 1)):
            row, low = mix[line.first + number], min(int(t), len(line.bones) - 1)
            row[:] = 0
            row[ends.index(line.bones[low])] += 1 - (t - low)
            if t > low:
                row[ends.index(line.bones[low + 1])] += t - low
    for point, (near, far, way) in face.INNER_LIPS.items():
        mix[point] = (1 - way) * mix[near] + way * mix[far]
    bones = [index[before + end.removesuffix(">")] for end in ends] + [index[pupil] for pupil in pupils]
    offsets = np.zeros((len(bones), 3))
    tails = [end.endswith(">") for end in ends] + [True, True]
    offsets[tails, 1] = rest.lengths[bones][tails]
    return mix, np.array(bones, np.intp), offsets
