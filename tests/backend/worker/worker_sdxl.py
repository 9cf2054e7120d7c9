"""A Stable Diffusion XL folder and a ControlNet for it, tiny and random, laid out as diffusers does."""

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from underpaint.backend.worker.models.embedded_tokenizer import END_ID, START_ID, VOCABULARY_SIZE, write_tokenizer

_WIDTH = 32  # of each text encoder; both side by side are the cross-attention's text


UNION_MODES = {"sdxl-union": 6, "sdxl-promax": 8}


def build_unions(models: Path, checkpoint: Path) -> None:
    """Write a small union net of each kind that xinsir made, as diffusers lays them out."""
    unet = diffusers.UNet2DConditionModel.from_pretrained(checkpoint / "unet")
    kept = (
        "down_block_types", "block_out_channels", "layers_per_block", "transformer_layers_per_block",
        "attention_head_dim", "norm_num_groups", "cross_attention_dim", "use_linear_projection",
        "addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim",
    )  # fmt: skip
    for name, modes in UNION_MODES.items():
        torch.manual_seed(modes)
        net = diffusers.ControlNetUnionModel(
            **{key: unet.config[key] for key in kept},
            conditioning_embedding_out_channels=(8, 8, 16, 16),
            num_control_type=modes,
            num_trans_channel=32,
            num_trans_head=4,
            num_proj_channel=32,
        )
        for key, weight in net.named_parameters():
            if key.startswith(("controlnet_down_blocks", "controlnet_mid_block", "spatial_ch_projs")):
                torch.nn.init.normal_(weight, std=0.2)  # as below
            elif key.startswith("controlnet_cond_embedding.conv_out"):
                torch.nn.init.normal_(weight, std=0.5)
        net.save_pretrained(models / name)


def build_sdxl(checkpoint: Path, controlnet: Path) -> None:
    """Write both folders."""
    torch.manual_seed(0)
    text: dict[str, Any] = {
        "vocab_size": VOCABULARY_SIZE, "hidden_size": _WIDTH, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "projection_dim": _WIDTH, "bos_token_id": START_ID, "eos_token_id": END_ID,
    }  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 32, 64),
        layers_per_block=1,
        transformer_layers_per_block=(1, 1, 2),
        attention_head_dim=(1, 2, 4),
        norm_num_groups=8,
        cross_attention_dim=2 * _WIDTH,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + _WIDTH,
    )
    net = diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8, 16, 16))
    for name, weight in net.named_parameters():
        if name.startswith(("controlnet_down_blocks", "controlnet_mid_block")):
            torch.nn.init.normal_(weight, std=0.2)  # they begin at zero, and would show nothing
    vae = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16),
        norm_num_groups=4,
        scaling_factor=0.13025,
        sample_size=128,
    )
    unet.save_pretrained(checkpoint / "unet")
    vae.save_pretrained(checkpoint / "vae")
    config = transformers.CLIPTextConfig(**text)
    transformers.CLIPTextModel(config).save_pretrained(checkpoint / "text_encoder")
    transformers.CLIPTextModelWithProjection(config).save_pretrained(checkpoint / "text_encoder_2")
    for name in ("tokenizer", "tokenizer_2"):
        write_tokenizer(checkpoint / name)
    diffusers.EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    ).save_pretrained(checkpoint / "scheduler")
    index = {"_class_name": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": True}
    (checkpoint / "model_index.json").write_text(json.dumps(index))
    net.save_pretrained(controlnet)
