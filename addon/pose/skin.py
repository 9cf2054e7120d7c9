"""The skin of a character's head out of Blender: the vertices that the head bone carries, in the head's space.

Only reads evaluated meshes, so it may run in the render thread.
"""

from collections import OrderedDict
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import head
from .face import Features, Points
from .plan import Frame

_MOST = 1500  # vertices of one mesh whose weights are read at a time, which takes 5 us each
_KEPT, _ALIKE = 64, 8  # numbers of vertices, and heads of one number
_BELOW, _ABOVE = 0.8, 4.0  # where to look for the head, in lengths of the head bone from its head: chins, and big heads


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What a mesh came to, and what it looked like then."""

    samples: NDArray[np.intp]  # the numbers of the head's vertices
    places: Points  # theirs, in the head's space
    result: tuple[int, Features] | None  # how much of a face it is, and what was found


_known: OrderedDict[tuple[int, str], list[_Measured]] = OrderedDict()
"""By the mesh's number of vertices and the bone. Weights are slow to read and hardly ever change; a changed shape
is noticed, and characters that were copied with their meshes are known as one."""


def features(armature: Any, meshes: Iterable[Any], frame: Frame) -> Features | None:
    """Nose, eyes and ears of the mesh among these evaluated ones that is most of a face; None where none is."""
    bone = armature.pose.bones[frame.bone]
    space = armature.matrix_world @ bone.matrix
    if not abs(space.determinant()) > 1e-12:  # nor if it is NaN
        return None
    into_head = np.eye(4)
    into_head[:3, :3] = frame.rotation
    into_head = into_head @ np.array(space.inverted(), np.float64)
    carried = {frame.bone}
    for child in armature.data.bones:  # parents before children
        if child.parent is not None and child.parent.name in carried:
            carried.add(child.name)
    found = [result for mesh in meshes if (result := _of_mesh(mesh, carried, into_head, frame)) is not None]
    return max(found, key=lambda result: result[0])[1] if found else None


def _of_mesh(mesh: Any, carried: Set[str], into_head: Points, frame: Frame) -> tuple[int, Features] | None:
    whole = mesh.parent_type == "BONE" and mesh.parent_bone in carried
    groups = {group.index for group in mesh.vertex_groups if group.name in carried}
    if not (whole or groups):
        return None
    data = mesh.data
    flat = np.empty(len(data.vertices) * 3, np.float32)
    data.vertices.foreach_get("co", flat)
    matrix = into_head @ np.array(mesh.matrix_world, np.float64)
    places = flat.reshape(-1, 3).astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    known = _known.setdefault((len(places), frame.bone), [])
    _known.move_to_end((len(places), frame.bone))
    for measured in known:
        if _unchanged(measured, places, frame.size):
            return measured.result
    near = (places[:, 2] > -_BELOW * frame.size) & (places[:, 2] < _ABOVE * frame.size)
    near &= np.isfinite(places).all(axis=1)
    candidates = np.flatnonzero(near)
    if not whole:

        def on_the_head(some: NDArray[np.intp]) -> NDArray[np.intp]:
            vertices = data.vertices
            weights = (sum(g.weight for g in vertices[i].groups if g.group in groups) for i in some.tolist())
            return some[np.fromiter((weight > 0.5 for weight in weights), np.bool_, len(some))]

        step = 1 + len(candidates) // _MOST
        found = on_the_head(candidates[::step])
        if step > 1 and len(found):
            rest = np.setdiff1d(candidates, candidates[::step])
            rest = rest[_telling(places[rest], places[found])]
            found = np.concatenate([found, on_the_head(rest[:: 1 + len(rest) // _MOST])])
        candidates = found
    skin = places[candidates]
    measured = _Measured(samples=candidates, places=skin, result=_result(skin, frame.size))
    known.append(measured)
    del known[:-_ALIKE]
    if len(_known) > _KEPT:
        _known.popitem(last=False)
    return measured.result


def _telling(skin: Points, head: Points) -> NDArray[np.bool_]:
    """Which vertices may be the tip of a nose, an ear or next to one, going by some of the head's."""
    low, high = head.min(axis=0), head.max(axis=0)
    where = (skin - low) / np.maximum(high - low, 1e-9)  # 0 to 1 on the head
    inside = ((where > -0.1) & (where < 1.1)).all(axis=1) & (where[:, 2] > 0.2) & (where[:, 2] < 0.7)
    return inside & ((where[:, 1] > 0.8) | (np.abs(where[:, 0] - 0.5) > 0.4))


def _unchanged(known: _Measured, places: Points, size: float) -> bool:
    if not len(known.samples):
        return False
    return bool(np.abs(places[known.samples] - known.places).max() < 1e-3 * size)


def _result(skin: Points, size: float) -> tuple[int, Features] | None:
    """Features, with the number of vertices that are in the lower half of a face: hair and hats have few there.

    Eyes, teeth and tongues are too small for a head.
    """
    if not len(skin) or np.ptp(skin[:, 2]) < 0.7 * size:
        return None
    found = head.features(skin)
    if found is None or found.height is None:
        return None
    offset = (skin - found.nose) / found.height
    return int(((np.abs(offset[:, 0]) < 0.15) & (offset[:, 1] > -0.25) & (offset[:, 2] < 0.05)).sum()), found
