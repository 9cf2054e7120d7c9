"""Solid shapes for the demo: bevelled boards, turned and lofted bodies, bent leaves; metres, z up."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import bmesh
import bpy
from mathutils import Matrix, Vector

from .materials import material

UV_MAP = "UVMap"
Point = tuple[float, float, float]


class Solid:
    """One object in the making, of any number of shapes in any materials."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._bm = bmesh.new()
        self._materials: list[str] = []

    def box(self, look: str, centre: Point, size: Point, *, bevel: float = 0.006, turn: Matrix | None = None) -> None:
        """A board with rounded edges; `turn` rotates it about its centre."""
        part = bmesh.new()
        bmesh.ops.create_cube(part, size=1.0)
        part.transform(Matrix.Diagonal((*size, 1.0)))
        width = min(bevel, 0.45 * min(size))
        if width > 0:
            bmesh.ops.bevel(part, geom=part.edges, offset=width, segments=2, profile=0.6, affect="EDGES")
        part.transform(Matrix.Translation(centre) @ (turn or Matrix()).to_4x4())
        self.add(look, part)

    def turned(self, look: str, base: Point, profile: Sequence[tuple[float, float]], *, sides: int = 32) -> None:
        """A body of revolution about the vertical through `base`; the profile is (height, radius), bottom up."""
        rings = [((base[0], base[1], base[2] + z), (radius, 0, 0), (0, radius, 0)) for z, radius in profile]
        self.loft(look, rings, sides=sides)

    def rod(self, look: str, start: Point, end: Point, radius: float, end_radius: float | None = None) -> None:
        """A round rod, tapered where the second radius differs."""
        first, last = Vector(start), Vector(end)
        across, beyond = _frame(last - first)
        other = radius if end_radius is None else end_radius
        self.loft(
            look,
            [(first, across * radius, beyond * radius), (last, across * other, beyond * other)],
            sides=20,
        )

    def loft(self, look: str, rings: Sequence[tuple[Any, Any, Any]], *, sides: int = 24) -> None:
        """A closed skin over elliptic rings, each a centre and its two half axes."""
        part = bmesh.new()
        loops = []
        for centre, first, second in rings:
            a, b, c = Vector(first), Vector(second), Vector(centre)
            angles = (2 * math.pi * i / sides for i in range(sides))
            loops.append([part.verts.new(c + a * math.cos(t) + b * math.sin(t)) for t in angles])
        for lower, upper in itertools.pairwise(loops):
            for i in range(sides):
                j = (i + 1) % sides
                part.faces.new((lower[i], lower[j], upper[j], upper[i]))
        part.faces.new(tuple(reversed(loops[0])))
        part.faces.new(tuple(loops[-1]))
        bmesh.ops.recalc_face_normals(part, faces=part.faces)
        self.add(look, part)

    def leaf(self, look: str, root: Point, heading: float, length: float, width: float, *, rise: float) -> None:
        """A leaf that rises and bends over under its own weight, folded a little along its rib."""
        part = bmesh.new()
        steps = 12
        rows = []
        for i in range(steps + 1):
            t = i / steps
            out = length * (0.28 * t + 0.62 * t * t)
            up = rise * (1.9 * t - 1.35 * t * t)
            half = width * math.sin(math.pi * min(1.0, 0.06 + 0.94 * t) ** 0.8) * 0.5
            fold = half * 0.35
            rows.append([(out, -half, up + fold), (out, 0.0, up), (out, half, up + fold)])
        verts = [[part.verts.new(point) for point in row] for row in rows]
        for lower, upper in itertools.pairwise(verts):
            for i in range(2):
                part.faces.new((lower[i], upper[i], upper[i + 1], lower[i + 1]))
        bmesh.ops.solidify(part, geom=part.faces[:], thickness=0.0015)
        part.transform(Matrix.Translation(root) @ Matrix.Rotation(heading, 4, "Z"))
        self.add(look, part)

    def finish(self, collection: Any, *, location: Point = (0, 0, 0), turn: float = 0.0, unwrap: bool = True) -> Any:
        """The object, in a collection, with a UV map where it shall take a texture."""
        mesh = bpy.data.meshes.new(self.name)
        self._bm.to_mesh(mesh)
        self._bm.free()
        for name in self._materials:
            mesh.materials.append(material(name))
        mesh.set_sharp_from_angle(angle=math.radians(25))  # below a bevel's own facets: boards stay flat
        made = bpy.data.objects.new(self.name, mesh)
        made.location = location
        made.rotation_euler.z = turn
        collection.objects.link(made)
        if unwrap:
            unwrap_uv(made)
        return made

    def add(self, look: str, part: Any) -> None:
        if look not in self._materials:
            self._materials.append(look)
        slot = self._materials.index(look)
        for face in part.faces:
            face.material_index = slot
            face.smooth = True
        mesh = bpy.data.meshes.new("part")
        part.to_mesh(mesh)
        part.free()
        self._bm.from_mesh(mesh)
        bpy.data.meshes.remove(mesh)


def unwrap_uv(target: Any) -> None:
    """Give a mesh object a UV map without overlaps."""
    if UV_MAP not in target.data.uv_layers:
        target.data.uv_layers.new(name=UV_MAP)
    for other in bpy.context.selected_objects:
        other.select_set(False)
    bpy.context.view_layer.objects.active = target
    target.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.uv.smart_project(angle_limit=math.radians(66), island_margin=0.003)
    bpy.ops.object.mode_set(mode="OBJECT")
    target.select_set(False)


def _frame(along: Vector) -> tuple[Vector, Vector]:
    axis = along.normalized()
    across = axis.orthogonal().normalized()
    return across, axis.cross(across)
