"""Which thing each pixel shows, as the flat colours that segmentation ControlNets expect."""

import hashlib
import itertools
from collections.abc import Sequence

import cv2
import numpy as np

from ....protocol.ade20k import PALETTE
from ....protocol.arrays import Int32Array, UInt8Array
from ....protocol.errors import InvalidArray, InvalidRequest
from ....protocol.options import SegmentationOptions, SegmentColours
from ....protocol.sources import Segment
from .table import SegmentationConvention

Colour = tuple[int, int, int]

_BLACK: Colour = (0, 0, 0)
_DARKEST = 102  # of the brightest channel: random colours keep away from the background's black
_COARSE_ATTEMPTS = 64  # on a grid of 208 colours, before the whole cube is drawn from
_MOST_COLOURS = 1 << 20


def segmentation_map(
    indices: Int32Array,
    segments: Sequence[Segment],
    background: int | None,
    convention: SegmentationConvention,
    options: SegmentationOptions,
) -> UInt8Array:
    """Control image: (height, width, 3) uint8; every pixel has exactly its segment's colour.

    `indices` is (height, width) int32 into `segments`, -1 is the background. Raises InvalidArray for any other index.
    """
    lowest, highest = int(indices.min()), int(indices.max())
    if lowest < -1 or highest >= len(segments):
        wrong = lowest if lowest < -1 else highest
        raise InvalidArray(reason=f"the segmentation pass names segment {wrong} of {len(segments)}")
    if (options.colours or convention.colours) is SegmentColours.ADE20K:
        colours = [_class_colour(segment.ade20k) for segment in segments]
        ground = _class_colour(background)
    else:
        colours = distinct_colours([segment.name for segment in segments], options.seed)
        ground = _BLACK
    table = np.zeros((len(colours) + 1, 4), np.uint8)
    table[:, :3] = [*colours, ground]  # the background's -1 is the last row
    # Four bytes at once, the last of them dropped afterwards: fifteen times as fast as rows of three.
    packed = np.take(table.view(np.uint32)[:, 0], indices, mode="wrap")
    return np.asarray(cv2.cvtColor(packed.view(np.uint8).reshape(*indices.shape, 4), cv2.COLOR_RGBA2RGB), np.uint8)


def _class_colour(ade20k: int | None) -> Colour:
    return _BLACK if ade20k is None else PALETTE[ade20k]


def distinct_colours(names: Sequence[str], seed: int) -> list[Colour]:
    """A colour for each name, none twice and none near black, 51 apart in some channel for the first hundreds.

    A colour comes from the name and the seed, so a thing keeps its own over the frames of a sequence, whatever
    its place in the list; only where two names fall on one colour does one of them depend on the other's being there.
    Equal names get a colour each, by their order. Raises InvalidRequest for more names than colours can be told apart.
    """
    if len(names) > _MOST_COLOURS:
        raise InvalidRequest(reason=f"{len(names)} segments, at most {_MOST_COLOURS} can have a colour of their own")
    numbered: list[tuple[bytes, int]] = []
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        numbered.append(
            (hashlib.sha256(f"{seed} {seen[name]} {name}".encode("utf-8", "surrogatepass")).digest(), index)
        )
    taken: set[Colour] = set()
    colours = [_BLACK] * len(names)
    for digest, index in sorted(
        numbered
    ):  # whoever comes first keeps its colour, in an order that new names don't change
        colours[index] = _free_colour(digest, taken)
        taken.add(colours[index])
    return colours


def _free_colour(digest: bytes, taken: set[Colour]) -> Colour:
    for attempt in itertools.count():
        red, green, blue = hashlib.sha256(digest + attempt.to_bytes(4, "big")).digest()[:3]
        colour = (red, green, blue)
        if attempt < _COARSE_ATTEMPTS:
            colour = (red * 6 // 256 * 51, green * 6 // 256 * 51, blue * 6 // 256 * 51)
        if max(colour) >= _DARKEST and colour not in taken:
            return colour
    raise AssertionError("unreachable: there are more colours than names")
