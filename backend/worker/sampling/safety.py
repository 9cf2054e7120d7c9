"""Stable Diffusion's safety checker, for those who ask for it: pictures that it objects to come out black."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....protocol.arrays import UInt8Array
from ....protocol.errors import ModelBroken, ModelMissing
from ....protocol.models import ModelKind
from ...library.headers import read_header
from ..memory.plan import Group
from ..models import downloads
from ..models.component_folders import find_weights
from ..models.loading import Source
from ..models.weights import Weights
from ..third_party import torch, transformers

_CLASS = "StableDiffusionSafetyChecker"
_FOLDER = "safety_checker"  # inside a checkpoint


@dataclass(frozen=True, kw_only=True)
class SafetyInfo:
    """A safety checker whose files are whole."""

    folder: Path
    name: str  # as the request calls it
    weights: Weights


def inspect_safety_checker(reference: str, *, models: Path) -> SafetyInfo:
    """The checker in a folder of diffusers' layout: by itself, or inside a checkpoint.

    Raises ModelMissing and ModelBroken.
    """
    found = downloads.here(reference, ModelKind.SAFETY_CHECKER, models)
    if found is None or not found.is_dir():
        raise ModelMissing(
            model=reference,
            reason=f"there is no such folder with a safety checker, neither in {models}. Give its folder, or leave it "
            "empty to go without",
        )
    folder = found / _FOLDER if (found / _FOLDER / "config.json").is_file() else found
    weights = find_weights(folder, "model", reference)
    if "special_care_embeds" not in _keys(weights, reference):
        raise ModelBroken(model=reference, reason=f"{folder.name} is no {_CLASS}; its weights are something else's")
    return SafetyInfo(folder=folder, name=reference, weights=weights)


@dataclass(frozen=True, kw_only=True)
class _CheckerSource(Source):
    """A class of transformers' kind that lies in diffusers."""

    def _load(self, dtype: Any) -> Any:
        module = self._class.from_pretrained(
            str(self.weights.folder),
            dtype=dtype,
            variant=self.weights.variant,
            use_safetensors=True,
            local_files_only=True,
        )
        return module.eval().requires_grad_(False)

    def _empty(self, dtype: Any) -> Any:
        chosen = self._class
        with torch().device("meta"):
            module = chosen(chosen.config_class.from_pretrained(str(self.weights.folder), local_files_only=True))
        return torch().nn.Module.to(module, dtype).eval().requires_grad_(False)


def safety_source(info: SafetyInfo) -> Source:
    """The checker, which works when pictures have been decoded, and so waits and comes with the VAE."""
    return _CheckerSource(
        model=info.name,
        name="safety checker",
        group=Group.VAE,
        library=lambda: importlib.import_module("diffusers.pipelines.stable_diffusion.safety_checker"),
        class_name=_CLASS,
        weights=info.weights,
    )


def objected(checker: Any, picture: UInt8Array, *, device: Any, dtype: Any) -> bool:
    """Whether the checker objects to a picture, (height, width, 3) uint8 sRGB; the picture stays as it is."""
    side = checker.config.vision_config.image_size
    size: dict[str, Any] = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    processor = transformers().CLIPImageProcessor(**size)
    seen = processor(picture, return_tensors="pt", input_data_format="channels_last").pixel_values
    with torch().inference_mode():
        _, found = checker(clip_input=seen.to(device=device, dtype=dtype), images=[np.zeros((1, 1, 3), np.float32)])
    return bool(found[0])


def blackened(
    images: Sequence[UInt8Array], objections: Sequence[bool]
) -> tuple[tuple[UInt8Array, ...], tuple[str, ...]]:
    """The pictures, black where there is an objection, and what the user should hear of it."""
    numbers = [str(number) for number, objection in enumerate(objections, 1) if objection]
    if not numbers:
        return tuple(images), ()
    if len(images) == 1:
        note = "The safety checker objected to the picture, so it is black. Change the prompt or the seed"
    else:
        which = f"picture {numbers[0]}" if len(numbers) == 1 else f"pictures {', '.join(numbers)}"
        note = f"The safety checker objected to {which} of {len(images)}, black now. Change the prompt or the seed"
    shown = tuple(
        np.zeros_like(image) if objection else image for image, objection in zip(images, objections, strict=True)
    )
    return shown, (f"{note}.",)


def _keys(weights: Weights, name: str) -> set[str]:
    return {key for file, _, _ in weights.stamp for key in read_header(weights.folder / file, name)}
