"""Which texels of a texture each triangle of a UV map covers. Arrays only."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

_LARGEST = 256  # side in texels of the largest box that is tried as a whole
_CANDIDATES = 1 << 21  # texels that are tried at once; bounds the memory
_ON_EDGE = 1e-9  # how far outside a triangle, in barycentric coordinates, still counts as its edge
_INSIDE = 1e-4  # how far inside is surely not the neighbour's edge


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Texels that triangles cover; a texel comes once for each triangle over it."""

    texel: Indices  # (n) row * size + column; row 0 at the bottom, as UV maps and Blender's images have it
    triangle: Indices  # (n)
    weights: Floats  # (n, 3) barycentric, of the triangle's corners
    inside: NDArray[np.bool_]  # (n) false on an edge, which two triangles share


def hits(uv: Floats, size: int) -> Iterator[Hits]:
    """The texels whose centres lie in UV triangles (n, 3, 2), in batches; the texture repeats beyond 0..1.

    Triangles without area, in whose place a mesh has no UV map, cover nothing.
    """
    corners = uv * size
    low = np.floor(corners.min(axis=1) - 0.5)
    extent = np.floor(corners.max(axis=1) - 0.5) - low + 1
    # a triangle beside the corner of its box leaves numbers small, where UVs are far from 0
    corners = corners - low[:, None]
    area = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    usable = np.abs(area) > 1e-12
    classes = np.maximum(1, 2 ** np.ceil(np.log2(np.maximum(extent.max(axis=1), 1)))).astype(np.intp)
    for side in np.unique(classes[usable]):
        triangles = np.nonzero(usable & (classes == side))[0]
        box = min(int(side), _LARGEST)
        for offset_x, offset_y in np.ndindex(int(side) // box, int(side) // box):
            offset = np.array([offset_x, offset_y], np.float64) * box
            there = triangles[(extent[triangles] > offset).all(axis=1)]
            for start in range(0, len(there), max(1, _CANDIDATES // box**2)):
                chosen = there[start : start + max(1, _CANDIDATES // box**2)]
                yield _try(chosen, corners[chosen], area[chosen], low[chosen], offset, box, size)


def _try(chosen: Indices, corners: Floats, area: Floats, low: Floats, offset: Floats, box: int, size: int) -> Hits:
    """The texels of one box for each triangle that lie in it."""
    steps = np.arange(box) + 0.5
    x, y = (offset[0] + steps)[None, None, :], (offset[1] + steps)[None, :, None]

    def edge(i: int, j: int) -> Floats:
        a, b = corners[:, i, :, None, None], corners[:, j, :, None, None]
        return ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (b[:, 1] - a[:, 1]) * (x - a[:, 0])) / area[:, None, None]

    first, second = edge(1, 2), edge(2, 0)
    third = 1 - first - second
    least = np.minimum(np.minimum(first, second), third)
    which, row, column = np.nonzero(least >= -_ON_EDGE)
    columns = (low[which, 0] + offset[0]).astype(np.intp) + column
    rows = (low[which, 1] + offset[1]).astype(np.intp) + row
    at = (which, row, column)
    return Hits(
        texel=rows % size * size + columns % size,
        triangle=chosen[which],
        weights=np.stack([first[at], second[at], third[at]], axis=-1),
        inside=least[at] > _INSIDE,
    )


def _cross(a: Floats, b: Floats) -> Floats:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
