"""What the latents look like, at once and without the VAE: a small picture for each step."""

from typing import Any, cast

import numpy as np

from ....protocol.arrays import UInt8Array
from ..families import Family


def latent_preview(latents: Any, scheduler: Any, family: Family) -> UInt8Array:
    """(height / 8, width / 8, 3) uint8 from latents (1, 4, height / 8, width / 8).

    Multistep schedulers keep their estimate of the finished latents, which shows the picture long before the
    noisy latents do; of others the noisy latents are shown, brought back to unit variance.
    """
    estimate = _estimate(latents, scheduler)[0].detach().float().cpu().numpy()
    rgb = np.einsum("chw,cr->hwr", estimate, np.asarray(family.latent_rgb, np.float32))
    rgb += np.asarray(family.latent_rgb_bias, np.float32)
    return (np.clip(rgb * 0.5 + 0.5, 0, 1) * 255 + 0.5).astype(np.uint8)


def _estimate(latents: Any, scheduler: Any) -> Any:
    outputs = cast("list[Any]", getattr(scheduler, "model_outputs", None) or [])
    newest = outputs[-1] if outputs else None
    predicts_x0 = getattr(scheduler, "predict_x0", False) or "dpmsolver++" in str(
        scheduler.config.get("algorithm_type", "")
    )
    if newest is not None and predicts_x0:
        return newest
    deviation = float(latents.std())
    return latents / deviation if deviation > 1 else latents
