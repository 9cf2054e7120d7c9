"""Blender's buffers as physical quantities: background infinite, normals in camera space, y down, rows from the top."""

import time
from dataclasses import dataclass

import numpy as np

from ..protocol.arrays import Float32Array, Int32Array, UInt8Array
from ..protocol.errors import NothingRendered
from ..protocol.geometry import Camera, Extent
from ..protocol.sources import Person
from . import identity, passes, pose
from .identity import Identities


@dataclass(frozen=True, kw_only=True)
class Capture:
    """One frame's geometry as its camera sees it. Row 0 of every array is at the top.

    What is None was not asked for.
    """

    width: int
    height: int
    depth_m: Float32Array  # (height, width), along the view axis; +inf where nothing is hit
    normal_camera: Float32Array  # (height, width, 3): x right, y up, z to the viewer; 0 where nothing is hit
    position_m: Float32Array  # (height, width, 3) in world space; 0 where nothing is hit
    alpha: Float32Array  # (height, width): 1 where something is hit, 0 where nothing is
    object_ids: Int32Array | None = None  # (height, width): 0 where nothing is hit, else 1 + the place in the names
    object_names: tuple[str, ...] = ()  # every object that could be seen, as `name_full`; of instances, the original
    material_ids: Int32Array | None = None  # likewise; 0 also where an object has no material
    material_names: tuple[str, ...] = ()
    uv: Float32Array | None = None  # (height, width, 2) of the active UV map; 0 where there is none
    motion_px: Float32Array | None = None
    """(height, width, 4): from each point's place on the picture to its place one frame earlier (x, y) and one frame
    later (x, y), in pixels with y down; 0 where nothing is hit."""
    beauty: UInt8Array | None = None  # (height, width, 3) sRGB: the scene as Cycles renders it, in the Standard view
    camera: Camera
    people: tuple[Person, ...]
    left_out: tuple[str, ...] = ()  # armatures on the picture that may be people too, with bones that nobody knows
    capture_ms: float
    convert_ms: float

    @property
    def extent(self) -> Extent:
        return Extent(width=self.width, height=self.height)


def convert(
    raw: passes.RawPasses,
    camera: Camera,
    observed: pose.Observed | None,
    identities: Identities | None,
    *,
    extent: Extent,
    beauty: UInt8Array | None = None,
    capture_ms: float,
) -> Capture:
    """What the passes of one view layer say. `identities` is None where ids were not rendered.

    Raises NothingRendered where Cycles gave up, which it tells the user and not us.
    """
    began = time.perf_counter()
    frame = {name: array[::-1] for name, array in raw.frame.items()}
    depth = frame[passes.DEPTH.name][..., 0]
    if not depth.any():  # the background has a depth, too
        raise NothingRendered()
    hit = depth < passes.BACKGROUND_M
    depth_m = np.where(hit, depth, np.float32(np.inf))
    objects = materials = None
    if identities is not None:
        objects = identity.decode(
            frame[passes.OBJECTS.name], frame[passes.OBJECT_INDEX.name][..., 0], identities.objects
        )
        materials = identity.decode(
            frame[passes.MATERIALS.name], frame[passes.MATERIAL_INDEX.name][..., 0], identities.materials
        )
        objects *= hit
        materials *= hit
    people: tuple[Person, ...] = ()
    left_out: tuple[str, ...] = ()
    if observed is not None:
        known = None
        if identities is not None:
            known = pose.ObjectIds(indices=objects, names=identities.objects.full)
            left_out = pose.left_out(observed, known)
        people = pose.people(observed, camera, extent, depth_m, known)
    uv, vector = frame.get(passes.UV.name), frame.get(passes.MOTION.name)
    return Capture(
        width=extent.width,
        height=extent.height,
        depth_m=depth_m,
        normal_camera=_to_camera_space(frame[passes.NORMAL.name], camera),
        position_m=np.ascontiguousarray(frame[passes.POSITION.name]),
        alpha=hit.astype(np.float32),
        object_ids=objects,
        object_names=() if identities is None else identities.objects.full,
        material_ids=materials,
        material_names=() if identities is None else identities.materials.full,
        uv=None if uv is None else np.nan_to_num(uv[..., :2], posinf=0.0, neginf=0.0),  # of broken UV maps
        # Cycles' x, y are previous - current and its z, w current - next, with y up
        motion_px=None if vector is None else vector * np.array((1, -1, -1, 1), np.float32),
        beauty=beauty,
        camera=camera,
        people=people,
        left_out=left_out,
        capture_ms=capture_ms,
        convert_ms=(time.perf_counter() - began) * 1e3,
    )


def _to_camera_space(normal_world: Float32Array, camera: Camera) -> Float32Array:
    """Unit normals; Cycles gives them in world space. For row vectors, n_world @ R is R^T n_world."""
    rotation = np.array(camera.world_from_camera, np.float32).reshape(4, 4)[:3, :3]
    normal = np.ascontiguousarray(normal_world).reshape(-1, 3) @ rotation
    square = np.einsum("ij,ij->i", normal, normal)
    square[square == 0] = 1
    normal /= np.sqrt(square)[:, None]
    return normal.reshape(normal_world.shape)
