"""Components from disk, through diffusers' and transformers' own loaders; nothing here touches the network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....protocol.errors import ModelBroken, UnderpaintError
from ..failures import is_out_of_memory
from ..memory.plan import Group
from ..third_party import diffusers, torch, transformers
from .inspection import CheckpointInfo, ControlNetInfo, Weights


@dataclass(frozen=True, kw_only=True)
class Source:
    """A component on disk, from which a module can be made as often as it is needed."""

    model: str  # as the request calls the model that it belongs to
    name: str  # "unet", "vae", "text_encoder", "ControlNet"
    group: Group
    library: Callable[[], Any]  # gives the module with its class
    class_name: str
    weights: Weights
    streams_as: str = ""  # of the denoiser, as plans call it: "unet", "nets"
    configured: Mapping[str, Any] = field(default_factory=dict[str, Any])  # over the config's own values

    @property
    def place(self) -> tuple[object, ...]:
        """Which component it is, whatever its files hold at the moment."""
        return (str(self.weights.folder), self.class_name)

    def load(self, dtype: Any) -> Any:
        """The module in main memory. Raises ModelBroken."""
        return _guarded(self.model, self.name, self._load, dtype)

    def empty(self, dtype: Any) -> Any:
        """The module without weights: its parameters are on "meta" and take no memory. Raises ModelBroken."""
        return _guarded(self.model, self.name, self._empty, dtype)

    def _load(self, dtype: Any) -> Any:
        model = self._class.from_pretrained(
            str(self.weights.folder),
            dtype=dtype,
            variant=self.weights.variant,
            use_safetensors=True,
            local_files_only=True,
            **self.configured,
        )
        return model.eval().requires_grad_(False)

    def _empty(self, dtype: Any) -> Any:
        chosen, folder = self._class, str(self.weights.folder)
        with torch().device("meta"):
            if self.library is transformers:
                model = chosen(chosen.config_class.from_pretrained(folder, local_files_only=True))
            else:
                model = chosen.from_config(chosen.load_config(folder, local_files_only=True), **self.configured)
        # not the model's own `to`, which warns of casts that would lose something; there is nothing to lose yet
        return torch().nn.Module.to(model, dtype).eval().requires_grad_(False)

    @property
    def _class(self) -> Any:
        return getattr(self.library(), self.class_name)


def checkpoint_sources(info: CheckpointInfo) -> dict[str, Source]:
    """A checkpoint's components that have weights, by their names in a pipeline."""
    classes: dict[str, tuple[Group, Callable[[], Any], str]] = {
        encoder: (Group.TEXT, transformers, class_name) for encoder, class_name, _ in info.family.text_encoders
    }
    classes["unet"] = (Group.DENOISER, diffusers, "UNet2DConditionModel")
    classes["vae"] = (Group.VAE, diffusers, "AutoencoderKL")
    return {
        name: Source(
            model=info.name,
            name=name,
            group=group,
            library=library,
            class_name=class_name,
            weights=info.weights[name],
            streams_as="unet" if name == "unet" else "",
        )
        for name, (group, library, class_name) in classes.items()
    }


def controlnet_source(info: ControlNetInfo) -> Source:
    """A ControlNet, a ControlNetUnionModel if it has modes."""
    # Named, because a config that was written before diffusers knew unions doesn't say how many modes there are.
    configured = {"num_control_type": info.traits.modes} if info.traits.modes else {}
    return Source(
        model=info.name,
        name="ControlNet",
        group=Group.DENOISER,
        library=diffusers,
        class_name="ControlNetUnionModel" if info.traits.modes else "ControlNetModel",
        weights=info.weights,
        streams_as="nets",
        configured=configured,
    )


def light_parts(info: CheckpointInfo) -> dict[str, Any]:
    """A checkpoint's components without weights: tokenizers and scheduler. Raises ModelBroken."""
    scheduler = str(info.scheduler_config.get("_class_name", "PNDMScheduler"))
    parts: dict[str, Any] = {"scheduler": getattr(diffusers(), scheduler).from_config(info.scheduler_config)}
    for _, _, tokenizer in info.family.text_encoders:
        parts[tokenizer] = _guarded(info.name, tokenizer, _tokenizer, str(info.folder / tokenizer))
    return parts


def _tokenizer(folder: str) -> Any:
    return transformers().CLIPTokenizer.from_pretrained(folder, local_files_only=True)


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
