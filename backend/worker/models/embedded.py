"""The embedded default checkpoint: Stable Diffusion 1.5's architecture made small, built here on first use.

It lets everything run, for real and offline, before anybody has downloaded a model. It is untrained: its
weights are random, but arranged (see `embedded_weights`) so that a control image shows in the picture.

The seam for a trained small model: the empty reference `""` means `checkpoint(models)`, a plain diffusers
folder, and an empty `Control.controlnet` means `controlnet(models, kind)`, a plain ControlNet folder
inside it. Nothing else in the worker knows that this model is made rather than found. Whoever brings a
trained one puts its folder under another `NAME` and replaces `_build`.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ....protocol.request import ControlKind
from ..third_party import diffusers, torch, transformers
from . import embedded_weights as weights
from .embedded_tokenizer import END_ID, START_ID, VOCABULARY_SIZE, write_tokenizer

NAME = "untrained-5"  # raised whenever the bytes it is made of change

_TEXT_WIDTH = 64
_CHANNELS = (32, 48, 64, 64)
_HINT_CHANNELS = (8, 8, 16, 16)  # the hint encoder works at full size, so its width costs most of a small net
_VAE_CHANNELS = (16, 16, 32, 32)

_UNET: dict[str, Any] = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": _CHANNELS,
    "layers_per_block": 1,
    "attention_head_dim": 1,  # diffusers reads it as the number of heads for SD 1.5
    "cross_attention_dim": _TEXT_WIDTH,
    "norm_num_groups": weights.UNET_GROUPS,
}
_VAE: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": _VAE_CHANNELS,
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": weights.VAE_GROUPS,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
_TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY_SIZE,
    "hidden_size": _TEXT_WIDTH,
    "intermediate_size": 4 * _TEXT_WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 77,
    "projection_dim": _TEXT_WIDTH,
    "bos_token_id": START_ID,
    "eos_token_id": END_ID,  # where CLIPTextModel looks for the end of the prompt
    "pad_token_id": END_ID,
}
_SCHEDULER: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",  # the hand-made path of `embedded_weights` is a velocity
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "clip_sample": False,
}
_MODEL_INDEX: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def checkpoint(models: Path) -> Path:
    """The embedded checkpoint's folder; built there when it is not. Two seconds, 13 MB."""
    where = folder(models)
    if not where.is_dir():
        _build_in_place(where)
    return where


def folder(models: Path) -> Path:
    """Where the embedded checkpoint lies once it is built."""
    return models / "embedded" / NAME


def controlnet(models: Path, kind: ControlKind) -> Path:
    """The folder of the embedded checkpoint's ControlNet of a kind; kinds that look alike share one."""
    return checkpoint(models) / "controlnets" / weights.hint_name(kind)


def _build_in_place(whole: Path) -> None:
    """Build aside and rename, so that the folder is complete or absent whatever happens on the way."""
    whole.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=whole.parent, prefix=".building-"))
    try:
        _build(aside)
        aside.chmod(0o755)
        try:
            aside.rename(whole)
        except OSError:
            if not whole.is_dir():  # otherwise another worker was quicker, with the same bytes
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _build(into: Path) -> None:
    library, text_library = diffusers(), transformers()
    unet = library.UNet2DConditionModel(**_UNET)
    parts: dict[str, Any] = {
        "unet": unet,
        "vae": library.AutoencoderKL(**_VAE),
        "text_encoder": text_library.CLIPTextModel(text_library.CLIPTextConfig(**_TEXT)),
    }
    for hint in weights.HINTS:
        parts[f"controlnets/{hint}"] = library.ControlNetModel.from_unet(
            unet, conditioning_embedding_out_channels=_HINT_CHANNELS, load_weights_from_unet=False
        )
    for name, part in parts.items():
        weights.arrange(part, name)
        part.to(torch().float16).save_pretrained(into / name, safe_serialization=True)
    write_tokenizer(into / "tokenizer")
    _write_json(into / "scheduler" / "scheduler_config.json", _SCHEDULER)
    _write_json(into / "model_index.json", {**_MODEL_INDEX, "_diffusers_version": library.__version__})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
