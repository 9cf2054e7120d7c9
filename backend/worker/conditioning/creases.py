"""Where a surface bends sharply, and not where it is merely round."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....protocol.arrays import AnyArray
from .relief import Mask, Pairs

Indices = NDArray[np.intp]

_SHARPER = 2.5  # how many times more a crease bends than the surface does on either side of it
_CONFIRMED = 0.2  # the part of the angle by which the depth has to bend too: bump maps bend normals alone
_OWNER = (0.37, 0.81, 0.45)  # of the two sides, the line lies on the one that faces this way more: tops before sides
_NO_NORMAL = 0.25  # squared length


@dataclass(frozen=True, kw_only=True)
class Creases:
    """Pairs of pixels with a crease between them, as indices into `Pairs`."""

    rows: Indices
    columns: Indices
    on_first: Mask  # whether the line lies on the pair's first pixel


def creases(pairs: Pairs, least_deg: float) -> Creases:
    """Every crease of `least_deg` and more between two neighbouring pixels."""
    least = np.radians(least_deg)
    rows, left = np.nonzero(pairs.joined & (pairs.cosine < np.float32(np.cos(least))))
    known = _known(pairs, rows, left) & _known(pairs, rows, left + 1)
    rows, left = rows[known], left[known]
    angle = np.arccos(np.clip(pairs.cosine[rows, left], -1, 1))
    before, open_before = _bend(pairs, rows, left - 1)
    after, open_after = _bend(pairs, rows, left + 1)
    # On what is two pixels wide, between two borders, roundness and a crease can't be told apart.
    sharp = (angle > _SHARPER * np.maximum(before, after)) & ~(open_before & open_after)
    sharp &= depth_bends(pairs, rows, left, 1, _CONFIRMED * float(least))
    rows, left = rows[sharp], left[sharp]
    owner = np.zeros(rows.shape, np.float32)
    for weight, part in zip(_OWNER, pairs.normal, strict=True):
        owner += weight * (part[rows, left] - part[rows, left + 1])
    return Creases(rows=rows, columns=left, on_first=owner > 0)


def _known(pairs: Pairs, rows: Indices, columns: Indices) -> Mask:
    """Whether there is a normal at all."""
    x, y, z = (part[rows, columns] for part in pairs.normal)
    return x * x + y * y + z * z > _NO_NORMAL


def _bend(pairs: Pairs, rows: Indices, columns: Indices) -> tuple[AnyArray, Mask]:
    """How far the surface bends in some pairs, and where it ends instead (there, the bend is 0)."""
    count = pairs.joined.shape[1]
    inside = np.clip(columns, 0, count - 1)
    ended = (columns != inside) | ~pairs.joined[rows, inside]
    return np.where(ended, 0, np.arccos(np.clip(pairs.cosine[rows, inside], -1, 1))), ended


def depth_bends(pairs: Pairs, rows: Indices, columns: Indices, away: int, least: float) -> Mask:
    """Whether the depth bends too, by `least` radians from before the pairs to after them, `away` pairs on either side.

    Next to a border, where it can't be told, it is taken to do so; at the picture's edge it is not.
    """
    told = np.ones(rows.shape, bool)
    inside = np.ones(rows.shape, bool)
    slopes: list[AnyArray] = []
    for side in (-1, 1):
        total, found = np.zeros(rows.shape, np.float32), np.zeros(rows.shape, np.int32)
        for there in (columns + side * away, columns + side * (away + 1)):
            at = np.clip(there, 0, pairs.joined.shape[1] - 1)
            known = (at == there) & pairs.joined[rows, at]
            total += np.where(known, pairs.slope[rows, at], 0)
            found += known
        told &= found > 0
        inside &= (columns + side * away >= 0) & (columns + side * away < pairs.joined.shape[1])
        slopes.append(np.arctan(total / np.maximum(found, 1)))
    return inside & (~told | (np.abs(slopes[1] - slopes[0]) > least))
