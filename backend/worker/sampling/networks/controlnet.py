"""A `ControlNetModel`, and what it has in common with a union net."""

from collections.abc import Callable
from typing import Any

from . import parts
from .parts import ResnetTimes, added
from .text import TextKeys
from .times import Times

Condition = Callable[[], Any]  # a control image through the net's encoder, (1, channels, height, width) of the latents


class PlainNet:
    """A ControlNet of a job, with its text, its times and its control image."""

    def __init__(self, module: Any, text: TextKeys, times: Times, condition: Condition) -> None:
        self._module = module
        self._text = text
        self._times = times
        self._condition = condition

    def __call__(self, sample: Any, index: int) -> list[Any]:
        """What it would add to each state of `Unet.encode`, before any scale."""
        hidden = added(self._module.conv_in(sample), self._condition())
        return run(self._module, hidden, self._times.at(index), self._text)


def run(module: Any, hidden: Any, times: ResnetTimes, text: TextKeys) -> list[Any]:
    """A net from where its condition is in: what it would add to each state of `Unet.encode`."""
    states = [hidden]
    for block in module.down_blocks:
        hidden, more = parts.down(block, hidden, times, text)
        states += more
    across = [conv(state) for conv, state in zip(module.controlnet_down_blocks, states, strict=True)]
    return [*across, module.controlnet_mid_block(parts.middle(module.mid_block, hidden, times, text))]
