"""Where the lines of a scene lie: borders of surfaces, objects and materials, and creases, one pixel wide.

Only geometry is looked at, so light, texture and exposure draw nothing.
"""

from enum import IntEnum

import cv2
import numpy as np

from ....protocol.arrays import AnyArray, UInt8Array
from ....protocol.geometry import Camera
from ....protocol.options import LineOptions
from .creases import creases
from .relief import REFERENCE_SIDE, Mask, Pairs, pairs
from .thinning import close_gaps, thin


class LineKind(IntEnum):
    """What a line stands for; where several meet, the first counts."""

    SILHOUETTE = 1
    OBJECT = 2  # two objects touch
    CREASE = 3
    MATERIAL = 4


_BORDERS = (LineKind.SILHOUETTE, LineKind.OBJECT)

_WEAK = 0.75  # of the angle: bends from here on continue a crease, but don't make one
_BESIDE_PX = 2  # of the reference picture: a crease so close to a border is the border's own rounding
_GAP_PX = 3  # of the reference picture: lines that break off so close to another are continued


def find_lines(
    metres: AnyArray,
    normal_camera: AnyArray,
    objects: AnyArray,
    materials: AnyArray,
    camera: Camera,
    options: LineOptions,
) -> UInt8Array:
    """The LineKind of each pixel on a line that `options` wish for, 0 elsewhere: (height, width).

    Lines are one pixel wide and eight-connected. `metres`, `normal_camera`, `objects` and `materials` as in LinesPass.
        A border lies on the pixels of the surface in front. The rules: docs/conventions.md, "Lines".
    """
    both = list(pairs(metres, normal_camera, objects, camera))
    drawn: dict[LineKind, Mask] = {}
    if options.materials:
        drawn[LineKind.MATERIAL] = _borders(both, materials)
    if options.creases:
        drawn[LineKind.CREASE] = _creases(both, metres.shape, options.crease_deg)
    if options.objects:
        drawn[LineKind.OBJECT] = _borders(both, objects)
    if options.silhouettes:
        drawn[LineKind.SILHOUETTE] = _silhouettes(both, metres.shape)
    kinds = np.zeros(metres.shape, np.uint8)
    scale = min(kinds.shape) / REFERENCE_SIDE
    if LineKind.CREASE in drawn:
        drawn[LineKind.CREASE] &= ~_beside([m for k, m in drawn.items() if k in _BORDERS], kinds.shape, scale)
    for kind, mask in drawn.items():
        kinds[mask] = kind
    reach = max(2, round(_GAP_PX * scale))
    return thin(close_gaps(thin(kinds), reach))


def _silhouettes(both: list[Pairs], shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, bool)
    for found in both:
        view = mask.T if found.transposed else mask
        edge = found.ends | found.steps
        view[:, :-1] |= edge & found.first_is_near
        view[:, 1:] |= edge & ~found.first_is_near
    return mask


def _beside(borders: list[Mask], shape: tuple[int, ...], scale: float) -> Mask:
    """What lies next to the lines of borders, their own pixels left out."""
    mask = np.zeros(shape, np.uint8)
    for border in borders:
        mask[border] = 1
    side = 2 * max(1, round(_BESIDE_PX * scale)) + 1
    return (np.asarray(cv2.dilate(mask, np.ones((side, side), np.uint8))) > 0) & (mask == 0)


def _creases(both: list[Pairs], shape: tuple[int, ...], crease_deg: float) -> Mask:
    weak = np.zeros(shape, bool)
    strong = np.zeros(shape, bool)
    for found in both:
        for crease in creases(found, _WEAK * crease_deg):
            columns = np.where(crease.on_first, crease.columns, crease.columns + 1)
            sharp = crease.angle_deg >= crease_deg
            for mask, chosen in ((weak, np.ones_like(sharp)), (strong, sharp)):
                view = mask.T if found.transposed else mask
                view[crease.rows[chosen], columns[chosen]] = True
    labels = cv2.connectedComponents(weak.astype(np.uint8), connectivity=8)[1]
    kept = np.zeros(labels.max() + 1, bool)
    kept[labels[strong]] = True
    kept[0] = False
    return kept[labels]


def _borders(both: list[Pairs], labels: AnyArray) -> Mask:
    """Where two labels meet on surfaces that touch.

    All of the border between two labels lies on one of them: on the one that is mostly in front where they
    don't touch, so that the line goes on as it began.
    """
    mask = np.zeros(labels.shape, bool)
    flat = mask.reshape(-1)
    width = labels.shape[1]
    places: list[list[AnyArray]] = []
    for found in both:
        turned = labels.T if found.transposed else labels
        rows, columns = np.nonzero((turned[:, :-1] != turned[:, 1:]) & (found.joined | found.steps))
        first = columns * width + rows if found.transposed else rows * width + columns
        second = first + (width if found.transposed else 1)
        nearer = np.sign(found.slope[rows, columns]) * np.where(found.steps[rows, columns], 1.0, 1e-6)
        places.append([first, second, nearer, found.joined[rows, columns]])
    first, second, nearer, touch = (np.concatenate(part) for part in zip(*places, strict=True))
    if not first.size:
        return mask
    ids = labels.reshape(-1)
    in_order = ids[first] < ids[second]
    pair = np.stack([np.minimum(ids[first], ids[second]), np.maximum(ids[first], ids[second])], axis=1)
    pair = pair.astype(np.int64)
    _, which = np.unique(pair[:, 0] << 32 | pair[:, 1] & 0xFFFFFFFF, return_inverse=True)
    low_is_near = np.bincount(which, weights=np.where(in_order, nearer, -nearer))[which] > 0
    owner = np.where(low_is_near == in_order, first, second)
    flat[owner[touch]] = True
    return mask
