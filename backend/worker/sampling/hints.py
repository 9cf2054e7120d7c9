"""Control images through a ControlNet's hint encoder, kept from job to job by what is in the image."""

import hashlib
import itertools
import weakref
from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ....protocol.arrays import Float32Array, UInt8Array
from ..third_party import torch

ControlImage = UInt8Array | Float32Array  # (height, width, 3), row 0 at the top

_CAPACITY_BYTES = (
    128 * 2**20
)  # an SDXL net's embedding of 1024 x 1024 pixels is 10 MB in float16, an SD 1.5 net's of 512 x 512 is 2.6 MB


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

    def embedding(self, net: Any, image: ControlImage, *, device: Any, dtype: Any) -> Any:
        """(1, channels, height / 8, width / 8) of the latents, of a control image of the picture's size."""
        digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        key = (self._name(net), digest, image.shape, image.dtype.str, str(device), dtype)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        embedding = encode(net, control_tensor(image, device=device, dtype=dtype))
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


def encode(net: Any, image: Any) -> Any:
    """A control image (rows, 3, height, width) through a net's hint encoder."""
    if net.config.controlnet_conditioning_channel_order == "bgr":
        image = image.flip(1)
    return net.controlnet_cond_embedding(image)


@contextmanager
def encoded_once(controlnets: Sequence[Any]) -> Generator[None]:
    """Within it, each ControlNet encodes a hint that it has seen by giving the same tensor again.

    The hint doesn't change from step to step, yet diffusers encodes it anew in each: with the embedded
    checkpoint that is a third of a step. The result is the same to the bit.
    """
    encoders: list[Any] = list(
        {id(net): net.controlnet_cond_embedding for net in controlnets}.values()
    )  # a net may serve twice
    before: list[Any] = [
        encoder.__dict__.get("forward") for encoder in encoders
    ]  # set where accelerate hooked the module
    for encoder in encoders:
        encoder.forward = _remembering(encoder.forward)
    try:
        yield
    finally:
        for encoder, forward in zip(encoders, before, strict=True):
            if forward is None:
                del encoder.forward
            else:
                encoder.forward = forward


def _remembering(forward: Any) -> Any:
    seen: dict[
        tuple[Any, ...], tuple[Any, Any]
    ] = {}  # the hint is kept with its code, so that its memory stays its own

    def encode(hint: Any) -> Any:
        key = (hint.data_ptr(), *hint.shape)  # not its id: half of a batch is a new view at each step
        if key not in seen:
            seen[key] = (hint, forward(hint))
        return seen[key][1]

    return encode
