"""Components from disk, through diffusers' and transformers' own loaders; nothing here touches the network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ....protocol.errors import ModelBroken, UnderpaintError
from ..failures import is_out_of_memory
from ..third_party import diffusers, transformers
from .inspection import CheckpointInfo, ControlNetInfo, Weights


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """A checkpoint in memory, as the keyword arguments of its pipeline."""

    info: CheckpointInfo
    parts: dict[str, Any]  # "unet", "vae", "text_encoder", "tokenizer", "scheduler", ...


def load_checkpoint(info: CheckpointInfo, dtype: Any, announce: Callable[[str], None]) -> Components:
    """Load every component; `announce` hears what comes next and may raise to stop.

    Raises ModelBroken naming the component that can't be loaded.
    """
    library, text_library = diffusers(), transformers()
    parts: dict[str, Any] = {
        "scheduler": getattr(library, str(info.scheduler_config.get("_class_name", "PNDMScheduler"))).from_config(
            info.scheduler_config
        )
    }
    for encoder, class_name, tokenizer in info.family.text_encoders:
        announce(f"Loading {encoder}")
        parts[tokenizer] = _guarded(info.name, tokenizer, _load_tokenizer, info.folder / tokenizer)
        encoder_class = getattr(text_library, class_name)
        parts[encoder] = _guarded(info.name, encoder, _load_weights, encoder_class, info.weights[encoder], dtype)
    for name, class_name in (("unet", "UNet2DConditionModel"), ("vae", "AutoencoderKL")):
        announce(f"Loading {name}")
        part_class = getattr(library, class_name)
        parts[name] = _guarded(info.name, name, _load_weights, part_class, info.weights[name], dtype)
    return Components(info=info, parts=parts)


def load_controlnet(info: ControlNetInfo, dtype: Any) -> Any:
    """Load a ControlNet, a ControlNetUnionModel if it has modes. Raises ModelBroken."""
    library = diffusers()
    if not info.traits.modes:
        return _guarded(info.name, "ControlNet", _load_weights, library.ControlNetModel, info.weights, dtype)
    # Named, because a config that was written before diffusers knew unions doesn't say how many modes there are.
    modes = {"num_control_type": info.traits.modes}
    return _guarded(info.name, "ControlNet", _load_weights, library.ControlNetUnionModel, info.weights, dtype, modes)


def _load_weights(
    model_class: Any, weights: Weights, dtype: Any, configured: Mapping[str, Any] = MappingProxyType({})
) -> Any:
    model = model_class.from_pretrained(
        str(weights.folder),
        dtype=dtype,
        variant=weights.variant,
        use_safetensors=True,
        local_files_only=True,
        **configured,
    )
    return model.eval().requires_grad_(False)


def _load_tokenizer(folder: Path) -> Any:
    return transformers().CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)


def _guarded(model: str, part: str, load: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return load(*arguments)
    except UnderpaintError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelBroken(model=model, reason=f"{part}: {first_line}") from error
