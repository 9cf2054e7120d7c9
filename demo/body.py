"""The figure's surface: clothes, shoes, hands, head and hair as closed skins, in the metarig's own metres.

The numbers follow Rigify's human metarig: 2 m tall, facing -y, arms held out and down. Every garment is
a union of simple volumes, fused by a voxel remesh and relaxed, so that it can be skinned.
"""

from collections.abc import Sequence
from typing import Any

import bmesh
import bpy
from mathutils import Matrix, Vector

from .shapes import Solid

Point = tuple[float, float, float]
SIDES = (("L", 1.0), ("R", -1.0))


def garments(collection: Any, *, scale: float) -> dict[str, Any]:
    """The figure's parts as mesh objects in rest pose, `scale` times the metarig's size."""
    return {
        "Jumper": _fuse(_jumper(), collection, scale, voxel_m=0.011, relax=4),
        "Trousers": _fuse(_trousers(), collection, scale, voxel_m=0.012, relax=4),
        "Shoes": _fuse(_shoes(), collection, scale, voxel_m=0.006, relax=4, floor=True),
        "Skin": _fuse(_skin(), collection, scale, voxel_m=0.0045, relax=6),
        "Hair": _fuse(_hair(), collection, scale, voxel_m=0.006, relax=5, cut=True),
    }


def _jumper() -> Solid:
    made = Solid("Jumper")
    torso = [  # z, y, half width, half depth
        (0.958, 0.024, 0.168, 0.128),
        (0.968, 0.024, 0.180, 0.138),
        (1.005, 0.024, 0.181, 0.138),
        (1.015, 0.023, 0.190, 0.142),
        (1.08, 0.018, 0.186, 0.134),
        (1.14, 0.012, 0.170, 0.120),
        (1.21, 0.006, 0.154, 0.107),
        (1.28, 0.002, 0.150, 0.104),
        (1.36, 0.0, 0.158, 0.112),
        (1.44, -0.002, 0.170, 0.118),
        (1.50, 0.0, 0.174, 0.116),
        (1.56, 0.006, 0.170, 0.104),
        (1.60, 0.012, 0.150, 0.088),
        (1.635, 0.014, 0.108, 0.076),
        (1.665, 0.012, 0.076, 0.068),
        (1.72, -0.002, 0.061, 0.062),
    ]
    made.loft("Jumper", [((0, y, z), (x, 0, 0), (0, d, 0)) for z, y, x, d in torso], sides=40)
    _blob(made, "Jumper", (0, -0.004, 1.712), (0.066, 0.067, 0.018))
    for _, side in SIDES:
        _blob(made, "Jumper", (side * 0.072, -0.058, 1.49), (0.085, 0.058, 0.07))
        _tube(
            made,
            "Jumper",
            side,
            [((0.05, 0.016, 1.645), 0.046), ((0.12, 0.022, 1.622), 0.052), ((0.19, 0.028, 1.59), 0.06)],
        )
        sleeve = [
            ((0.13, 0.014, 1.575), 0.072),
            ((0.195, 0.027, 1.578), 0.074),
            ((0.25, 0.041, 1.553), 0.069),
            ((0.33, 0.061, 1.511), 0.061),
            ((0.40, 0.079, 1.472), 0.056),
            ((0.442, 0.087, 1.449), 0.055),
            ((0.50, 0.078, 1.411), 0.055),
            ((0.56, 0.067, 1.371), 0.051),
            ((0.610, 0.058, 1.338), 0.046),
            ((0.618, 0.0565, 1.333), 0.037),
            ((0.640, 0.0525, 1.318), 0.037),
            ((0.645, 0.0515, 1.315), 0.033),
        ]
        _tube(made, "Jumper", side, sleeve)
    return made


def _trousers() -> Solid:
    made = Solid("Trousers")
    seat = [
        (0.93, 0.02, 0.090, 0.080),
        (0.96, 0.022, 0.145, 0.100),
        (1.00, 0.022, 0.155, 0.108),
        (1.06, 0.018, 0.150, 0.100),
        (1.12, 0.012, 0.135, 0.088),
    ]
    made.loft("Trousers", [((0, y, z), (x, 0, 0), (0, d, 0)) for z, y, x, d in seat], sides=32)
    for _, side in SIDES:
        _blob(made, "Trousers", (side * 0.076, 0.066, 0.98), (0.078, 0.068, 0.08))
        leg = [
            ((0.088, 0.015, 1.00), 0.086),
            ((0.096, 0.010, 0.90), 0.098),
            ((0.098, 0.0, 0.80), 0.091),
            ((0.098, -0.016, 0.66), 0.080),
            ((0.098, -0.024, 0.537), 0.073),
            ((0.098, -0.010, 0.43), 0.070),
            ((0.098, 0.002, 0.30), 0.066),
            ((0.098, 0.010, 0.17), 0.062),
            ((0.098, 0.012, 0.145), 0.061),
            ((0.098, 0.012, 0.14), 0.066),
            ((0.098, 0.012, 0.092), 0.067),
            ((0.098, 0.012, 0.088), 0.062),
        ]
        _tube(made, "Trousers", side, leg)
    return made


def _shoes() -> Solid:
    made = Solid("Shoes")
    sections = [  # y, half width, top of the shoe, shift to the outside
        (0.076, 0.018, 0.035, 0.0),
        (0.066, 0.034, 0.062, 0.0),
        (0.035, 0.043, 0.088, 0.0),
        (-0.010, 0.043, 0.098, 0.002),
        (-0.055, 0.045, 0.082, 0.004),
        (-0.105, 0.051, 0.064, 0.006),
        (-0.150, 0.050, 0.054, 0.004),
        (-0.182, 0.040, 0.044, 0.0),
        (-0.200, 0.022, 0.030, -0.002),
    ]
    for _, side in SIDES:
        rings = [((side * (0.098 + out), y, 0.0), (wide, 0, 0), (0, 0, top)) for y, wide, top, out in sections]
        made.loft("Shoes", rings, sides=28)
        _tube(made, "Shoes", side, [((0.098, 0.012, 0.05), 0.045), ((0.098, 0.013, 0.13), 0.045)])
        sole = [((side * (0.098 + out), y, 0.006), (wide + 0.006, 0, 0), (0, 0, 0.014)) for y, wide, _, out in sections]
        made.loft("Shoes", sole, sides=28)
    return made


def _skin() -> Solid:
    made = Solid("Skin")
    _blob(made, "Skin", (0, -0.03, 1.885), (0.083, 0.110, 0.098))
    _blob(made, "Skin", (0, -0.074, 1.838), (0.073, 0.080, 0.084))
    _blob(made, "Skin", (0, -0.084, 1.795), (0.062, 0.070, 0.054))
    _blob(made, "Skin", (0, -0.078, 1.865), (0.074, 0.076, 0.085))
    _blob(made, "Skin", (0, -0.132, 1.768), (0.026, 0.024, 0.020))
    _blob(made, "Skin", (0, -0.146, 1.806), (0.026, 0.016, 0.013))
    _blob(made, "Skin", (0, -0.118, 1.912), (0.058, 0.024, 0.024))
    _tube(made, "Skin", 1.0, [((0, -0.138, 1.892), 0.010), ((0, -0.163, 1.856), 0.014), ((0, -0.163, 1.846), 0.014)])
    for _, side in SIDES:
        _blob(made, "Skin", (side * 0.013, -0.155, 1.847), (0.011, 0.012, 0.010))
        _blob(made, "Skin", (side * 0.040, -0.106, 1.840), (0.030, 0.033, 0.040))
        _blob(made, "Skin", (side * 0.034, -0.126, 1.884), (0.020, 0.017, 0.015))
        _blob(made, "Skin", (side * 0.088, -0.025, 1.862), (0.012, 0.024, 0.036))
        _hand(made, side)
    neck = [((0, 0.014, 1.60), 0.056), ((0, 0.010, 1.67), 0.053), ((0, -0.006, 1.73), 0.050), ((0, -0.02, 1.79), 0.052)]
    _tube(made, "Skin", 1.0, neck)
    return made


def _hand(made: Solid, side: float) -> None:
    """Palm and five fingers, along the metarig's bones."""
    wrist: Point = (0.652, 0.050, 1.310)
    _tube(made, "Skin", side, [((0.60, 0.060, 1.345), 0.029), (wrist, 0.027), ((0.685, 0.046, 1.290), 0.026)])
    fingers = (
        ((0.744, 0.004, 1.249), (0.772, 0.001, 1.211), (0.784, -0.0, 1.186), (0.789, 0.001, 1.166), 0.0118),
        ((0.751, 0.028, 1.249), (0.776, 0.023, 1.206), (0.785, 0.022, 1.175), (0.789, 0.022, 1.155), 0.0122),
        ((0.753, 0.052, 1.248), (0.771, 0.050, 1.207), (0.779, 0.049, 1.176), (0.778, 0.050, 1.160), 0.0116),
        ((0.750, 0.076, 1.245), (0.759, 0.076, 1.216), (0.762, 0.077, 1.193), (0.761, 0.077, 1.180), 0.0104),
    )
    for knuckle, second, third, tip, thick in fingers:
        root = tuple(0.55 * w + 0.45 * k for w, k in zip(wrist, knuckle, strict=True))
        _tube(made, "Skin", side, [(root, 0.019), (knuckle, thick + 0.004)])
        _tube(
            made,
            "Skin",
            side,
            [(knuckle, thick + 0.001), (second, thick), (third, thick - 0.001), (tip, thick - 0.003)],
        )
    thumb = [((0.668, 0.030, 1.285), 0.019), ((0.686, 0.002, 1.240), 0.0155), ((0.706, -0.006, 1.214), 0.013)]
    _tube(made, "Skin", side, [*thumb, ((0.717, -0.009, 1.201), 0.011)])


def _hair() -> Solid:
    made = Solid("Hair")
    _blob(made, "Hair", (0, -0.018, 1.898), (0.097, 0.118, 0.100))
    _blob(made, "Hair", (0, 0.03, 1.86), (0.086, 0.078, 0.085))
    _blob(made, "Hair", (0, 0.045, 2.012), (0.052, 0.052, 0.046))
    _tube(made, "Hair", 1.0, [((0, 0.03, 1.95), 0.04), ((0, 0.042, 2.0), 0.036)])
    return made


def _blob(made: Solid, look: str, centre: Point, radii: Point) -> None:
    """An ellipsoid."""
    part = bmesh.new()
    bmesh.ops.create_uvsphere(part, u_segments=32, v_segments=20, radius=1.0)
    part.transform(Matrix.Translation(centre) @ Matrix.Diagonal((*radii, 1.0)))
    made.add(look, part)


def _tube(made: Solid, look: str, side: float, path: Sequence[tuple[Point, float]]) -> None:
    """A round limb with round ends along a path; `side` -1 mirrors it to the right."""
    points = [Vector((side * p[0], p[1], p[2])) for p, _ in path]
    radii = [radius for _, radius in path]
    rings = []
    across = None
    for i, (centre, radius) in enumerate(zip(points, radii, strict=True)):
        along = (points[min(i + 1, len(points) - 1)] - points[max(i - 1, 0)]).normalized()
        across = along.orthogonal() if across is None else across - along * across.dot(along)
        across.normalize()
        rings.append((centre, across * radius, along.cross(across) * radius))
    made.loft(look, rings, sides=24)
    for end in (0, -1):
        _blob(made, look, tuple(points[end]), (radii[end],) * 3)


def _fuse(
    made: Solid, collection: Any, scale: float, *, voxel_m: float, relax: int, floor: bool = False, cut: bool = False
) -> Any:
    """One smooth closed surface out of overlapping volumes."""
    target = made.finish(collection, unwrap=False)
    mesh = target.data
    mesh.transform(Matrix.Scale(scale, 4))
    mesh.remesh_voxel_size = voxel_m
    bpy.context.view_layer.objects.active = target
    target.select_set(True)
    bpy.ops.object.voxel_remesh()
    target.select_set(False)
    work = bmesh.new()
    work.from_mesh(mesh)
    if floor:
        _slice(work, (0, 0, 0), (0, 0, -1))
    if cut:  # the hairline, from the forehead over the ears to the nape
        _slice(work, (0, -0.137 * scale, 1.945 * scale), (0, -0.62, -0.78))
    rim = [vertex for vertex in work.verts if floor and vertex.co.z < 1e-4]
    inner = [vertex for vertex in work.verts if not (floor and vertex.co.z < 1e-4)]
    for _ in range(relax):
        bmesh.ops.smooth_vert(work, verts=inner, factor=0.5, use_axis_x=True, use_axis_y=True, use_axis_z=True)
    for vertex in rim:
        vertex.co.z = 0.0
    for face in work.faces:
        face.smooth = True
        face.material_index = 0
    work.to_mesh(mesh)
    work.free()
    return target


def _slice(work: Any, point: Point, away: Point) -> None:
    """Cut away what lies in a direction beyond a plane, and close the cut."""
    cut = bmesh.ops.bisect_plane(
        work, geom=[*work.verts, *work.edges, *work.faces], plane_co=point, plane_no=away, clear_outer=True
    )
    edges = [entry for entry in cut["geom_cut"] if isinstance(entry, bmesh.types.BMEdge)]
    filled = bmesh.ops.holes_fill(work, edges=edges)
    bmesh.ops.triangulate(work, faces=filled["faces"])
