"""Acceptance figures of the canny map: a wire cube's and a solid cube's edges against their own projection.

The truth comes from the meshes alone: their edges, projected, where a ray from the camera reaches them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Vector
from underpaint.addon.capture import Capture, Wants, capture
from underpaint.protocol import client
from underpaint.protocol.client import Connection
from underpaint.protocol.geometry import Camera, Projection
from underpaint.protocol.request import Control, ControlKind, ControlMapsRequest
from underpaint.protocol.sources import LinesPass

Accept = Callable[..., None]
NEAR_PX = 1.0  # how close a line must be to the edge's projection
BENT_DEG = 30.0  # what the options' default calls a crease
RAYS = 200  # along each edge
VIEWS = {
    "oblique": ((5.2, -6.1, 3.7), {}),
    "from below, wide": ((-3.4, -4.4, -2.1), {"lens": 24}),
    "parallel": ((4.0, -7.0, 4.5), {"type": "ORTHO", "ortho_scale": 6.0}),
}


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Points on edges that the camera sees, in pixels; (n, 2)."""

    silhouettes: np.ndarray  # between a face that looks at the camera and one that doesn't
    edges: np.ndarray  # these, and those where two faces that look at it bend


def cubes(scene: Any, view: str) -> None:
    place, settings = VIEWS[view]
    solid = bpy.data.objects["Cube"]
    solid.scale = (0.7, 0.7, 0.7)
    solid.location, solid.rotation_euler = (1.9, -1.5, -0.3), (0.2, -0.1, 0.4)
    bpy.ops.mesh.primitive_cube_add(size=2.6, location=(-0.6, 0.4, 0.1), rotation=(0.0, 0.1, 0.15))
    wire = bpy.context.object.modifiers.new("wire", "WIREFRAME")
    wire.thickness = 0.16
    scene.render.resolution_x = scene.render.resolution_y = 512
    camera = scene.camera
    camera.location = place
    camera.rotation_euler = (-Vector(place)).to_track_quat("-Z", "Y").to_euler()
    for name, value in settings.items():
        setattr(camera.data, name, value)


def canny(connection: Connection, seen: Capture) -> np.ndarray:
    """The control image by the real service, (height, width, 3)."""
    source = LinesPass(
        metres=connection.upload(seen.depth_m),
        normal_camera=connection.upload(seen.normal_camera),
        objects=connection.upload(seen.object_ids),
        materials=connection.upload(seen.material_ids),
        camera=seen.camera,
    )
    control = Control(kind=ControlKind.CANNY, source=source)
    job = connection.submit(ControlMapsRequest(size=seen.extent, controls=(control,)), client="blender")
    job = client.wait(connection, job)
    return connection.download(job.result.control_maps[0])


def truth(scene: Any, seen: Capture) -> Truth:
    depsgraph = bpy.context.evaluated_depsgraph_get()
    eye = scene.camera.matrix_world.translation
    along = scene.camera.matrix_world.to_3x3() @ Vector((0, 0, -1))
    parallel = seen.camera.projection is Projection.ORTHOGRAPHIC
    found: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for thing in [entry for entry in scene.objects if entry.type == "MESH"]:
        evaluated = thing.evaluated_get(depsgraph)
        mesh, matrix = evaluated.data, evaluated.matrix_world
        corners = [matrix @ vertex.co for vertex in mesh.vertices]
        faces: dict[tuple[int, int], list[Any]] = {}
        for polygon in mesh.polygons:
            for key in polygon.edge_keys:
                faces.setdefault(key, []).append(polygon)
        turn = matrix.to_3x3().inverted().transposed()
        for (a, b), sides in faces.items():
            assert len(sides) == 2, "the cubes are closed"
            normals = [(turn @ polygon.normal).normalized() for polygon in sides]
            toward = -along if parallel else eye - corners[a]
            seeing = [normal.dot(toward) > 0 for normal in normals]
            bent = normals[0].angle(normals[1]) > np.radians(BENT_DEG)
            if not any(seeing) or not bent:
                continue
            points = visible(scene, depsgraph, corners[a], corners[b], eye, along if parallel else None)
            if len(points):
                found[not all(seeing)].append(projected(points, seen.camera))
    return Truth(silhouettes=np.concatenate(found[True]), edges=np.concatenate([*found[True], *found[False]]))


def visible(scene: Any, depsgraph: Any, start: Any, end: Any, eye: Any, along: Any) -> np.ndarray:
    """Points along an edge that nothing hides; (n, 3). Rays tell it for 201 of them."""
    seen = []
    for step in range(RAYS + 1):
        point = start.lerp(end, step / RAYS)
        origin = eye if along is None else point - 50 * along
        ray = point - origin
        hit, place, *_ = scene.ray_cast(depsgraph, origin, ray.normalized(), distance=ray.length + 1)
        seen.append(not hit or (place - origin).length > ray.length - 2e-3)
    fine = np.linspace(0, RAYS, 4 * RAYS + 1)
    both = np.array(seen)[np.floor(fine).astype(int)] & np.array(seen)[np.ceil(fine).astype(int)]
    return np.array(start) + (np.array(end) - np.array(start)) * (fine[both] / RAYS)[:, None]


def projected(points: np.ndarray, camera: Camera) -> np.ndarray:
    inverse = np.linalg.inv(np.array(camera.world_from_camera).reshape(4, 4))
    x, y, z = (points @ inverse[:3, :3].T + inverse[:3, 3]).T
    depth = np.ones_like(z) if camera.projection is Projection.ORTHOGRAPHIC else -z
    return np.stack([camera.cx_px + camera.fx_px * x / depth, camera.cy_px - camera.fy_px * y / depth], axis=1)


def along_the_line(lines: np.ndarray) -> np.ndarray:
    """Points on the line that runs through the centres of its pixels, from each to its neighbours; (n, 2)."""
    rows, columns = np.nonzero(lines)
    points = [np.stack([columns, rows], axis=1) + 0.5]
    padded = np.pad(lines, 1)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        beside = padded[rows + 1 + down, columns + 1 + right]
        for part in (0.25, 0.5, 0.75):
            points.append(points[0][beside] + part * np.array([right, down]))
    return np.concatenate(points)


def part_near(points: np.ndarray, others: np.ndarray) -> float:
    """The part of `points` that has one of `others` within NEAR_PX, which is no more than a pixel.

    `others` are looked up by the pixel that they lie in.
    """
    cells = np.floor(others).astype(int)
    rows: dict[tuple[int, int], list[np.ndarray]] = {}
    for cell, other in zip(map(tuple, cells), others, strict=True):
        rows.setdefault(cell, []).append(other)
    near = 0
    for point in points:
        x, y = np.floor(point).astype(int).tolist()
        around = [rows.get((x + right, y + down), []) for right in (-1, 0, 1) for down in (-1, 0, 1)]
        close = [other for cell in around for other in cell]
        near += bool(close) and bool(((np.array(close) - point) ** 2).sum(axis=1).min() <= NEAR_PX**2)
    return near / len(points)


@pytest.mark.parametrize("view", VIEWS)
def test_canny_lines_are_the_edges_of_the_geometry(scene: Any, backend: Connection, accept: Accept, view: str) -> None:
    cubes(scene, view)
    seen = capture(scene, wants=Wants(ids=True))
    image = canny(backend, seen)
    expected = truth(scene, seen)
    lines = image[:, :, 0] > 0
    other = np.setdiff1d(np.unique(image), [0, 255])
    square = lines[:-1, :-1] & lines[1:, :-1] & lines[:-1, 1:] & lines[1:, 1:]
    in_block = np.zeros_like(lines)
    for down in (0, 1):
        for right in (0, 1):
            in_block[down : down + square.shape[0], right : right + square.shape[1]] |= square
    rows, columns = np.nonzero(lines)
    pixels = np.stack([columns, rows], axis=1) + 0.5
    accept(19, f"canny, {view}: greys beside 0 and 255", len(other), 0)
    accept(19, f"canny, {view}: line pixels in solid 2 x 2 blocks", in_block.sum() / lines.sum(), 0.01)
    recall = part_near(expected.silhouettes[::4], along_the_line(lines))
    accept(19, f"canny, {view}: visible silhouette edges within 1 px of a line", recall, 0.98, better="more")
    precision = part_near(pixels, expected.edges)
    accept(19, f"canny, {view}: line pixels within 1 px of a visible edge", precision, 0.98, better="more")
