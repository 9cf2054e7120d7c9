"""Pictures to latents and latents to pictures, by the VAE."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ....protocol.arrays import UInt8Array
from ....protocol.request import Seamless
from ..third_party import torch
from . import seamless

_LATENT_PIXELS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentDistribution:
    """What the VAE makes of a picture: latents, and how sure it is of them. (1, 4, height / 8, width / 8) float32."""

    mean: Any
    deviation: Any
    config: Any  # of the VAE: how its own latents become those that the UNet works on

    def sample(self, noise: Any) -> Any:
        """The UNet's latents, `noise` away from the mean; (pictures, 4, height / 8, width / 8) like `noise`."""
        return _scaled(self.mean + self.deviation * noise, self.config)


def encode(
    vae: Any, image: Any, *, device: Any, dtype: Any, tiled: bool = False, surround: Seamless = Seamless.OFF
) -> LatentDistribution:
    """The latents of a picture, (1, 3, height, width) float32 in -1..1. `dtype` is the VAE's, wherever it lies.

    `surround` are the axes along which the picture goes on at the opposite edge.
    """
    with torch().inference_mode(), _tiles(vae, tiled), seamless.around([vae], Seamless.OFF if tiled else surround):
        margin = _margin(vae, tiled, surround)
        image = seamless.padded(image.to(device=device, dtype=dtype), margin * _LATENT_PIXELS, surround)
        found = vae.encode(image).latent_dist
        mean, deviation = (_inner(tensor.float(), margin, surround) for tensor in (found.mean, found.std))
        return LatentDistribution(mean=mean, deviation=deviation, config=vae.config)


def decode(vae: Any, latents: Any, *, dtype: Any, tiled: bool = False, surround: Seamless = Seamless.OFF) -> UInt8Array:
    """(height, width, 3) uint8 sRGB from latents (1, 4, height / 8, width / 8); `surround` as in `encode`."""
    with torch().inference_mode(), _tiles(vae, tiled), seamless.around([vae], Seamless.OFF if tiled else surround):
        margin = _margin(vae, tiled, surround)
        latents = seamless.padded(_unscaled(latents, vae.config).to(dtype), margin, surround)
        image = _inner(vae.decode(latents, return_dict=False)[0], margin * _LATENT_PIXELS, surround)
        levels = ((image[0].float() * 0.5 + 0.5).clamp(0, 1) * 255).round().to(torch().uint8)
        return cast(UInt8Array, levels.permute(1, 2, 0).contiguous().cpu().numpy())


def picture_tensor(image: UInt8Array) -> Any:
    """(1, 3, height, width) float32 in -1..1 of (height, width, 3) uint8.

    As diffusers prepares pictures, down to the order in memory (channels last), by which convolutions round.
    """
    planes = torch().from_numpy(np.ascontiguousarray(image)[None]).permute(0, 3, 1, 2)
    return 2.0 * (planes.float() / 255) - 1.0


@contextmanager
def _tiles(vae: Any, tiled: bool) -> Generator[None]:
    """Within it the VAE works tile by tile, or doesn't."""
    if tiled:
        vae.enable_tiling()
    try:
        yield
    finally:
        if tiled:
            vae.disable_tiling()


def _margin(vae: Any, tiled: bool, surround: Seamless) -> int:
    """How many latents of the opposite edges the VAE's tiles are shown: as much as tiles overlap by.

    A tile's own edges are not the picture's, so its convolutions must not see them as neighbours. Without tiles they
    see the opposite edge by themselves, and no margin is needed.
    """
    if not tiled or surround is Seamless.OFF:
        return 0
    return int(vae.tile_latent_min_size * vae.tile_overlap_factor)


def _inner(planes: Any, margin: int, surround: Seamless) -> Any:
    """Without what `seamless.padded` put around it; one that was smaller than the margin had all of itself."""
    if not margin:
        return planes
    height, width = planes.shape[2:]
    across, down = (margin if wanted else 0 for wanted in seamless.wraps(surround))
    across, down = min(across, width // 3), min(down, height // 3)
    return planes[:, :, down : height - down, across : width - across]


def _scaled(latents: Any, config: Any) -> Any:
    """The latents that the UNet works on, of the VAE's own."""
    affine = _affine(latents, config)
    if affine is None:
        return config.scaling_factor * latents
    means, deviations = affine
    return (latents - means) * config.scaling_factor / deviations


def _unscaled(latents: Any, config: Any) -> Any:
    """The VAE's own latents, of those that the UNet works on."""
    affine = _affine(latents, config)
    if affine is None:
        return latents / config.scaling_factor
    means, deviations = affine
    return latents * deviations / config.scaling_factor + means


def _affine(latents: Any, config: Any) -> tuple[Any, Any] | None:
    """Mean and deviation of each latent channel, for a VAE that names them."""
    mean, deviation = config.get("latents_mean"), config.get("latents_std")
    if mean is None or deviation is None:
        return None
    shape = (1, len(mean), 1, 1)
    return tuple(latents.new_tensor(values).view(shape) for values in (mean, deviation))  # type: ignore[return-value]
