"""The straight segments among the lines, as M-LSD finds them in photos of rooms and buildings."""

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np

from ....protocol.arrays import Float32Array, UInt8Array
from .chains import Chains, bends, bow, on_line

_STRAY_PX = 1.0  # how far pixels may be from the segment that they are taken for
_BOW_PX = 0.5  # by which the middle of an arc may stand out; the stairs of a straight line even out
_JOIN_PX = 3.0  # pieces whose ends are so close, and that go on in one direction, are one
_LEAST_PX = 4.0  # shorter pieces have no direction
_TURN = 0.9  # cosine between the directions of two pieces that are to be one


def segments(chains: Chains, *, shortest_px: float) -> list[Float32Array]:
    """Straight segments of `shortest_px` and more: (2, 2) each, the two ends in pixels."""
    pieces: list[Float32Array] = []
    for part in chains.slices():
        xy = chains.xy_px[part]
        places = bends(xy, _STRAY_PX).tolist()
        pieces += [xy[a : b + 1] for a, b in itertools.pairwise(places)]
    straight = _joined([piece for piece in pieces if _length(piece) >= _LEAST_PX])
    found = [on_line(piece)[[0, -1]] for piece in straight if bow(piece) <= _BOW_PX]
    return [ends for ends in found if _length(ends) >= shortest_px]


def draw_segments(found: list[Float32Array], shape: tuple[int, ...]) -> UInt8Array:
    """White segments, one pixel wide, (height, width)."""
    canvas = np.zeros(shape, np.uint8)
    for ends in found:
        (x0, y0), (x1, y1) = np.rint(ends).astype(int).tolist()
        cv2.line(canvas, (x0, y0), (x1, y1), 255, 1)
    return canvas


@dataclass(kw_only=True)
class _Piece:
    pixels: Float32Array  # (n, 2) in order
    used: bool = False


def _joined(pieces: list[Float32Array]) -> list[Float32Array]:
    """Pieces that go on across a junction as one, the longest first."""
    by_length = [_Piece(pixels=piece) for piece in sorted(pieces, key=_length, reverse=True)]
    by_end: dict[tuple[int, int], list[_Piece]] = {}
    for piece in by_length:
        for end in (piece.pixels[0], piece.pixels[-1]):
            by_end.setdefault(_cell(end), []).append(piece)
    joined: list[Float32Array] = []
    for piece in by_length:
        if piece.used:
            continue
        piece.used = True
        whole = piece.pixels
        for _ in range(2):  # from its end, then, turned round, from its beginning
            while (longer := _continued(whole, by_end)) is not None:
                whole = longer
            whole = whole[::-1]
        joined.append(whole)
    return joined


def _continued(whole: Float32Array, by_end: dict[tuple[int, int], list[_Piece]]) -> Float32Array | None:
    end = whole[-1]
    column, row = _cell(end)
    for cell in ((column + x, row + y) for x in (-1, 0, 1) for y in (-1, 0, 1)):
        for piece in by_end.get(cell, ()):
            if piece.used:
                continue
            pixels = piece.pixels
            if math.dist(end, pixels[0]) > math.dist(end, pixels[-1]):
                pixels = pixels[::-1]
            if math.dist(end, pixels[0]) > _JOIN_PX:
                continue
            if _cosine(whole, pixels) < _TURN:
                continue
            longer = np.concatenate([whole, pixels])
            if _strays(longer) <= _STRAY_PX and _length(longer) >= _length(whole) + _length(pixels) - 1:
                piece.used = True
                return longer
    return None


def _strays(pixels: Float32Array) -> float:
    off = pixels - on_line(pixels)
    return math.sqrt(float((off * off).sum(axis=1).max()))


def _cosine(one: Float32Array, other: Float32Array) -> float:
    (x0, y0), (x1, y1) = (one[-1] - one[0]).tolist(), (other[-1] - other[0]).tolist()
    return (x0 * x1 + y0 * y1) / (math.hypot(x0, y0) * math.hypot(x1, y1))


def _length(pixels: Float32Array) -> float:
    return math.dist(pixels[0], pixels[-1])


def _cell(point: Float32Array) -> tuple[int, int]:
    return int(point[0] // _JOIN_PX), int(point[1] // _JOIN_PX)
