"""A sphere over a floor, as the physical passes that Blender would send."""

import numpy as np
from underpaint.backend.blobstore import BlobStore
from underpaint.protocol.arrays import Float32Array
from underpaint.protocol.geometry import Extent, Projection
from underpaint.protocol.sources import DepthPass, Keypoint, NormalPass, Person, PosePass


def depth_pass(blobs: BlobStore, size: Extent) -> DepthPass:
    return DepthPass(metres=blobs.write_array(_sphere(size)[0]), projection=Projection.PERSPECTIVE)


def normal_pass(blobs: BlobStore, size: Extent) -> NormalPass:
    return NormalPass(normal_camera=blobs.write_array(_sphere(size)[1]))


def pose_pass(size: Extent) -> PosePass:
    return PosePass(people=(person(size),))


def person(size: Extent, *, x: float = 0.5, depth_m: float = 4.0) -> Person:
    """Arms spread; eyes and ears not seen."""
    joints = [(0, -30), (0, -20), (-10, -20), (-20, -20), (-30, -20), (10, -20), (20, -20), (30, -20),
              (-6, 5), (-6, 20), (-6, 35), (6, 5), (6, 20), (6, 35)]  # fmt: skip
    unit = size.height / 80
    body = [Keypoint(x_px=size.width * x + dx * unit, y_px=size.height / 2 + dy * unit) for dx, dy in joints]
    return Person(body=(*body, None, None, None, None), depth_m=depth_m)


def _sphere(size: Extent) -> tuple[Float32Array, Float32Array]:
    rows, columns = np.mgrid[0 : size.height, 0 : size.width] + 0.5
    x = (columns - size.width / 2) / (size.width * 0.35)
    y = (size.height / 2 - rows) / (size.height * 0.35)
    height = np.sqrt(np.maximum(1 - x * x - y * y, 0))
    sphere, floor = height > 0, rows > size.height * 0.75
    depth = np.where(sphere, 4 - height, np.where(floor, 8 * size.height * 0.75 / rows, np.inf))
    normal = np.zeros((size.height, size.width, 3))
    normal[floor] = (0, 1, 0)
    normal[sphere] = np.stack([x, y, height], axis=-1)[sphere]
    return depth.astype(np.float32), normal.astype(np.float32)
