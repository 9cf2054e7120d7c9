"""Convolutions that see the opposite edge beyond an edge, for pictures that tile.

Within `around` every convolution of the given modules pads in a circle along the chosen axes, and as ever along the
others. Attention has no places of its own in these networks and norms look at everything, so with sides that halve
without a rest a picture rolls by as much as its noise does. Modules are changed at their instances and hold what they
held before after the block, whatever ended it; how their weights come (`memory.keepers`) is nothing to them.
"""

import math
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

import numpy as np

from ....protocol.arrays import UInt8Array
from ....protocol.geometry import Extent
from ....protocol.request import Seamless
from ..conditioning.fitting import fit
from ..third_party import torch

_MARGIN_PX = 16  # that Lanczos sees beyond an edge, and some


@contextmanager
def around(modules: Iterable[Any], surround: Seamless) -> Generator[None]:
    """Within it these modules see the picture repeated along the axes of `surround`."""
    changed: list[tuple[Any, str]] = []
    try:
        if surround is not Seamless.OFF:
            library = torch()
            for module in (inner for outer in modules for inner in outer.modules()):
                if isinstance(module, library.nn.Conv2d) and module.padding_mode == "zeros" and _pads(module):
                    module._conv_forward = _circular(module, surround)
                    changed.append((module, "_conv_forward"))
                elif type(module).__name__ == "Downsample2D" and module.use_conv and module.padding == 0:
                    module.forward = _downsampling(module, surround)
                    changed.append((module, "forward"))
        yield
    finally:
        for module, name in changed:
            delattr(module, name)


def wraps(surround: Seamless) -> tuple[bool, bool]:
    """Whether the picture goes on across its left and right edges, and across its upper and lower ones."""
    return surround in (Seamless.X, Seamless.BOTH), surround in (Seamless.Y, Seamless.BOTH)


def surrounding(across: bool, down: bool) -> Seamless:
    """The axes along which a picture goes on at its opposite edge."""
    return {
        (False, False): Seamless.OFF,
        (True, False): Seamless.X,
        (False, True): Seamless.Y,
        (True, True): Seamless.BOTH,
    }[across, down]


def padded(planes: Any, margin: int, surround: Seamless) -> Any:
    """(rows, channels, height, width) with so much of the opposite edges around it; as much as there is at most."""
    across, down = (margin if wanted else 0 for wanted in wraps(surround))
    across, down = min(across, planes.shape[3]), min(down, planes.shape[2])
    if not across and not down:
        return planes
    return torch().nn.functional.pad(planes, (across, across, down, down), mode="circular")


def enlarged(image: UInt8Array, extent: Extent, surround: Seamless) -> UInt8Array:
    """`image` at `extent` by Lanczos, which sees the opposite edge beyond an edge that goes on there."""
    height, width = image.shape[:2]
    if (width, height) == (extent.width, extent.height) or surround is Seamless.OFF:
        return fit(image, extent)
    across, down = wraps(surround)
    (left, left_after), (top, top_after) = (
        _whole_margin(before, after) if wanted else (0, 0)
        for wanted, before, after in ((across, width, extent.width), (down, height, extent.height))
    )
    wide = np.pad(image, ((top, top), (left, left), (0, 0)), mode="wrap")
    larger = Extent(width=extent.width + 2 * left_after, height=extent.height + 2 * top_after)
    result = fit(np.ascontiguousarray(wide), larger)
    return np.ascontiguousarray(result[top_after : top_after + extent.height, left_after : left_after + extent.width])


def _whole_margin(before: int, after: int) -> tuple[int, int]:
    """A margin in pixels of a side's length before, which is a whole number of them after as well."""
    common = math.gcd(before, after)
    times = -(-_MARGIN_PX * common // before)
    return before // common * times, after // common * times


def _pads(convolution: Any) -> bool:
    return not isinstance(convolution.padding, str) and any(convolution.padding)


def _circular(convolution: Any, surround: Seamless) -> Callable[[Any, Any, Any], Any]:
    functional = torch().nn.functional
    down, across = convolution.padding
    around_x, around_y = wraps(surround)
    x, y = (across if around_x else 0), (down if around_y else 0)
    rest = (down - y, across - x)

    def forward(values: Any, weight: Any, bias: Any) -> Any:
        values = functional.pad(values, (x, x, y, y), mode="circular")
        return functional.conv2d(
            values, weight, bias, convolution.stride, rest, convolution.dilation, convolution.groups
        )

    return forward


def _downsampling(module: Any, surround: Seamless) -> Callable[..., Any]:
    """diffusers' `Downsample2D` of VAEs, which pads by itself, on the right and below."""
    functional = torch().nn.functional
    across, down = wraps(surround)

    def forward(hidden_states: Any, *_args: Any, **_options: Any) -> Any:
        if module.norm is not None:
            hidden_states = module.norm(hidden_states.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        for pad, wanted in (((0, 1, 0, 0), across), ((0, 0, 0, 1), down)):
            hidden_states = functional.pad(hidden_states, pad, mode="circular" if wanted else "constant")
        return module.conv(hidden_states)

    return forward
