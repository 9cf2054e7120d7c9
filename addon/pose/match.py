"""Which rig an armature is, from the names of its bones. Knows nothing of Blender."""

import functools
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ...protocol.errors import UnmappedRig
from .points import ARMS, LEGS, REQUIRED, SIDES, finger, label
from .rigs import Rig
from .rigs_body import RIGS
from .tokens import by_tokens

_SEPARATORS = re.compile(r"[-_ .]")

ANY = Rig(name="any rig", sides=("l", "r"), bones={})
"""For bones that something else than a table found."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """An armature's bones, by the points that they mark."""

    rig: Rig
    bones: Mapping[str, str]
    prefix: str = ""  # what stands before the rig's names
    chosen: bool = False  # the user put bones to points, and thereby said that it is a person

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(point for point in REQUIRED if point not in self.bones)

    @property
    def like_a_person(self) -> bool:
        """Half of the points, arms and legs among them: a wolf has a man's hind legs, by name."""
        arms, legs = (sum(point in self.bones for point in points) for points in (ARMS, LEGS))
        return (arms + legs) * 2 >= len(REQUIRED) and arms > 0 and legs > 0


def match(bones: Collection[str]) -> Match | None:
    """The rig that explains most of these bone names; None for an armature that is no person.

    Names are taken as they are, then after any common prefix ("mixamorig1:", "Bip001 ", "Hero_"), then
    without regard to case and separators, and last by the words in them, whoever wrote them. A match may
    lack some bones, as long as half of the shoulders, elbows, hips and knees are there.
    """
    return _match(tuple(bones))


def unmapped(armature: str, found: Match | None) -> UnmappedRig:
    """The error for a person some of whose joints are not found, naming them."""
    if found is None:
        return UnmappedRig(armature=armature, missing=", ".join(map(label, REQUIRED)))
    names = ", ".join(map(label, found.missing))
    known = "" if found.rig is ANY else f" (of the names that {found.rig.name} uses)"
    return UnmappedRig(armature=armature, missing=names + known)


@functools.lru_cache(maxsize=64)  # every frame of an animation asks again
def _match(bones: tuple[str, ...]) -> Match | None:
    loose: dict[str, str] = {}
    for bone in bones:
        loose.setdefault(_loose(bone), bone)
    found: list[Match] = []
    for names, fold in (({bone: bone for bone in bones}, str), (loose, _loose)):
        found += [candidate for rig in RIGS for candidate in _candidates(rig, names, fold)]
        if any(not candidate.missing for candidate in found):
            break
    else:
        found.append(Match(rig=ANY, bones=by_tokens(bones)))
    best = min(found, key=lambda candidate: (len(candidate.missing), -len(candidate.bones)))  # of equals, the first
    return best if best.like_a_person else None


def _candidates(rig: Rig, names: Mapping[str, str], fold: Callable[[str], str]) -> list[Match]:
    """What a rig finds among folded names, with each prefix."""
    found: list[Match] = []
    for prefix in _prefixes(rig, names, fold):

        def bone(name: str, prefix: str = prefix) -> str | None:
            return names.get(prefix + fold(name))

        hits = {
            point: hit
            for point, spellings in rig.bones.items()
            if (hit := next((hit for name in spellings if (hit := bone(name))), None))
        }
        if hits:
            hits |= _hands(rig, bone)
            found.append(Match(rig=rig, bones=hits, prefix=_unfolded(prefix, hits)))
    return found


def _hands(rig: Rig, bone: Callable[[str], str | None]) -> dict[str, str]:
    """Of each finger, the way of naming that most of its bones follow."""
    hits: dict[str, str] = {}
    for side in SIDES:
        best: dict[str, dict[str, str]] = {}
        for hand in rig.hands:
            for name, spellings in hand.items():
                joints = {
                    finger(side, name, joint): hit
                    for joint, spelling in enumerate(spellings, 1)
                    if (hit := bone(rig.spelled(spelling, side)))
                }
                if len(joints) > len(best.get(name, {})):
                    best[name] = joints
        for joints in best.values():
            hits |= joints
    return hits


def _unfolded(prefix: str, hits: Mapping[str, str]) -> str:
    """The prefix as the armature spells it; "" where case or separators differ."""
    return prefix if all(name.startswith(prefix) for name in hits.values()) else ""


def _prefixes(rig: Rig, names: Collection[str], fold: Callable[[str], str]) -> list[str]:
    """No prefix, and whatever stands before this rig's name of a thigh."""
    ends = [fold(name) for side in SIDES for name in rig.bones.get(f"{side}_hip", ())]
    before = {name.removesuffix(end) for name in names for end in ends if name.endswith(end)}
    return ["", *sorted(before - {""})]


def _loose(name: str) -> str:
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", name)).casefold()
