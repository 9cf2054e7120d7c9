"""Weights in main memory as a few large slabs, of which the modules' tensors are views."""

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..third_party import torch

_SLAB_BYTES = 64 << 20  # a power of two, for torch rounds pinned memory up to one
_ALIGNED = 256  # bytes, as CUDA's own allocations are


@dataclass(frozen=True, kw_only=True, eq=False)
class _Place:
    """Where a tensor lies in its slab, and what it looks like; kept, for a caller may cast the module meanwhile."""

    tensor: Any
    offset: int  # bytes from the slab's beginning
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: Any

    def view(self, block: Any, base: int) -> Any:
        """The tensor over a copy of the slab's bytes from `base` on."""
        begin = self.offset - base
        flat = block.narrow(0, begin, self.tensor_bytes).view(self.dtype)
        return flat.as_strided(self.shape, self.strides)

    @property
    def tensor_bytes(self) -> int:
        count = 1
        for side in self.shape:
            count *= side
        return count * self.dtype.itemsize


@dataclass(frozen=True, kw_only=True, eq=False)
class Load:
    """Tensors that come and go together, one behind the other in a slab."""

    slab: Any  # (bytes,) uint8
    begin: int
    end: int
    places: tuple[_Place, ...]

    @property
    def bytes(self) -> int:
        """Of the tensors, with what aligns them."""
        return self.end - self.begin

    @property
    def source(self) -> Any:
        """(bytes,) uint8 in main memory."""
        return self.slab.narrow(0, self.begin, self.bytes)

    def turn_to(self, block: Any) -> None:
        """Make the tensors views of a copy of `source`."""
        for place in self.places:
            place.tensor.data = place.view(block, self.begin)

    def turn_home(self) -> None:
        """Make the tensors views of main memory again."""
        for place in self.places:
            place.tensor.data = place.view(self.slab, 0)


@contextlib.contextmanager
def plainly() -> Generator[None]:
    """No gradients, and tensors that live on after the inference mode in which a job may be."""
    with torch().inference_mode(False), torch().no_grad():
        yield


def shelve(groups: Sequence[Sequence[Any]], *, pin: bool) -> list[Load]:
    """Move tensors, of which each group stays together, into slabs; one load for each group, in order.

    The slabs take the place of the memory in which the tensors were, one slab at a time. `pin` locks them, so
    that a GPU can copy by itself. Call it under `plainly`.
    """
    loads: list[Load] = []
    for batch in _batches(groups):
        length = sum(_padded(group) for group in batch)
        slab = torch().empty(length, dtype=torch().uint8, pin_memory=pin)
        begin = 0
        for group in batch:
            load = Load(slab=slab, begin=begin, end=begin + _padded(group), places=tuple(_places(group, begin)))
            for place in load.places:
                view = place.view(slab, 0)
                view.copy_(place.tensor.data)
                place.tensor.data = view
            loads.append(load)
            begin = load.end
    return loads


def _places(group: Sequence[Any], begin: int) -> Iterator[_Place]:
    for tensor in group:
        # A tensor with gaps, or that repeats itself, is laid out anew.
        dense = torch().empty_like(tensor, device="meta", memory_format=torch().preserve_format)
        yield _Place(tensor=tensor, offset=begin, shape=tuple(tensor.shape), strides=dense.stride(), dtype=tensor.dtype)
        begin += _aligned(tensor)


def _batches(groups: Sequence[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    """Groups slab by slab; one that is larger than a slab has its own."""
    batch: list[Sequence[Any]] = []
    filled = 0
    for group in groups:
        if batch and filled + _padded(group) > _SLAB_BYTES:
            yield batch
            batch, filled = [], 0
        batch.append(group)
        filled += _padded(group)
    if batch:
        yield batch


def _padded(group: Sequence[Any]) -> int:
    return sum(_aligned(tensor) for tensor in group)


def _aligned(tensor: Any) -> int:
    return -(-tensor.numel() * tensor.element_size() // _ALIGNED) * _ALIGNED
