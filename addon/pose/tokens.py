"""The points of a rig that no table knows, from the words in its bones' names. Knows nothing of Blender.

"Hero:L_upArm_jnt" is the words l, up, arm, jnt: a side, a part and a word that says nothing.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from .points import SIDES, Finger, Part, finger, paired

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_]+")

_SIDE_WORDS = {
    **dict.fromkeys(("l", "left", "lft", "lf", "左"), "left"),
    **dict.fromkeys(("r", "right", "rgt", "rt", "右"), "right"),
}
_MUTE = frozenset((
    "def", "deform", "bind", "bnd", "jnt", "joint", "bone", "bn", "skin", "skel", "sk", "b", "bip", "biped", "rig",
    "armature",
))  # fmt: skip
_NO_SIDE = frozenset(("c", "m", "cn", "ctr", "cen", "center", "centre"))
# Bones that move others or follow them: no joint lies where they are.
_NO_JOINT = frozenset((
    "ik", "fk", "ctrl", "ctl", "control", "con", "target", "tgt", "pole", "twist", "twst", "roll", "helper",
    "tweak", "mch", "socket", "attach", "weapon", "prop", "nub", "end", "offset", "master", "parent", "vis",
    "pivot", "lock", "toon", "corrective", "muscle", "volume", "virtual", "dummy", "ref", "proxy", "goal",
    "spline", "switch", "lid", "brow", "lash", "look", "aim", "light", "shadow", "stretch",
))  # fmt: skip
_PALM = frozenset(("metacarpal", "meta", "carpal", "palm", "base", "in"))

# In order: the first spelling that a side has is taken.
_SURE: dict[str, tuple[str, ...]] = {
    Part.SHOULDER: ("upperarm", "uparm", "armupper", "armup", "uarm", "humerus", "bicep", "biceps"),
    Part.ELBOW: ("forearm", "lowerarm", "lowarm", "loarm", "armlower", "armlow", "elbow", "ulna"),
    Part.WRIST: ("wrist", "hand"),
    Part.HIP: ("thigh", "upperleg", "upleg", "legupper", "legup", "uleg", "femur"),
    Part.KNEE: ("shin", "calf", "lowerleg", "lowleg", "loleg", "leglower", "leglow", "knee", "tibia", "crus"),
    Part.ANKLE: ("ankle", "foot", "feet"),
    Part.TOE: ("toe", "toes", "ball", "toebase"),
    Part.EYE: ("eye", "eyeball"),
    Part.EAR: ("ear",),
}
# What these mean depends on what else is there.
_UNSURE: dict[str, tuple[str, ...]] = {Part.SHOULDER: ("arm", "shoulder", "shldr"), Part.HIP: ("leg", "hip")}
_MIDDLE: tuple[tuple[Part, Part, str], ...] = ((Part.SHOULDER, Part.ELBOW, "arm"), (Part.HIP, Part.KNEE, "leg"))
_PIECES = frozenset(("upper", "up", "u", "lower", "low", "lo", "fore", "arm", "leg", "tip", "base"))
_HEAD = ("head", "skull")
_NOSE = ("nosetip", "nose")

_FINGERS = {
    **dict.fromkeys(("thumb", "thmb"), Finger.THUMB),
    **dict.fromkeys(("index", "indx", "point", "pointer"), Finger.INDEX),
    **dict.fromkeys(("middle", "mid"), Finger.MIDDLE),
    "ring": Finger.RING,
    **dict.fromkeys(("little", "pinky", "pinkie", "small"), Finger.LITTLE),
}
_PHALANGES = {"proximal": 1, "intermediate": 2, "distal": 3, "tip": 4, "a": 1, "b": 2, "c": 3, "d": 4}
_OF_A_FINGER = frozenset(("finger", "fingers", "fing", "fngr", "hand", "f", "digit"))
_KNOWN = frozenset((
    *_SIDE_WORDS, *_FINGERS, *_OF_A_FINGER, *_PIECES, *_HEAD, *_NOSE,
    *(word for words in (*_SURE.values(), *_UNSURE.values()) for word in words),
))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Name:
    """A bone's name in pieces."""

    bone: str
    side: str  # "" where there is none
    words: tuple[str, ...]
    numbers: tuple[int, ...]


def by_tokens(bones: Collection[str]) -> dict[str, str]:
    """The bones among these, by point, whose names say what they are. A side is never guessed."""
    names = _names(bones)
    joined: dict[tuple[str, str], list[_Name]] = {}
    for name in names:
        joined.setdefault((name.side, "".join(name.words)), []).append(name)

    def first(side: str, spellings: Iterable[str]) -> str | None:
        for spelling in spellings:
            if found := joined.get((side, spelling)):
                return min(found, key=lambda name: (name.numbers, len(name.bone))).bone
        return None

    points: dict[str, str] = {}
    for side in SIDES:
        limbs = {part: bone for part, spellings in _SURE.items() if (bone := first(side, spellings))}
        for upper, lower, limb in _MIDDLE:
            halves = sorted(joined.get((side, limb), []), key=lambda name: name.numbers)
            if upper in limbs and lower not in limbs and halves:
                limbs[lower] = halves[0].bone  # UpLeg and Leg
            elif lower in limbs and upper not in limbs and (bone := first(side, _UNSURE[upper])):
                limbs[upper] = bone  # leg and knee, shoulder and elbow
            elif upper not in limbs and len(halves) > 1:
                limbs[upper], limbs[lower] = halves[0].bone, halves[1].bone  # arm1 and arm2
        points |= {paired(side, Part(part)): bone for part, bone in limbs.items()}
        points |= _fingers(side, [name for name in names if name.side == side])
    for point, spellings in ((Part.HEAD, _HEAD), (Part.NOSE, _NOSE)):
        if bone := first("", spellings):
            points[point] = bone
    return points


def _names(bones: Collection[str]) -> list[_Name]:
    split = {bone: _split(bone) for bone in bones}
    counts = Counter(word for words in split.values() for word in set(words) if not word.isdigit())
    common = {word for word, count in counts.items() if count > 0.6 * len(split)} - _KNOWN
    names: list[_Name] = []
    for bone, words in split.items():
        sides = {_SIDE_WORDS[word] for word in words if word in _SIDE_WORDS}
        if len(sides) > 1 or not _NO_JOINT.isdisjoint(words):
            continue
        mute = _MUTE | _SIDE_WORDS.keys() | common | (frozenset() if sides else _NO_SIDE)
        names.append(
            _Name(
                bone=bone,
                side=next(iter(sides), ""),
                words=tuple(word for word in words if not (word.isdigit() or word in mute)),
                numbers=tuple(int(word) for word in words if word.isdigit()),
            )
        )
    return names


def _split(bone: str) -> list[str]:
    name = re.split(r"[:|]", unicodedata.normalize("NFKC", bone))[-1]
    words: list[str] = []
    for word in _WORDS.findall(name):
        if word[0] in "左右":
            words.append(word[0])
            word = word[1:]
        if word:
            words.append(word.casefold())
    return words


def _fingers(side: str, names: list[_Name]) -> dict[str, str]:
    """A side's fingers; bones are counted from the palm out by their numbers or the names of the phalanges."""
    chains: dict[Finger, list[tuple[tuple[int, ...], str]]] = {}
    numbered = [name for name in names if set(name.words) <= {"finger", "fingers", "hand"} and "finger" in name.words]
    zero = any(name.numbers and _two_numbers(name)[0] == 0 for name in numbered)
    for name in names:
        rest = [word for word in name.words if word not in _OF_A_FINGER]
        if name in numbered and name.numbers:
            number, joint = _two_numbers(name)
            if 0 <= number - (not zero) < len(Finger):
                chains.setdefault(tuple(Finger)[number - (not zero)], []).append(((joint,), name.bone))
        elif rest and rest[0] in _FINGERS and set(rest[1:]).isdisjoint(_PALM) and len(rest) <= 2:
            phalanx = _PHALANGES.get(rest[1]) if len(rest) == 2 else None
            if len(rest) == 1 or phalanx is not None:
                order = name.numbers or ((phalanx,) if phalanx is not None else (0,))
                chains.setdefault(_FINGERS[rest[0]], []).append((order, name.bone))
    points: dict[str, str] = {}
    for which, chain in chains.items():
        chain.sort()
        if which is not Finger.THUMB and len(chain) > 3 and chain[0][0] == (0,):
            chain = chain[1:]  # a bone of the palm
        points |= {finger(side, which, joint): bone for joint, (_, bone) in enumerate(chain[:4], 1)}
    return points


def _two_numbers(name: _Name) -> tuple[int, int]:
    """Which finger, and which of its joints: "finger_1_2", "Finger12", "Finger1"."""
    first, *rest = name.numbers
    if rest:
        return first, rest[0]
    return (first // 10, first % 10) if first > 9 else (first, 0)
