"""Components from disk, in diffusers' and transformers' classes; nothing here touches the network.

Their tensors are read here and not by `from_pretrained`, which would ask the hub what a single file leaves out, fill
what is missing with random numbers, and map files that may change under it. Classes that no row of `_RECIPES` names
take the libraries' own way.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....protocol.errors import ModelBroken, UnderpaintError
from ...library.headers import METADATA, read_header
from ..failures import is_out_of_memory
from ..families import FamilyId
from ..memory.plan import Group
from ..third_party import diffusers, torch, transformers
from . import stock_nets
from .clip_tokenizer import clip_tokenizer
from .inspection import CheckpointInfo, ControlNetInfo
from .layouts import Recipe, diffusers_vae, same_names, transformers_clip
from .weights import Weights, fill


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
        return (self.weights.place, self.class_name)

    def load(self, dtype: Any) -> Any:
        """The module in main memory. Raises ModelBroken."""
        return _guarded(self.model, self.name, self._load, dtype)

    def empty(self, dtype: Any) -> Any:
        """The module without weights: its parameters are on "meta" and take no memory. Raises ModelBroken."""
        return _guarded(self.model, self.name, self._empty, dtype)

    def _load(self, dtype: Any) -> Any:
        recipe = self._recipe()
        if recipe is None:
            model = self._class.from_pretrained(
                str(self.weights.folder),
                dtype=dtype,
                variant=self.weights.variant,
                use_safetensors=True,
                local_files_only=True,
                **self.configured,
            )
        else:
            accelerate: Any = importlib.import_module("accelerate")
            with accelerate.init_empty_weights(include_buffers=False):
                model = self._made()
            fill(model, self.weights, recipe, dtype, self.model)
        return model.eval().requires_grad_(False)

    def _empty(self, dtype: Any) -> Any:
        with torch().device("meta"):
            model = self._made()
        # not the model's own `to`, which warns of casts that would lose something; there is nothing to lose yet
        return torch().nn.Module.to(model, dtype).eval().requires_grad_(False)

    def _made(self) -> Any:
        """The module by its config, with weights of no meaning."""
        chosen, part, folder = self._class, self.weights.part, str(self.weights.folder)
        if self.library is transformers:
            make = chosen.config_class
            return chosen(make(**part.config) if part else make.from_pretrained(folder, local_files_only=True))
        config = part.config if part else chosen.load_config(folder, local_files_only=True)
        return chosen.from_config(dict(config), **self.configured)

    def _recipe(self) -> Recipe | None:
        """Where each tensor is; None where the library's own loader has to find that out."""
        if self.weights.part is not None:
            return self.weights.part.recipe
        naming = _RECIPES.get(self.class_name)
        if naming is None:
            return None
        return naming([key for file in self.weights.files for key in read_header(file, self.model) if key != METADATA])

    @property
    def _class(self) -> Any:
        return getattr(self.library(), self.class_name)


_RECIPES: dict[str, Callable[[list[str]], Recipe]] = {
    "AutoencoderKL": diffusers_vae,
    "AutoencoderTiny": same_names,
    "CLIPTextModel": transformers_clip,
    "CLIPTextModelWithProjection": transformers_clip,
    "ControlNetModel": same_names,
    "ControlNetUnionModel": same_names,
    "UNet2DConditionModel": same_names,
}
"""How the tensors in a folder of diffusers' are named, by class."""


def checkpoint_sources(info: CheckpointInfo) -> dict[str, Source]:
    """A checkpoint's components that have weights, by their names in a pipeline."""
    classes: dict[str, tuple[Group, Callable[[], Any], str]] = {
        encoder: (Group.TEXT, transformers, class_name) for encoder, class_name, _ in info.family.text_encoders
    }
    classes[info.family.denoiser] = (Group.DENOISER, diffusers, info.family.denoiser_class)
    classes["vae"] = (Group.VAE, diffusers, info.family.vae_class)
    return {
        name: Source(
            model=info.name,
            name=name,
            group=group,
            library=library,
            class_name=class_name,
            weights=info.weights[name],
            streams_as="unet" if group is Group.DENOISER else "",
        )
        for name, (group, library, class_name) in classes.items()
    }


def controlnet_source(info: ControlNetInfo) -> Source:
    """A ControlNet, a ControlNetUnionModel if it has modes; of a transformer family, the family's own class."""
    theirs = stock_nets.family_of(info.config)
    if theirs is not None and theirs.stock is not None:
        return Source(
            model=info.name,
            name="ControlNet",
            group=Group.DENOISER,
            library=diffusers,
            class_name=theirs.stock.net_class,
            weights=info.weights,
            streams_as="nets",
        )
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
    for _, encoder, tokenizer in info.family.text_encoders:
        if info.folder.is_file():
            second = info.family.id is FamilyId.SD2 or tokenizer.endswith("2")
            parts[tokenizer] = clip_tokenizer(pad="!") if second else clip_tokenizer()
        else:
            class_name = "CLIPTokenizer" if encoder.startswith("CLIP") else "AutoTokenizer"
            parts[tokenizer] = _guarded(info.name, tokenizer, _tokenizer, class_name, str(info.folder / tokenizer))
    return parts


def _tokenizer(class_name: str, folder: str) -> Any:
    return getattr(transformers(), class_name).from_pretrained(folder, local_files_only=True)


def _guarded(model: str, part: str, load: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return load(*arguments)
    except UnderpaintError:
        raise
    except (OSError, ValueError, LookupError, ArithmeticError, RuntimeError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelBroken(model=model, reason=f"{part}: {first_line}") from error
