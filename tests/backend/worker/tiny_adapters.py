"""IP-Adapters in h94's layout, CLIP image encoders and safety checkers as people have them, tiny and random."""

from pathlib import Path
from typing import Any, Literal

import diffusers
import torch
import transformers
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import save_file

Build = Literal["plain", "plus", "full", "faceid"]

EMBEDDING_WIDTH = 24  # of CLIP's projected embedding
TOKEN_WIDTH = 32  # of its patches
PLUS_TOKENS = 8


def tiny_clip() -> transformers.CLIPVisionConfig:
    return transformers.CLIPVisionConfig(
        hidden_size=TOKEN_WIDTH,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=EMBEDDING_WIDTH,
    )


def write_encoder(folder: Path, seed: int = 5) -> None:
    """An image encoder in transformers' layout."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        transformers.CLIPVisionModelWithProjection(tiny_clip()).save_pretrained(folder)


def write_safety_checker(folder: Path, threshold: float) -> None:
    """A checker whose every concept is as far away as `threshold`, a cosine."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(6)
        config = transformers.CLIPConfig(vision_config=tiny_clip().to_dict(), projection_dim=EMBEDDING_WIDTH)
        checker = StableDiffusionSafetyChecker(config)
        checker.concept_embeds.data = torch.randn(17, EMBEDDING_WIDTH)
        checker.special_care_embeds.data = torch.randn(3, EMBEDDING_WIDTH)
        checker.concept_embeds_weights.data.fill_(threshold)
        checker.special_care_embeds_weights.data.fill_(2.0)  # nothing is as near as that
        checker.save_pretrained(folder)


def write_adapter(file: Path, unet: Path, build: Build = "plain", seed: int = 9) -> None:
    """An adapter for the UNet in a folder."""
    module = diffusers.UNet2DConditionModel.from_pretrained(unet)
    text = module.config["cross_attention_dim"]
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int, scale: float = 0.3) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    tensors = {f"image_proj.{key}": tensor for key, tensor in _projection(build, text, random).items()}
    cross = [name for name in module.attn_processors if name.endswith("attn2.processor")]
    for number, name in enumerate(cross):
        width = module.get_submodule(name.removesuffix(".processor")).to_k.out_features
        tensors[f"ip_adapter.{2 * number + 1}.to_k_ip.weight"] = random(width, text)
        tensors[f"ip_adapter.{2 * number + 1}.to_v_ip.weight"] = random(width, text)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file)


def _projection(build: Build, text: int, random: Any) -> dict[str, torch.Tensor]:
    norm = {"norm.weight": torch.ones(text), "norm.bias": random(text, scale=0.1)}
    match build:
        case "plain":
            return {"proj.weight": random(4 * text, EMBEDDING_WIDTH), "proj.bias": random(4 * text), **norm}
        case "faceid":
            return {
                "proj.0.weight": random(1024, 512),
                "proj.0.bias": random(1024),
                "proj.2.weight": random(4 * text, 1024),
                "proj.2.bias": random(4 * text),
                **norm,
            }
        case "full":
            return {
                "proj.0.weight": random(TOKEN_WIDTH, TOKEN_WIDTH),
                "proj.0.bias": random(TOKEN_WIDTH),
                "proj.2.weight": random(text, TOKEN_WIDTH),
                "proj.2.bias": random(text),
                "proj.3.weight": torch.ones(text),
                "proj.3.bias": random(text, scale=0.1),
            }
        case "plus":
            return _resampler(text, random)


def _resampler(text: int, random: Any) -> dict[str, torch.Tensor]:
    width, inner = 48, 64
    tensors = {
        "latents": random(1, PLUS_TOKENS, width),
        "proj_in.weight": random(width, TOKEN_WIDTH),
        "proj_in.bias": random(width),
        "proj_out.weight": random(text, width),
        "proj_out.bias": random(text),
        "norm_out.weight": torch.ones(text),
        "norm_out.bias": random(text, scale=0.1),
    }
    for number in range(4):
        attention, feed = f"layers.{number}.0", f"layers.{number}.1"
        for norm in ("norm1", "norm2"):
            tensors |= {f"{attention}.{norm}.weight": torch.ones(width), f"{attention}.{norm}.bias": random(width)}
        tensors |= {
            f"{attention}.to_q.weight": random(inner, width),
            f"{attention}.to_kv.weight": random(2 * inner, width),
            f"{attention}.to_out.weight": random(width, inner),
            f"{feed}.0.weight": torch.ones(width),
            f"{feed}.0.bias": random(width),
            f"{feed}.1.weight": random(4 * width, width),
            f"{feed}.3.weight": random(width, 4 * width),
        }
    return tensors
