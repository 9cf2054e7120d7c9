"""Which number formats a device computes rightly in: found by computing. Capability and correctness, never speed."""

import functools
from typing import Any

from ..failures import is_out_of_memory
from ..third_party import torch

# Relative errors against float32. Rounding alone gives about 5e-4 and 4e-3 on the sums below; what is broken
# gives NaN, zeros or noise (float16 convolutions of some cards without tensor cores).
_TOLERANCES = {"float16": 5e-3, "bfloat16": 4e-2}


@functools.cache
def formats(device: str) -> tuple[str, ...]:
    """Those that work, preferred first.

    A GPU prefers float16, which has three bits more than bfloat16 for the same bytes; a CPU float32.
    """
    halves = tuple(name for name, tolerance in _TOLERANCES.items() if _error(device, name) <= tolerance)
    return ("float32", *reversed(halves)) if device == "cpu" else (*halves, "float32")


def _error(device: str, name: str) -> float:
    """How far a convolution, a product of matrices and an attention are off, relative; infinite where they fail."""
    library = torch()
    if (
        device.startswith("cuda")
        and name == "bfloat16"
        and not library.cuda.is_bf16_supported(including_emulation=False)
    ):
        return float("inf")
    exact = _compute(library, device, library.float32)
    try:
        rounded = _compute(library, device, getattr(library, name))
    except (RuntimeError, TypeError, NotImplementedError) as error:  # how torch says that there is no such kernel
        if is_out_of_memory(error):
            raise
        return float("inf")
    worst = 0.0
    for wanted, found in zip(exact, rounded, strict=True):
        if not bool(library.isfinite(found).all()):
            return float("inf")
        worst = max(worst, float((found.float() - wanted).norm() / wanted.norm()))
    return worst


def _compute(library: Any, device: str, dtype: Any) -> list[Any]:
    generator = library.Generator("cpu").manual_seed(0)

    def draw(*shape: int, scale: float = 1.0) -> Any:
        return (library.randn(*shape, generator=generator) * scale).to(device=device, dtype=dtype)

    functional = library.nn.functional
    with library.inference_mode():
        picture = functional.conv2d(draw(2, 64, 24, 24), draw(64, 64, 3, 3, scale=1 / 24), padding=1)
        product = functional.linear(draw(2, 77, 320), draw(640, 320, scale=1 / 18))
        query, key, value = (draw(2, 8, 256, 40) for _ in range(3))
        attended = functional.scaled_dot_product_attention(query, key, value)
        normed = functional.group_norm(picture, 8)
        return [entry.to("cpu") for entry in (picture, product, attended, normed)]
