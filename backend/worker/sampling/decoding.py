"""Pictures to latents and latents to pictures, by the VAE."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ....protocol.arrays import UInt8Array
from ..third_party import torch


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentDistribution:
    """What the VAE makes of a picture: latents, and how sure it is of them. (1, 4, height / 8, width / 8) float32."""

    mean: Any
    deviation: Any
    config: Any  # of the VAE: how its own latents become those that the UNet works on

    def sample(self, noise: Any) -> Any:
        """The UNet's latents, `noise` away from the mean; (pictures, 4, height / 8, width / 8) like `noise`."""
        return _scaled(self.mean + self.deviation * noise, self.config)


def encode(vae: Any, image: Any, *, device: Any, dtype: Any, tiled: bool = False) -> LatentDistribution:
    """The latents of a picture, (1, 3, height, width) float32 in -1..1. `dtype` is the VAE's, wherever it lies."""
    with torch().inference_mode(), _tiles(vae, tiled):
        found = vae.encode(image.to(device=device, dtype=dtype)).latent_dist
        return LatentDistribution(mean=found.mean.float(), deviation=found.std.float(), config=vae.config)


def decode(vae: Any, latents: Any, *, dtype: Any, tiled: bool = False) -> UInt8Array:
    """(height, width, 3) uint8 sRGB from latents (1, 4, height / 8, width / 8)."""
    with torch().inference_mode(), _tiles(vae, tiled):
        image = vae.decode(_unscaled(latents, vae.config).to(dtype), return_dict=False)[0]
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
