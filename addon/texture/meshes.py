"""Meshes as they are rendered, as arrays in world space. Only reads Blender's data."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...protocol.arrays import Float32Array
from ...protocol.errors import NoUVMap
from .bake import Triangles

MID_GREY = (0.5, 0.5, 0.5)  # sRGB-encoded


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """One object's evaluated mesh."""

    triangles: Triangles
    base: Float32Array  # (n, 3) of each triangle, sRGB-encoded: its material's own colour
    unmapped: float  # share of the triangles that have no area on the UV map
    outside: float  # share of the triangles that reach beyond the UV map's unit square


def read(thing: Any, depsgraph: Any) -> Mesh | None:
    """A mesh object at the modifier levels of `depsgraph`; None where it isn't rendered or has no faces.

    Raises NoUVMap where the modifiers leave no UV map.
    """
    evaluated = thing.evaluated_get(depsgraph)
    if not evaluated.is_evaluated or thing.hide_render:
        return None
    mesh = evaluated.to_mesh(preserve_all_data_layers=True, depsgraph=depsgraph)
    try:
        mesh.calc_loop_triangles()
        count = len(mesh.loop_triangles)
        if not count:
            return None
        layer = mesh.uv_layers.get(thing.data.uv_layers.active.name)
        if layer is None:
            raise NoUVMap(object=thing.name)
        positions = _numbers(mesh.vertices, "co", np.float32, 3).astype(np.float64)
        vertices = _numbers(mesh.loop_triangles, "vertices", np.int32, 3)
        corners = _numbers(mesh.loop_triangles, "loops", np.int32, 3)
        slots = _numbers(mesh.loop_triangles, "material_index", np.int32, 1)[:, 0]
        uv = _numbers(layer.uv, "vector", np.float32, 2).astype(np.float64)[corners]
        edges = _numbers(mesh.loops, "edge_index", np.int32, 1)[:, 0]
    finally:
        evaluated.to_mesh_clear()
    world = np.array(evaluated.matrix_world, np.float64)
    positions = positions @ world[:3, :3].T + world[:3, 3]
    first, second = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    colours = np.array([base_colour(slot.material) for slot in thing.material_slots] or [MID_GREY], np.float32)
    return Mesh(
        triangles=Triangles(
            position_m=positions[vertices],
            uv=uv,
            closed=bool((np.bincount(edges) == 2).all()),
            flipped=bool(np.linalg.det(world[:3, :3]) < 0),
        ),
        base=colours[np.minimum(slots, len(colours) - 1)],
        unmapped=float((area < 1e-14).mean()),
        outside=float(((uv < -1e-4) | (uv > 1 + 1e-4)).any(axis=(1, 2)).mean()),
    )


def base_colour(material: Any) -> tuple[float, float, float]:
    """A material's plain base colour, sRGB-encoded; mid grey where it has none or something is plugged in."""
    if material is None:
        return MID_GREY
    if material.node_tree is None:
        return _encoded(material.diffuse_color)
    for node in material.node_tree.nodes:
        if node.type == "BSDF_PRINCIPLED":
            socket = node.inputs["Base Color"]
            return MID_GREY if socket.is_linked else _encoded(socket.default_value)
    return MID_GREY


def _encoded(linear: Any) -> tuple[float, float, float]:
    values = np.clip(np.array(linear[:3], np.float64), 0, 1)
    encoded = np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
    return tuple(encoded.tolist())


def _numbers(collection: Any, attribute: str, dtype: Any, channels: int) -> Any:
    values = np.empty(len(collection) * channels, dtype)
    collection.foreach_get(attribute, values)
    return values.reshape(-1, channels)
