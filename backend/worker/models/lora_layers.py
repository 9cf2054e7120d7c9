"""What a layer of a LoRA, or of one of LyCORIS' kinds, does to a weight.

The formulas are those of the papers and of LyCORIS (https://github.com/KohakuBlueleaf/LyCORIS, lycoris/functional):
LoRA and LoCon up x down, with a core between them in Tucker's form; LoHa (arXiv 2108.06098) the product of two such,
value by value; LoKr the Kronecker product of two matrices. DoRA (arXiv 2402.09353) gives the sum lengths of its own.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from ....protocol.errors import ModelBroken
from ..third_party import torch

Read = Callable[[str], Any]  # gives a tensor by its role, in float32


class Sort(Enum):
    """How a layer's change is written."""

    LORA = auto()
    LOHA = auto()
    LOKR = auto()


ROLES: dict[Sort, tuple[frozenset[str], ...]] = {
    Sort.LORA: (frozenset({"down", "up"}), frozenset({"down", "up", "mid"})),
    Sort.LOHA: (
        frozenset({"w1_a", "w1_b", "w2_a", "w2_b"}),
        frozenset({"w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2"}),
    ),
    Sort.LOKR: tuple(
        frozenset(first | second)
        for first in ({"w1"}, {"w1_a", "w1_b"})
        for second in ({"w2"}, {"w2_a", "w2_b"}, {"w2_a", "w2_b", "t2"})
    ),
}
"""The tensors that a layer of each sort has, one set for each way of writing it."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer in a LoRA's file."""

    module: str  # of the checkpoint's component
    sort: Sort
    keys: Mapping[str, str]  # in the file, by role
    shapes: Mapping[str, tuple[int, ...]]  # the same
    alpha: str = ""  # the key of a single number; empty where `scale` says it all
    scale: float = 1.0  # alpha / rank where the file's metadata tell it
    magnitude: str = ""  # the key of a DoRA's lengths, (out,), or (out, 1, ...), or (1, in, ...)
    magnitude_shape: tuple[int, ...] = ()
    lycoris: bool = False  # how much of the magnitude counts with the weight; to peft it always counts in full

    def complete(self) -> bool:
        """Whether all its tensors are there and go together."""
        if frozenset(self.keys) not in ROLES[self.sort]:
            return False
        shapes = self.shapes
        match self.sort:
            case Sort.LORA:
                down, up = shapes["down"], shapes["up"]
                inner = shapes.get("mid", (down[0], down[0]))
                return len(down) > 1 and len(up) > 1 and math.prod(up[1:]) == inner[0] and inner[1] == down[0]
            case Sort.LOHA:
                return all(len(shape) > 1 for shape in shapes.values()) and all(
                    shapes[f"{one}_a"][0 if "t1" in shapes else 1] == shapes[f"{one}_b"][0] for one in ("w1", "w2")
                )
            case Sort.LOKR:
                return all(len(shape) > 1 for shape in shapes.values())

    def fits(self, weight: tuple[int, ...]) -> bool:
        """Whether it can be added to a weight of that shape."""
        meta = torch().device("meta")
        try:
            change = self._change(lambda role: torch().empty(self.shapes[role], device=meta))
        except (RuntimeError, IndexError):  # sizes that don't go together, as torch says it
            return False
        if change.shape[0] != weight[0] or math.prod(change.shape[1:]) != math.prod(weight[1:]):
            return False
        return not self.magnitude or math.prod(self.magnitude_shape) == weight[0 if self._of_outputs(weight) else 1]

    def add(self, weight: Any, tensors: Any, factor: float, name: str) -> None:
        """Put this layer into a float32 weight. Raises ModelBroken for values that aren't numbers.

        `tensors` gives tensors by key, as safetensors' `safe_open` does.
        """

        def read(key: str) -> Any:
            tensor = tensors.get_tensor(key).float()
            if not bool(tensor.isfinite().all()):
                raise ModelBroken(model=name, reason=f"{key} holds values that are no numbers; fetch it again")
            return tensor

        scale = self.scale
        if self.alpha and self._rank():
            scale = float(read(self.alpha)) / self._rank()
        if self.sort is Sort.LORA and "mid" not in self.keys:
            # in one go: every pass over the weights of a large model takes half a second
            down, up = (read(self.keys[role]).flatten(1) for role in ("down", "up"))
            weight.view(weight.shape[0], -1).addmm_(up, down, alpha=factor * scale)
        else:
            change = self._change(lambda role: read(self.keys[role]))
            weight.add_(change.reshape(weight.shape), alpha=factor * scale)
        if self.magnitude:
            weight.mul_(self._lengths(weight, read(self.magnitude), factor))

    def _rank(self) -> int:
        """What alpha is divided by; 0 for a LoKr of whole matrices, which has none."""
        match self.sort:
            case Sort.LORA:
                return self.shapes["down"][0]
            case Sort.LOHA:
                return self.shapes["w1_b"][0]
            case Sort.LOKR:
                return next((self.shapes[role][0] for role in ("w1_b", "w2_b") if role in self.shapes), 0)

    def _change(self, read: Read) -> Any:
        match self.sort:
            case Sort.LORA if "mid" in self.keys:
                down, up = read("down").flatten(1), read("up").flatten(1)
                return torch().einsum("mn...,im,nj->ij...", read("mid"), up, down)
            case Sort.LORA:
                down = read("down")
                return (read("up").flatten(1) @ down.flatten(1)).reshape(-1, *down.shape[1:])
            case Sort.LOHA:
                return self._product(read, "w1", "t1") * self._product(read, "w2", "t2")
            case Sort.LOKR:
                first, second = self._product(read, "w1", ""), self._product(read, "w2", "t2")
                return torch().kron(first.reshape(*first.shape, *[1] * (second.ndim - first.ndim)), second)

    def _product(self, read: Read, role: str, core: str) -> Any:
        """The matrix of a role, whole or out of its factors."""
        if role in self.keys:
            return read(role)
        first, second = read(f"{role}_a"), read(f"{role}_b")
        if core in self.keys:
            return torch().einsum("ij...,ip,jr->pr...", read(core), first, second)
        return (first @ second.flatten(1)).reshape(-1, *second.shape[1:])

    def _lengths(self, weight: Any, magnitude: Any, factor: float) -> Any:
        """DoRA: what gives the weights of each output, or of each input, lengths of their own."""
        if self._of_outputs(weight.shape):
            lengths = weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.ndim - 1))
        else:
            lengths = weight.transpose(0, 1).flatten(1).norm(dim=1).view(1, -1, *[1] * (weight.ndim - 2))
        scale = magnitude.reshape(lengths.shape) / lengths
        return 1 + factor * (scale - 1) if self.lycoris else scale

    def _of_outputs(self, weight: tuple[int, ...]) -> bool:
        """Whether a DoRA's lengths are those of the outputs; LyCORIS once took the inputs'."""
        return not self.lycoris or self.magnitude_shape[:1] == tuple(weight[:1])
