"""The points of a person that a bone can mark, by the names that tables, mappings and presets give them.

Data only. A point lies at the *head* of its bone. Names are "nose", "left_shoulder", "right_index_2":
left and right are the person's own. Saved files hold these names, so none may change its meaning.
"""

from enum import StrEnum


class Part(StrEnum):
    """A place on the body."""

    SHOULDER = "shoulder"  # where the upper arm starts, and not the clavicle
    ELBOW = "elbow"
    WRIST = "wrist"
    HIP = "hip"  # where the thigh starts
    KNEE = "knee"
    ANKLE = "ankle"
    TOE = "toe"  # the ball of the foot; tells which way the rest pose looks
    HEAD = "head"  # the bone that carries the skull
    NOSE = "nose"  # its tip
    EYE = "eye"  # the eyeball, and never what it looks at
    EAR = "ear"


class Finger(StrEnum):
    """The fingers, in the order of OpenPose's hand."""

    THUMB = "thumb"
    INDEX = "index"
    MIDDLE = "middle"
    RING = "ring"
    LITTLE = "little"


SIDES = ("left", "right")
JOINTS = (1, 2, 3, 4)
"""Of a finger, from the palm out; 4 is its tip, which few rigs have a bone for."""

PAIRED = (
    Part.SHOULDER,
    Part.ELBOW,
    Part.WRIST,
    Part.HIP,
    Part.KNEE,
    Part.ANKLE,
    Part.TOE,
    Part.EYE,
    Part.EAR,
)
SINGLE = (Part.HEAD, Part.NOSE)


def paired(side: str, part: Part) -> str:
    """The name of a point that has a twin."""
    return f"{side}_{part}"


def finger(side: str, name: Finger, joint: int) -> str:
    """The name of a finger's joint, 1 to 4."""
    return f"{side}_{name}_{joint}"


def label(point: str) -> str:
    """A point's name for people: "right index 2"."""
    return point.replace("_", " ")


BODY = tuple(
    paired(side, part)
    for part in (Part.SHOULDER, Part.ELBOW, Part.WRIST, Part.HIP, Part.KNEE, Part.ANKLE, Part.TOE)
    for side in SIDES
)
FACE = ("head", "nose", *(paired(side, part) for part in (Part.EYE, Part.EAR) for side in SIDES))
HANDS = {side: tuple(finger(side, name, joint) for name in Finger for joint in JOINTS) for side in SIDES}

GROUPS: dict[str, tuple[str, ...]] = {
    "Body": BODY,
    "Head": FACE,
    "Left hand": HANDS["left"],
    "Right hand": HANDS["right"],
}
"""Every point, as a list for people would show them."""

POINTS: tuple[str, ...] = tuple(point for group in GROUPS.values() for point in group)
ARMS = tuple(paired(side, part) for part in (Part.SHOULDER, Part.ELBOW) for side in SIDES)
LEGS = tuple(paired(side, part) for part in (Part.HIP, Part.KNEE) for side in SIDES)
REQUIRED = (*ARMS, *LEGS)
"""Without these an armature is no person, or one that can't be drawn. Everything else may be missing."""
