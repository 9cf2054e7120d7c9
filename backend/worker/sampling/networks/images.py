"""Keys and values of image prompts (IP-Adapters) beside those of the text, computed before the first evaluation."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .text import Pair, TextKeys, heads


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageKeys:
    """What a UNet's cross-attentions look up of one image prompt."""

    pairs: Sequence[tuple[Any, Any]]
    """Key and value (rows, tokens, channels) of each cross-attention, in the order of `cross_attentions`."""
    weights: Sequence[float]
    """How much it counts at each evaluation; 0 leaves it out, and then nothing of it is computed."""

    def of(self, pictures: int) -> "ImageKeys":
        """For a batch of pictures, of the keys for one: with guidance all rows without the image come first."""
        if pictures == 1:
            return self
        repeated = [tuple(each.repeat_interleave(pictures, dim=0) for each in pair) for pair in self.pairs]
        return dataclasses.replace(self, pairs=repeated)


class PromptKeys:
    """What a UNet's cross-attentions look up at each evaluation: the text, and the image prompts that count."""

    def __init__(self, module: Any, text: TextKeys, images: Sequence[ImageKeys]) -> None:
        self._text = text
        self._images = images
        self._kept: dict[tuple[float, ...], TextKeys] = {}
        attentions = list(cross_attentions(module))
        self._keys = [
            {
                attention: (heads(attention, key), heads(attention, value))
                for attention, (key, value) in zip(attentions, image.pairs, strict=True)
            }
            for image in images
        ]

    def at(self, index: int) -> TextKeys:
        """Those of one evaluation."""
        weights = tuple(image.weights[index] for image in self._images)
        if not any(weights):
            return self._text
        if weights not in self._kept:
            self._kept = {weights: self._text.beside(self._further(weights))}  # weights seldom come back
        return self._kept[weights]

    def _further(self, weights: Sequence[float]) -> dict[Any, tuple[Pair, ...]]:
        counting = [(keys, weight) for keys, weight in zip(self._keys, weights, strict=True) if weight]
        return {
            attention: tuple(
                Pair(key=keys[attention][0], value=keys[attention][1], scale=weight) for keys, weight in counting
            )
            for attention in self._keys[0]
        }


def cross_attentions(module: Any) -> Iterable[Any]:
    """A UNet's, in the order in which IP-Adapters number them: the ways down and up, then the middle."""
    for block in (*module.down_blocks, *module.up_blocks, module.mid_block):
        for attention in getattr(block, "attentions", ()):
            for transformer_block in attention.transformer_blocks:
                yield transformer_block.attn2
