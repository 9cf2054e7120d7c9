"""What a picture takes of a family whose denoiser is a transformer. No weight is read and there is no torch here.

The working sets were counted as those in `needs` were (`bench/memory.py --working-sets` repeats it), on the full-size
models. Per token of 16 x 16 pixels, in parts of the transformer's width:

    Flux.1           15.1 x 3072      a ControlNet of Flux.1 with 5 and 10 layers  41.1 x 3072, of which 2 x 15 are
    SD 3.5 large     13.0 x 2432          the residuals that it gives, as they are and as they are scaled
    SD 3.5 medium    14.0 x 1536
    Qwen-Image       15.1 x 3072
    Z-Image          15.8 x 3840

and 16.4 times the width for each token of the text, which goes through the same layers. Qwen-Image's VAE takes 674
values a pixel when it decodes, 7.0 times the width of its last level, the others six times as in `needs`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ....protocol.geometry import Extent
from ....protocol.request import GenerateRequest
from ..families import Family, Guidance, Stock
from ..models.choice import NetChoice
from .needs import Needs, Part

_TOKEN_WIDTHS = 16.0  # of the working set, for each token
_RESIDUAL_WIDTHS = 2.0  # for each token and each layer of a ControlNet
_TEXT_TOKENS = 512  # at most, in every family
_LATENT_PX_OF_TOKEN = 4
_QWEN_VAE = 7.1 / 6


def stock_needs(
    family: Family,
    stock: Stock,
    config: dict[str, Any],
    vae: dict[str, Any],
    parts: Sequence[Part],
    nets: Sequence[NetChoice],
    request: GenerateRequest,
    *,
    evaluations: int,
    title: str,
) -> Needs:
    """What a request takes of a machine. `config` is the transformer's, `parts` are of the checkpoint and its nets."""
    width = _width(config)
    layers = max((_layers(choice.info.config) for choice in nets), default=0)
    guided = request.guidance_scale > 1 and stock.guidance is not Guidance.DISTILLED
    # what is told of latent pixels in `needs` is of tokens here: each weight is used once for four of them
    tokens = [replace(part, macs=part.macs / _LATENT_PX_OF_TOKEN) for part in parts]
    channels = tuple(vae.get("block_out_channels") or (round(_QWEN_VAE * int(vae.get("base_dim", 96))),))
    return Needs(
        title=title,
        parts=tuple(tokens),
        size=Extent(width=max(request.size.width, 16), height=max(request.size.height, 16)),
        pictures=len(request.pictures),
        batch=1,
        guided=guided,
        evaluations=evaluations,
        controls=len(nets),
        width_peak=_TOKEN_WIDTHS * width / _LATENT_PX_OF_TOKEN / 21,
        skip_values=_RESIDUAL_WIDTHS * layers * width / _LATENT_PX_OF_TOKEN / 2,
        vae_channels=channels,
        float32_vae=False,  # it works in the format that the pipelines encode control images in
        fixed_values=_TOKEN_WIDTHS * width * _TEXT_TOKENS,
        unfit_formats=("float16",) if stock.overflows_in_float16 else (),
        formats_for=family.title,
    )


def _width(config: dict[str, Any]) -> int:
    heads = int(config.get("num_attention_heads") or config.get("n_heads") or 24)
    return int(config.get("dim") or heads * int(config.get("attention_head_dim") or 128))


def _layers(config: dict[str, Any]) -> int:
    """Layers that give residuals."""
    places = config.get("control_layers_places")
    if places is not None:
        return len(places)
    return int(config.get("num_layers") or 0) + int(config.get("num_single_layers") or 0)
