"""A component's config from the shapes of its tensors; what shapes don't tell is as the published models have it."""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..families import FamilyId

SHIPPED = Path(__file__).with_name("shipped")
Shapes = Mapping[str, tuple[int, ...]]  # by diffusers' names

HEAD_VALUES = 64  # of an attention head in SD 2 and SDXL, and in CLIP; SD 1.5 always has 8 heads
_ADDED_VALUES = 256  # of each of the six numbers about a picture's size that SDXL is told
_ADDED_NUMBERS = 6


class ShapeMissing(Exception):
    """A tensor that every such component has isn't there; the message is its name."""


@cache
def _shipped(path: str) -> str:
    return (SHIPPED / path).read_text(encoding="utf-8")


def shipped_config(family: FamilyId, path: str) -> dict[str, Any]:
    """A JSON file of the family's, such as "unet/config.json"."""
    return json.loads(_shipped(f"{family}/{path}"))


def unet_family(shapes: Shapes) -> FamilyId:
    """Of a UNet or ControlNet by how it is built: pooled text is SDXL's, matrices around the attention are SD 2's."""
    if "add_embedding.linear_1.weight" in shapes:
        return FamilyId.SDXL
    linear = any(name.endswith("proj_in.weight") and len(shape) == 2 for name, shape in shapes.items())
    return FamilyId.SD2 if linear else FamilyId.SD15


def unet_config(shapes: Shapes, family: FamilyId) -> dict[str, Any]:
    """Of a UNet. Raises ShapeMissing."""
    config = shipped_config(family, "unet/config.json") | _half(shapes, family)
    config["out_channels"] = _shape(shapes, "conv_out.weight")[0]
    up = _transformers(shapes, "up_blocks")
    config["up_block_types"] = ["CrossAttnUpBlock2D" if any(depths) else "UpBlock2D" for depths in up]
    if "time_embedding.cond_proj.weight" in shapes:
        config["time_cond_proj_dim"] = shapes["time_embedding.cond_proj.weight"][1]
    return config


def controlnet_config(shapes: Shapes, family: FamilyId) -> dict[str, Any]:
    """Of a ControlNet, a union if it has modes. Raises ShapeMissing."""
    base = shipped_config(family, "unet/config.json")
    config = {key: value for key, value in base.items() if key not in _NOT_A_NETS} | _half(shapes, family)
    embedding = "controlnet_cond_embedding"
    blocks = _numbers(shapes, f"{embedding}.blocks")
    hints = [_shape(shapes, f"{embedding}.blocks.{number}.weight")[0] for number in blocks[1::2]]
    config["conditioning_embedding_out_channels"] = [_shape(shapes, f"{embedding}.conv_in.weight")[0], *hints]
    config["conditioning_channels"] = _shape(shapes, f"{embedding}.conv_in.weight")[1]
    config["_class_name"] = "ControlNetModel"
    if "task_embedding" in shapes:
        modes, width = shapes["task_embedding"]
        config |= {
            "_class_name": "ControlNetUnionModel",
            "num_control_type": modes,
            "num_trans_channel": width,
            "num_trans_layer": len(_numbers(shapes, "transformer_layes")),
            "num_proj_channel": _shape(shapes, "spatial_ch_projs.weight")[0],
        }
    return config


_NOT_A_NETS = ("_class_name", "center_input_sample", "out_channels", "sample_size", "up_block_types")


def _half(shapes: Shapes, family: FamilyId) -> dict[str, Any]:
    """What UNets and ControlNets have alike."""
    depths = _transformers(shapes, "down_blocks")
    channels = [_shape(shapes, f"down_blocks.{block}.resnets.0.conv1.weight")[0] for block in range(len(depths))]
    counts = [len(_numbers(shapes, f"down_blocks.{block}.resnets")) for block in range(len(depths))]
    config: dict[str, Any] = {
        "in_channels": _shape(shapes, "conv_in.weight")[1],
        "block_out_channels": channels,
        "down_block_types": ["CrossAttnDownBlock2D" if any(block) else "DownBlock2D" for block in depths],
        "layers_per_block": counts[0] if len(set(counts)) == 1 else counts,
        "attention_head_dim": 8 if family is FamilyId.SD15 else [max(1, width // HEAD_VALUES) for width in channels],
    }
    for name, shape in shapes.items():
        if name.endswith("attn2.to_k.weight"):
            config["cross_attention_dim"] = shape[1]
        elif name.endswith("attentions.0.proj_in.weight"):
            config["use_linear_projection"] = len(shape) == 2
    if any(depth > 1 for block in depths for depth in block):
        # where a block has no transformer, diffusers takes the number for the middle and the way up
        middle = _depth(shapes, "mid_block.attentions.0") or 1
        config["transformer_layers_per_block"] = [max(block) or 1 for block in depths[:-1]] + [
            max(depths[-1]) or middle
        ]
    if family is FamilyId.SDXL:
        config["projection_class_embeddings_input_dim"] = _shape(shapes, "add_embedding.linear_1.weight")[1]
        config["addition_time_embed_dim"] = _ADDED_VALUES
    return config


def pooled_width(config: Mapping[str, Any]) -> int:
    """Of the pooled text that an SDXL UNet takes."""
    return int(config["projection_class_embeddings_input_dim"]) - _ADDED_NUMBERS * int(
        config["addition_time_embed_dim"]
    )


def vae_config(shapes: Shapes, family: FamilyId) -> dict[str, Any]:
    """Of an AutoencoderKL. Raises ShapeMissing."""
    blocks = range(len(_numbers(shapes, "encoder.down_blocks")))
    config = shipped_config(family, "vae/config.json")
    config |= {
        "block_out_channels": [
            _shape(shapes, f"encoder.down_blocks.{block}.resnets.0.conv1.weight")[0] for block in blocks
        ],
        "down_block_types": ["DownEncoderBlock2D" for _ in blocks],
        "up_block_types": ["UpDecoderBlock2D" for _ in blocks],
        "layers_per_block": len(_numbers(shapes, "encoder.down_blocks.0.resnets")),
        "latent_channels": _shape(shapes, "decoder.conv_in.weight")[1],
        "in_channels": _shape(shapes, "encoder.conv_in.weight")[1],
        "out_channels": _shape(shapes, "decoder.conv_out.weight")[0],
    }  # fmt: skip
    return config


def text_config(shapes: Shapes, family: FamilyId, component: str) -> dict[str, Any]:
    """Of CLIP's text encoder. Raises ShapeMissing."""
    words, width = _shape(shapes, "embeddings.token_embedding.weight")
    config = shipped_config(family, f"{component}/config.json")
    config |= {
        "vocab_size": words,
        "hidden_size": width,
        "num_attention_heads": max(1, width // HEAD_VALUES),
        "max_position_embeddings": _shape(shapes, "embeddings.position_embedding.weight")[0],
        "intermediate_size": _shape(shapes, "encoder.layers.0.mlp.fc1.weight")[0],
        "num_hidden_layers": len(_numbers(shapes, "encoder.layers")),
    }
    if "text_projection.weight" in shapes:
        config["projection_dim"] = shapes["text_projection.weight"][0]
    return config


def _transformers(shapes: Shapes, side: str) -> list[list[int]]:
    """How many transformer blocks each layer of each block has; 0 for a layer without attention."""
    return [
        [_depth(shapes, f"{side}.{block}.attentions.{layer}") for layer in _numbers(shapes, f"{side}.{block}.resnets")]
        for block in _numbers(shapes, side)
    ]


def _depth(shapes: Shapes, attention: str) -> int:
    return len(_numbers(shapes, f"{attention}.transformer_blocks"))


def _numbers(shapes: Iterable[str], prefix: str) -> list[int]:
    """The numbers that come after a prefix. Raises ShapeMissing unless they count from 0 on."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    numbers = sorted({int(found[1]) for name in shapes if (found := pattern.match(name))})
    if numbers != list(range(len(numbers))):
        raise ShapeMissing(f"{prefix}.{next(place for place, number in enumerate(numbers) if place != number)}")
    return numbers


def _shape(shapes: Shapes, name: str) -> tuple[int, ...]:
    if name not in shapes:
        raise ShapeMissing(name)
    return shapes[name]
