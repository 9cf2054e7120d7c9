"""Which rig an armature is, from the names of its bones. Knows nothing of Blender."""

import functools
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from ...protocol.errors import UnmappedRig
from .rigs import ARMS, LEGS, PAIRED, RIGS, SINGLE, Part, Rig

Place = tuple[Part, int]
"""A part and its side: 0 is the person's left (and what has no side), 1 the right."""

REQUIRED: tuple[Place, ...] = tuple((part, side) for part in (*ARMS, *LEGS) for side in (0, 1))
_ALL: tuple[Place, ...] = (*((part, side) for part in PAIRED for side in (0, 1)), *((part, 0) for part in SINGLE))
_SEPARATORS = re.compile(r"[-_ .]")


@dataclass(frozen=True, kw_only=True)
class Match:
    """An armature's bones, found by a rig's names."""

    rig: Rig
    bones: dict[Place, str]

    @property
    def missing(self) -> tuple[Place, ...]:
        return tuple(place for place in REQUIRED if place not in self.bones)


def match(bones: Collection[str]) -> Match | None:
    """The rig that explains most of these bone names; None for an armature that is no person.

    Names are taken as they are, then after any common prefix ("mixamorig1:", "Bip001 ", "Hero_"), then
    without regard to case and separators. A match may lack some bones, as long as half of the shoulders,
    elbows, hips and knees are there.
    """
    return _match(tuple(bones))


@functools.lru_cache(maxsize=64)  # every frame of an animation asks again
def _match(bones: tuple[str, ...]) -> Match | None:
    loose: dict[str, str] = {}
    for bone in bones:
        loose.setdefault(_loose(bone), bone)
    best: Match | None = None
    for names, fold in (({bone: bone for bone in bones}, str), (loose, _loose)):
        found = [candidate for rig in RIGS for candidate in _candidates(rig, names, fold)]
        if best is not None:
            found.insert(0, best)
        best = min(found, key=lambda candidate: (len(candidate.missing), -len(candidate.bones)), default=None)
        if best is not None and not best.missing:
            break
    return best if best is not None and _like_a_person(best) else None  # of equals, the first


def unmapped(armature: str, found: Match) -> UnmappedRig:
    """The error for a person some of whose joints are not found, naming them."""
    names = ", ".join(f"{'left' if side == 0 else 'right'} {part.value}" for part, side in found.missing)
    return UnmappedRig(armature=armature, missing=f"{names} (of the names that {found.rig.name} uses)")


def _like_a_person(candidate: Match) -> bool:
    """Half of the points, arms and legs among them: a wolf has a man's hind legs, by name."""
    found = [part for part, side in REQUIRED if (part, side) in candidate.bones]
    return len(found) * 2 >= len(REQUIRED) and any(p in ARMS for p in found) and any(p in LEGS for p in found)


def _candidates(rig: Rig, names: dict[str, str], fold: Callable[[str], str]) -> list[Match]:
    """What a rig finds among folded names, with each prefix."""
    found: list[Match] = []
    for prefix in _prefixes(rig, names, fold):
        hits = {
            place: names[prefix + fold(name)]
            for place in _ALL
            for name in reversed(_spelled(rig, place))  # the first is written last, and stays
            if prefix + fold(name) in names
        }
        if hits:
            found.append(Match(rig=rig, bones=hits))
    return found


def _prefixes(rig: Rig, names: Collection[str], fold: Callable[[str], str]) -> list[str]:
    """No prefix, and whatever stands before this rig's name of a thigh."""
    ends = [fold(name) for side in (0, 1) for name in _spelled(rig, (Part.HIP, side))]
    before = {name.removesuffix(end) for name in names for end in ends if name.endswith(end)}
    return ["", *sorted(before - {""})]


def _spelled(rig: Rig, place: Place) -> tuple[str, ...]:
    part, side = place
    return tuple(name.format(s=rig.sides[side]) for name in rig.bones.get(part, ()))


def _loose(name: str) -> str:
    return _SEPARATORS.sub("", name).casefold()
