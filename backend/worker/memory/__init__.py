"""Where models run: what there is, what they need, and the plan that brings both together."""

from .legacy import Offload as Offload
from .legacy import Plan, make_plan, place, release

__all__ = ["Plan", "make_plan", "place", "release"]
