"""A few buffers on the device through which leaves' weights pass, the next one's while one computes."""

from collections.abc import Sequence
from typing import Any

from ..third_party import torch
from .slabs import Load, plainly


class Leaf:
    """A leaf's weights in main memory, and the buffer that they are in."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.slot: _Slot | None = None


class _Slot:
    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer  # (bytes,) uint8 on the device
        self.leaf: Leaf | None = None
        self.ready: Any = None  # event of the copying stream: the weights are there
        self.free: Any = None  # event of the computing stream: the last leaf is done with the buffer


class Ring:
    """Two buffers: a leaf computes from one while the next is copied into the other.

    Which leaf is next is what came next the last time. A wrong guess costs its copy and nothing else, so nets
    may be left out at some steps. Where the device has streams the host never waits: the streams wait for each
    other's events, and the buffers bound what is under way. diffusers' group offloading isn't used for this: it
    learns the order from the first call of a root module, which nothing here calls; a leaf that was prefetched
    and is not called then stays on the device; and the host waits for each leaf.
    """

    def __init__(self, device: str, *, ahead: bool) -> None:
        """`ahead` has two buffers, and copies the next leaf meanwhile; without it there is one."""
        self.device = device
        """Where the buffers are."""
        self.ahead = ahead
        """Whether leaves are fetched before they are called."""
        self._stream: Any = torch().cuda.Stream(device) if ahead and device.startswith("cuda") else None
        self._slots: list[_Slot] = []
        self._next: dict[Leaf, Leaf] = {}
        self._last: Leaf | None = None

    def reserve(self, count: int) -> None:
        """Have buffers of at least `count` bytes, while no leaf computes."""
        if self._slots and self._slots[0].buffer.numel() >= count:
            return
        for slot in self._slots:
            _vacate(slot)
        self._slots = []  # the old ones go first
        buffers = [torch().empty(count, dtype=torch().uint8, device=self.device) for _ in range(1 + self.ahead)]
        if self._stream is not None:
            self._stream.wait_stream(torch().cuda.current_stream(self.device))  # whatever used that memory before
            for buffer in buffers:
                buffer.record_stream(self._stream)  # nobody gets it while a last copy is under way
        self._slots = [_Slot(buffer) for buffer in buffers]

    def enter(self, leaf: Leaf) -> None:
        """Have a leaf's weights on the device, now that it is called."""
        with plainly():
            slot = leaf.slot or self._fetch(leaf, keep=None)
            if self._stream is not None:
                torch().cuda.current_stream(self.device).wait_event(slot.ready)
            leaf.load.turn_to(slot.buffer)
            if self._last is not None:
                self._next[self._last] = leaf
            self._last = leaf
            following = self._next.get(leaf) if self.ahead else None
            if following is not None and following.slot is None:
                self._fetch(following, keep=slot)

    def leave(self, leaf: Leaf) -> None:
        """The leaf was called. Its buffer may be used again once the device has computed."""
        with plainly():
            leaf.load.turn_home()
        slot, leaf.slot = leaf.slot, None
        if slot is not None:
            slot.leaf = None
            if self._stream is not None:
                slot.free = torch().cuda.current_stream(self.device).record_event()

    def forget(self, leaves: Sequence[Leaf]) -> None:
        """Leaves that won't come any more."""
        gone = set(leaves)
        self._next = {leaf: then for leaf, then in self._next.items() if leaf not in gone and then not in gone}
        if self._last in gone:
            self._last = None
        for slot in self._slots:
            if slot.leaf in gone:
                _vacate(slot)

    def _fetch(self, leaf: Leaf, keep: _Slot | None) -> _Slot:
        slot = next(slot for slot in self._slots if slot is not keep)
        for other in self._slots:
            if other is not keep and other.leaf is None:
                slot = other
        _vacate(slot)  # a leaf that was guessed, and another came
        slot.leaf, leaf.slot = leaf, slot
        target = slot.buffer.narrow(0, 0, leaf.load.bytes)
        if self._stream is None:
            target.copy_(leaf.load.source)
            return slot
        with torch().cuda.stream(self._stream):
            if slot.free is not None:
                self._stream.wait_event(slot.free)
            target.copy_(leaf.load.source, non_blocking=True)
            slot.ready = self._stream.record_event()
        return slot


def _vacate(slot: _Slot) -> None:
    if slot.leaf is not None:
        slot.leaf.slot = None
    slot.leaf = None
