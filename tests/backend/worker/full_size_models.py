"""Checkpoints and ControlNets of real sizes with random weights, as diffusers lays folders out.

With `fill=False` the files have their headers and lengths and are sparse: they take no room, and are enough for
planning. "mid" is SD 1.5's build, narrow enough for a test that paints.
"""

import json
import struct
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from underpaint.backend.worker.models.embedded_tokenizer import END_ID, START_ID, write_tokenizer

_SD15: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
_SDXL: dict[str, Any] = {
    "sample_size": 128,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
UNETS = {"sd15": _SD15, "mid": {**_SD15, "block_out_channels": (96, 160, 320, 320)}, "sdxl": _SDXL}
VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
}
_CLIP_L: dict[str, Any] = {
    "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "projection_dim": 768, "hidden_act": "quick_gelu",
    "bos_token_id": START_ID, "eos_token_id": END_ID, "pad_token_id": END_ID,
}  # fmt: skip
_CLIP_G = {
    **_CLIP_L, "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20,
    "projection_dim": 1280, "hidden_act": "gelu",
}  # fmt: skip
_SCHEDULER = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
    "set_alpha_to_one": False, "skip_prk_steps": True,
}  # fmt: skip
_BLOCK = np.random.default_rng(0).standard_normal(1 << 20).astype(np.float32)


def build_checkpoint(kind: str, folder: Path, *, fill: bool = True) -> None:
    """Write a checkpoint in float16: "sd15" (2.1 GB), "sdxl" (6.9 GB) or "mid" (0.4 GB)."""
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(**UNETS[kind])
        vae = diffusers.AutoencoderKL(**_vae(kind))
        encoders = {"text_encoder": transformers.CLIPTextModel(transformers.CLIPTextConfig(**_text(kind)))}
        if kind == "sdxl":
            config = transformers.CLIPTextConfig(**_CLIP_G)
            encoders["text_encoder_2"] = transformers.CLIPTextModelWithProjection(config)
    _write(unet, folder / "unet", fill=fill)
    _write(vae, folder / "vae", fill=fill)
    for name, encoder in encoders.items():
        _write(encoder, folder / name, fill=fill)
        write_tokenizer(folder / name.replace("text_encoder", "tokenizer"))
    (folder / "scheduler").mkdir()
    scheduler = {"_class_name": "PNDMScheduler", **_SCHEDULER}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    class_name = "StableDiffusionXLPipeline" if kind == "sdxl" else "StableDiffusionPipeline"
    (folder / "model_index.json").write_text(json.dumps({"_class_name": class_name}))


def build_controlnet(kind: str, folder: Path, *, fill: bool = True, seed: int = 0) -> None:
    """Write a ControlNet for a checkpoint: 0.72 GB for "sd15", 2.5 GB for "sdxl"."""
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(**UNETS[kind])
        net = diffusers.ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    _write(net, folder, fill=fill, seed=seed)


def _vae(kind: str) -> dict[str, Any]:
    if kind == "sdxl":
        return {**VAE, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True}
    if kind == "mid":
        return {**VAE, "sample_size": 512, "block_out_channels": (32, 64, 128, 128)}
    return {**VAE, "sample_size": 512}


def _text(kind: str) -> dict[str, Any]:
    return {**_CLIP_L, "num_hidden_layers": 2} if kind == "mid" else _CLIP_L


def _write(model: Any, folder: Path, *, fill: bool, seed: int = 0) -> None:
    folder.mkdir(parents=True)
    model.config.save_pretrained(folder) if hasattr(model.config, "save_pretrained") else model.save_config(folder)
    stem = "model" if isinstance(model, transformers.PreTrainedModel) else "diffusion_pytorch_model"
    tensors = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + 2 * tensor.numel()
        header[name] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with (folder / f"{stem}.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        if not fill:
            file.truncate(8 + len(encoded) + end)
            return
        for index, (name, tensor) in enumerate(tensors.items()):
            file.write(_values(name, tensor, seed + index))


def _values(name: str, tensor: Any, seed: int) -> bytes:
    """Weights that keep activations at their size, so that half precision is enough; none is zero."""
    if tensor.ndim < 2:
        centre, spread = (1.0, 0.02) if "norm" in name and name.endswith("weight") else (0.0, 0.02)
    else:
        centre, spread = 0.0, 0.5 * float(np.prod(tensor.shape[1:])) ** -0.5
    block = (np.roll(_BLOCK, 7919 * seed) * spread + centre).astype(np.float16).tobytes()
    size = 2 * tensor.numel()
    return (block * (size // len(block) + 1))[:size]
