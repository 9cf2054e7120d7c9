"""Latents to the picture."""

from typing import Any, cast

from ....protocol.arrays import UInt8Array
from ..third_party import torch


def decode(pipeline: Any, latents: Any) -> UInt8Array:
    """(height, width, 3) uint8 sRGB from latents (1, 4, height / 8, width / 8).

    SDXL's VAE overflows in float16 and says so in its config ("force_upcast"); it then runs in float32.
    """
    library, vae = torch(), pipeline.vae
    upcast = vae.dtype == library.float16 and vae.config.force_upcast
    if upcast:
        vae.to(dtype=library.float32)
    try:
        with library.inference_mode():
            image = vae.decode(_unscaled(latents.to(vae.dtype), vae.config), return_dict=False)[0]
            levels = ((image[0].float() * 0.5 + 0.5).clamp(0, 1) * 255).round().to(library.uint8)
            return cast(UInt8Array, levels.permute(1, 2, 0).contiguous().cpu().numpy())
    finally:
        if upcast:
            vae.to(dtype=library.float16)


def _unscaled(latents: Any, config: Any) -> Any:
    """The VAE's own latents, of those that the UNet works on."""
    mean, deviation = config.get("latents_mean"), config.get("latents_std")
    if mean is None or deviation is None:
        return latents / config.scaling_factor
    shape = (1, len(mean), 1, 1)
    means, deviations = (latents.new_tensor(values).view(shape) for values in (mean, deviation))
    return latents * deviations / config.scaling_factor + means
