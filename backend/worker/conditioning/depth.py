"""Depth in metres to the grey picture that depth ControlNets expect."""

import math
from typing import cast

import numpy as np

from ....protocol.arrays import Float32Array, UInt8Array
from ....protocol.errors import InvalidRequest
from ....protocol.geometry import Projection
from ....protocol.options import DepthEncoding, DepthOptions
from .table import DEPTH_OUTLIERS, DepthConvention

_NEAREST_M = float(np.finfo(np.float32).tiny)  # its inverse is a finite float still
_FLAT = 1e-4  # relative; Cycles' depth of a plane that faces the camera varies by a tenth of it


def depth_map(
    projection: Projection, metres: Float32Array, convention: DepthConvention, options: DepthOptions
) -> UInt8Array:
    """Control image: (height, width, 3) uint8, near is white, background is black.

    `metres` is (height, width) float32; background is whatever is not a finite, positive distance.
    Disparity is normalised in 1/z, which is what MiDaS predicts up to scale and shift; linear depth looks
    similar and quietly weakens the control of nets that learnt 1/z. A parallel projection has no disparity
    and stays linear. The range is that of the surfaces in view, or `near_m`..`far_m` where the options fix
    it, so that the same distance has the same grey in every frame of a sequence.
    Raises InvalidRequest for a range that is empty. Formula: docs/conventions.md, "Depth".
    """
    floor = convention.floor if options.floor is None else options.floor
    if not 0 <= floor <= 1:
        raise InvalidRequest(reason=f"the depth's floor is {floor:g}, expected 0 to 1")
    surface = surfaces(metres)
    encoding = options.encoding or convention.encoding
    nearness = relative_nearness(projection, metres[surface], encoding, options)
    if options.invert:
        nearness = 1 - nearness
    grey = np.zeros(metres.shape, np.uint8)
    grey[surface] = (255 * (floor + (1 - floor) * nearness) + 0.5).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def surfaces(metres: Float32Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Where there is a surface: a finite distance in front of the camera."""
    return np.isfinite(metres) & (metres >= _NEAREST_M)


def relative_nearness(
    projection: Projection, metres: Float32Array, encoding: DepthEncoding, options: DepthOptions
) -> Float32Array:
    """1 at the near end of the range, 0 at the far end, of the surfaces' distances in any order."""
    if not metres.size:
        return metres
    near_m, far_m = _range(metres, encoding, options)
    fixed = options.near_m is not None or options.far_m is not None
    if not 0 < near_m < math.inf or (fixed and not near_m < far_m < math.inf):
        raise InvalidRequest(
            reason=f"the depth range {near_m:g} m to {far_m:g} m is empty: its near end has to be nearer"
        )
    if far_m - near_m <= _FLAT * far_m and not fixed:
        # A single plane that faces the camera has no range, only the renderer's rounding: all of it is nearest,
        # and what was left out of the range behind it is farthest.
        return (metres <= far_m * (1 + _FLAT)).astype(np.float32)
    if encoding is DepthEncoding.LINEAR or projection is Projection.ORTHOGRAPHIC:
        relative = (np.float32(far_m) - metres) / np.float32(far_m - near_m)
    else:
        nearest, farthest = 1 / near_m, 1 / far_m
        relative = (1 / metres - np.float32(farthest)) / np.float32(nearest - farthest)
    return cast(Float32Array, np.clip(relative, 0, 1))


def _range(metres: Float32Array, encoding: DepthEncoding, options: DepthOptions) -> tuple[float, float]:
    """The distances that get the ends of the grey."""
    nearest_out, farthest_out = DEPTH_OUTLIERS[encoding]
    if options.outliers is not None:
        nearest_out = farthest_out = options.outliers
    if not 0 <= nearest_out + farthest_out < 1:
        raise InvalidRequest(reason=f"leaving out {options.outliers:g} of the pixels at each end leaves none")
    if options.near_m is not None and options.far_m is not None:
        return options.near_m, options.far_m
    # The order statistic itself and no mean of two: a distance that some pixel has.
    ends = np.quantile(metres, (nearest_out, 1 - farthest_out), method="nearest") if nearest_out or farthest_out else ()
    near_m, far_m = (float(end) for end in (ends if len(ends) else (metres.min(), metres.max())))
    return (near_m if options.near_m is None else options.near_m), (far_m if options.far_m is None else options.far_m)
