"""What ControlNets add to the UNet's states: scaled, pooled, for both halves of guidance or for one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...third_party import torch
from .parts import widened


@dataclass(frozen=True, kw_only=True, eq=False)
class Residuals:
    """What one net adds, as it comes out of it."""

    tensors: list[Any]  # of the way down, and last of the middle block
    scale: float
    guess: bool  # deeper states get more, from a tenth to all of the scale
    pools: bool  # only the mean of each channel counts
    positive_rows: bool  # they are of the prompts' rows alone; the negative prompts' get nothing

    @property
    def factors(self) -> list[float]:
        """What each tensor is multiplied by."""
        count = len(self.tensors)
        if not self.guess:
            return [self.scale] * count
        return [self.scale * 10 ** (number / (count - 1) - 1) for number in range(count)]


def add_residuals(states: list[Any], found: Sequence[Residuals], rows: int, *, folded: bool) -> None:
    """Add what the nets found to the UNet's states, in their list.

    `folded` scales and adds in one go; otherwise it is done in diffusers' order, with its roundings. `rows` is
    the model's batch.
    """
    if folded:
        for one in found:
            for number, (tensor, factor) in enumerate(zip(one.tensors, one.factors, strict=True)):
                tensor = tensor.mean(dim=(2, 3), keepdim=True) if one.pools else tensor
                states[number] = _add(states[number], tensor, factor, rows, positive_rows=one.positive_rows)
        return
    if found:
        scaled = [_as_diffusers(one, rows) for one in found]
        for number, (state, first, *more) in enumerate(zip(states, *scaled, strict=True)):
            total = first
            for tensor in more:
                total = _both(total, tensor)
            states[number] = _both(state, total)


def _add(state: Any, tensor: Any, factor: float, rows: int, *, positive_rows: bool) -> Any:
    """In place where the rows allow it: the states are the UNet's own, and it has no other use for them."""
    if positive_rows:
        state = widened(state, rows)
        state[rows // 2 :].add_(tensor, alpha=factor)
        return state
    if state.shape[0] < tensor.shape[0]:
        return torch().add(widened(state, tensor.shape[0]), tensor, alpha=factor)
    return state.add_(widened(tensor, state.shape[0]), alpha=factor)


def _as_diffusers(one: Residuals, rows: int) -> list[Any]:
    tensors = one.tensors
    if one.guess:
        factors = torch().logspace(-1, 0, len(tensors), device=tensors[0].device) * one.scale
        tensors = [tensor * factor for tensor, factor in zip(tensors, factors, strict=True)]
    else:
        tensors = [tensor * one.scale for tensor in tensors]
    if one.pools:
        tensors = [tensor.mean(dim=(2, 3), keepdim=True) for tensor in tensors]
    if one.positive_rows:
        tensors = [torch().cat([torch().zeros_like(tensor), tensor]) for tensor in tensors]
    return tensors


def _both(one: Any, other: Any) -> Any:
    rows = max(one.shape[0], other.shape[0])
    return widened(one, rows) + widened(other, rows)
