"""diffusers' own pipelines called by hand, as their documentation has it: what our pictures are compared with."""

import inspect
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image
from underpaint.protocol.arrays import UInt8Array

PREFIXES = {
    "sd3": "StableDiffusion3",
    "flux": "Flux",
    "qwen_image": "QwenImage",
    "z_image": "ZImage",
    "schnell": "Flux",
}
NET_PREFIXES = {**PREFIXES, "sd3": "SD3"}


def stock_picture(
    models: Path,
    family: str,
    way: str,
    *,
    nets: tuple[str, ...] = (),
    seed: int = 7,
    several: str = "",
    lora: tuple[Path, float] | None = None,
    **call: Any,
) -> UInt8Array:
    """A picture by the pipeline `<prefix><way>Pipeline`, from the folders, with whatever else it is called with."""
    chosen = getattr(diffusers, f"{PREFIXES[family]}{way}Pipeline")
    base = getattr(diffusers, f"{PREFIXES[family]}Pipeline").from_pretrained(models / family)
    parts: dict[str, Any] = dict(base.components)
    if nets:
        net_class = getattr(diffusers, f"{NET_PREFIXES[family]}ControlNetModel")
        loaded = [net_class.from_pretrained(models / name) for name in nets]
        parts["controlnet"] = getattr(diffusers, several)(loaded) if several else loaded[0]
    takes = inspect.signature(chosen.__init__).parameters
    pipeline = chosen(**{name: part for name, part in parts.items() if name in takes})
    pipeline.set_progress_bar_config(disable=True)
    if lora is not None:
        pipeline.load_lora_weights(str(lora[0]), adapter_name="chosen")
        pipeline.set_adapters("chosen", lora[1])
    torch.manual_seed(seed)  # some pipelines encode control images with noise from the global generator
    result = pipeline(generator=torch.Generator("cpu").manual_seed(seed), **call)
    return np.asarray(result.images[0])


def pil(array: Any) -> Image.Image:
    return Image.fromarray(np.asarray(array))
