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
from .folds import folds
from .relief import REFERENCE_SIDE, Mask, Pairs, pairs
from .thinning import close_gaps, thin, without_specks


class LineKind(IntEnum):
    """What a line stands for; where several meet, the first counts."""

    SILHOUETTE = 1
    OBJECT = 2  # two objects touch
    CREASE = 3
    MATERIAL = 4


_BORDERS = (LineKind.SILHOUETTE, LineKind.OBJECT)

_WEAK = 0.75  # of the angle: bends from here on continue a crease, but don't make one
_BESIDE_PX = 2  # of the reference picture: a crease so close to a border is the border's own rounding
_LASTING_PX = 16  # of the reference picture
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
    scale = min(metres.shape) / REFERENCE_SIDE
    drawn: dict[LineKind, Mask] = {}
    if options.materials:
        drawn[LineKind.MATERIAL] = _borders(both, materials)
    if options.creases:
        drawn[LineKind.CREASE] = _creases(both, metres.shape, options.crease_deg, scale)
    if options.objects:
        drawn[LineKind.OBJECT] = _borders(both, objects)
    if options.silhouettes:
        drawn[LineKind.SILHOUETTE] = _silhouettes(both, metres.shape)
    kinds = np.zeros(metres.shape, np.uint8)
    if LineKind.CREASE in drawn:
        for border in (drawn[kind] for kind in _BORDERS if kind in drawn):
            drawn[LineKind.CREASE] &= ~_around(border, _BESIDE_PX * scale) | border
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


def _creases(both: list[Pairs], shape: tuple[int, ...], crease_deg: float, scale: float) -> Mask:
    """Sharp creases, and folds where there are none. What bends less goes on from what bends enough."""
    weak = np.zeros(shape, bool)
    strong = np.zeros(shape, bool)
    for found in both:
        crease = creases(found, _WEAK * crease_deg)
        columns = np.where(crease.on_first, crease.columns, crease.columns + 1)
        enough = crease.angle_deg >= crease_deg
        for mask, chosen in ((weak, np.ones_like(enough)), (strong, enough)):
            view = mask.T if found.transposed else mask
            view[crease.rows[chosen], columns[chosen]] = True
    sharp = _hanging_on(weak, strong)
    fold = folds(both, crease_deg, scale)
    # A sharp crease is a fold as well, less exactly; a bevel is a sharp crease too, here and there.
    lasting = without_specks(sharp, _LASTING_PX * scale)
    beside = _around(lasting, _BESIDE_PX * scale)
    folded = _hanging_on(fold.weak & ~beside, fold.strong & ~beside)
    return lasting | folded | sharp & ~_around(folded, _BESIDE_PX * scale)


def _hanging_on(weak: Mask, strong: Mask) -> Mask:
    """The pixels of `weak` that are connected to one of `strong`, which are some of them."""
    count, found = cv2.connectedComponents(weak.astype(np.uint8), connectivity=8)
    labels = np.asarray(found, np.int32)
    kept = np.zeros(count, bool)
    kept[labels[strong]] = True
    kept[0] = False
    return kept[labels]


def _around(mask: Mask, reach_px: float) -> Mask:
    side = 2 * max(1, round(reach_px)) + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8))) > 0


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
