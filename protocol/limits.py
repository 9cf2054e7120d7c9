"""Limits that more than one kind of check needs, and the ways to hold a value against its own."""

from . import arrays
from .arrays import ArrayRef, DType
from .errors import InvalidRequest

MAX_SIDE = 8192
MAX_STEPS = 1000
LARGEST_SCALE = 1e6  # of guidance and of conditioning; a hundredth of it already burns every picture
_SHAPES = {2: "(height, width)", 3: "(height, width, 3)"}


def require(condition: bool, reason: str) -> None:
    """Raise InvalidRequest for this reason unless the condition holds."""
    if not condition:
        raise InvalidRequest(reason=reason)


def require_within(what: str, value: float, least: float, most: float) -> None:
    """Raise InvalidRequest for a value out of its range; a NaN is in none."""
    require(least <= value <= most, f"{what} is {value}, expected {least:g} to {most:g}")


def require_array(ref: ArrayRef, dtype: DType, sides: int, where: str) -> None:
    """Raise InvalidRequest for a reference to an array of another type or shape."""
    require(arrays.is_address(ref.sha256), f"{where}: {ref.sha256[:80]!r} is no blob address")
    well_shaped = len(ref.shape) == sides and all(side > 0 for side in ref.shape) and ref.shape[2:] in ((), (3,))
    require(
        well_shaped and ref.dtype is dtype,
        f"{where}: the array is {ref.dtype} {ref.shape}, expected {dtype} {_SHAPES[sides]}",
    )
