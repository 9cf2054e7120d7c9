"""The folders that users have, of every family, made tiny: checkpoints and ControlNets with random weights."""

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tiny_models import POOLED_WIDTH, TEXT_WIDTH, tiny_controlnet, tiny_unet, tiny_union
from underpaint.backend.worker.models.embedded_tokenizer import END_ID, START_ID, VOCABULARY_SIZE, write_tokenizer

SD2_TEXT_WIDTH = 1024  # by which a Stable Diffusion 2 checkpoint is known

_NOISE = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
    "steps_offset": 1, "clip_sample": False,
}  # fmt: skip
_SCHEDULERS: dict[str, dict[str, Any]] = {  # as the well-known checkpoints' own configs have them
    "sd15": {"_class_name": "PNDMScheduler", **_NOISE, "skip_prk_steps": True, "set_alpha_to_one": False},
    "sd21": {"_class_name": "DDIMScheduler", **_NOISE, "set_alpha_to_one": False, "prediction_type": "v_prediction"},
    "sdxl": {"_class_name": "EulerDiscreteScheduler", **_NOISE, "timestep_spacing": "leading"},
    "lcm": {"_class_name": "LCMScheduler", **_NOISE, "set_alpha_to_one": True, "original_inference_steps": 50},
}


def build(models: Path) -> None:
    """Write every checkpoint and every ControlNet into a models folder."""
    for name, class_name, unet in (
        ("sd15", "StableDiffusionPipeline", tiny_unet("sd15")),
        ("sd15-inpaint", "StableDiffusionInpaintPipeline", tiny_unet("sd15", in_channels=9)),
        ("sd15-lcm", "StableDiffusionPipeline", tiny_unet("sd15", time_cond=True)),
        ("sd21", "StableDiffusionPipeline", tiny_unet("sd21", text_width=SD2_TEXT_WIDTH)),
        ("sdxl", "StableDiffusionXLPipeline", tiny_unet("sdxl")),
        ("sdxl-inpaint", "StableDiffusionXLInpaintPipeline", tiny_unet("sdxl", in_channels=9)),
    ):
        family = name.partition("-")[0]
        unet.save_pretrained(models / name / "unet")
        _vae(family).save_pretrained(models / name / "vae")
        _texts(models / name, family)
        scheduler = _SCHEDULERS["lcm" if name == "sd15-lcm" else family]
        _write(models / name / "scheduler" / "scheduler_config.json", scheduler)
        _write(models / name / "model_index.json", _index(class_name, scheduler))
        if "-" not in name:
            for seed, letter in enumerate("abc", 11):
                tiny_controlnet(unet, seed).save_pretrained(models / f"{name}-{letter}")
    unet = diffusers.UNet2DConditionModel.from_pretrained(models / "sd15" / "unet")
    tiny_controlnet(unet, 17, global_pool_conditions=True).save_pretrained(models / "sd15-pool")
    unet = diffusers.UNet2DConditionModel.from_pretrained(models / "sdxl" / "unet")
    tiny_union(unet, 6, seed=18).save_pretrained(models / "sdxl-union")
    tiny_union(unet, 8, seed=19).save_pretrained(models / "sdxl-promax")


def _vae(family: str) -> Any:
    """A KL autoencoder of SD's four levels, whose pictures use the whole range."""
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(3)
        vae = diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 16, 16),
            norm_num_groups=4,
            sample_size=64,
            scaling_factor=0.13025 if family == "sdxl" else 0.18215,
        )
        vae.decoder.conv_out.weight.mul_(1.5)
    return vae


def _texts(checkpoint: Path, family: str) -> None:
    """The text encoders and tokenizers; SDXL's two stand side by side in the cross-attention's width."""
    torch.manual_seed(5)
    width = {"sd15": TEXT_WIDTH, "sd21": SD2_TEXT_WIDTH, "sdxl": TEXT_WIDTH // 2}[family]
    config = transformers.CLIPTextConfig(
        vocab_size=VOCABULARY_SIZE, hidden_size=width, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, projection_dim=POOLED_WIDTH, bos_token_id=START_ID, eos_token_id=END_ID,
        initializer_range=0.5,
    )  # fmt: skip
    _lively(transformers.CLIPTextModel(config)).save_pretrained(checkpoint / "text_encoder")
    write_tokenizer(checkpoint / "tokenizer")
    if family == "sdxl":
        _lively(transformers.CLIPTextModelWithProjection(config)).save_pretrained(checkpoint / "text_encoder_2")
        write_tokenizer(checkpoint / "tokenizer_2")


@torch.no_grad()
def _lively(encoder: Any) -> Any:
    """As it is, with embeddings that tell one token from another: transformers begins with nearly none."""
    for name, weight in encoder.named_parameters():
        if "embedding" in name:
            torch.nn.init.normal_(weight, std=1.0)
    return encoder


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def _index(class_name: str, scheduler: dict[str, Any]) -> dict[str, Any]:
    """model_index.json, with which diffusers' DiffusionPipeline.from_pretrained finds the parts."""
    encoders: dict[str, Any] = {
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    }
    if "XL" in class_name:
        encoders |= {
            "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
            "tokenizer_2": ["transformers", "CLIPTokenizer"],
            "force_zeros_for_empty_prompt": True,
        }
    else:
        encoders |= {"safety_checker": [None, None], "feature_extractor": [None, None]}
    return {
        "_class_name": class_name,
        "_diffusers_version": diffusers.__version__,
        **encoders,
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", scheduler["_class_name"]],
    }
