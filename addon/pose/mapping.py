"""Bones that the user has put to a person's points: kept with the armature, read by the matching, saved as presets.

Knows nothing of Blender but the shape of the settings on an armature's data; `of` only reads, so it may run in the
render thread on evaluated data.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...protocol.errors import InvalidMapping
from .points import POINTS, SIDES

Ends = NDArray[np.float64]
"""A bone at rest: (2, 3), head and tail in the armature's space."""

_FORMAT = "underpaint_rig"
_VERSION = 1
_NEAR = 0.05  # of the mirrored bone's length: how far its twin's ends may lie from the mirror image


def of(armature: Any) -> dict[str, str] | None:
    """The bones that the user has chosen, by point (see `points`); None where there are none.

    armature: the armature's data, original or evaluated. Bones that are no longer there are left out, so
    that what they stood for is found by name, or missed by name.
    """
    if not armature.is_property_set("underpaint"):
        return None
    bones = armature.bones
    chosen = {item.name: item.bone for item in armature.underpaint.bones if item.bone and item.bone in bones}
    return chosen or None


def is_nobody(armature: Any) -> bool:
    """Whether the user has said that an armature's data, original or evaluated, is no person."""
    return armature.is_property_set("underpaint") and armature.underpaint.not_a_person


def twin(point: str) -> str | None:
    """The same point of the other side; None for one in the middle."""
    for side, other in (SIDES, SIDES[::-1]):
        if point.startswith(f"{side}_"):
            return other + point.removeprefix(side)
    return None


def mirrored(bone: str, bones: Mapping[str, Ends], flip: Callable[[str], str]) -> str | None:
    """The bone on the other side: the one that is called so, or else the one that lies there at rest.

    flip: turns left into right in a name, as bpy.utils.flip_name does. The armature's x axis runs from one
    side to the other, as for Blender's own mirroring.
    """
    by_name = flip(bone)
    if by_name != bone and by_name in bones:
        return by_name
    wanted = bones[bone] * (-1, 1, 1)
    others = [name for name in bones if name != bone]
    if not others:
        return None
    distances = [float(np.linalg.norm(bones[name] - wanted, axis=1).max()) for name in others]
    nearest = int(np.argmin(distances))
    length = float(np.linalg.norm(wanted[1] - wanted[0]))
    return others[nearest] if distances[nearest] <= _NEAR * length else None


def to_json(chosen: Mapping[str, str]) -> str:
    """A mapping as a preset's text, in the order of the points."""
    bones = {point: chosen[point] for point in POINTS if chosen.get(point)}
    return json.dumps({_FORMAT: _VERSION, "bones": bones}, indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> dict[str, str]:
    """The mapping in a preset's text. Raises InvalidMapping."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidMapping(reason=str(error) or "it is nested too deeply") from error
    if not isinstance(content, dict) or _FORMAT not in content:
        raise InvalidMapping(reason=f'it is no preset of bones: it has no "{_FORMAT}"')
    if content[_FORMAT] != _VERSION:
        raise InvalidMapping(reason=f"it is of version {content[_FORMAT]}, known is {_VERSION}")
    bones = content.get("bones")
    if not isinstance(bones, dict):
        raise InvalidMapping(reason='its "bones" are no object')
    for point, bone in cast(dict[str, object], bones).items():
        if point not in POINTS:
            raise InvalidMapping(reason=f'it has a point "{point}", which is not known')
        if not isinstance(bone, str) or not bone:
            raise InvalidMapping(reason=f'the bone of "{point}" is no name')
    return cast(dict[str, str], bones)
