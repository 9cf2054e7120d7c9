"""Control images through a ControlNet's hint encoder, kept from job to job by what is in the image."""

import hashlib
import itertools
import weakref
from collections import OrderedDict
from typing import Any

import numpy as np

from ....protocol.arrays import Float32Array, UInt8Array
from ....protocol.request import Seamless
from ..third_party import torch

ControlImage = UInt8Array | Float32Array  # (height, width, 3), row 0 at the top

_CAPACITY_BYTES = 128 * 2**20  # an SDXL net's embedding of 1024 x 1024 pixels is 10 MB in float16


class HintCache:
    """The last embeddings, at most so many bytes of them."""

    def __init__(self, capacity_bytes: int = _CAPACITY_BYTES) -> None:
        self.encoded = 0
        """How many images have really gone through a hint encoder."""
        self.held_bytes = 0
        self._capacity_bytes = capacity_bytes
        self._kept: OrderedDict[tuple[object, ...], Any] = OrderedDict()
        self._names = weakref.WeakKeyDictionary[Any, int]()  # an id() is given to another net once one is gone
        self._numbers = itertools.count()

    def embedding(
        self,
        net: Any,
        image: ControlImage,
        *,
        device: Any,
        dtype: Any,
        rows: int = 1,
        surround: Seamless = Seamless.OFF,
    ) -> Any:
        """A control image of the picture's size through the net's encoder, (1, channels, height / 8, width / 8).

        `surround` is how the encoder sees beyond the image's edges at the moment. More `rows` make no difference but
        in rounding: convolutions are computed in an order that depends on them.
        """
        digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        key = (self._name(net), digest, image.shape, image.dtype.str, str(device), dtype, rows, surround)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        embedding = encode(net, control_tensor(image, device=device, dtype=dtype), rows)
        self.encoded += 1
        self._keep(key, embedding)
        return embedding

    def clear(self) -> None:
        """Let go of everything."""
        self._kept.clear()
        self.held_bytes = 0

    def _keep(self, key: tuple[object, ...], embedding: Any) -> None:
        self._kept[key] = embedding
        self.held_bytes += embedding.nbytes
        while self.held_bytes > self._capacity_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.held_bytes -= dropped.nbytes

    def _name(self, net: Any) -> int:
        if net not in self._names:
            number = next(self._numbers)
            self._names[net] = number
            weakref.finalize(net, self._forget, number).atexit = False
        return self._names[net]

    def _forget(self, number: int) -> None:
        """A net is gone, and what it made is of no more use."""
        for key in [key for key in self._kept if key[0] == number]:
            self.held_bytes -= self._kept.pop(key).nbytes


def control_tensor(image: ControlImage, *, device: Any, dtype: Any) -> Any:
    """(1, 3, height, width): a byte map in 0..1, a float map as it is (-1 is what inpainting paints anew)."""
    planes = torch().from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
    planes = planes.float() / 255 if image.dtype == np.uint8 else planes
    return planes.to(device=device, dtype=dtype)


def encode(net: Any, image: Any, rows: int = 1) -> Any:
    """(1, channels, height / 8, width / 8): a control image (1, 3, height, width) through a net's encoder."""
    if net.config.controlnet_conditioning_channel_order == "bgr":
        image = image.flip(1)
    return net.controlnet_cond_embedding(image.repeat(rows, 1, 1, 1))[:1].clone()  # not a view that holds all rows
