"""What the latents look like while a picture is made, without waiting for a device and without the VAE."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ....protocol.arrays import UInt8Array
from ....protocol.errors import UnderpaintError
from ..failures import is_out_of_memory
from ..families import Family
from ..third_party import torch
from . import taesd

_UNDER_WAY = 2  # pictures on their way to the host at once
_TAESD_EVERY_S = 0.4
_TAESD_SHARE = 0.05  # of the job's time, at most
_TAESD_SIDE_PX = 768  # larger previews are halved: they cost more to send than they show


class Previewer:
    """A job's previews: TAESD's where that is there, or else a linear picture of the latents at each step."""

    def __init__(
        self,
        family: Family,
        *,
        device: str,
        models: Path,
        dtype: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Whatever has to be loaded, or copied to the device, is so here and not between steps.

        `dtype` is what TAESD computes in; None is float32.
        """
        self.notes: tuple[str, ...] = ()
        """What the user should hear of, such as a TAESD that can't be read."""
        library = torch()
        self._factors = library.tensor(family.latent_rgb, dtype=library.float32, device=device)  # (4, 3)
        self._bias = library.tensor(family.latent_rgb_bias, dtype=library.float32, device=device)
        self._arrivals = Arrivals(device)
        self._clock = clock
        self._next_s = 0.0
        self._tiny: taesd.TinyDecoder | None = None
        folder = taesd.find(family, models)
        if folder is not None:
            try:
                self._tiny = taesd.TinyDecoder(folder, device=device, dtype=dtype or library.float32)
            except UnderpaintError as error:
                self._do_without(str(error))

    def show(self, estimate: Any, index: int) -> UInt8Array | None:
        """The newest picture that has arrived since the last call, or None.

        `estimate` is the finished latents as far as they are known, (pictures, 4, h, w) float32, after evaluation
        `index`; the first of the pictures is shown. On a CPU it is that of this call. A GPU isn't waited for: its
        pictures arrive one or two calls later. Linear pictures are (h, w, 3) uint8; TAESD's, which don't come at
        every call, (8 h, 8 w, 3) or a half, a quarter of that.
        """
        if index == 0:  # another batch: what is under way belongs to the one before
            self._arrivals.forget()
            self._next_s = 0.0
        picture, now = self._arrivals.newest(), self._clock()
        if now >= self._next_s and not self._arrivals.full:
            sent = self._arrivals.send(lambda: self._made(estimate[0]))
            picture = picture if sent is None else sent
            self._next_s = now if self._tiny is None else now + _TAESD_EVERY_S
        if self._tiny is not None and picture is not None:
            self._next_s = max(self._next_s, now + self._arrivals.took_s / _TAESD_SHARE)
        return picture

    def _made(self, latents: Any) -> Any:
        """(height, width, 3) uint8 of (4, h, w), on their device."""
        with torch().inference_mode():
            if self._tiny is not None:
                try:
                    return _halved(self._tiny.picture(latents))
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                self._do_without("there is not enough memory for it beside the picture's own models.")
            return taesd.to_bytes(latents.float().permute(1, 2, 0) @ self._factors + self._bias)

    def _do_without(self, reason: str) -> None:
        self._tiny = None
        self.notes = (f"The previews are plain, without TAESD: {reason}",)


def _halved(picture: Any) -> Any:
    """(h, w, 3) uint8, at half its size until that is small enough to be sent."""
    while max(picture.shape[:2]) > _TAESD_SIDE_PX:
        planes = picture.permute(2, 0, 1)[None].float()
        picture = torch().nn.functional.avg_pool2d(planes, 2)[0].permute(1, 2, 0).round().to(picture.dtype).contiguous()
    return picture


@dataclass(frozen=True, kw_only=True, eq=False)
class _Arrival:
    host: Any  # where the picture will be; pinned for CUDA, or the copy would be waited for
    began: Any
    done: Any  # events


class Arrivals:
    """Pictures on their way from the device to the host, in order."""

    def __init__(self, device: str) -> None:
        self.took_s = 0.0
        """What the picture that arrived last took the device."""
        self._device = device
        self._kind = device.partition(":")[0]
        self._under_way: deque[_Arrival] = deque()

    @property
    def full(self) -> bool:
        """Whether another picture would only queue behind those that nobody has seen."""
        return len(self._under_way) >= _UNDER_WAY

    def forget(self) -> None:
        """Whatever is under way is of no interest any more."""
        self._under_way.clear()

    def send(self, make: Callable[[], Any]) -> UInt8Array | None:
        """Have the device make a uint8 picture. A CPU's is here at once, a GPU's arrives when it gets to it."""
        if self._kind not in ("cuda", "mps"):
            began_s = time.perf_counter()
            picture = make().cpu()
            self.took_s = time.perf_counter() - began_s
            return cast(UInt8Array, picture.numpy())
        began = self._now()
        picture = make()
        host = torch().empty(picture.shape, dtype=picture.dtype, pin_memory=self._kind == "cuda")
        host.copy_(picture, non_blocking=True)
        self._under_way.append(_Arrival(host=host, began=began, done=self._now()))
        return None

    def newest(self) -> UInt8Array | None:
        """The newest picture that has arrived since the last call."""
        picture = None
        while self._under_way and self._under_way[0].done.query():
            arrival = self._under_way.popleft()
            picture = cast(UInt8Array, arrival.host.numpy())
            self.took_s = arrival.began.elapsed_time(arrival.done) / 1000
        return picture

    def _now(self) -> Any:
        """An event that is over once the device has done what it was given so far."""
        library = torch()
        if self._kind == "mps":
            event = library.mps.Event(enable_timing=True)
            event.record()
        else:
            event = library.cuda.Event(enable_timing=True)
            event.record(library.cuda.current_stream(self._device))
        return event
