"""LoRA files in the layouts that trainers write, with random values, for small checkpoints."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors.torch import save_file
from underpaint.backend.worker.models import adapters
from underpaint.backend.worker.models.inspection import CheckpointInfo
from underpaint.backend.worker.models.loading import checkpoint_sources

_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
_UNET_LINEAR = (*_ATTENTION, "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
_UNET_CONV = ("conv1", "conv2", "conv_shortcut", "time_emb_proj", "conv")
_TEXT = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


@dataclass(frozen=True, kw_only=True)
class Halves:
    """A layer's matrices."""

    down: Any
    up: Any
    alpha: float | None


def layers(module: Any, ends: Iterable[str], *, rank: int = 4, alpha: float | None = 2.0, seed: int = 0) -> Any:
    """Random halves for every layer of a module whose name ends so, of a size that shows."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Halves] = {}
    for name, layer in module.named_modules():
        if not name.endswith(tuple(f".{end}" for end in ends)) or not isinstance(
            layer, torch.nn.Linear | torch.nn.Conv2d
        ):
            continue
        out, *rest = layer.weight.shape
        down = torch.randn(rank, *rest, generator=generator) / layer.weight[0].numel() ** 0.5
        up = torch.randn(out, rank, *[1] * (len(rest) - 1), generator=generator) * 0.3
        found[name] = Halves(down=down, up=up, alpha=alpha)
    return found


def unet_layers(unet: Any, *, conv: bool = False, **options: Any) -> dict[str, Halves]:
    """Of the transformers, and with `conv` of the resnets and samplers as well (LoCon)."""
    return layers(unet, (*_UNET_LINEAR, *(_UNET_CONV if conv else ())), **options)


def text_layers(encoder: Any, **options: Any) -> dict[str, Halves]:
    """Of a text encoder."""
    return layers(encoder, _TEXT, **options)


def write_kohya(
    file: Path,
    parts: Mapping[str, Mapping[str, Halves]],
    *,
    dtype: Any = torch.float32,
    sgm: Any = None,
    extra: Mapping[str, Any] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """By prefix ("lora_unet_", "lora_te_", ...); `sgm` is a UNet whose blocks are named as Stability's code does."""
    tensors: dict[str, Any] = dict(extra or {})
    for prefix, found in parts.items():
        for module, halves in found.items():
            name = module
            if prefix.startswith("lora_te") and not module.startswith("text_model."):
                name = f"text_model.{module}"
            if prefix == "lora_unet_" and sgm is not None:
                name = sgm_name(module, sgm.config.layers_per_block)
            stem = prefix + name.replace(".", "_")
            tensors[f"{stem}.lora_down.weight"] = halves.down.to(dtype)
            tensors[f"{stem}.lora_up.weight"] = halves.up.to(dtype)
            if halves.alpha is not None:
                tensors[f"{stem}.alpha"] = torch.tensor(halves.alpha, dtype=dtype)
    return _saved(file, tensors, metadata)


def write_diffusers(file: Path, parts: Mapping[str, Mapping[str, Halves]], *, peft: bool = True) -> Path:
    """By component, as `save_lora_weights` of diffusers names them today, and (not `peft`) for its first years."""
    tensors: dict[str, Any] = {}
    for component, found in parts.items():
        for module, halves in found.items():
            down, up = (".lora_A.weight", ".lora_B.weight") if peft else (".lora.down.weight", ".lora.up.weight")
            if not peft and component.startswith("text"):
                down, up = ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"
            tensors[f"{component}.{module}{down}"] = halves.down
            tensors[f"{component}.{module}{up}"] = halves.up
    return _saved(file, tensors, None)


def sgm_name(module: str, layers_per_block: int) -> str:
    """Stability's name of one of diffusers' layers, with underscores where a converter looks for them."""
    parts = module.split(".")
    block, per = parts[0], layers_per_block + 1
    inner = {"resnets": 0, "attentions": 1, "upsamplers": 2}
    if block == "mid_block":
        place = 1 if parts[1] == "attentions" else 2 * int(parts[2])
        return ".".join(("middle_block", str(place), *_resnet(parts[3:])))
    index, kind, layer = int(parts[1]), parts[2], int(parts[3])
    if block == "down_blocks" and kind == "downsamplers":
        return f"input_blocks.{(index + 1) * per}.0.op"
    if block == "down_blocks":
        return ".".join(("input_blocks", str(1 + index * per + layer), str(inner[kind]), *_resnet(parts[4:])))
    place = index * per + (layer if kind != "upsamplers" else layers_per_block)
    return ".".join(("output_blocks", str(place), str(inner[kind]), *_resnet(parts[4:])))


def _resnet(parts: list[str]) -> list[str]:
    return {
        "conv1": ["in_layers", "2"],
        "conv2": ["out_layers", "3"],
        "time_emb_proj": ["emb_layers", "1"],
        "conv_shortcut": ["skip_connection"],
    }.get(parts[0], parts)


def _saved(file: Path, tensors: dict[str, Any], metadata: dict[str, str] | None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, file, metadata=metadata)
    return file


def stock(info: CheckpointInfo) -> Any:
    """A fresh pipeline of diffusers, in float32, of which only what is compared is there."""
    parts: dict[str, Any] = {"unet": diffusers.UNet2DConditionModel.from_pretrained(info.folder / "unet")}
    for name, class_name, tokenizer in info.family.text_encoders:
        parts[name] = getattr(transformers, class_name).from_pretrained(info.folder / name)
        parts[tokenizer] = None
    if not info.family.pooled_text:
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    pipeline = getattr(diffusers, info.family.pipeline)(vae=None, scheduler=None, **parts)
    return pipeline.to(torch.float32)


def fused(info: CheckpointInfo, *wanted: tuple[Path, float, float | None], dtype: Any = torch.float32) -> Any:
    """Our modules with LoRAs, by component."""
    choices = adapters.choose([(str(file), *weights) for file, *weights in wanted], info, models=Path("/nowhere"))
    sources = adapters.with_loras(checkpoint_sources(info), choices)
    return {name: source.load(dtype) for name, source in sources.items() if name != "vae"}


def lora(info: CheckpointInfo, file: Path, layout: str, *, seed: int = 0, conv: bool = False) -> Path:
    """A file in a layout, for every component."""
    pipeline = stock(info)
    alpha = None if layout in ("peft", "diffusers") else 3.0
    of_unet = unet_layers(pipeline.unet, conv=conv, alpha=alpha, seed=seed)
    encoders = [name for name, _, _ in info.family.text_encoders]
    of_text = {
        name: text_layers(getattr(pipeline, name), alpha=alpha, seed=seed + 1 + number)
        for number, name in enumerate(encoders)
    }
    if layout in ("peft", "diffusers"):
        return write_diffusers(file, {"unet": of_unet, **of_text}, peft=layout == "peft")
    prefixes = ("lora_te_",) if len(encoders) == 1 else ("lora_te1_", "lora_te2_")
    parts = {"lora_unet_": of_unet, **dict(zip(prefixes, of_text.values(), strict=True))}
    return write_kohya(file, parts, sgm=pipeline.unet if layout == "sgm" else None)
