"""Scenes seen by a ray through each pixel's centre, as LinesPass holds them: exact depth, normals and indices."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from underpaint.backend.worker.conditioning.edges import find_lines
from underpaint.protocol.arrays import Float32Array, Int32Array, UInt8Array
from underpaint.protocol.geometry import Camera, Extent, Projection
from underpaint.protocol.options import LineOptions

Hit = tuple[np.ndarray, np.ndarray]  # distance along each ray, inf for none; normals (n, 3)
Thing = Callable[[np.ndarray, np.ndarray], Hit]


@dataclass(frozen=True, kw_only=True)
class Seen:
    metres: Float32Array
    normal_camera: Float32Array
    objects: Int32Array
    materials: Int32Array
    camera: Camera

    @property
    def extent(self) -> Extent:
        return Extent(width=self.metres.shape[1], height=self.metres.shape[0])

    def lines(self, **options: object) -> UInt8Array:
        passes = (self.metres, self.normal_camera, self.objects, self.materials)
        return find_lines(*passes, self.camera, replace(LineOptions(), **options))


def see(*things: Thing, side: int = 128, width: int | None = None, parallel: bool = False) -> Seen:
    """Things in camera space: x right, y up, looking along -z. Each is an object and a material of its own."""
    width = side if width is None else width
    pixels = side / 4 if parallel else 1.4 * side  # 4 m, or a normal lens
    camera = Camera(
        projection=Projection.ORTHOGRAPHIC if parallel else Projection.PERSPECTIVE,
        fx_px=pixels,
        fy_px=pixels,
        cx_px=width / 2,
        cy_px=side / 2,
        world_from_camera=tuple(np.eye(4).ravel().tolist()),
        clip_start_m=0.1,
        clip_end_m=1e6,
    )
    v, u = np.mgrid[0:side, 0:width] + 0.5
    x, y = (u - camera.cx_px) / pixels, (camera.cy_px - v) / pixels
    still, ahead = np.zeros_like(x), -np.ones_like(x)
    origin = np.stack([x, y, still] if parallel else [still, still, still], axis=-1).reshape(-1, 3)
    ray = np.stack([still, still, ahead] if parallel else [x, y, ahead], axis=-1).reshape(-1, 3)
    depth, normal, index = np.full(len(ray), np.inf), np.zeros((len(ray), 3)), np.zeros(len(ray), np.int32)
    for number, thing in enumerate(things, 1):
        distance, toward = thing(origin, ray)
        nearer = (distance > 1e-6) & (distance < depth)
        depth[nearer], normal[nearer], index[nearer] = distance[nearer], toward[nearer], number
    shape = (side, width)
    return Seen(
        metres=depth.reshape(shape).astype(np.float32),
        normal_camera=normal.reshape(*shape, 3).astype(np.float32),
        objects=index.reshape(shape),
        materials=index.reshape(shape).copy(),
        camera=camera,
    )


def sphere(x: float, y: float, z: float, radius: float) -> Thing:
    middle = np.array([x, y, z])

    def hit(origin: np.ndarray, ray: np.ndarray) -> Hit:
        a, b = (ray * ray).sum(1), (ray * (origin - middle)).sum(1)
        root = b * b - a * (((origin - middle) ** 2).sum(1) - radius**2)
        distance = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
        at = origin + np.where(np.isfinite(distance), distance, 0)[:, None] * ray
        return distance, (at - middle) / radius

    return hit


def solid(normals: np.ndarray, offsets: np.ndarray, *, smooth_about: np.ndarray | None = None) -> Thing:
    """The convex solid where n . p <= offset for each face; with a centre, shaded as a sphere about it."""

    def hit(origin: np.ndarray, ray: np.ndarray) -> Hit:
        into = ray @ normals.T
        with np.errstate(divide="ignore", invalid="ignore"):
            at = (offsets - origin @ normals.T) / into
        enter, leave = np.where(into < 0, at, -np.inf), np.where(into > 0, at, np.inf)
        distance, face = enter.max(1), enter.argmax(1)
        outside = ((into == 0) & (origin @ normals.T > offsets)).any(1)
        distance = np.where((distance < leave.min(1)) & ~outside, distance, np.inf)
        toward = normals[face]
        if smooth_about is not None:
            toward = origin + np.where(np.isfinite(distance), distance, 0)[:, None] * ray - smooth_about
            toward = toward / np.linalg.norm(toward, axis=1, keepdims=True)
        return distance, toward

    return hit


def box(x: float, y: float, z: float, width: float, height: float, depth: float, turn_deg: float = 0.0) -> Thing:
    """A box, turned about the vertical."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    axes = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    normals = np.concatenate([axes, -axes])
    half = np.array([width, height, depth] * 2) / 2
    return solid(normals, normals @ np.array([x, y, z]) + half)


def ground(y: float) -> Thing:
    """A floor without an end."""
    return solid(np.array([[0.0, 1.0, 0.0]]), np.array([y]))


def faceted(x: float, y: float, z: float, radius: float, faces: int, *, smooth: bool) -> Thing:
    """A coarse ball with so many flat faces, evenly spread, shaded flat or smooth."""
    k = np.arange(faces) + 0.5
    up, turn = 1 - 2 * k / faces, np.pi * (1 + 5**0.5) * k
    around = np.sqrt(1 - up * up)
    normals = np.stack([around * np.cos(turn), up, around * np.sin(turn)], axis=1)
    middle = np.array([x, y, z])
    return solid(normals, normals @ middle + radius, smooth_about=middle if smooth else None)


def blocks(lines: UInt8Array) -> int:
    """How many 2 x 2 squares are all lines."""
    on = lines > 0
    return int((on[:-1, :-1] & on[1:, :-1] & on[:-1, 1:] & on[1:, 1:]).sum())
