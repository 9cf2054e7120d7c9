"""Lines one pixel wide: thinning that keeps what hangs together, and gaps that get closed."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ....protocol.arrays import UInt8Array

Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]
_AHEAD = 0.8  # cosine between a line's direction at its end and the way on to another line


def _tables() -> tuple[Mask, UInt8Array]:
    """For each pattern of the eight neighbours: whether the pixel between them may go, and how many there are.

    Bit k is the neighbour at k eighths of a turn from the right. A pixel may go when the lines stay as
    connected as they were (its crossing number for eight-connected lines, after Yokoi, is 1), it is no
    line's end, and it is not what a straight line goes through, unless that is two pixels wide there.
    """
    codes = np.arange(256)
    on = (codes[:, None] >> np.arange(8)) & 1
    off = 1 - on
    corners = [(k, k + 1, (k + 2) % 8) for k in (0, 2, 4, 6)]
    crossings = sum(off[:, a] - off[:, a] * off[:, b] * off[:, c] for a, b, c in corners)
    count = on.sum(axis=1)
    through = (on[:, 0] & on[:, 4]) | (on[:, 2] & on[:, 6])
    wide = np.any([on[:, a] & on[:, b] & on[:, c] for a, b, c in corners], axis=0)
    return (crossings == 1) & (count > 1) & ((through == 0) | wide), count.astype(np.uint8)


_MAY_GO, _COUNT = _tables()


def offsets(width: int) -> tuple[int, ...]:
    """Offsets of the eight neighbours in a flat picture: right, upper right, up, ..."""
    return (1, 1 - width, -width, -1 - width, -1, width - 1, width, width + 1)


def neighbour_codes(flat: UInt8Array, at: Indices, width: int) -> UInt8Array:
    """Which of the eight neighbours of some pixels are on: bit k is the one at `offsets(width)[k]`."""
    code = np.zeros(at.shape, np.uint8)
    for bit, offset in enumerate(offsets(width)):
        code |= (flat[at + offset] > 0).astype(np.uint8) << np.uint8(bit)
    return code


def thin(kinds: UInt8Array) -> UInt8Array:
    """`kinds` with every line one pixel wide; higher kinds go first where two lie side by side.

    What was connected stays connected, holes stay holes and ends stay, but for what made a line thick.
    """
    padded = np.pad(kinds, 1)
    flat, width = padded.reshape(-1), padded.shape[1]
    for kind in range(int(kinds.max(initial=0)), 0, -1):
        _thin_from(flat, width, kind)
    return padded[1:-1, 1:-1].copy()


def _thin_from(flat: UInt8Array, width: int, kind: int) -> None:
    """Take away, layer by layer, what may go of the pixels of `kind` and above."""
    at = np.flatnonzero(flat >= kind)
    while at.size:
        codes = neighbour_codes(flat, at, width)
        # Only the outermost layer in one pass, so that wide lines shrink evenly.
        layer = at[(codes & 0b01010101) != 0b01010101]
        gone = 0
        # Among the pixels of every second row and column no two touch, so each decides alone.
        fields = (layer // width % 2) * 2 + layer % width % 2
        for field in range(4):
            part = layer[fields == field]
            going = part[_MAY_GO[neighbour_codes(flat, part, width)]]
            flat[going] = 0
            gone += going.size
        if not gone:
            return
        at = at[flat[at] > 0]


def ends(kinds: UInt8Array) -> tuple[Indices, Indices]:
    """Rows and columns of the pixels that have one neighbour."""
    padded = np.pad(kinds, 1)
    width = padded.shape[1]
    at = np.flatnonzero(padded)
    found = at[_COUNT[neighbour_codes(padded.reshape(-1), at, width)] == 1]
    return found // width - 1, found % width - 1


def close_gaps(kinds: UInt8Array, reach_px: int) -> UInt8Array:
    """Thin lines, continued from each end to the nearest other line that lies ahead within `reach_px`."""
    closed = kinds.copy()
    for row, column in zip(*(part.tolist() for part in ends(kinds)), strict=True):
        top, left = max(0, row - reach_px), max(0, column - reach_px)
        window = (kinds[top : row + reach_px + 1, left : column + reach_px + 1] > 0).astype(np.uint8)
        labels = np.asarray(cv2.connectedComponents(window, connectivity=8)[1], np.int32)
        own = labels[row - top, column - left]
        rows, columns = np.nonzero((labels != own) & (labels > 0))
        if not rows.size:
            continue
        own_rows, own_columns = np.nonzero(labels == own)
        down, right = rows + top - row, columns + left - column
        ahead_down, ahead_right = row - top - own_rows.mean(), column - left - own_columns.mean()
        away = np.hypot(down, right)
        along = down * ahead_down + right * ahead_right
        ahead = (along > _AHEAD * away * np.hypot(ahead_down, ahead_right)) & (away <= reach_px)
        if ahead.any():
            nearest = int(np.where(ahead, away, np.inf).argmin())
            target = (column + int(right[nearest]), row + int(down[nearest]))
            cv2.line(closed, (column, row), target, int(kinds[row, column]), 1)
    closed[kinds > 0] = kinds[kinds > 0]
    return closed


def without_specks(lines: Mask, shortest_px: float) -> Mask:
    """Thin lines, without those that hang together over fewer than `shortest_px` pixels."""
    _, found, numbers, _ = cv2.connectedComponentsWithStats(lines.astype(np.uint8), connectivity=8)
    kept = np.asarray(numbers[:, cv2.CC_STAT_AREA], np.int32) >= shortest_px
    return lines & kept[np.asarray(found, np.int32)]
