"""Skin weights by distance to the deform bones' surfaces: quick, and folds where the joints are.

Bone heat (Blender's automatic weights) takes half a minute for this figure; this takes a moment.
"""

from typing import Any

import bmesh
import numpy as np

_SOFTNESS_M = 0.014  # how far beyond the nearest bone the next one still counts
_RADII_M = {  # how thick the figure is about a bone, in the metarig's own metres; thicker bones win
    "DEF-spine": 0.13,
    "DEF-spine.001": 0.13,
    "DEF-spine.002": 0.125,
    "DEF-spine.003": 0.12,
    "DEF-spine.004": 0.05,
    "DEF-spine.005": 0.05,
    "DEF-spine.006": 0.09,
    "DEF-shoulder": 0.05,
    "DEF-upper_arm": 0.055,
    "DEF-forearm": 0.05,
    "DEF-hand": 0.03,
    "DEF-thigh": 0.095,
    "DEF-shin": 0.065,
    "DEF-foot": 0.045,
    "DEF-toe": 0.045,
    "DEF-palm": 0.018,
    "DEF-f_index": 0.011,
    "DEF-f_middle": 0.011,
    "DEF-f_ring": 0.011,
    "DEF-f_pinky": 0.010,
    "DEF-thumb": 0.014,
}
_PARTS = {  # which bones may move which part
    "Jumper": ("DEF-spine", "DEF-shoulder", "DEF-upper_arm", "DEF-forearm"),
    "Trousers": ("DEF-spine", "DEF-thigh", "DEF-shin"),
    "Shoes": ("DEF-foot", "DEF-toe"),
    "Skin": ("DEF-spine", "DEF-forearm", "DEF-hand", "DEF-palm", "DEF-f_", "DEF-thumb"),
    "Hair": ("DEF-spine.006",),
}
_STRONGEST = 4


def weigh(part: Any, name: str, rig: Any, *, scale: float) -> None:
    """Give a part of the figure the vertex groups that its rig's deform bones need."""
    bones = [
        bone for bone in rig.data.bones if bone.use_deform and bone.name.startswith(_PARTS[name]) and _radius(bone)
    ]
    points = _positions(part.data)
    distance = np.stack([_distance(points, bone) - _radius(bone) * scale for bone in bones])
    weights = np.exp(-(distance - distance.min(axis=0)) / (_SOFTNESS_M * scale))
    weights = _relaxed(part.data, weights, rounds=3)
    weakest_kept = np.sort(weights, axis=0)[-min(_STRONGEST, len(bones))]
    weights[(weights < weakest_kept) | (weights < 0.01 * weights.max(axis=0))] = 0.0
    weights /= weights.sum(axis=0)
    _write(part, [bone.name for bone in bones], weights)


def _radius(bone: Any) -> float:
    """The longest entry that the bone's name begins with, so that upper_arm.L.001 is an upper arm."""
    known = [name for name in _RADII_M if bone.name.startswith(name)]
    return _RADII_M[max(known, key=len)] if known else 0.0


def _positions(mesh: Any) -> np.ndarray:
    flat = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", flat)
    return flat.reshape(-1, 3)


def _distance(points: np.ndarray, bone: Any) -> np.ndarray:
    head, tail = np.array(bone.head_local), np.array(bone.tail_local)
    along = tail - head
    share = np.clip((points - head) @ along / (along @ along), 0.0, 1.0)
    return np.linalg.norm(points - (head + share[:, None] * along), axis=1)


def _relaxed(mesh: Any, weights: np.ndarray, *, rounds: int) -> np.ndarray:
    """Weights averaged with their neighbours'."""
    flat = np.empty(len(mesh.edges) * 2, np.int32)
    mesh.edges.foreach_get("vertices", flat)
    first, second = flat.reshape(-1, 2).T
    degree = np.bincount(flat, minlength=weights.shape[1])
    weights = weights / weights.sum(axis=0)
    for _ in range(rounds):
        for row in weights:
            around = np.bincount(first, row[second], degree.size) + np.bincount(second, row[first], degree.size)
            row += 0.5 * (around / np.maximum(degree, 1) - row)
    return weights


def _write(part: Any, names: list[str], weights: np.ndarray) -> None:
    work = bmesh.new()
    work.from_mesh(part.data)
    layer = work.verts.layers.deform.new()
    groups = [part.vertex_groups.new(name=name).index for name in names]
    for vertex, shares in zip(work.verts, weights.T, strict=True):
        entry = vertex[layer]
        for index in np.flatnonzero(shares):
            entry[groups[index]] = float(shares[index])
    work.to_mesh(part.data)
    work.free()
