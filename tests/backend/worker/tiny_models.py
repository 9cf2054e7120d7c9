"""Real UNets and ControlNets of every family that the worker paints with, made tiny; all weights random, none zero."""

from collections.abc import Callable
from typing import Any, Literal

import diffusers
import torch

Family = Literal["sd15", "sd21", "sdxl"]

TEXT_WIDTH = 32  # of the cross-attention
POOLED_WIDTH = 24  # of SDXL's pooled text
TIME_COND_WIDTH = 16  # of the guidance scale's embedding, in a UNet distilled for LCM
HINT_CHANNELS = (8, 8, 16, 16)  # a control image is 8 times as wide and high as the latents

_FOUR_LEVELS: dict[str, Any] = {
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (32, 48, 64, 64),
    "layers_per_block": 2,
}
_CONFIGS: dict[Family, dict[str, Any]] = {
    "sd15": {**_FOUR_LEVELS, "attention_head_dim": 2},  # diffusers reads it as the number of heads
    "sd21": {
        **_FOUR_LEVELS,
        "attention_head_dim": (2, 3, 4, 4),
        "use_linear_projection": True,
        "upcast_attention": True,
    },
    "sdxl": {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (32, 48, 64),
        "layers_per_block": 2,
        "transformer_layers_per_block": (1, 1, 2),
        "attention_head_dim": (2, 3, 4),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + POOLED_WIDTH,
    },
}


def tiny_unet(
    family: Family, in_channels: int = 4, time_cond: bool = False, seed: int = 0, text_width: int = TEXT_WIDTH
) -> Any:
    """A `UNet2DConditionModel`; 9 channels for inpainting, `time_cond` as a UNet distilled for LCM has it."""
    config = {
        "sample_size": 16,
        "norm_num_groups": 8,
        "cross_attention_dim": text_width,
        "time_cond_proj_dim": TIME_COND_WIDTH if time_cond else None,
        **_CONFIGS[family],
    }
    return _filled(lambda: diffusers.UNet2DConditionModel(in_channels=in_channels, **config), seed)


def tiny_controlnet(unet: Any, seed: int, **config: Any) -> Any:
    """A `ControlNetModel` for a UNet of any family; `config` overrides what it takes over from the UNet.

    Such as `global_pool_conditions=True`, which the shuffle nets have.
    """

    def make() -> Any:
        net = diffusers.ControlNetModel.from_unet(
            unet, conditioning_embedding_out_channels=HINT_CHANNELS, load_weights_from_unet=False
        )
        taken_over = {key: value for key, value in net.config.items() if not key.startswith("_")}
        return diffusers.ControlNetModel(**{**taken_over, **config})

    return _filled(make, seed)


def tiny_union(unet: Any, modes: Literal[6, 8], seed: int = 0) -> Any:
    """A `ControlNetUnionModel` for an SDXL UNet: 6 modes as xinsir's first, 8 as the promax."""
    taken_over = (
        "down_block_types", "block_out_channels", "layers_per_block", "transformer_layers_per_block",
        "attention_head_dim", "norm_num_groups", "cross_attention_dim", "use_linear_projection",
        "addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim",
    )  # fmt: skip
    width = unet.config["block_out_channels"][0]

    def make() -> Any:
        return diffusers.ControlNetUnionModel(
            **{key: unet.config[key] for key in taken_over},
            conditioning_embedding_out_channels=HINT_CHANNELS,
            num_control_type=modes,
            num_trans_channel=width,
            num_trans_head=4,
            num_proj_channel=width,
        )

    return _filled(make, seed)


def _filled(make: Callable[[], Any], seed: int) -> Any:
    """The model with weights that are the same for the same seed, and none of them 0 or 1 as they begin."""
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(seed)
        model = make()
        for name, weight in model.named_parameters():
            if name.startswith(("controlnet_down_blocks", "controlnet_mid_block", "spatial_ch_projs")):
                torch.nn.init.normal_(weight, std=0.2)  # they begin at zero, and would show nothing
            elif name.startswith("controlnet_cond_embedding") and weight.ndim == 4:
                torch.nn.init.kaiming_normal_(weight)  # as they begin, little of the image would come through
            elif weight.ndim == 1:  # biases, and what a norm multiplies by
                weight.add_(torch.randn_like(weight), alpha=0.1)
    return model.float().eval().requires_grad_(False)
