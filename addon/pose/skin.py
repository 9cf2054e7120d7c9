"""The skin of a character's head out of Blender: the vertices that the head bone carries, in the head's space.

Only reads evaluated meshes, so it may run in the render thread.
"""

from collections import OrderedDict
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import head
from .face import Features, Points
from .plan import Frame

_MOST = 6000  # vertices of one mesh whose weights are read; more say nothing more
_SAMPLES = 64
_KEPT = 64
_BELOW, _ABOVE = 0.8, 4.0  # where to look for the head, in lengths of the head bone from its head: chins, and big heads


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What a mesh came to, and what it looked like then."""

    samples: Any  # numbers of some vertices
    places: Points  # theirs, in the head's space
    result: tuple[int, Features] | None  # how much of a face it is, and what was found


_known: OrderedDict[tuple[int, int, str], _Measured] = OrderedDict()
"""By the data's ids. Weights are slow to read and hardly ever change; a changed shape is noticed."""


def features(armature: Any, meshes: Iterable[Any], frame: Frame) -> Features | None:
    """Nose, eyes and ears of the mesh among these evaluated ones that is most of a face; None where none is."""
    bone = armature.pose.bones[frame.bone]
    space = np.array(armature.matrix_world @ bone.matrix, np.float64)
    if not np.isfinite(space).all() or abs(np.linalg.det(space[:3, :3])) < 1e-12:
        return None
    into_head = np.eye(4)
    into_head[:3, :3] = frame.rotation
    into_head = into_head @ np.linalg.inv(space)
    carried = {frame.bone, *(child.name for child in bone.bone.children_recursive)}
    found = [result for mesh in meshes if (result := _of_mesh(armature, mesh, carried, into_head, frame)) is not None]
    return max(found, key=lambda result: result[0])[1] if found else None


def _of_mesh(
    armature: Any, mesh: Any, carried: Set[str], into_head: Points, frame: Frame
) -> tuple[int, Features] | None:
    whole = mesh.parent_type == "BONE" and mesh.parent_bone in carried
    groups = {group.index for group in mesh.vertex_groups if group.name in carried}
    if not (whole or groups):
        return None
    data = mesh.data
    flat = np.empty(len(data.vertices) * 3, np.float32)
    data.vertices.foreach_get("co", flat)
    matrix = into_head @ np.array(mesh.matrix_world, np.float64)
    places = flat.reshape(-1, 3).astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    key = (armature.data.original.session_uid, mesh.original.data.session_uid, frame.bone)
    known = _known.get(key)
    if known is not None and _unchanged(known, places, frame.size):
        _known.move_to_end(key)
        return known.result
    near = (places[:, 2] > -_BELOW * frame.size) & (places[:, 2] < _ABOVE * frame.size)
    near &= np.isfinite(places).all(axis=1)
    candidates = np.flatnonzero(near)
    candidates = candidates[:: 1 + len(candidates) // _MOST]
    if not whole:
        vertices = data.vertices
        candidates = np.array(
            [i for i in candidates.tolist() if sum(g.weight for g in vertices[i].groups if g.group in groups) > 0.5],
            np.intp,
        )
    skin = places[candidates]
    samples = candidates[:: 1 + len(candidates) // _SAMPLES]
    _known[key] = _Measured(samples=samples, places=places[samples], result=_result(skin, frame.size))
    if len(_known) > _KEPT:
        _known.popitem(last=False)
    return _known[key].result


def _unchanged(known: _Measured, places: Points, size: float) -> bool:
    if not len(known.samples) or known.samples[-1] >= len(places):
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
