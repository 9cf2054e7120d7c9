"""A picture, projected from its camera, as the texels of a UV map. Arrays in, arrays out.

`bake_view` gives colour and weight of every texel for one view, so that views can be blended by weight.
Colours are the picture's own bytes, never converted. Rows of textures start at the bottom, those of
pictures and depth at the top. The rules are those measured in Blender's own renders: bilinear taps, all
four of which must agree with the depth, and cos^4 of the angle of sight as the weight.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...protocol.arrays import Float32Array, UInt8Array
from ...protocol.geometry import Camera, Projection
from .raster import Floats, Hits, Indices, hits

_BIAS_PX = 2.0  # a texel and the depth at its pixel may differ by what the surface slopes over so many pixels
_STEEPEST = 0.1  # cosine from which on the slope is not followed
_BIAS_RELATIVE = 1e-4  # of the distance; float32's share
_EXPONENT = 4
_HITS_AT_ONCE = 1 << 19


@dataclass(frozen=True, kw_only=True)
class Triangles:
    """A mesh as it is rendered, in world space."""

    position_m: Floats  # (n, 3, 3)
    uv: Floats  # (n, 3, 2)
    closed: bool  # without a border: its back faces are never seen
    flipped: bool = False  # wound the other way round: a mirroring scale


@dataclass(frozen=True, kw_only=True)
class View:
    """A picture and what its camera sees."""

    camera: Camera
    picture: UInt8Array  # (height, width, 3) sRGB
    depth_m: Float32Array  # (height, width) along the view axis; +inf where nothing is hit


@dataclass(frozen=True, kw_only=True)
class BakedView:
    """One view on a texture."""

    colour: Float32Array  # (size, size, 3) sRGB-encoded, 0..1; valid where weight > 0
    weight: Float32Array  # (size, size) cos^4 of the angle of sight; 0 where the view shows nothing
    covered: NDArray[np.bool_]  # (size, size) texels that belong to the mesh
    triangle: NDArray[np.int32]  # (size, size) that the colour is of, or any that covers the texel; -1 for none
    overlap: float  # share of the covered texels that more than one triangle claims


def bake_view(mesh: Triangles, view: View, size: int, *, limit_deg: float = 75.0) -> BakedView:
    """Project a view onto a texture of `size` x `size`; where UVs overlap, what is seen best wins.

    Surfaces seen at more than `limit_deg` from straight on get nothing.
    """
    colour = np.zeros((size * size, 3), np.float32)
    weight = np.zeros(size * size, np.float32)
    triangle = np.full(size * size, -1, np.int32)
    claims = np.zeros(size * size, np.intp)
    normals = _normals(mesh)
    for batch in hits(mesh.uv, size):
        claims += np.bincount(batch.texel[batch.inside], minlength=size * size)
        triangle[batch.texel] = np.where(weight[batch.texel] > 0, triangle[batch.texel], batch.triangle)
        for start in range(0, len(batch.texel), _HITS_AT_ONCE):
            part = _part(batch, slice(start, start + _HITS_AT_ONCE))
            seen, sampled, weights = _look(mesh, normals, view, part, limit_deg)
            texel = part.texel[seen]
            better = weights > weight[texel]
            order = np.argsort(weights[better], kind="stable")  # of several on a texel, the last is kept
            chosen = texel[better][order]
            weight[chosen] = weights[better][order]
            colour[chosen] = sampled[better][order]
            triangle[chosen] = part.triangle[seen][better][order]
    covered = triangle >= 0
    return BakedView(
        colour=colour.reshape(size, size, 3),
        weight=weight.reshape(size, size),
        covered=covered.reshape(size, size),
        triangle=triangle.reshape(size, size),
        overlap=float((claims > 1).sum() / max(1, covered.sum())),
    )


def _part(batch: Hits, part: slice) -> Hits:
    return Hits(
        texel=batch.texel[part],
        triangle=batch.triangle[part],
        weights=batch.weights[part],
        inside=batch.inside[part],
    )


def _look(
    mesh: Triangles, normals: Floats, view: View, part: Hits, limit_deg: float
) -> tuple[Indices, Float32Array, Float32Array]:
    """Which of the hits the camera sees, and their colours and weights."""
    camera = view.camera
    height, width = view.depth_m.shape
    world_from_camera = np.array(camera.world_from_camera, np.float64).reshape(4, 4)
    rotation, eye = world_from_camera[:3, :3], world_from_camera[:3, 3]
    position = np.einsum("nc,ncd->nd", part.weights, mesh.position_m[part.triangle])
    local = (position - eye) @ rotation
    along = -local[:, 2]
    perspective = camera.projection is Projection.PERSPECTIVE
    to_camera = -local if perspective else np.broadcast_to([0.0, 0.0, 1.0], local.shape)
    cosine = (to_camera * (normals[part.triangle] @ rotation)).sum(axis=1) / np.linalg.norm(to_camera, axis=1)
    if not mesh.closed:
        cosine = np.abs(cosine)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / along if perspective else np.ones_like(along)
        u = camera.cx_px + camera.fx_px * local[:, 0] * scale
        v = camera.cy_px - camera.fy_px * local[:, 1] * scale
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    inside &= (along >= camera.clip_start_m) & (along <= camera.clip_end_m)
    candidates = np.nonzero(inside & (cosine > math.cos(math.radians(limit_deg))))[0]

    u, v, along, cosine = u[candidates], v[candidates], along[candidates], cosine[candidates]
    pixel_m = 1 / min(camera.fx_px, camera.fy_px) * (along if perspective else 1.0)
    tolerance = _BIAS_PX * pixel_m / np.maximum(cosine, _STEEPEST) + _BIAS_RELATIVE * along
    left, top = np.floor(u - 0.5).astype(np.intp), np.floor(v - 0.5).astype(np.intp)
    right_share, low_share = u - 0.5 - left, v - 0.5 - top
    agree = np.ones(len(candidates), np.bool_)
    sampled = np.zeros((len(candidates), 3))
    for down in (0, 1):
        for right in (0, 1):
            row, column = np.clip(top + down, 0, height - 1), np.clip(left + right, 0, width - 1)
            agree &= np.abs(view.depth_m[row, column] - along) < tolerance
            share = (right_share if right else 1 - right_share) * (low_share if down else 1 - low_share)
            sampled += share[:, None] * view.picture[row, column]
    return (
        candidates[agree],
        (sampled[agree] / 255).astype(np.float32),
        (cosine[agree] ** _EXPONENT).astype(np.float32),
    )


def _normals(mesh: Triangles) -> Floats:
    """Unit normals of the flat triangles, outward; 0 for those without area."""
    a, b, c = mesh.position_m.transpose(1, 0, 2)
    normal = np.cross(b - a, c - a) * (-1.0 if mesh.flipped else 1.0)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    return np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)


def grow(colour: Float32Array, filled: NDArray[np.bool_], allowed: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """Spread colours (h, w, 3), in place, from filled texels over allowed ones, one texel a step.

    Each takes the mean of its filled neighbours. Returns what is filled then.
    """
    height, width = filled.shape
    have = np.zeros((height + 2, width + 2), np.bool_)
    have[1:-1, 1:-1] = filled
    for _ in range(steps):
        near = np.zeros((height, width), np.bool_)
        for dy, dx in _AROUND:
            near |= have[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        rows, columns = np.nonzero(near & allowed & ~have[1:-1, 1:-1])
        if not len(rows):
            break
        total, count = np.zeros((len(rows), 3), np.float32), np.zeros(len(rows), np.float32)
        for dy, dx in _AROUND:
            there = have[rows + 1 + dy, columns + 1 + dx]
            total[there] += colour[rows[there] + dy, columns[there] + dx]
            count += there
        colour[rows, columns] = total / count[:, None]
        have[rows + 1, columns + 1] = True
    return have[1:-1, 1:-1]


_AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
