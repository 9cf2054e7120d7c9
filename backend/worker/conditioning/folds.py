"""Creases with a radius: bevels, and folds of smooth surfaces."""

from dataclasses import dataclass

import cv2
import numpy as np

from ....protocol.arrays import AnyArray, Float32Array
from .creases import depth_bends
from .relief import Mask, Pairs

_REACH_PX = 2  # of the reference picture: half the width of the widest fold
_SHARPER = 1.6  # how many times more a fold bends than what lies on both of its sides
_CONFIRMED = 0.2  # as for creases


@dataclass(frozen=True, kw_only=True)
class Folds:
    """Pixels along the middle of folds."""

    weak: Mask  # (height, width) that bend by the least angle and more
    strong: Mask  # those of them that bend twice as far


def folds(both: list[Pairs], least_deg: float, scale: float) -> Folds:
    """Where the normals turn by `least_deg` and more within a few pixels, and most.

    Canny's way, with normals instead of greys: their change across the picture, only where it is the greatest
    in its own direction, and what is weak only where it hangs together with what is strong.
    """
    across = both[0]
    normal = np.stack(across.normal, axis=-1)
    shape = normal.shape[:2]
    reach = max(1, round(_REACH_PX * scale))
    nothing = np.zeros(shape, bool)
    if min(shape) <= 4 * reach:
        return Folds(weak=nothing, strong=nothing)
    whole = _away_from_borders(both, shape, reach)
    change, angle = _change(normal, reach)
    low, high = (_chord(factor * least_deg) ** 2 for factor in (1.0, 2.0))
    rows, columns = np.nonzero(whole & (change > low))
    here = change[rows, columns]
    turn = angle[rows, columns]
    east, south = np.cos(turn), np.sin(turn)
    peak = np.ones(rows.shape, bool)
    for side in (-1, 1):
        # what lies at a border bends with what is behind it, and counts for nothing
        for k in (*range(1, reach + 1), 2 * reach + 1):
            row, column = _at(rows, side * k * south, shape[0]), _at(columns, side * k * east, shape[1])
            sharper = _SHARPER**2 if k > reach else 1
            peak &= (here >= sharper * change[row, column]) | ~whole[row, column]
    bent = np.zeros(rows.shape, bool)
    for pairs in both:
        r, c = (columns, rows) if pairs.transposed else (rows, columns)
        bent |= depth_bends(
            pairs, r, np.minimum(c, pairs.joined.shape[1] - 1), reach, _CONFIRMED * np.radians(least_deg)
        )
    peak &= bent
    weak, strong = nothing.copy(), nothing.copy()
    weak[rows[peak], columns[peak]] = True
    sharp = peak & (here > high)
    strong[rows[sharp], columns[sharp]] = True
    return Folds(weak=weak, strong=strong)


def _change(normal: Float32Array, reach: int) -> tuple[Float32Array, Float32Array]:
    """The squared length of the normals' greatest change over 2 `reach` pixels, and its direction in the picture.

    The greatest eigenvalue, and its vector's angle, of the structure tensor.
    """
    along = np.zeros(2 * reach + 1, np.float32)
    along[0], along[-1] = -1, 1
    beside = np.ones(2 * (reach // 2) + 1, np.float32)
    beside /= beside.size
    x = np.asarray(cv2.sepFilter2D(normal, -1, along, beside))
    y = np.asarray(cv2.sepFilter2D(normal, -1, beside, along))
    xx, yy, xy = (np.asarray(cv2.transform(part, np.ones((1, 3), np.float32))) for part in (x * x, y * y, x * y))
    half = np.asarray((xx - yy) / 2, np.float32)
    change = np.asarray((xx + yy) / 2 + np.sqrt(half * half + xy * xy), np.float32)
    return change, np.asarray(np.arctan2(xy, half) / 2, np.float32)


def _chord(angle_deg: float) -> float:
    """How far apart the tips of two unit normals are."""
    return 2 * float(np.sin(np.radians(min(angle_deg, 180.0)) / 2))


def _away_from_borders(both: list[Pairs], shape: tuple[int, ...], reach: int) -> Mask:
    """Pixels whose surface goes on for `reach` pixels around them."""
    torn = np.zeros(shape, np.uint8)
    for pairs in both:
        view = torn.T if pairs.transposed else torn
        view[:, :-1] |= ~pairs.joined
        view[:, 1:] |= ~pairs.joined
    side = 2 * reach + 1
    return np.asarray(cv2.dilate(torn, np.ones((side, side), np.uint8))) == 0


def _at(places: AnyArray, offsets: AnyArray, count: int) -> AnyArray:
    return np.clip(places + np.rint(offsets).astype(np.intp), 0, count - 1)
