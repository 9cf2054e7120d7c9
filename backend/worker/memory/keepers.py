"""The ways in which a module's weights wait and come: on the device, on a shelf, on disk, or leaf by leaf.

A keeper owns where one module's weights are. `fetch` brings them, `drop` lets go of what fetching brought, and
`remove` leaves a plain module in main memory for another keeper. Each holds before and after any of them, and
after an error: the module's weights are whole, to the bit.
"""

from collections.abc import Callable
from typing import Any, Protocol

from ..third_party import torch
from .ring import Leaf, Ring
from .slabs import plainly, shelve


class Keeper(Protocol):
    """Where one module's weights are."""

    module: Any

    def fetch(self) -> None:
        """Have the module ready to be called."""
        ...

    def drop(self) -> None:
        """Take no more of the device than a module that waits does."""
        ...

    def remove(self) -> None:
        """Leave a plain module in main memory; the keeper is of no use any more."""
        ...


class OnDevice:
    """Stays on the device."""

    def __init__(self, module: Any, device: str) -> None:
        self.module = module
        with plainly():
            module.to(device)

    def fetch(self) -> None:
        """It is there."""

    def drop(self) -> None:
        """It stays."""

    def remove(self) -> None:
        self.module.to("cpu")


class OnShelf:
    """Waits in main memory, and comes in a few large copies; nothing is ever copied back."""

    def __init__(self, module: Any, device: str, *, pin: bool) -> None:
        self.module = module
        self._device = device
        self._copies: list[Any] = []
        tensors = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.numel()]
        with plainly():
            self._loads = shelve([[tensor] for tensor in tensors], pin=pin)

    def fetch(self) -> None:
        if self._copies:
            return
        with plainly():
            slabs = {id(load.slab): load.slab for load in self._loads}
            copies = {key: _copied(slab, self._device) for key, slab in slabs.items()}
            for load in self._loads:
                load.turn_to(copies[id(load.slab)].narrow(0, load.begin, load.bytes))
            self._copies = list(copies.values())

    def drop(self) -> None:
        with plainly():
            for load in self._loads:
                load.turn_home()
        self._copies = []

    def remove(self) -> None:
        self.drop()


class OnDisk:
    """Is read for its turn and let go of after it, where the device's memory is main memory."""

    def __init__(self, module: Any, device: str, load: Callable[[], Any]) -> None:
        """`load` gives a new module with the weights, alike in everything. `module` may be empty: on "meta"."""
        self.module = module
        self._device = device
        self._load = load
        self._here = not any(tensor.is_meta for tensor in module.parameters())
        if self._here:
            module.to(device)

    def fetch(self) -> None:
        if not self._here:
            with plainly():
                _transplant(self._load().to(self._device), self.module)
            self._here = True

    def drop(self) -> None:
        with plainly():
            _empty(self.module)
        self._here = False

    def remove(self) -> None:
        self.fetch()
        self.module.to("cpu")


class InLeaves:
    """Waits in main memory; each leaf comes when it is called, through a ring of buffers on the device.

    A leaf is a module that owns weights and is called for them: a convolution, a linear layer, a norm, an
    embedding. What else a module owns (a parameter of its own beside children) is small and stays on the device.
    """

    def __init__(self, module: Any, ring: Ring, *, pin: bool) -> None:
        self.module = module
        self._ring = ring
        owners = list(_leaves(module))
        with plainly():
            loads = shelve([list(owner.parameters()) for owner in owners], pin=pin)
            covered = {id(tensor) for load in loads for tensor in (place.tensor for place in load.places)}
            self._loose = [tensor for tensor in (*module.parameters(), *module.buffers()) if id(tensor) not in covered]
            for tensor in self._loose:
                tensor.data = tensor.data.to(ring.device)
            ring.reserve(max((load.bytes for load in loads), default=0))
        self._leaves = [Leaf(load) for load in loads]
        self._handles: list[Any] = []
        for owner, leaf in zip(owners, self._leaves, strict=True):
            self._handles.append(owner.register_forward_pre_hook(_entering(ring, leaf)))
            self._handles.append(owner.register_forward_hook(_leaving(ring, leaf), always_call=True))

    def fetch(self) -> None:
        """Each leaf comes by itself."""

    def drop(self) -> None:
        self._ring.forget(self._leaves)

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self.drop()
        with plainly():
            for tensor in self._loose:
                tensor.data = tensor.data.to("cpu")


def _leaves(module: Any) -> list[Any]:
    """The modules that are called for their weights; torch's own attention reads those of its children itself."""
    if isinstance(module, torch().nn.MultiheadAttention) or not any(_owns(child) for child in module.children()):
        return [module] if _owns(module) else []
    return [leaf for child in module.children() for leaf in _leaves(child)]


def _owns(module: Any) -> bool:
    return next(module.parameters(), None) is not None


def _entering(ring: Ring, leaf: Leaf) -> Callable[[Any, Any], None]:
    def hook(_module: Any, _arguments: Any) -> None:
        ring.enter(leaf)

    return hook


def _leaving(ring: Ring, leaf: Leaf) -> Callable[[Any, Any, Any], None]:
    def hook(_module: Any, _arguments: Any, _result: Any) -> None:
        ring.leave(leaf)

    return hook


def _copied(slab: Any, device: str) -> Any:
    copy = torch().empty_like(slab, device=device, pin_memory=False)
    return copy.copy_(slab, non_blocking=slab.is_pinned())


def _transplant(fresh: Any, into: Any) -> None:
    """Give a module another's weights, and let it stay the same object with the same modules inside."""
    for name, source in fresh.named_modules():
        target = into.get_submodule(name)
        target._parameters.update(source._parameters)
        target._buffers.update(source._buffers)
        tables: dict[str, Any] = source.__dict__
        for key in list(tables):
            if isinstance(tables[key], torch().Tensor):  # that are no buffers, such as Qwen-Image's of positions
                setattr(target, key, tables[key])


def _empty(module: Any) -> None:
    meta, parameter = torch().device("meta"), torch().nn.Parameter
    for owner in module.modules():
        for name, tensor in owner._parameters.items():
            if tensor is not None:
                owner._parameters[name] = parameter(torch().empty_like(tensor, device=meta), requires_grad=False)
        for name, tensor in owner._buffers.items():
            if tensor is not None:
                owner._buffers[name] = torch().empty_like(tensor, device=meta)
