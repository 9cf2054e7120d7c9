"""People in the world as keypoints on the picture, and which of them the camera sees. Arrays only."""

import numpy as np

from ...protocol.arrays import Float32Array
from ...protocol.geometry import Camera, Extent, Projection
from ...protocol.sources import Keypoint, Person
from .observe import FACE, NECK, Figure, Observed, Points

# A point of the face lies in the skin or some way under it (an eye's bone is the eyeball's centre); what
# is more than this in front of it, in lengths of the head bone, hides it: 5 cm for a grown man.
_FACE_TOLERANCE = 0.25
# In front of a joint of the body by this much, it isn't the body itself.
_BODY_TOLERANCE = 1.2
# Cosine between where a point of the face looks and the camera, below which it is on the far side. Ears
# look sideways and are seen from the front and from behind.
_FAR_SIDE = -0.35


def people(observed: Observed, camera: Camera, extent: Extent, depth_m: Float32Array) -> tuple[Person, ...]:
    """Every person in view, far ones first; joints as COCO-18, left and right the person's own.

    depth_m: (height, width) along the view axis, row 0 at the top, +inf where nothing is hit. Joints of
    the body are given though the body or a thing hides them, as detectors do; a person of whom nothing
    shows is left out. Points of the face are given only where they show: nets read from them which way a
    person looks.
    """
    found = [person for figure in observed.figures if (person := _person(figure, camera, extent, depth_m))]
    return tuple(sorted(found, key=lambda person: -person.depth_m))


def _person(figure: Figure, camera: Camera, extent: Extent, depth_m: Float32Array) -> Person | None:
    uv, along = project(figure.joints, camera)
    with np.errstate(invalid="ignore"):
        uv[along < camera.clip_start_m] = np.nan
        uv[NECK] = (uv[2] + uv[5]) / 2
        along[NECK] = (along[2] + along[5]) / 2
        inside = (uv >= 0).all(axis=1) & (uv[:, 0] < extent.width) & (uv[:, 1] < extent.height)
        inside &= along <= camera.clip_end_m
    in_front = np.zeros(18)  # metres between what the camera sees there and the point
    columns, rows = uv[inside].astype(np.intp).T
    in_front[inside] = along[inside] - depth_m[rows, columns]  # -inf over the background

    drawn = inside.copy()
    face = list(FACE)
    drawn[face] &= in_front[face] <= _FACE_TOLERANCE * figure.head_m
    with np.errstate(invalid="ignore"):
        drawn[face] &= _facing(figure, camera)[face] > _FAR_SIDE
    body = inside.copy()
    body[face] = False  # those that something hides are gone already
    if drawn.sum() < 2 or (body.any() and (in_front[body] > _BODY_TOLERANCE * figure.head_m).all()):
        return None
    return Person(
        body=tuple(
            Keypoint(x_px=float(u), y_px=float(v)) if shown else None for (u, v), shown in zip(uv, drawn, strict=True)
        ),
        depth_m=float(along[drawn].mean()),
    )


def project(points: Points, camera: Camera) -> tuple[Points, Points]:
    """Pixels (n, 2) from the top left and metres (n) along the view axis of world points (n, 3)."""
    world_from_camera = np.array(camera.world_from_camera, np.float64).reshape(4, 4)
    x, y, z = ((points - world_from_camera[:3, 3]) @ world_from_camera[:3, :3]).T
    along = -z
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / along if camera.projection is Projection.PERSPECTIVE else np.ones_like(along)
        uv = np.stack([camera.cx_px + camera.fx_px * x * scale, camera.cy_px - camera.fy_px * y * scale], axis=-1)
    return uv, along


def _facing(figure: Figure, camera: Camera) -> Points:
    """Cosine between where each point looks and the way to the camera, (18); NaN for the body's."""
    world_from_camera = np.array(camera.world_from_camera, np.float64).reshape(4, 4)
    if camera.projection is Projection.PERSPECTIVE:
        way = world_from_camera[:3, 3] - figure.joints
    else:
        way = np.broadcast_to(world_from_camera[:3, 2], figure.joints.shape)
    return (figure.outward * way).sum(axis=1) / np.linalg.norm(way, axis=1)
