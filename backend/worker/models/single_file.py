"""What a single .safetensors file is, told from its header: checkpoints, ControlNets and VAEs as users have them.

Its tensors are named as the original programs name them; `layouts` gives diffusers' names, `shapes` the configs.
Two copies of the UNet may be in a file: the weights that were trained last and their running average (EMA). The former
are taken, as diffusers, A1111 and ComfyUI do, so that a picture comes out as it does there; the average only where
nothing else is in the file.
"""

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ....protocol.errors import ModelBroken
from ....protocol.models import FamilyId, ModelKind
from ...library.headers import METADATA, Header, read_header
from ...library.recognised import TITLES
from ...library.recognition import recognise
from . import layouts, shapes
from .clip_tokenizer import WORDS
from .layouts import Piece, UnknownTensor
from .parametrization import scheduler_config
from .shapes import ShapeMissing
from .weights import Part, Stamp, Weights, make_stamp, recipe_shapes

_KEPT = 8  # checkpoints
_UNET = "model.diffusion_model."
_VAE = "first_stage_model."
_NET = "control_model."
_CLIP = ("cond_stage_model.transformer.", "conditioner.embedders.0.transformer.")
_OPEN_CLIP = ("cond_stage_model.model.", "conditioner.embedders.1.model.")
_NOT_WEIGHTS = ("logit_scale", "embeddings.position_ids")
# A loss and a discriminator for training, which some VAE files still hold.
_NOT_OF_A_VAE = ("loss.", "discriminator.", "model_ema.")


@dataclass(frozen=True, kw_only=True)
class FileParts:
    """A checkpoint's components in a file."""

    family: FamilyId
    weights: dict[str, Weights]  # by component
    scheduler_config: dict[str, Any]

    @property
    def unet_config(self) -> dict[str, Any]:
        """As unet/config.json would have it."""
        part = self.weights["unet"].part
        assert part is not None
        return dict(part.config)


def checkpoint_parts(file: Path, name: str, *, with_vae: bool = True) -> FileParts:
    """A checkpoint's components, but for the VAE where that isn't wanted.

    Raises ModelBroken, naming what the file lacks or is instead.
    """
    settings = file.with_suffix(".yaml")
    try:
        stamp, beside = make_stamp([file]), make_stamp([settings] if settings.is_file() else [])
    except OSError as error:
        raise ModelBroken(model=name, reason=f"{file} can't be read ({error.strerror})") from error
    with _sound(file, name):
        return _checkpoint_parts(file, name, with_vae, stamp, beside)


@lru_cache(maxsize=_KEPT)
def _checkpoint_parts(file: Path, name: str, with_vae: bool, stamp: Stamp, _beside: Stamp) -> FileParts:
    """Kept from job to job, for finding it out takes a tenth of a second for SDXL."""
    header = read_header(file, name)
    unet = _unet(header, file, name)
    family = shapes.unet_family(recipe_shapes(unet, header))
    _check_family(recipe_shapes(unet, header), family, file, name)

    def component(recipe: dict[str, Piece], config: Callable[[shapes.Shapes], dict[str, Any]]) -> Weights:
        found = recipe_shapes(recipe, header)
        part = Part(recipe=recipe, config=_configured(config, found, file, name), shapes=found)
        return Weights(folder=file.parent, stamp=stamp, part=part)

    weights = {"unet": component(unet, lambda found: shapes.unet_config(found, family))}
    if with_vae:
        vae = _vae(header, _VAE, file, name, missing=True)
        weights["vae"] = component(vae, lambda found: shapes.vae_config(found, family))
    for encoder, recipe in _text_encoders(header, family, file, name).items():
        weights[encoder] = component(recipe, lambda found, of=encoder: shapes.text_config(found, family, of))
    _check_text(weights, file, name)
    return FileParts(family=family, weights=weights, scheduler_config=scheduler_config(file, header, family, name))


def controlnet_part(file: Path, name: str) -> Weights:
    """A ControlNet. Raises ModelBroken, naming what the file is instead."""
    with _sound(file, name):
        return _controlnet_part(file, name)


def _controlnet_part(file: Path, name: str) -> Weights:
    header = read_header(file, name)
    keys = [key for key in header if key != METADATA]
    if "lora_controlnet" in header:
        raise ModelBroken(
            model=name,
            reason=f"{file.name} is a Control-LoRA, which isn't read here. Choose the ControlNet itself",
        )
    for prefix in (_NET, ""):
        own = layouts.under(keys, prefix)
        if "input_hint_block.0.weight" in own:
            recipe = _named(lambda own=own: layouts.ldm_unet(own), file, name)
            break
        if "controlnet_cond_embedding.conv_in.weight" in own:
            recipe = layouts.same_names(own)
            break
    else:
        raise _other(header, "a ControlNet", file, name)
    recipe, found = layouts.prefixed(recipe, prefix), recipe_shapes(layouts.prefixed(recipe, prefix), header)
    config = _configured(lambda found: shapes.controlnet_config(found, shapes.unet_family(found)), found, file, name)
    if _pools(file):
        config["global_pool_conditions"] = True
    return Weights(folder=file.parent, stamp=make_stamp([file]), part=Part(recipe=recipe, config=config, shapes=found))


def vae_part(file: Path, name: str, family: FamilyId) -> Weights:
    """A VAE, or the one in a checkpoint, for a family: files don't say what latents are scaled by.

    Raises ModelBroken, naming what the file is instead.
    """
    with _sound(file, name):
        return _vae_part(file, name, family)


def _vae_part(file: Path, name: str, family: FamilyId) -> Weights:
    header = read_header(file, name)
    prefix = _VAE if any(key.startswith(_VAE) for key in header) else ""
    recipe = _vae(header, prefix, file, name, missing=False)
    found = recipe_shapes(recipe, header)
    config = _configured(lambda found: shapes.vae_config(found, family), found, file, name)
    return Weights(folder=file.parent, stamp=make_stamp([file]), part=Part(recipe=recipe, config=config, shapes=found))


def _unet(header: Header, file: Path, name: str) -> dict[str, Piece]:
    own = layouts.under(header, _UNET)
    if "input_blocks.0.0.weight" in own:
        return layouts.prefixed(_named(lambda: layouts.ldm_unet(own), file, name), _UNET)
    if any(key.startswith("model_ema.diffusion_model") for key in header):
        raise ModelBroken(
            model=name, reason=f"{file.name} holds running averages (EMA) alone, whose names lost their dots; "
            "choose the file with the model itself",
        )  # fmt: skip
    raise _other(header, "a checkpoint of Stable Diffusion 1.5, 2 or XL", file, name)


def _vae(header: Header, prefix: str, file: Path, name: str, *, missing: bool) -> dict[str, Piece]:
    own = [key for key in layouts.under(header, prefix) if key != METADATA and not key.startswith(_NOT_OF_A_VAE)]
    if "decoder.conv_in.weight" not in own or "encoder.conv_in.weight" not in own:
        if missing:
            raise ModelBroken(
                model=name,
                reason=f"{file.name} was saved without its VAE. Choose the complete file, or name a VAE besides it",
            )
        raise _other(header, "a VAE", file, name)
    if any(key.startswith("encoder.down_blocks.") for key in own):
        return layouts.prefixed(layouts.diffusers_vae(own), prefix)
    return layouts.prefixed(_named(lambda: layouts.ldm_vae(own), file, name), prefix)


def _text_encoders(header: Header, family: FamilyId, file: Path, name: str) -> dict[str, dict[str, Piece]]:
    found: dict[str, dict[str, Piece]] = {}
    if family is FamilyId.SDXL:
        wanted = {"text_encoder": _CLIP[1], "text_encoder_2": _OPEN_CLIP[1]}
    else:
        wanted = {"text_encoder": _CLIP[0] if family is FamilyId.SD15 else _OPEN_CLIP[0]}
    for encoder, prefix in wanted.items():
        own = [key for key in layouts.under(header, prefix) if key not in _NOT_WEIGHTS]
        if not any("token_embedding" in key for key in own):
            raise ModelBroken(
                model=name,
                reason=f"{file.name} was saved without its text encoder{' (the second)' * encoder.endswith('2')}. "
                "Choose the complete file",
            )
        if prefix in _OPEN_CLIP:
            layers = int(shapes.shipped_config(family, f"{encoder}/config.json")["num_hidden_layers"])
            recipe = _named(
                lambda own=own, encoder=encoder, layers=layers: layouts.open_clip(
                    own, layers=layers, projects=encoder.endswith("2")
                ),
                file,
                name,
            )
        else:
            recipe = layouts.transformers_clip(own)
        found[encoder] = layouts.prefixed(recipe, prefix)
    return found


def _check_family(unet: shapes.Shapes, family: FamilyId, file: Path, name: str) -> None:
    """Refuse relatives that are built alike and work otherwise."""
    width = next((shape[1] for key, shape in unet.items() if key.endswith("attn2.to_k.weight")), 0)
    pooled = unet.get("add_embedding.linear_1.weight", (0, 0))[1]
    if family is FamilyId.SDXL and (width, pooled) == (1280, 2560):
        raise ModelBroken(model=name, reason=f"{file.name} is SDXL's refiner; choose the base checkpoint")
    if family is FamilyId.SDXL and width == 1024:
        raise ModelBroken(
            model=name,
            reason=f"{file.name} is an unCLIP checkpoint, which isn't painted with here; choose the plain one",
        )


def _check_text(weights: dict[str, Weights], file: Path, name: str) -> None:
    """Refuse text encoders that the shipped tokenizer doesn't go with, or that the UNet doesn't listen to."""
    configs = {key: entry.part.config for key, entry in weights.items() if entry.part is not None}
    texts = [config for key, config in configs.items() if key.startswith("text_encoder")]
    for config in texts:
        if config["vocab_size"] != WORDS:
            raise ModelBroken(
                model=name,
                reason=f"{file.name} has a text encoder that knows {config['vocab_size']} words, and CLIP's has "
                f"{WORDS}. Embeddings that were merged into it have to be files of their own",
            )
    width, text = configs["unet"]["cross_attention_dim"], sum(config["hidden_size"] for config in texts)
    if "text_encoder_2" in configs and width == text:
        width, text = shapes.pooled_width(configs["unet"]), configs["text_encoder_2"]["projection_dim"]
    if width != text:
        raise ModelBroken(
            model=name,
            reason=f"{file.name} has a UNet for texts of {width} values and text encoders that give {text}: it was put "
            "together from models that don't belong together",
        )


def _named(make: Callable[[], dict[str, Piece]], file: Path, name: str) -> dict[str, Piece]:
    try:
        return make()
    except UnknownTensor as error:
        raise ModelBroken(
            model=name, reason=f"{file.name} holds {str(error)[:120]!r}, which no model that is known here has"
        ) from error


def _configured(
    make: Callable[[shapes.Shapes], dict[str, Any]], found: shapes.Shapes, file: Path, name: str
) -> dict[str, Any]:
    try:
        return make(found)
    except ShapeMissing as error:
        raise ModelBroken(
            model=name, reason=f"{file.name} lacks {str(error)[:120]!r}, so it is not complete; fetch it again"
        ) from error


@contextmanager
def _sound(file: Path, name: str) -> Generator[None]:
    """Says of shapes that can't be reckoned with that they can't; a file may claim any."""
    try:
        yield
    except (ValueError, LookupError, ArithmeticError, TypeError) as error:
        raise ModelBroken(
            model=name, reason=f"{file.name} has tensors of shapes that no model that is known here has; fetch it again"
        ) from error


def _pools(file: Path) -> bool:
    """Whether a ControlNet is shown nothing but averages, as the shuffle nets: the weights alone don't say.

    The file's own settings do, which lie beside lllyasviel's; or else its name.
    """
    settings = file.with_suffix(".yaml")
    if settings.is_file():
        text = settings.read_text(encoding="utf-8", errors="replace")[:65536]
        return re.search(r"global_average_pooling:\s*true", text, re.IGNORECASE) is not None
    return "shuffle" in file.name.lower()


def _other(header: Header, wanted: str, file: Path, name: str) -> ModelBroken:
    """For a file of another kind, or of a family that isn't read from single files."""
    found = recognise(header)
    if found.kind is ModelKind.UNKNOWN:
        return ModelBroken(model=name, reason=f"{file.name} is not {wanted}. {found.problem.rstrip('.')}")
    words, place = _KINDS[found.kind]
    family = f" for {TITLES[found.family]}" if found.family else ""
    return ModelBroken(model=name, reason=f"{file.name} is {words}{family}, and {wanted} is needed. {place}")


_KINDS = {
    ModelKind.CHECKPOINT: ("a checkpoint", "It is chosen as the checkpoint, where its family is read from one file"),
    ModelKind.CONTROLNET: ("a ControlNet", "It goes into a control"),
    ModelKind.VAE: ("a VAE", "It is chosen as the VAE, beside a checkpoint"),
    ModelKind.LORA: ("a LoRA", "It goes among the LoRAs, beside a checkpoint of its family"),
    ModelKind.EMBEDDING: ("a textual inversion", "It goes among the embeddings, beside a checkpoint of its family"),
    ModelKind.IP_ADAPTER: ("an IP-Adapter", "It goes with a picture among the image prompts"),
    ModelKind.IMAGE_ENCODER: ("an image encoder", "It goes with an IP-Adapter"),
    ModelKind.TINY_DECODER: ("a TAESD", "It makes previews once it lies in the models folder"),
    ModelKind.SAFETY_CHECKER: ("a safety checker", "It is chosen as such, beside a checkpoint"),
}
"""What each kind is called, and where it belongs."""
