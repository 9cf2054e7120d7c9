"""What the device can do at most: products, convolutions, attention and copies of the sizes that pictures have."""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch.nn.functional import conv2d, scaled_dot_product_attention

_LEVELS = ((320, 64), (640, 32), (1280, 16))  # channels and side of SD 1.5's levels for a picture of 512 x 512


def lines(device: str, dtypes: list[torch.dtype]) -> list[str]:
    """A line for each."""
    found = [line for dtype in dtypes for line in _arithmetic(device, dtype)]
    return found + (_copies(device) if device.startswith("cuda") else [])


def _arithmetic(device: str, dtype: torch.dtype) -> list[str]:
    name = str(dtype).removeprefix("torch.")
    side = 8192 if device.startswith("cuda") else 2048
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    found = [f"{name:<9} product {side}³: {_rate(lambda: left @ right, 2 * side**3, device)}"]
    for memory_format, words in ((torch.contiguous_format, "NCHW"), (torch.channels_last, "NHWC")):
        rates: list[str] = []
        for channels, pixels in _LEVELS:
            picture = torch.randn(2, channels, pixels, pixels, device=device).to(dtype, memory_format=memory_format)
            weight = torch.randn(channels, channels, 3, 3, device=device).to(dtype, memory_format=memory_format)
            work = 2 * 2 * channels**2 * 9 * pixels**2
            rates.append(_rate(lambda p=picture, w=weight: conv2d(p, w, padding=1), work, device))
        found.append(f"{name:<9} convolution 3 x 3, {words}, 320/640/1280 channels: {', '.join(rates)}")
    rates = []
    for (channels, pixels), width in zip(_LEVELS, (40, 80, 160), strict=True):
        query = torch.randn(2, channels // width, pixels**2, width, device=device).to(dtype)
        work = 4 * 2 * channels * pixels**4
        rates.append(_rate(lambda q=query: scaled_dot_product_attention(q, q, q), work, device))
    return [*found, f"{name:<9} attention, heads of 40/80/160: {', '.join(rates)}"]


def _copies(device: str) -> list[str]:
    count = 1 << 28
    there, other = (torch.empty(count, dtype=torch.uint8, device=device) for _ in range(2))
    pageable, pinned = torch.empty(count, dtype=torch.uint8), torch.empty(count, dtype=torch.uint8, pin_memory=True)
    copies: dict[str, Callable[[], object]] = {
        "on the device": lambda: other.copy_(there),
        "to it from pinned memory": lambda: there.copy_(pinned, non_blocking=True),
        "to it from pageable memory": lambda: there.copy_(pageable),
        "from it to pinned memory": lambda: pinned.copy_(there, non_blocking=True),
    }
    return [f"copy {words}: {count / _seconds(copy, device) / 1e9:.1f} GB/s" for words, copy in copies.items()]


def _rate(work: Callable[[], object], flop: float, device: str) -> str:
    rate = flop / _seconds(work, device)
    return f"{rate / 1e12:.0f} TFLOP/s" if rate > 1e13 else f"{rate / 1e9:.0f} GFLOP/s"


def _seconds(work: Callable[[], object], device: str, runs: int = 5) -> float:
    took: list[float] = []
    for _ in range(runs + 1):
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        took.append(time.perf_counter() - began)
    return median(took[1:])


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device.startswith("mps"):
        torch.mps.synchronize()
