"""Thin lines as chains of pixels, and the smooth curves that they stand for."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ....protocol.arrays import Float32Array, UInt8Array
from .thinning import neighbour_codes, offsets

Indices = NDArray[np.intp]

_STRAIGHT_PX = 1.05  # pixels that stray no farther from a line are that line's: a whole stair, and a bit
_BOW_PX = 0.3  # an arc's middle stands out farther
_STRAIGHT_LEAST = 12  # so many of them at least


@dataclass(frozen=True, kw_only=True)
class Chains:
    """Pixels of lines in order, each chain from an end or a junction to the next, one chain after the other.

    A chain that closes on itself ends with the pixel that it begins with; one that meets others shares
    the junction's pixel with them.
    """

    xy_px: Float32Array  # (n, 2) centres of the pixels, counted from the centre of the top left one
    kinds: UInt8Array  # (n,) the LineKind of each
    starts: Indices  # (chains + 1,) where each begins; the last is n

    def slices(self) -> list[slice]:
        """Where each chain lies."""
        return [slice(a, b) for a, b in zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)]


def trace(kinds: UInt8Array) -> Chains:
    """The chains of lines that are one pixel wide."""
    padded = np.pad(kinds, 1)
    width = padded.shape[1]
    walks = _walks(padded, width)
    places = np.asarray([place for walk in walks for place in walk], np.intp)
    rows, columns = np.divmod(places, width)
    return Chains(
        xy_px=np.stack([columns - 1, rows - 1], axis=1).astype(np.float32),
        kinds=padded.reshape(-1)[places],
        starts=np.cumsum([0, *(len(walk) for walk in walks)], dtype=np.intp),
    )


def _clear_ways() -> list[list[int]]:
    """For each pattern of eight neighbours, those to walk to: diagonally only where no way leads around."""
    ways: list[list[int]] = []
    for code in range(256):
        on = [bool(code >> k & 1) for k in range(8)]
        ways.append([k for k in range(8) if on[k] and (k % 2 == 0 or not (on[k - 1] or on[(k + 1) % 8]))])
    return ways


_WAYS = _clear_ways()


def _walks(padded: UInt8Array, width: int) -> list[list[int]]:
    at = np.flatnonzero(padded)
    steps = offsets(width)
    places: list[int] = at.tolist()
    codes: list[int] = neighbour_codes(padded.reshape(-1), at, width).tolist()
    near = {place: [place + steps[way] for way in _WAYS[code]] for place, code in zip(places, codes, strict=True)}
    walks: list[list[int]] = []
    used: set[int] = set()

    def walk_from(start: int, way: int) -> None:
        walk = [start, way]
        before, here = start, way
        while here != start and len(near[here]) == 2:
            used.add(here)
            first, second = near[here]
            before, here = here, second if first == before else first
            walk.append(here)
        walks.append(walk)

    for start, ways in near.items():
        if not ways:
            walks.append([start])
        elif len(ways) != 2:
            for way in ways:
                # a way between two junctions has no pixel of its own that remembers it
                if way not in used and (len(near[way]) == 2 or start < way):
                    walk_from(start, way)
    for start, ways in near.items():
        if len(ways) == 2 and start not in used:
            used.add(start)
            walk_from(start, ways[0])
    return walks


def without_spurs(kinds: UInt8Array, shortest_px: float) -> UInt8Array:
    """Thin lines, without short ones that leave another and end, which is what thinning makes of corners."""
    found = trace(kinds)
    at = found.xy_px.astype(np.intp)
    first, last = at[found.starts[:-1]], at[found.starts[1:] - 1]
    meeting = np.zeros(kinds.shape, np.int32)
    for ends in (first, last):
        np.add.at(meeting, (ends[:, 1], ends[:, 0]), 1)
    kept = kinds.copy()
    for part, a, b in zip(found.slices(), first, last, strict=True):
        met = (int(meeting[a[1], a[0]]), int(meeting[b[1], b[0]]))
        if part.stop - part.start < shortest_px and min(met) == 1 and max(met) > 2:
            own = at[part][1:] if met[0] > 1 else at[part][:-1]
            kept[own[:, 1], own[:, 0]] = 0
    return kept


def bends(xy_px: Float32Array, tolerance_px: float) -> Indices:
    """Where a chain bends, as indices, both ends among them, after Douglas and Peucker."""
    count = len(xy_px)
    if count < 3:
        return np.arange(count)
    if (xy_px[0] == xy_px[-1]).all():  # a ring has no ends to begin from
        away = xy_px - xy_px[0]
        half = int((away * away).sum(axis=1).argmax())
        first, second = bends(xy_px[: half + 1], tolerance_px), bends(xy_px[half:], tolerance_px)
        return np.concatenate([first, half + second[1:]])
    kept = cv2.approxPolyDP(xy_px.reshape(-1, 1, 2), tolerance_px, closed=False).reshape(-1, 2)
    # It gives points, in order, and each is one of the chain's.
    places = [0]
    for point in kept[1:-1]:
        places.append(places[-1] + 1 + int((xy_px[places[-1] + 1 :] == point).all(axis=1).argmax()))
    return np.asarray([*places, count - 1], np.intp)


def curves(chains: Chains) -> Float32Array:
    """`chains.xy_px` as it was meant: points of long straight runs lie on one line each."""
    xy = chains.xy_px.copy()
    for part in chains.slices():
        places = part.start + bends(chains.xy_px[part], _STRAIGHT_PX)
        for first, last in zip(places[:-1].tolist(), places[1:].tolist(), strict=True):
            run = chains.xy_px[first : last + 1]
            if last - first >= _STRAIGHT_LEAST and bow(run) <= _BOW_PX:
                xy[first : last + 1] = on_line(run)
    return xy


def smooth(values: Float32Array, chains: Chains, times: int, *, ends_stay: bool = True) -> Float32Array:
    """Each chain's values averaged with (1 2 1) / 4 along it, so many times; (n,) or (n, columns).

    Without `ends_stay` they are averaged with their one neighbour. Closed chains have no ends, but where
    they begin, others may meet them, so they count as open.
    """
    values = values.copy()
    first, last = chains.starts[:-1], chains.starts[1:] - 1
    inner = np.ones(len(values), bool)
    inner[first] = inner[last] = False
    middle = np.flatnonzero(inner)
    long = last > first
    first, last = first[long], last[long]
    for _ in range(times):
        even = (values[middle - 1] + 2 * values[middle] + values[middle + 1]) / 4
        if not ends_stay:
            values[first], values[last] = (values[first] + values[first + 1]) / 2, (values[last] + values[last - 1]) / 2
        values[middle] = even
    return values


def on_line(xy_px: Float32Array) -> Float32Array:
    """Points moved onto the line that lies nearest to all of them, squared distances summed."""
    centre = xy_px.sum(axis=0) / len(xy_px)
    around = xy_px - centre
    (xx, xy), (_, yy) = (around.T @ around).tolist()
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    along = np.asarray([np.cos(angle), np.sin(angle)], np.float32)
    return centre + (around @ along)[:, None] * along


def bow(pixels: Float32Array) -> float:
    """How far the middle of the parabola through some pixels is from its chord."""
    (x, y) = (pixels[-1] - pixels[0]).tolist()
    along = pixels @ np.asarray([x, y], np.float32)
    aside = (pixels - on_line(pixels)) @ np.asarray([-y, x], np.float32) / math.hypot(x, y)
    place = 2 * (along - along.min()) / max(float(np.ptp(along)), 1e-6) - 1
    second = (3 * place * place - 1) / 2  # Legendre's polynomial: what lines leave of a parabola
    return abs(3.75 * float((aside * second).mean()))
