"""Weight curves as data: adding, moving and removing points. Knows no Qt."""

from bisect import bisect_left

from ..protocol.checks import MAX_CURVE_FACTOR, MAX_CURVE_POINTS
from ..protocol.request import CurvePoint

Curve = tuple[CurvePoint, ...]

GAP = 0.005  # between two points, of the steps; two at one place would be no function
PRESETS: tuple[tuple[str, str, Curve], ...] = (
    ("Level", "The control counts as much in every step", ()),
    ("Fade out", "Strong at first and weaker with every step: it decides where things are, the prompt how they look",
     (CurvePoint(at=0.0, factor=1.0), CurvePoint(at=1.0, factor=0.0))),
    ("Fade in", "Weak at first and stronger with every step: it decides on details, and not where things are",
     (CurvePoint(at=0.0, factor=0.0), CurvePoint(at=1.0, factor=1.0))),
    ("Middle", "Strongest half-way",
     (CurvePoint(at=0.0, factor=0.0), CurvePoint(at=0.5, factor=1.0), CurvePoint(at=1.0, factor=0.0))),
)  # fmt: skip
"""What each is called, what it does, and its points."""


def factor_at(curve: Curve, at: float) -> float:
    """The curve's height: straight between points, level beyond them, 1 where there is none."""
    if not curve:
        return 1.0
    after = bisect_left([point.at for point in curve], at)
    if after == 0:
        return curve[0].factor
    if after == len(curve):
        return curve[-1].factor
    one, other = curve[after - 1], curve[after]
    return one.factor + (other.factor - one.factor) * (at - one.at) / (other.at - one.at)


def added(curve: Curve, at: float, factor: float) -> tuple[Curve, int]:
    """The curve with a further point, and its number; of no curve the ends come with it, at 1.

    Where there is no room for one, the curve as it is, and the number of the nearest point.
    """
    at, factor = min(max(at, 0.0), 1.0), min(max(factor, 0.0), MAX_CURVE_FACTOR)
    if not curve:
        curve = (CurvePoint(at=0.0, factor=1.0), CurvePoint(at=1.0, factor=1.0))
    nearest = min(range(len(curve)), key=lambda index: abs(curve[index].at - at))
    if abs(curve[nearest].at - at) < GAP:
        return moved(curve, nearest, curve[nearest].at, factor), nearest
    if len(curve) >= MAX_CURVE_POINTS:
        return curve, nearest
    index = bisect_left([point.at for point in curve], at)
    return (*curve[:index], CurvePoint(at=at, factor=factor), *curve[index:]), index


def moved(curve: Curve, index: int, at: float, factor: float) -> Curve:
    """The curve with a point elsewhere; it stays between its neighbours."""
    low = curve[index - 1].at + GAP if index else 0.0
    high = curve[index + 1].at - GAP if index + 1 < len(curve) else 1.0
    if low > high:  # neighbours closer to each other than points come by hand
        low = high = curve[index].at
    point = CurvePoint(at=min(max(at, low), high), factor=min(max(factor, 0.0), MAX_CURVE_FACTOR))
    return (*curve[:index], point, *curve[index + 1 :])


def removed(curve: Curve, index: int) -> Curve:
    """The curve without a point."""
    return (*curve[:index], *curve[index + 1 :])


def described(curve: Curve) -> str:
    """The curve in words: "0 % at 1, 100 % at 0"."""
    if not curve:
        return "level"
    return ", ".join(f"{point.at:.0%} of the steps at {point.factor:g}" for point in curve)
