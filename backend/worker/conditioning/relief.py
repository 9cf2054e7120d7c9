"""Which neighbouring pixels see one surface, and which see two with a step in depth between them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....protocol.arrays import AnyArray, Float32Array
from ....protocol.geometry import Camera, Projection

Mask = NDArray[np.bool_]

REFERENCE_SIDE = 512
"""Pixels of the shorter side of the picture in which widths and tolerances are meant; others scale with it."""

# Depth that the slopes don't explain, in widths of a pixel of the reference picture where it meets the surface:
# 1 cm at 5 m through a normal lens. Flatter relief shows its creases and borders.
_STEP = 1.5
_GRAZING = 0.03  # cosine; beyond 88 degrees a normal says no more about the slope
# How wrong slopes from shading normals may be, as a part of them: the facets of a coarse, smooth mesh lie elsewhere.
# On a crease the depth runs between both slopes, which leaves less.
_SLACK = 1.0
_SLACK_AT_BEND = 0.25
_BEND = 0.9  # cosine between normals from which it is a crease


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pixels and their right neighbours; for pairs from top to bottom, everything is transposed.

    Every array but `normal` is (lines, pixels in a line - 1). Slopes are in widths of a pixel, positive where
    the surface runs away.
    """

    transposed: bool
    normal: tuple[Float32Array, Float32Array, Float32Array]  # x, y, z; each (lines, pixels in a line)
    ends: Mask  # one sees a surface, the other the background
    steps: Mask  # both see surfaces, one well in front of the other
    joined: Mask  # both see one surface, or surfaces that touch
    slope: Float32Array  # from the first to the second; 0 where not both see a surface
    first_is_near: Mask
    cosine: Float32Array  # between the normals


def pairs(metres: AnyArray, normal_camera: AnyArray, objects: AnyArray, camera: Camera) -> Iterator[Pairs]:
    """All pairs from left to right, then all from top to bottom.

    `metres` is (h, w) planar depth, `normal_camera` (h, w, 3), `objects` (h, w) indices. Background is whatever
    has no finite, positive depth; a normal that isn't finite says nothing.

    On a plane, 1/z is linear in the picture (z itself in a parallel projection), so depth and normal of one
    pixel foretell its neighbour's depth.
    """
    surface = np.isfinite(metres) & (metres > 0)
    x, y, z = (_finite(part) for part in np.moveaxis(normal_camera, 2, 0))
    depth = np.where(surface, metres, 1).astype(np.float32)
    perspective = camera.projection is Projection.PERSPECTIVE
    if perspective:
        height, width = depth.shape
        u = (np.arange(width, dtype=np.float32) + np.float32(0.5 - camera.cx_px)) / np.float32(camera.fx_px)
        v = (np.float32(camera.cy_px - 0.5) - np.arange(height, dtype=np.float32)) / np.float32(camera.fy_px)
        toward = z - x * u - y * v[:, None]
    else:
        toward = z
    # shading normals of coarse meshes may even point away from the camera
    toward = np.maximum(toward, np.float32(_GRAZING))
    # with a finer picture the same step is worth more of its pixels
    step = _STEP * max(1.0, min(depth.shape) / REFERENCE_SIDE)
    yield _pairs(
        depth,
        surface,
        (x, y, z),
        np.asarray(x / toward, np.float32),
        objects,
        camera.fx_px,
        perspective,
        step,
        transposed=False,
    )
    flipped = (x.T, y.T, z.T)
    yield _pairs(
        depth.T,
        surface.T,
        flipped,
        np.asarray(-y.T / toward.T, np.float32),
        objects.T,
        camera.fy_px,
        perspective,
        step,
        transposed=True,
    )


def _finite(part: AnyArray) -> Float32Array:
    return np.where(np.isfinite(part), part, 0).astype(np.float32)


def _pairs(
    depth: Float32Array,
    surface: Mask,
    normal: tuple[Float32Array, Float32Array, Float32Array],
    foretold: Float32Array,
    objects: AnyArray,
    focal_px: float,
    perspective: bool,
    step: float,
    *,
    transposed: bool,
) -> Pairs:
    first, second = depth[:, :-1], depth[:, 1:]
    both = surface[:, :-1] & surface[:, 1:]
    slope: Float32Array = (second - first) * np.float32(focal_px)
    if perspective:
        # the difference of 1/z over its mean, which is linear on a plane up to the horizon
        slope *= 2 / (first + second)
    slope[~both] = 0
    cosine = _dot(normal, slice(None, -1), slice(1, None))
    low = np.minimum(foretold[:, :-1], foretold[:, 1:])
    high = np.maximum(foretold[:, :-1], foretold[:, 1:])
    # What the same object does before and after counts as well: normals are those of the shading.
    beside = np.where(objects[:, :-1] == objects[:, 1:], slope, 0)
    for there, here in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
        np.minimum(low[:, here], beside[:, there], out=low[:, here])
        np.maximum(high[:, here], beside[:, there], out=high[:, here])
    slack = np.where(cosine < _BEND, np.float32(_SLACK_AT_BEND), np.float32(_SLACK))
    steps = both & (
        (slope > high + slack * np.abs(high) + np.float32(step))
        | (slope < low - slack * np.abs(low) - np.float32(step))
    )
    return Pairs(
        transposed=transposed,
        normal=normal,
        ends=surface[:, :-1] ^ surface[:, 1:],
        steps=steps,
        joined=both & ~steps,
        slope=slope,
        first_is_near=np.where(both, slope > 0, surface[:, :-1]),
        cosine=cosine,
    )


def _dot(normal: tuple[Float32Array, ...], here: Any, there: Any) -> Float32Array:
    total = normal[0][:, here] * normal[0][:, there]
    for part in normal[1:]:
        total += part[:, here] * part[:, there]
    return total
