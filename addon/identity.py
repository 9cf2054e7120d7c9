"""Which object and which material each pixel shows: Cryptomatte's hashes, decoded to names.

Cryptomatte hashes a name alone, so linked objects of equal names share a hash; and where surfaces shine through
each other its first rank is the one that covers most, which need not be the one whose depth was written. In both
cases the index pass tells: the *evaluated* copies are numbered for it, which nothing of the user's sees.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..protocol.arrays import Float32Array, Int32Array

_MAX_INDEX = 32767  # of Blender's pass_index
_WHOLE = 0.999  # of a pixel; sums of weights are not exactly 1
_MASK = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True)
class Names:
    """Everything of one sort that a render may show, in an order that only the names decide."""

    full: tuple[str, ...]  # unique: of linked ones, with the library's name
    hashes: NDArray[np.uint32]  # Cryptomatte's, in the same order
    ambiguous: frozenset[int]  # hashes that several have


@dataclass(frozen=True, kw_only=True)
class Identities:
    """The objects and materials of a depsgraph, numbered."""

    objects: Names
    materials: Names


def number(depsgraph: Any) -> Identities:
    """Number the evaluated objects and materials for their index passes, from 1, and say who they are."""
    objects, materials = [], []
    for item in depsgraph.ids:
        if isinstance(item, bpy.types.Object):
            if item.type not in _INVISIBLE:
                objects.append(item)
        elif isinstance(item, bpy.types.Material):
            materials.append(item)
    return Identities(objects=_numbered(objects), materials=_numbered(materials))


_INVISIBLE = {"ARMATURE", "LATTICE", "EMPTY", "CAMERA", "LIGHT", "SPEAKER", "LIGHT_PROBE"}


def _numbered(items: Iterable[Any]) -> Names:
    ordered = sorted(((item.original.name_full, item) for item in items), key=lambda pair: pair[0])
    hashes: list[int] = []
    for number, (_, item) in enumerate(ordered, 1):
        item.pass_index = number if number <= _MAX_INDEX else 0
        hashes.append(cryptomatte(item.name))
    return Names(
        full=tuple(full for full, _ in ordered),
        hashes=np.array(hashes, np.uint32),
        ambiguous=frozenset(value for value, times in Counter(hashes).items() if times > 1),
    )


def decode(rank: Float32Array, index: Float32Array, names: Names) -> Int32Array:
    """Numbers from 1 into `names.full`, 0 where nothing is: (height, width).

    `rank` is the first Cryptomatte pass (id, coverage, ...), `index` the index pass (height, width).
    """
    bits = np.ascontiguousarray(rank[..., 0]).view(np.uint32)
    found = index.astype(np.int32)  # a float that holds a whole number
    expected = np.concatenate([np.zeros(1, np.uint32), names.hashes]).take(found)
    differ = np.nonzero(bits != expected)  # few: seen through something, without an index, or not of the names
    if not len(differ[0]):
        return found
    whole = rank[..., 1][differ] >= _WHOLE
    order = np.argsort(names.hashes, kind="stable")
    ordered = names.hashes[order]
    place = np.minimum(np.searchsorted(ordered, bits[differ]), max(len(ordered) - 1, 0))
    known = ordered[place] == bits[differ] if len(ordered) else np.zeros(len(place), bool)
    by_hash = np.where(known, order[place] + 1, 0) if len(ordered) else np.zeros(len(place), np.int32)
    without_index = found[differ] == 0
    found[differ] = np.where(whole | without_index, by_hash, found[differ])
    return found


def cryptomatte(name: str) -> int:
    """The bits of a name's Cryptomatte id: MurmurHash3 (32 bit, seed 0), kept off NaN, infinity and denormals.

    As in Psyop's Cryptomatte specification 1.2.0.
    """
    value = murmur3(name.encode("utf-8", "surrogateescape"))  # the bytes that Blender keeps
    exponent = value >> 23 & 255
    return value ^ 1 << 23 if exponent in (0, 255) else value


def murmur3(data: bytes) -> int:
    """Austin Appleby's MurmurHash3_x86_32 with seed 0."""
    value, whole = 0, len(data) // 4 * 4
    for place in range(0, whole, 4):
        value ^= _mixed(int.from_bytes(data[place : place + 4], "little"))
        value = (_rotated(value, 13) * 5 + 0xE6546B64) & _MASK
    if whole < len(data):
        value ^= _mixed(int.from_bytes(data[whole:], "little"))
    value ^= len(data)
    value = (value ^ value >> 16) * 0x85EBCA6B & _MASK
    value = (value ^ value >> 13) * 0xC2B2AE35 & _MASK
    return value ^ value >> 16


def _mixed(word: int) -> int:
    return _rotated(word * 0xCC9E2D51 & _MASK, 15) * 0x1B873593 & _MASK


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> (32 - by)) & _MASK
