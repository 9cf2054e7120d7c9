"""Where the lines of a scene lie: borders of surfaces, objects and materials, and creases, one pixel wide.

Only geometry is looked at, so light, texture and exposure draw nothing.
"""

from enum import IntEnum

import cv2
import numpy as np

from ....protocol.arrays import AnyArray, UInt8Array
from ....protocol.errors import InvalidRequest
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


_BESIDE_PX = 2  # of the reference picture: a fold so close to another line is that line's own rounding
_LASTING_PX = 16  # of the reference picture: creases so long are no accident of where pixels meet a bevel
_PIECE_PX = 6  # of the reference picture: what is left of a crease that runs along a border
_THICKET_PX = 9  # of the reference picture: the neighbourhood whose lines are counted
_THICKET = 0.46  # the part of it that lines, a reference pixel wide, may cover: four side by side, as of two thin legs
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
    Raises InvalidRequest for an angle that no crease has.
    """
    if not 0 <= options.crease_deg <= 180:
        raise InvalidRequest(reason=f"a crease of {options.crease_deg:g} degrees; expected 0 to 180")
    both = list(pairs(metres, normal_camera, objects, camera))
    scale = min(metres.shape) / REFERENCE_SIDE
    kinds = np.zeros(metres.shape, np.uint8)
    if options.materials:
        kinds[_borders(both, materials)] = LineKind.MATERIAL
    nothing = np.zeros(metres.shape, bool)
    silhouettes = _silhouettes(both, metres.shape) if options.silhouettes else nothing
    objects_meet = _borders(both, objects) if options.objects else nothing
    borders = silhouettes | objects_meet
    if options.creases:
        kinds[_creases(both, borders, options.crease_deg, scale)] = LineKind.CREASE
    kinds[objects_meet] = LineKind.OBJECT
    kinds[silhouettes] = LineKind.SILHOUETTE
    reach = max(2, round(_GAP_PX * scale))
    return thin(close_gaps(_without_thickets(thin(kinds), scale), reach))


def _without_thickets(kinds: UInt8Array, scale: float) -> UInt8Array:
    """`kinds` without the inside of hair, grass and leaves, where lines are too close to be told apart.

    Their fringe, which has room on one side, stays and outlines them.
    """
    side = 2 * round(_THICKET_PX / 2 * max(scale, 1.0)) + 1  # lines are a pixel wide in small pictures, too
    share = np.asarray(cv2.boxFilter((kinds > 0).astype(np.float32), -1, (side, side), borderType=cv2.BORDER_CONSTANT))
    thicket = share * max(scale, 1.0) > _THICKET
    if not thicket.any():
        return kinds
    return np.where(thicket, np.uint8(0), kinds)


def _silhouettes(both: list[Pairs], shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, bool)
    for found in both:
        view = mask.T if found.transposed else mask
        edge = found.ends | found.steps
        view[:, :-1] |= edge & found.first_is_near
        view[:, 1:] |= edge & ~found.first_is_near
    return mask


def _creases(both: list[Pairs], borders: Mask, crease_deg: float, scale: float) -> Mask:
    """Sharp creases, and folds where there are none; neither so close to `borders` that it would be part of them."""
    sharp = np.zeros(borders.shape, bool)
    for found in both:
        crease = creases(found, crease_deg)
        view = sharp.T if found.transposed else sharp
        view[crease.rows, np.where(crease.on_first, crease.columns, crease.columns + 1)] = True
    # A sharp crease is a fold as well, less exactly; a bevel is a sharp crease too, here and there.
    lasting = without_specks(sharp, _LASTING_PX * scale)
    beside = _around(lasting, _BESIDE_PX * scale)
    fold = folds(both, crease_deg, scale)
    folded = _hanging_on(fold.weak & ~beside, fold.strong & ~beside)
    lines = lasting | sharp & ~_around(folded, _BESIDE_PX * scale)
    lines &= ~_around(borders, 1)
    lines |= folded & ~_around(borders, _BESIDE_PX * scale)
    return without_specks(lines, _PIECE_PX * scale)


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
