"""Depth in metres to the grey picture that depth ControlNets expect."""

from typing import cast

import numpy as np

from ....protocol.arrays import AnyArray, Float32Array, UInt8Array
from ....protocol.errors import InvalidRequest
from ....protocol.geometry import Projection
from ....protocol.options import DepthOptions
from ....protocol.sources import DepthPass
from .table import DepthConvention


def depth_map(source: DepthPass, metres: AnyArray, convention: DepthConvention, options: DepthOptions) -> UInt8Array:
    """Control image: (height, width, 3) uint8, near is white, background is black.

    Perspective depth is normalised in 1/z, which is what MiDaS predicts up to scale and shift; linear
    depth looks similar and quietly weakens the control. A parallel projection has no disparity and stays
    linear. The range is that of the surfaces in view, or `near_m`..`far_m` where the options fix it, so
    that the same distance has the same grey in every frame of a sequence. Background is whatever is not
    a finite, positive distance. Formula: docs/conventions.md, "Depth".
    """
    surface = np.isfinite(metres) & (metres > 0)
    grey = np.zeros(metres.shape, np.float32)
    if surface.any():
        nearness, nearest, farthest = _nearness(source.projection, metres[surface], options)
        span = nearest - farthest
        # A single plane facing the camera has no span: all of it is nearest.
        relative = np.clip((nearness - farthest) / span, 0, 1) if span > 0 else np.ones_like(nearness)
        grey[surface] = convention.floor + (1 - convention.floor) * relative
    return np.repeat((255 * grey + 0.5).astype(np.uint8)[:, :, None], 3, axis=2)


def _nearness(projection: Projection, metres: Float32Array, options: DepthOptions) -> tuple[Float32Array, float, float]:
    """A quantity that grows toward the camera, and its values at the nearest and the farthest depth."""
    near_m = float(metres.min()) if options.near_m is None else options.near_m
    far_m = float(metres.max()) if options.far_m is None else options.far_m
    if near_m <= 0 or (far_m <= near_m and (options.near_m is not None or options.far_m is not None)):
        raise InvalidRequest(reason=f"the depth range {near_m:g} m to {far_m:g} m is empty")
    if projection is Projection.ORTHOGRAPHIC:
        return -metres, -near_m, -far_m
    return cast(Float32Array, 1 / metres), 1 / near_m, 1 / far_m
