"""A rig's bones out of what the VRM add-on or a user's own mapping say of it, before anybody guesses from names."""

from typing import Any

from . import mapping
from .match import ANY, Match, match
from .points import SIDES, Finger, Part, finger, paired

# VRM's names of human bones, by point, after the side: "leftUpperArm" of VRM 0, "left_upper_arm" of VRM 1.
_PARTS = {
    Part.SHOULDER: "upper_arm",
    Part.ELBOW: "lower_arm",
    Part.WRIST: "hand",
    Part.HIP: "upper_leg",
    Part.KNEE: "lower_leg",
    Part.ANKLE: "foot",
    Part.TOE: "toes",
    Part.EYE: "eye",
}
_PHALANGES = ("proximal", "intermediate", "distal")
_THUMB = ("metacarpal", "proximal", "distal")  # of VRM 1; VRM 0 counts the thumb as it does the other fingers


def identify(armature: Any) -> Match | None:
    """The points of an armature object; None where it is no person.

    What the user said comes first. Then the table that explains the most names; the VRM add-on's
    humanoid; and the words in the names.
    """
    data = armature.data.original  # evaluated data isn't made anew when somebody's properties change
    bones = armature.pose.bones
    found = match(bones.keys())
    if found is None or found.missing or found.rig is ANY:
        told = {point: bone for point, bone in vrm(data).items() if bone in bones}
        humanoid = Match(rig=ANY, bones=told)
        if not humanoid.missing:
            found = humanoid
    own = mapping.of(data)
    if own is None:
        return found
    own = {point: bone for point, bone in own.items() if bone in bones}
    if found is None:
        return Match(rig=ANY, bones=own, chosen=True)
    return Match(rig=found.rig, bones={**found.bones, **own}, prefix=found.prefix, chosen=True)


def vrm(data: Any) -> dict[str, str]:
    """Point to bone, as the VRM add-on keeps it with an armature's data; empty without the add-on."""
    extension = getattr(data, "vrm_addon_extension", None)
    if extension is None:
        return {}
    one = extension.vrm1.humanoid.human_bones
    found = {point: _one(one, name) for point, name in _names(_THUMB).items()}
    if not any(found.values()):
        zero = {bone.bone: bone.node.bone_name for bone in extension.vrm0.humanoid.human_bones}
        found = {point: zero.get(_camel(name), "") for point, name in _names(_PHALANGES).items()}
    return {point: bone for point, bone in found.items() if bone}


def _one(bones: Any, name: str) -> str:
    bone = getattr(bones, name, None)  # a field of VRM 1 for each human bone
    return "" if bone is None else bone.node.bone_name


def _names(thumb: tuple[str, ...]) -> dict[str, str]:
    names = {str(Part.HEAD): "head"}
    for side in SIDES:
        names |= {paired(side, part): f"{side}_{name}" for part, name in _PARTS.items()}
        for which in Finger:
            phalanges = thumb if which is Finger.THUMB else _PHALANGES
            names |= {finger(side, which, i): f"{side}_{which}_{name}" for i, name in enumerate(phalanges, 1)}
    return names


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
