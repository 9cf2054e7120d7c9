"""A `UNet2DConditionModel`, in two halves: ControlNets add to what the first hands to the second."""

from typing import Any

from . import parts
from .images import PromptKeys
from .text import TextKeys
from .times import Times


class Unet:
    """The UNet of a job, with its prompts and times."""

    def __init__(self, module: Any, text: TextKeys | PromptKeys, times: Times) -> None:
        self._module = module
        self._text = text
        self._times = times
        self._least = 2**module.num_upsamplers  # sides that are multiples of it halve and double without a rest

    def encode(self, sample: Any, index: int) -> list[Any]:
        """What the way down hands across, and last what the middle block makes of it.

        `sample` is (rows, channels, height, width), or has half the rows where both halves are the same. ControlNets
        may add to what comes out in place.
        """
        module, times, text = self._module, self._times.at(index), self._text.at(index)
        hidden = module.conv_in(sample)
        skips = [hidden]
        for block in module.down_blocks:
            hidden, more = parts.down(block, hidden, times, text)
            skips += more
        return [*skips, parts.middle(module.mid_block, hidden, times, text)]

    def decode(self, states: list[Any], index: int) -> Any:
        """The prediction (rows, 4, height, width) of what `encode` made and the ControlNets added to."""
        module, times, text = self._module, self._times.at(index), self._text.at(index)
        *skips, hidden = states
        uneven = any(side % self._least for side in skips[0].shape[-2:])
        for block in module.up_blocks:
            left = len(skips) - len(block.resnets)
            size = skips[left - 1].shape[2:] if uneven and left else None
            hidden = parts.up(block, hidden, skips, size, times, text)
        if module.conv_norm_out is not None:
            hidden = module.conv_act(module.conv_norm_out(hidden))
        return module.conv_out(hidden)
