"""Image prompts to keys and values for the UNet's cross-attentions, each picture once."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....protocol.arrays import UInt8Array
from ..models.ip_adapter import ImagePromptChoice, Look
from ..third_party import torch, transformers
from .networks import ImageKeys

_CAPACITY_BYTES = 128 * 2**20  # of a plus adapter for SDXL a picture's are 9 MB in float16

ImagePairs = list[tuple[Any, Any]]
"""Key and value of each cross-attention, (1 or 2, tokens, channels)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImagePromptInput:
    """An image prompt, ready to paint with."""

    choice: ImagePromptChoice
    adapter: Any  # the modules, in memory
    encoder: Any
    image: UInt8Array  # (height, width, 3) sRGB
    weights: Sequence[float]  # one for each evaluation; 0 where it doesn't count


class ImagePromptCache:
    """The last pictures through their adapters, in main memory, by everything that makes them what they are."""

    def __init__(self, capacity_bytes: int = _CAPACITY_BYTES) -> None:
        self.encoded = 0
        """How many pictures have really gone through an image encoder."""
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        self._kept: OrderedDict[tuple[object, ...], ImagePairs] = OrderedDict()

    def knows(self, prompt: ImagePromptInput, *, guided: bool, dtype: Any) -> bool:
        """Whether `pairs` would need no model."""
        return _key(prompt, guided, dtype) in self._kept

    def pairs(self, prompt: ImagePromptInput, *, guided: bool, device: Any, dtype: Any) -> ImagePairs:
        """Key and value of each cross-attention, (1, tokens, channels); with guidance also of no picture, first."""
        key = _key(prompt, guided, dtype)
        if key not in self._kept:
            self._keep(key, _encoded(prompt, guided=guided, device=device, dtype=dtype))
            self.encoded += 1
        self._kept.move_to_end(key)
        return self._kept[key]

    def _keep(self, key: tuple[object, ...], pairs: ImagePairs) -> None:
        self._kept[key] = pairs
        self._held_bytes += _bytes(pairs)
        while self._held_bytes > self._capacity_bytes and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._held_bytes -= _bytes(dropped)


def image_keys(pairs: ImagePairs, weights: Sequence[float], *, device: Any) -> ImageKeys:
    """An image prompt's keys for one picture, on `device`."""
    return ImageKeys(pairs=[(key.to(device), value.to(device)) for key, value in pairs], weights=weights)


def _key(prompt: ImagePromptInput, guided: bool, dtype: Any) -> tuple[object, ...]:
    image = np.ascontiguousarray(prompt.image)
    digest = hashlib.blake2b(image.data, digest_size=16).digest()
    return (*prompt.choice.adapter.key, *prompt.choice.encoder.key, digest, image.shape, guided, str(dtype))


def _encoded(prompt: ImagePromptInput, *, guided: bool, device: Any, dtype: Any) -> ImagePairs:
    """As diffusers' `encode_image` and IP-Adapter's attention have it, down to the rows."""
    library, adapter, encoder = torch(), prompt.adapter, prompt.encoder
    with library.inference_mode():
        pixels = _pixels(prompt.image, encoder.config.image_size).to(device=device, dtype=dtype)
        if prompt.choice.adapter.look is Look.EMBEDDING:
            seen = encoder(pixels).image_embeds
            unseen = library.zeros_like(seen)  # not what CLIP makes of a black picture: that is how they were trained
        else:
            seen = encoder(pixels, output_hidden_states=True).hidden_states[-2]
            unseen = None
            if guided:
                unseen = encoder(library.zeros_like(pixels), output_hidden_states=True).hidden_states[-2]
        tokens = adapter["image_proj"](library.cat([unseen, seen]) if guided else seen)
        return [
            (to_key(tokens).cpu(), to_value(tokens).cpu())
            for to_key, to_value in zip(adapter["to_k_ip"], adapter["to_v_ip"], strict=True)
        ]


def _pixels(image: UInt8Array, side: int) -> Any:
    """(1, 3, side, side) float32 as CLIP was trained: the middle square, in its mean and deviation."""
    processor = transformers().CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    return processor(image, return_tensors="pt", input_data_format="channels_last").pixel_values


def _bytes(pairs: ImagePairs) -> int:
    return sum(key.nbytes + value.nbytes for key, value in pairs)
