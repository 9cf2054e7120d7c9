"""Where models run: what there is, what they need, and the plan that brings both together."""

from .plan import Plan, Rung

__all__ = ["Plan", "Rung"]
