"""The weight curve of a control: how much it counts from the first step to the last.

A list of points, as Blender keeps its own curve widget in datablocks alone: every control would need a node group of
its own, which a file then keeps. Nothing here may refer to bpy at import: property callbacks come by.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from ..protocol.checks import MAX_CURVE_POINTS
from ..protocol.errors import InvalidRequest
from ..protocol.request import CurvePoint

_DIGITS = 4  # beyond them is what single precision adds


def _points(*pairs: tuple[float, float]) -> tuple[CurvePoint, ...]:
    return tuple(CurvePoint(at=at, factor=factor) for at, factor in pairs)


# (identifier, label, tooltip, points)
SHAPES = (
    (
        "FADE_OUT",
        "Fade Out",
        "In full at first, and less and less: the shape holds, the details are free",
        ((0, 1), (1, 0)),
    ),
    (
        "FADE_IN",
        "Fade In",
        "Nothing at first, and more and more: the details hold, the composition is free",
        ((0, 0), (1, 1)),
    ),
    ("MIDDLE", "Middle", "In full halfway, nothing at either end", ((0, 0), (0.5, 1), (1, 0))),
    ("ENDS", "Ends", "In full at either end, nothing halfway", ((0, 1), (0.5, 0), (1, 1))),
)


def shape(identifier: str) -> tuple[CurvePoint, ...]:
    """The points of one of SHAPES."""
    return _points(*next(points for name, _, _, points in SHAPES if name == identifier))


def read(rows: Iterable[Any]) -> tuple[CurvePoint, ...]:
    """The curve that a control's list of points means, whatever their order. Raises InvalidRequest."""
    points = sorted(
        (CurvePoint(at=round(row.at, _DIGITS), factor=round(row.factor, _DIGITS)) for row in rows),
        key=lambda point: point.at,
    )
    problem = _problem(points)
    if problem:
        raise InvalidRequest(reason=problem)
    return tuple(points)


def write(rows: Any, points: Sequence[CurvePoint]) -> None:
    """Put a curve into a control's list of points."""
    rows.clear()
    for point in points:
        row = rows.add()
        row.at, row.factor = point.at, point.factor


def problem_of(rows: Iterable[Any]) -> str:
    """What is wrong with a list of points, and what to do; "" for nothing."""
    return _problem(sorted((CurvePoint(at=round(row.at, _DIGITS), factor=0) for row in rows), key=lambda one: one.at))


def _problem(points: Sequence[CurvePoint]) -> str:
    for one, other in itertools.pairwise(points):
        if one.at == other.at:
            return f"Two points of the weight curve are at {one.at:.0%} of the steps: move or remove one of them"
    if len(points) > MAX_CURVE_POINTS:
        return f"The weight curve has {len(points)} points, at most {MAX_CURVE_POINTS} work"
    return ""


def factor_at(points: Sequence[CurvePoint], at: float) -> float:
    """What the curve says at a place: straight between its points, level beyond them."""
    if not points:
        return 1.0
    if at <= points[0].at:
        return points[0].factor
    for one, other in itertools.pairwise(points):
        if at <= other.at:
            return one.factor + (other.factor - one.factor) * (at - one.at) / (other.at - one.at)
    return points[-1].factor


def further(points: Sequence[CurvePoint]) -> tuple[CurvePoint, ...]:
    """The same curve with one more point, in the middle of its widest gap; two for a level one."""
    if not points:
        return _points((0, 1), (1, 1))
    edges = sorted({0.0, *(point.at for point in points), 1.0})
    have = {point.at for point in points}
    missing = [edge for edge in (1.0, 0.0) if edge not in have]
    gaps = [(b - a, -a, (a + b) / 2) for a, b in itertools.pairwise(edges)]
    at = missing[0] if missing else max(gaps)[2]
    new = CurvePoint(at=round(at, _DIGITS), factor=round(factor_at(points, at), _DIGITS))
    return tuple(sorted((*points, new), key=lambda point: point.at))
