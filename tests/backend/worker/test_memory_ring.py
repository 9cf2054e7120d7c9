"""What the ring has a GPU's two streams wait for. There is no GPU here: streams, events and buffers are made up."""

import contextlib
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from underpaint.backend.worker.memory import ring as module
from underpaint.backend.worker.memory.ring import Leaf, Ring


class Stream:
    """Knows what was done on it, and what is sure to have been done before whatever comes next."""

    def __init__(self, *_: object) -> None:
        self.past: set[str] = set()

    def record_event(self) -> set[str]:
        return set(self.past)

    def wait_event(self, event: set[str]) -> None:
        self.past |= event

    def wait_stream(self, other: "Stream") -> None:
        self.past |= other.past


class Gpu:
    """Copies and computations, each checked against those that it must not overtake."""

    def __init__(self) -> None:
        self.computing = self.current = Stream()
        self.copies = 0
        self.last: dict[int, set[str]] = {}  # by buffer: what was last done with it
        library = SimpleNamespace(
            uint8=torch.uint8,
            empty=lambda count, **_: Buffer(self, count),
            cuda=SimpleNamespace(Stream=Stream, current_stream=lambda _: self.current, stream=self._on),
        )
        self.torch = lambda: library

    @contextlib.contextmanager
    def _on(self, stream: Stream) -> Generator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def do(self, what: str, buffer: "Buffer") -> None:
        """It must come after everything that was done with the buffer before."""
        assert self.last.get(id(buffer), set()) <= self.current.past
        self.current.past.add(what)
        self.last[id(buffer)] = {what}


class Buffer:
    def __init__(self, gpu: Gpu, count: int) -> None:
        self._gpu, self._count = gpu, count
        self.recorded: list[Stream] = []
        self.leaf = ""

    def numel(self) -> int:
        return self._count

    def narrow(self, *_: int) -> "Buffer":
        return self

    def record_stream(self, stream: Stream) -> None:
        self.recorded.append(stream)

    def copy_(self, source: str, *, non_blocking: bool) -> None:
        assert non_blocking
        self._gpu.copies += 1
        self._gpu.do(f"copy {self._gpu.copies}", self)
        self.leaf = source


def leaf(name: str) -> Any:
    at: list[Buffer] = []
    load = SimpleNamespace(bytes=8, source=name, turn_to=at.append, turn_home=lambda: None, at=at)
    return Leaf(load)  # type: ignore[arg-type]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    gpu = Gpu()
    monkeypatch.setattr(module, "torch", gpu.torch)
    return gpu


def call(gpu: Gpu, ring: Ring, leaf: Any, number: int) -> None:
    ring.enter(leaf)
    buffer = leaf.load.at[-1]
    assert buffer.leaf == leaf.load.source
    gpu.do(f"computed {number}", buffer)
    ring.leave(leaf)


def test_no_copy_overtakes_the_layer_that_computes_and_no_layer_its_weights(gpu: Gpu) -> None:
    ring = Ring("cuda:0", ahead=True)
    ring.reserve(8)
    leaves = [leaf(name) for name in "abcde"]
    rounds = ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 2, 4], [4, 3, 3, 0], [1], [0, 1, 2, 3, 4])
    for number, index in enumerate(place for order in rounds for place in order):
        call(gpu, ring, leaves[index], number)
    calls = sum(map(len, rounds))
    assert gpu.copies > calls  # a wrong guess costs its copy


def test_a_layer_that_was_guessed_is_copied_once(gpu: Gpu) -> None:
    ring = Ring("cuda:0", ahead=True)
    ring.reserve(8)
    leaves = [leaf(name) for name in "abc"]
    for number in range(9):
        call(gpu, ring, leaves[number % 3], number)
    assert gpu.copies == 10  # and one that is there for what comes next


def test_buffers_that_grow_wait_for_whoever_had_the_memory_and_are_not_given_away_meanwhile(gpu: Gpu) -> None:
    ring = Ring("cuda:0", ahead=True)
    gpu.computing.past.add("someone else's")
    ring.reserve(8)
    one, other = leaf("a"), leaf("b")
    call(gpu, ring, one, 0)
    ring.reserve(16)
    call(gpu, ring, other, 1)
    buffer = other.load.at[-1]
    assert buffer.numel() == 16
    (stream,) = buffer.recorded
    assert "someone else's" in stream.past
