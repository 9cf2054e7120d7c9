"""Where a surface bends sharply, and not where it is merely round."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....protocol.arrays import Float32Array
from .relief import REFERENCE_SIDE, Mask, Pairs

Indices = NDArray[np.intp]

_SHARPER = 2.5  # how many times more a crease bends than the surface does on either side of it
_BEVEL_PX = 3  # a bend spread over so many pixels of the reference picture is a crease as well
_CONFIRMED = 0.2  # the part of the angle by which the depth has to bend too: bump maps bend normals alone
_BEVEL_SHARPER = 1.5  # times sharper than a crease has to be, for a round edge may bend twice within these pixels
_OWNER = (0.37, 0.81, 0.45)  # of the two sides, the line lies on the one that faces this way more: tops before sides


@dataclass(frozen=True, kw_only=True)
class Creases:
    """Pairs of pixels with a crease between them, as indices into `Pairs`."""

    rows: Indices
    columns: Indices
    angle_deg: Float32Array
    on_first: Mask  # whether the line lies on the pair's first pixel


def creases(pairs: Pairs, least_deg: float) -> list[Creases]:
    """Every crease of `least_deg` and more that crosses the pairs, the sharp ones first, then the bevelled."""
    sharp = _across(pairs, least_deg, 1)
    taken = np.zeros(pairs.joined.shape, bool)
    taken[sharp.rows, sharp.columns] = True
    found = [sharp]
    side = min(pairs.normal[0].shape)
    widest = max(1, round(_BEVEL_PX * side / REFERENCE_SIDE)) | 1
    for span in sorted({min(_BEVEL_PX, widest), widest} - {1}):
        if span < pairs.normal[0].shape[1]:
            bevels = _only_peaks(_across(pairs, _BEVEL_SHARPER * least_deg, span), taken, span)
            taken[bevels.rows, bevels.columns] = True
            found.append(bevels)
    return found


def _across(pairs: Pairs, least_deg: float, span: int) -> Creases:
    """Bends between pixels `span` apart, an odd number; each is said to lie in the middle pair."""
    x, y, z = pairs.normal
    if span == 1:
        cosine, whole = pairs.cosine, pairs.joined
    else:
        cosine = x[:, :-span] * x[:, span:]
        cosine += y[:, :-span] * y[:, span:]
        cosine += z[:, :-span] * z[:, span:]
        whole = pairs.joined[:, : cosine.shape[1]].copy()
        for k in range(1, span):
            whole &= pairs.joined[:, k : k + cosine.shape[1]]
    rows, left = np.nonzero(whole & (cosine < np.float32(np.cos(np.radians(least_deg)))))
    known = _known(pairs, rows, left) & _known(pairs, rows, left + span)
    rows, left = rows[known], left[known]
    right = left + span
    angle = _angle(pairs, rows, left, right)
    before, open_before = _flank(pairs, rows, left - span, left, span)
    after, open_after = _flank(pairs, rows, right, right + span, span)
    # On what is a few pixels wide, between two borders, roundness and a crease can't be told apart.
    sharp = (angle > _SHARPER * np.maximum(before, after)) & ~(open_before & open_after)
    sharp &= _depth_bends(pairs, rows, left, right, _CONFIRMED * np.radians(least_deg))
    rows, left, right = rows[sharp], left[sharp], right[sharp]
    owner = sum(w * (part[rows, left] - part[rows, right]) for w, part in zip(_OWNER, pairs.normal, strict=True))
    return Creases(
        rows=rows, columns=left + span // 2, angle_deg=np.degrees(angle[sharp]), on_first=np.asarray(owner > 0)
    )


def _known(pairs: Pairs, rows: Indices, columns: Indices) -> Mask:
    """Whether there is a normal at all."""
    return sum(part[rows, columns] ** 2 for part in pairs.normal) > 0.25


def _angle(pairs: Pairs, rows: Indices, left: Indices, right: Indices) -> Float32Array:
    cosine = sum(part[rows, left] * part[rows, right] for part in pairs.normal)
    return np.arccos(np.clip(cosine, -1, 1))


def _flank(pairs: Pairs, rows: Indices, left: Indices, right: Indices, span: int) -> tuple[Float32Array, Mask]:
    """How far the surface bends next to the middle, and where it ends instead (there, the bend is 0)."""
    count = pairs.joined.shape[1]
    ended = (left < 0) | (right > count)
    left, right = np.clip(left, 0, count), np.clip(right, 0, count)
    for k in range(span):
        ended |= ~pairs.joined[rows, np.minimum(left + k, count - 1)]
    return np.where(ended, 0, _angle(pairs, rows, left, right)), ended


def _depth_bends(pairs: Pairs, rows: Indices, left: Indices, right: Indices, least: float) -> Mask:
    """Whether the depth bends as well, as far as it can be told from the two pixels on either side."""
    count = pairs.joined.shape[1]
    untold = (left < 2) | (right > count - 2)
    slopes: list[Float32Array] = []
    for near, far in ((left - 1, left - 2), (right, right + 1)):
        near, far = np.clip(near, 0, count - 1), np.clip(far, 0, count - 1)
        untold |= ~pairs.joined[rows, near] | ~pairs.joined[rows, far]
        slopes.append(np.arctan((pairs.slope[rows, near] + pairs.slope[rows, far]) / 2))
    return untold | (np.abs(slopes[1] - slopes[0]) > least)


def _only_peaks(found: Creases, taken: Mask, span: int) -> Creases:
    """Those that bend most among the `span` pairs around them, away from creases that are `taken`."""
    angle = np.zeros(taken.shape, np.float32)
    angle[found.rows, found.columns] = found.angle_deg
    angle[taken] = np.inf
    peak = np.ones(found.rows.shape, bool)
    for k in range(-(span // 2) - 1, span // 2 + 2):
        columns = np.clip(found.columns + k, 0, taken.shape[1] - 1)
        beside = angle[found.rows, columns]
        peak &= (beside < found.angle_deg) | ((beside == found.angle_deg) & (k >= 0))
    return Creases(
        rows=found.rows[peak],
        columns=found.columns[peak],
        angle_deg=found.angle_deg[peak],
        on_first=found.on_first[peak],
    )
