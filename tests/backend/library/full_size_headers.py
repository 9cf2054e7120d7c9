"""Models at full size as names and shapes alone, and sparse files that hold them, which cost neither disk nor time.

Modules are made on torch's meta device, and named as other programs name them by the worker's tests.
"""

import json
import math
import struct
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

sys.path.append(str(Path(__file__).resolve().parents[1] / "worker"))
import single_files

Shapes = dict[str, tuple[int, ...]]

_BITS = {"F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8}
_UNETS: dict[str, dict[str, Any]] = {
    "sd15": {"cross_attention_dim": 768, "attention_head_dim": 8},
    "sd2": {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True},
    "sdxl": {
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
    },
    "refiner": {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (384, 768, 1536, 1536),
        "transformer_layers_per_block": 4,
        "attention_head_dim": (6, 12, 24, 24),
        "cross_attention_dim": 1280,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2560,
    },
}


@cache
def _unet(family: str, in_channels: int = 4) -> Any:
    with torch.device("meta"):
        return diffusers.UNet2DConditionModel(in_channels=in_channels, **_UNETS[family])


@cache
def _vae() -> Any:
    with torch.device("meta"):
        return diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        )


@cache
def _clip(layers: int, width: int, projects: bool) -> Any:
    config = transformers.CLIPTextConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=width // 64,
        projection_dim=width,
    )  # fmt: skip
    kind = transformers.CLIPTextModelWithProjection if projects else transformers.CLIPTextModel
    with torch.device("meta"):
        return kind(config)


def shapes(tensors: Mapping[str, Any]) -> Shapes:
    """Names and shapes alone."""
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


@cache
def checkpoint(family: str, in_channels: int = 4) -> Shapes:
    """A whole checkpoint as A1111, ComfyUI and Civitai have it."""
    found = under("model.diffusion_model.", unet(family, in_channels))
    found |= under("first_stage_model.", shapes(single_files.ldm_vae(_vae())))
    clip, large = _clip(12, 768, False), _clip(32 if family != "sd2" else 23, 1280 if family != "sd2" else 1024, True)
    if family == "sd15":
        return found | under("cond_stage_model.transformer.", shapes(single_files._clip(clip)))
    if family == "sd2":
        return found | under("cond_stage_model.model.", shapes(single_files.open_clip(large)))
    if family == "refiner":
        return found | under("conditioner.embedders.0.model.", shapes(single_files.open_clip(large)))
    found |= under("conditioner.embedders.0.transformer.", shapes(single_files._clip(clip)))
    return found | under("conditioner.embedders.1.model.", shapes(single_files.open_clip(large)))


@cache
def unet(family: str, in_channels: int = 4) -> Shapes:
    """A UNet alone, in CompVis' names."""
    return shapes(single_files.ldm_unet(_unet(family, in_channels)))


@cache
def diffusers_unet(family: str) -> Shapes:
    """A UNet alone, in diffusers' names."""
    return shapes(_unet(family).state_dict())


@cache
def controlnet(family: str, original: bool = False) -> Shapes:
    """A ControlNet in diffusers' names, or in lllyasviel's."""
    with torch.device("meta"):
        net = diffusers.ControlNetModel.from_unet(_unet(family), load_weights_from_unet=False)
    return under("control_model.", shapes(single_files.ldm_unet(net))) if original else shapes(net.state_dict())


@cache
def union(modes: int) -> Shapes:
    """One of xinsir's union nets."""
    config = {key: value for key, value in _UNETS["sdxl"].items() if key != "up_block_types"}
    with torch.device("meta"):
        return shapes(diffusers.ControlNetUnionModel(**config, num_control_type=modes).state_dict())


@cache
def vae(original: bool = True) -> Shapes:
    """The VAE of Stable Diffusion."""
    return shapes(single_files.ldm_vae(_vae()) if original else _vae().state_dict())


@cache
def kohya_lora(family: str, rank: int = 16, kind: str = "lora") -> Shapes:
    """A LoRA of every linear layer in the UNet's attentions, as kohya's trainer and LyCORIS write it."""
    found: Shapes = {}
    for key, shape in diffusers_unet(family).items():
        layer, _, name = key.rpartition(".")
        if name == "weight" and "attentions" in layer and len(shape) in (2, 4):
            stem = f"lora_unet_{layer.replace('.', '_')}"
            rest = (1, 1) if len(shape) == 4 else ()
            found[f"{stem}.alpha"] = ()
            if kind == "lora":
                found[f"{stem}.lora_down.weight"] = (rank, shape[1], *rest)
                found[f"{stem}.lora_up.weight"] = (shape[0], rank, *rest)
            elif kind == "loha":
                for half in ("hada_w1", "hada_w2"):
                    found[f"{stem}.{half}_a"] = (shape[0], rank)
                    found[f"{stem}.{half}_b"] = (rank, shape[1])
            else:
                found[f"{stem}.lokr_w1"] = (8, 8)
                found[f"{stem}.lokr_w2_a"] = (shape[0] // 8, rank)
                found[f"{stem}.lokr_w2_b"] = (rank, shape[1] // 8)
    return found


@cache
def peft_lora(family: str, rank: int = 16) -> Shapes:
    """The same as diffusers writes it today."""
    found: Shapes = {}
    for key, shape in diffusers_unet(family).items():
        layer, _, name = key.rpartition(".")
        if name == "weight" and ".attn" in layer and len(shape) == 2:
            found[f"unet.{layer}.lora_A.weight"] = (rank, shape[1])
            found[f"unet.{layer}.lora_B.weight"] = (shape[0], rank)
    return found


def under(prefix: str, found: Mapping[str, tuple[int, ...]]) -> Shapes:
    """The same with longer names."""
    return {prefix + key: shape for key, shape in found.items()}


def header_of(
    found: Mapping[str, tuple[int, ...]], dtype: str = "F16", metadata: Mapping[str, str] | None = None
) -> Any:
    """The header of a file with these tensors."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for key, shape in found.items():
        start, end = end, end + math.prod(shape) * _BITS[dtype] // 8
        header[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    return header


def write(
    file: Path,
    found: Mapping[str, tuple[int, ...]],
    dtype: str = "F16",
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A file with these tensors, all zeros that take no place on disk."""
    header = header_of(found, dtype, metadata)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.parent.mkdir(parents=True, exist_ok=True)
    ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + max(ends, default=0))
    return file
