"""The CLIP models that IP-Adapters look with: diffusers' folders, or single files as ComfyUI keeps them."""

import importlib
import math
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from ....protocol.errors import ModelBroken
from ...library.headers import read_header
from ..memory.plan import Group
from ..third_party import torch, transformers
from .component_folders import find_weights
from .loading import Source
from .weights import Weights

_ENCODER_CLASS = "CLIPVisionModelWithProjection"

# What a CLIP's weights don't say, by its width: heads and activation of OpenAI's ViT-L, OpenCLIP's ViT-H and bigG
# (their config.json on the hub).
_CLIPS = {1024: (16, "quick_gelu"), 1280: (16, "gelu"), 1664: (16, "gelu")}


class Look(StrEnum):
    """What of CLIP an adapter takes in."""

    EMBEDDING = "embedding"  # the projected embedding of the whole picture: plain adapters
    TOKENS = "tokens"  # what the last layer but one makes of each patch: plus and full-face adapters


@dataclass(frozen=True, kw_only=True)
class EncoderInfo:
    """A CLIP image encoder whose files are whole."""

    path: Path  # diffusers' folder, or one file
    name: str
    embedding_width: int
    token_width: int
    weights: Weights

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for the same bytes on disk."""
        return (str(self.path), self.weights.stamp)

    def width(self, look: Look) -> int:
        """Of what it gives."""
        return self.embedding_width if look is Look.EMBEDDING else self.token_width


def inspect_encoder(place: Path, name: str) -> EncoderInfo:
    """A CLIP image encoder: diffusers' folder, or a file as ComfyUI keeps them. Raises ModelBroken."""
    if place.is_file():
        shapes, weights = file_shapes(place, name), file_weights(place)
    else:
        weights = find_weights(place, "model", name)
        shapes = {key: shape for file, _, _ in weights.stamp for key, shape in file_shapes(place / file, name).items()}
    projection = shapes.get("visual_projection.weight")
    if projection is None or not any("patch_embedding" in key for key in shapes):
        raise ModelBroken(
            model=name, reason=f"{place.name} is no CLIP image encoder with a projection ({_ENCODER_CLASS})"
        )
    if place.is_file() and projection[1] not in _CLIPS:
        raise ModelBroken(
            model=name,
            reason=f"{place.name} is a CLIP {projection[1]} wide, of which the file doesn't say enough; choose the "
            "folder with its config.json",
        )
    return EncoderInfo(path=place, name=name, embedding_width=projection[0], token_width=projection[1], weights=weights)


@dataclass(frozen=True, kw_only=True)
class _EncoderFileSource(Source):
    """One file: the config is told by the weights' shapes."""

    file: Path
    config: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def place(self) -> tuple[object, ...]:
        return (str(self.file), self.class_name)

    def _load(self, dtype: Any) -> Any:
        module = self._empty(dtype)
        wanted = module.state_dict()
        found = {key: tensor.to(dtype) for key, tensor in file_tensors(self.file).items() if key in wanted}
        module.load_state_dict(found, assign=True)
        positions = module.get_submodule("vision_model.embeddings")
        # the only tensor that isn't in the file; on "meta" it has no numbers
        positions.position_ids = torch().arange(positions.num_positions).expand((1, -1))
        return module.requires_grad_(False)

    def _empty(self, dtype: Any) -> Any:
        library = transformers()
        with torch().device("meta"):
            module = library.CLIPVisionModelWithProjection(library.CLIPVisionConfig(**self.config))
        return torch().nn.Module.to(module, dtype).eval().requires_grad_(False)


def encoder_source(info: EncoderInfo) -> Source:
    """An image encoder, which works where prompts are encoded."""
    common: dict[str, Any] = {
        "model": info.name,
        "name": "image encoder",
        "group": Group.TEXT,
        "library": transformers,
        "class_name": _ENCODER_CLASS,
        "weights": info.weights,
    }
    if info.path.is_dir():
        return Source(**common)
    return _EncoderFileSource(**common, file=info.path, config=_clip_config(file_shapes(info.path, info.name)))


def _clip_config(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    width, _, patch, _ = shapes["vision_model.embeddings.patch_embedding.weight"]
    places, _ = shapes["vision_model.embeddings.position_embedding.weight"]
    layers = [int(key.split(".")[3]) for key in shapes if key.startswith("vision_model.encoder.layers.")]
    heads, activation = _CLIPS[width]
    return {
        "hidden_size": width,
        "intermediate_size": shapes["vision_model.encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": max(layers) + 1,
        "num_attention_heads": heads,
        "hidden_act": activation,
        "patch_size": patch,
        "image_size": patch * math.isqrt(places - 1),  # one more is of the whole picture
        "projection_dim": shapes["visual_projection.weight"][0],
    }


def file_shapes(file: Path, name: str) -> dict[str, tuple[int, ...]]:
    """Of every tensor in a file. Raises ModelBroken."""
    return {key: tuple(entry["shape"]) for key, entry in read_header(file, name).items() if key != "__metadata__"}


def file_weights(file: Path) -> Weights:
    """A model that is one file."""
    told = file.stat()
    return Weights(folder=file.parent, variant=None, stamp=((file.name, told.st_size, told.st_mtime_ns),))


def file_tensors(file: Path) -> dict[str, Any]:
    """Every tensor in a file."""
    library: Any = importlib.import_module("safetensors.torch")
    return library.load_file(file)
