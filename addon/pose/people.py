"""People in the world as keypoints on the picture, and what stands before them. Arrays only."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...protocol.arrays import Float32Array, Int32Array
from ...protocol.geometry import Camera, Extent, Projection
from ...protocol.sources import Keypoint, Keypoints, Person, Visibility
from .face import Points
from .observe import Figure, Observed
from .plan import BODY, COUNT, FACE, LEFT_HAND, NECK, RIGHT_HAND

_HEAD = np.array((0, 14, 15, 16, 17))  # of the body's points, those on the head
_LIMBS = np.setdiff1d(np.arange(60), _HEAD)
_ON_HEAD = np.concatenate([_HEAD, np.arange(60, COUNT)])

# How much flesh lies before a point, in lengths of the head bone (0.2 m for a grown man): half the depth of the
# trunk at neck and hips, of limbs at their joints. What is nearer to the camera is another part of the body.
_FLESH = np.full(COUNT, 0.17)  # fingers
_FLESH[BODY] = 0.35
_FLESH[[LEFT_HAND.start, RIGHT_HAND.start]] = 0.35
_FLESH[[1, 8, 11]] = 0.9
_FLESH[[2, 5, 9, 12]] = 0.55
# A point of the face lies in the skin or some way under it (an eye's bone is the eyeball's centre).
_FLESH[_ON_HEAD] = 0.25
_FLESH[[16, 17]] = 0.5  # an ear is seen past the cheek
_OTHERS_M = 0.05  # joints lie inside of the body, clothes around it
# With no word on which object is which, what is so far in front of a joint isn't the body itself.
_REACH = 1.2
# Cosine between where a point of the face looks and the camera, below which it is on the far side. Ears
# look sideways and are seen from the front and from behind.
_FAR_SIDE = np.full(COUNT, -0.1)
_FAR_SIDE[_HEAD] = -0.35
_FACE_TURNED = -0.2  # cosine between the nose and the camera, below which detectors see no face at all
_LEAST_OF_FACE = 0.25  # of its points that face the camera within the frame; fewer that nothing hides are stray dots
_FEWEST = 2  # points of the body that show


@dataclass(frozen=True, kw_only=True)
class ObjectIds:
    """Which object each pixel shows, as a Capture has it."""

    indices: Int32Array  # (height, width): 0 is the background, else 1 + the place in `names`
    names: tuple[str, ...]  # full names


def people(
    observed: Observed, camera: Camera, extent: Extent, depth_m: Float32Array, ids: ObjectIds | None = None
) -> tuple[Person, ...]:
    """Every person in view, far ones first; left and right the person's own.

    depth_m: (height, width) along the view axis, row 0 at the top, +inf where nothing is hit. Joints of
    body and hands are given though something hides them, and say what does; a person of whom other things
    hide everything is left out. Points of the face are given only where they show: nets read from them
    which way a person looks. Without `ids`, what is far in front of a joint is taken for something else.
    """
    figures = observed.figures
    if not figures:
        return ()
    points = np.stack([figure.points for figure in figures])  # (people, 130, 3)
    heads = np.array([figure.head_m for figure in figures])[:, None]
    uv, along = project(points, camera)
    with np.errstate(invalid="ignore"):
        behind = ~(along >= camera.clip_start_m)
        uv[behind] = np.nan
        uv[:, NECK] = (uv[:, 2] + uv[:, 5]) / 2
        along[:, NECK] = (along[:, 2] + along[:, 5]) / 2
        inside = (uv >= 0).all(axis=-1) & (uv[..., 0] < extent.width) & (uv[..., 1] < extent.height)
        inside &= along <= camera.clip_end_m
    columns, rows = (np.where(inside, uv[..., axis], 0).astype(np.intp) for axis in (0, 1))
    in_front = np.where(inside, along - depth_m[rows, columns], 0)  # metres; -inf over the background
    in_front[np.isnan(in_front)] = 0
    hidden = in_front > _FLESH * heads
    nearest = np.where(np.isnan(along), np.inf, along).min(axis=1, keepdims=True)
    others = in_front > np.maximum(_REACH * heads, _OTHERS_M)
    if ids is not None:
        own = _own(figures, ids)[np.arange(len(figures))[:, None], ids.indices[rows, columns]]
        # another instance of the same character has the same name, but is out of this one's reach
        own &= ~_twins(figures)[:, None] | (in_front <= along - nearest + _REACH * heads)
        others = ~own & (in_front > np.minimum(_OTHERS_M, _FLESH * heads * 2))
        hidden &= own | others
    facing = _facing(points, np.stack([figure.outward for figure in figures]), camera)
    with np.errstate(invalid="ignore"):
        shown = inside.copy()
        shown[:, _ON_HEAD] &= (facing > _FAR_SIDE)[:, _ON_HEAD]
        shown[:, FACE] &= facing[:, 0:1] > _FACE_TURNED
        turned_here = shown[:, FACE].sum(axis=1, keepdims=True)
        shown[:, _ON_HEAD] &= ~(hidden | others)[:, _ON_HEAD]
        shown[:, FACE] &= shown[:, FACE].sum(axis=1, keepdims=True) >= _LEAST_OF_FACE * turned_here
    found = [
        _person(*row)
        for row in zip(uv, along, shown, shown & hidden, shown & others, strict=True)
        if _in_view(*row[2:])
    ]
    return tuple(sorted(found, key=lambda person: -person.depth_m))


def left_out(observed: Observed, ids: ObjectIds) -> tuple[str, ...]:
    """The armatures on the picture that may be people and are not among `people`, as nobody knows their bones."""
    seen = {ids.names[index - 1] for index in np.unique(ids.indices).tolist() if index}
    return tuple(stranger.name for stranger in observed.strangers if not seen.isdisjoint(stranger.objects))


def project(points: Points, camera: Camera) -> tuple[Points, Points]:
    """Pixels (..., 2) from the top left and metres (...) along the view axis of world points (..., 3)."""
    world_from_camera = np.array(camera.world_from_camera, np.float64).reshape(4, 4)
    local = (points - world_from_camera[:3, 3]) @ world_from_camera[:3, :3]
    along = -local[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / along if camera.projection is Projection.PERSPECTIVE else np.ones_like(along)
        u = camera.cx_px + camera.fx_px * local[..., 0] * scale
        v = camera.cy_px - camera.fy_px * local[..., 1] * scale
    return np.stack([u, v], axis=-1), along


def _own(figures: tuple[Figure, ...], ids: ObjectIds) -> NDArray[np.bool_]:
    """(people, names + 1): whether the objects that the ids stand for are the person."""
    number = {name: i for i, name in enumerate(ids.names, 1)}
    own = np.zeros((len(figures), len(ids.names) + 1), np.bool_)
    for row, figure in zip(own, figures, strict=True):
        row[[number[name] for name in figure.objects if name in number]] = True
    return own


def _twins(figures: tuple[Figure, ...]) -> NDArray[np.bool_]:
    """Whether a person's objects are somebody else's as well."""
    counts = Counter(name for figure in figures for name in figure.objects)
    return np.array([any(counts[name] > 1 for name in figure.objects) for figure in figures])


def _facing(points: Points, outward: Points, camera: Camera) -> Points:
    """Cosine between where each point looks and the way to the camera; NaN for body and hands."""
    world_from_camera = np.array(camera.world_from_camera, np.float64).reshape(4, 4)
    if camera.projection is Projection.PERSPECTIVE:
        way = world_from_camera[:3, 3] - points
    else:
        way = np.broadcast_to(world_from_camera[:3, 2], points.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (outward * way).sum(axis=-1) / np.linalg.norm(way, axis=-1)


def _in_view(shown: NDArray[np.bool_], hidden: NDArray[np.bool_], others: NDArray[np.bool_]) -> bool:
    """Whether there is a person to draw: not one wholly out of the frame, or behind something else."""
    if shown[BODY].sum() < _FEWEST:
        return False
    return bool((shown & ~others)[:60].any())


def _person(
    uv: Points, along: Points, shown: NDArray[np.bool_], hidden: NDArray[np.bool_], others: NDArray[np.bool_]
) -> Person:
    keypoints: list[Keypoint | None] = [None] * COUNT
    places = uv.tolist()
    for index in np.flatnonzero(shown).tolist():
        visibility = (
            Visibility.BEHIND_OTHERS
            if others[index]
            else Visibility.BEHIND_ITSELF
            if hidden[index]
            else Visibility.VISIBLE
        )
        x, y = places[index]
        keypoints[index] = Keypoint(x_px=x, y_px=y, visibility=visibility)

    def group(points: slice) -> Keypoints:
        some = tuple(keypoints[points])
        return some if any(some) else ()

    return Person(
        body=tuple(keypoints[BODY]),
        left_hand=group(LEFT_HAND),
        right_hand=group(RIGHT_HAND),
        face=group(FACE),
        depth_m=float(along[BODY][shown[BODY]].mean()),
    )
