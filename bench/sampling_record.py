"""What is written down of a job: when its parts ended, and what was called."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from sampling_models import Models
from torch.nn import functional
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of one job."""

    job: float  # from the prompt and the control images' pixels to the picture's, on the host
    cpu: float  # of all threads together; on a CPU that other programs use too, the better measure of work
    steps: tuple[float, ...]  # each evaluation; the first with whatever comes between the prompt and it
    decode: float  # the VAE's share


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a job called."""

    calls: dict[str, int]  # "unet", "net", "hint", "text": how often each kind of model ran
    tflop: float  # of convolutions, products and attention
    torch_calls: int  # functions of torch called from Python, whose overhead an eager GPU feels


class Recorder:
    """Notes the parts of a job as they end; on CUDA by events, so that nothing waits."""

    def __init__(self, models: Models, device: str) -> None:
        self._models, self._device = models, device
        self._marks: list[tuple[str, Any]] = []

    @contextmanager
    def job(self) -> Iterator[list[Times]]:
        """Time what happens within; the list gets its one entry at the end."""
        self._marks, times = [], []
        handles = [
            self._models.text_encoder.register_forward_hook(lambda *_: self._mark("text")),
            self._models.vae.decoder.register_forward_pre_hook(lambda *_: self._mark("decode")),
            self._models.vae.decoder.register_forward_hook(lambda *_: self._mark("decoded")),
        ]
        self._wait()
        began, cpu_began = time.perf_counter(), time.process_time()
        self._mark("begin")
        try:
            yield times
            self._wait()
            took = time.perf_counter() - began
            cpu = time.process_time() - cpu_began
            times.append(Times(job=took, cpu=cpu, steps=self._steps(), decode=self._decode()))
        finally:
            for handle in handles:
                handle.remove()

    def step(self) -> None:
        """An evaluation has ended, or is on its way to."""
        self._mark("step")

    def _mark(self, name: str) -> None:
        if self._device.startswith("cuda"):
            at: Any = torch.cuda.Event(enable_timing=True)
            at.record()
        else:
            self._wait()
            at = time.perf_counter()
        self._marks.append((name, at))

    def _steps(self) -> tuple[float, ...]:
        first = next(index for index, (name, _) in enumerate(self._marks) if name == "step")
        boundaries = [self._marks[first - 1][1], *(at for name, at in self._marks if name == "step")]
        return tuple(_between(*pair) for pair in pairwise(boundaries))

    def _decode(self) -> float:
        begins, ends = ([at for name, at in self._marks if name == wanted] for wanted in ("decode", "decoded"))
        return sum(_between(*pair) for pair in zip(begins, ends, strict=True))

    def _wait(self) -> None:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize()
        elif self._device.startswith("mps"):
            torch.mps.synchronize()


@contextmanager
def counted(models: Models) -> Iterator[list[Work]]:
    """Count what is called within; the list gets its one entry at the end. Costs a few microseconds a call."""
    calls: Counter[str] = Counter()
    watched = {
        "unet": [models.unet.conv_out],
        "net": [net.conv_in for net in models.nets],
        "hint": [net.controlnet_cond_embedding.conv_in for net in models.nets],
        "text": [models.text_encoder],
    }
    handles = [
        module.register_forward_hook(lambda *_, kind=kind: calls.update([kind]))
        for kind, modules in watched.items()
        for module in modules
    ]
    work: list[Work] = []
    functions = _Functions()
    try:
        with functions:
            yield work
        work.append(Work(calls=dict(calls), tflop=functions.flop / 1e12, torch_calls=functions.calls))
    finally:
        for handle in handles:
            handle.remove()


def _between(earlier: Any, later: Any) -> float:
    return later - earlier if isinstance(later, float) else earlier.elapsed_time(later) / 1000


class _Functions(TorchFunctionMode):
    """Counts torch's functions as Python calls them, and the arithmetic of those that have much."""

    def __init__(self) -> None:
        super().__init__()
        self.flop = 0.0
        self.calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.calls += getattr(func, "__name__", "") != "__get__"  # a shape, a dtype
        if func in _CONVOLUTIONS:
            self.flop += 2 * made.numel() * args[1][0].numel()
        elif func in _LINEAR:
            self.flop += 2 * made.numel() * args[1].shape[-1]
        elif func in _PRODUCTS:
            self.flop += 2 * made.numel() * args[0].shape[-1]
        elif func in _ADDED_PRODUCTS:
            self.flop += 2 * made.numel() * args[1].shape[-1]
        elif func is functional.scaled_dot_product_attention:
            query, key, value = (*args, *(kwargs or {}).values())[:3]
            self.flop += 2 * query[..., 0].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])
        return made


_CONVOLUTIONS = {torch.conv2d, functional.conv2d}
_LINEAR = {functional.linear}
_PRODUCTS = {torch.matmul, torch.bmm, torch.mm, torch.Tensor.matmul, torch.Tensor.__matmul__}
_ADDED_PRODUCTS = {torch.addmm, torch.baddbmm}
