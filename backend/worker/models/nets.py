"""A control's ControlNet in memory."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, eq=False)
class NetUse:
    """A control's ControlNet in memory. Several controls may use the same union net."""

    net: Any
    mode: int | None  # of a union net; None for a plain one
