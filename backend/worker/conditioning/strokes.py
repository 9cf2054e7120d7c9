"""How lines are drawn as strokes: heavier for silhouettes than for creases, and anti-aliased."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ....protocol.arrays import UInt8Array
from .chains import Chains, curves, smooth
from .edges import LineKind
from .relief import REFERENCE_SIDE

_FINE = 4  # times that strokes are drawn larger than a picture of REFERENCE_SIDE, to be averaged down
_EVEN_WEIGHT = 24  # averages of a line's weight along it: what touches here and not there is one line
_SHIFT = 4  # binary places of OpenCV's fixed-point coordinates

# Of the kinds of lines, between the lightest (0) and silhouettes (1).
_WEIGHT = np.zeros(len(LineKind) + 1, np.float32)
_WEIGHT[LineKind.SILHOUETTE], _WEIGHT[LineKind.OBJECT] = 1.0, 0.8


def strokes(chains: Chains, shape: tuple[int, ...], *, width_px: float, lightest: float, evenness: int) -> UInt8Array:
    """White strokes on black, (height, width): silhouettes `width_px` wide, creases `lightest` times that.

    `evenness` is how often the curves are smoothed, which takes the pixels' stairs out of them, and then
    their detail.
    """
    fine = max(1, min(_FINE, _FINE * REFERENCE_SIDE // min(shape)))
    canvas = np.zeros((shape[0] * fine, shape[1] * fine), np.uint8)
    # A pixel's centre is at half-integers, in the fine picture as well.
    curve = (smooth(curves(chains), chains, evenness) + 0.5) * fine - 0.5
    points = np.rint(curve * 2**_SHIFT).astype(np.int32).reshape(-1, 1, 2)
    weight = smooth(lightest + (1 - lightest) * _WEIGHT[chains.kinds], chains, _EVEN_WEIGHT, ends_stay=False)
    # OpenCV's anti-aliased lines of thickness 2 n are 2 n + 1.4 wide, and those of 2 n + 1 no wider
    widths = np.maximum(1, 2 * np.rint((width_px * fine * weight - 1.4) / 2)).astype(np.int32)
    by_width: dict[int, list[NDArray[np.int32]]] = {}
    for part in chains.slices():
        for first, last in _runs(widths, part):
            by_width.setdefault(int(widths[first]), []).append(points[first : last + 1])
    for width in sorted(by_width):
        cv2.polylines(canvas, by_width[width], False, 255, width, cv2.LINE_AA, _SHIFT)
    if fine == 1:
        return canvas
    return np.asarray(cv2.resize(canvas, (shape[1], shape[0]), interpolation=cv2.INTER_AREA), np.uint8)


def _runs(widths: NDArray[np.int32], part: slice) -> list[tuple[int, int]]:
    """First and last index of each run of equal widths; a run ends where the next begins, so that no gap shows."""
    changes = (part.start + 1 + np.flatnonzero(np.diff(widths[part]))).tolist()
    return list(zip([part.start, *changes], [*changes, part.stop - 1], strict=True))


def faded(hard: UInt8Array, *, core_px: float, sigma_px: float) -> UInt8Array:
    """Strokes that fade out to their sides; the middle of one that is `core_px` wide stays white."""
    left = math.erf(core_px / (2 * math.sqrt(2) * sigma_px))  # of the middle, by a Gaussian across a long stroke
    soft = cv2.GaussianBlur(hard, (0, 0), sigma_px).astype(np.float32)
    return np.clip(soft / left + 0.5, 0, 255).astype(np.uint8)


def in_levels(grey: UInt8Array, levels: int) -> UInt8Array:
    """`grey` in so many shades, as the "safe" annotators take it: each shade is an equal part of the range."""
    step = grey.astype(np.int32) * levels // 256
    return (step * 255 // (levels - 1)).astype(np.uint8)
