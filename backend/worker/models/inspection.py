"""What a model folder is, told from its JSON files and safetensors headers, before any weight is loaded."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ....protocol.errors import ModelBroken, ModelMismatch
from ....protocol.models import ModelKind
from ...library.headers import read_header
from ...library.recognised import TITLES
from ...library.recognition import recognise
from ..conditioning.table import NetKind
from ..families import FAMILIES, Family, FamilyId
from . import stock_nets
from .component_folders import find_weights, read_json, readable
from .single_file import checkpoint_parts, controlnet_part
from .weights import Weights

LATENT_CHANNELS = 4  # of every family so far, and so what a plain UNet and every ControlNet take
HOLE_CHANNELS = 9  # latents, a mask, and the latents of the picture with the hole
_VOCABULARIES = ("vocab.json", "tokenizer.json", "spiece.model")
_CONTROLNET_WEIGHTS = "diffusion_pytorch_model"
_UNION_CLASS = "ControlNetUnionModel"
_UNION_MODES = 6  # diffusers' default, for a config that doesn't say
_CONTROLNET_CLASSES = ("ControlNetModel", _UNION_CLASS)


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """A checkpoint whose files are whole."""

    folder: Path  # or the single file
    name: str  # as the request calls it
    family: Family
    unet_config: dict[str, Any]  # or of what the family has in its place, a transformer
    scheduler_config: dict[str, Any]
    zeros_for_empty: bool  # an empty negative prompt is zeros, not the text encoders' idea of nothing
    weights: dict[str, Weights]  # by component: "unet", "vae", "text_encoder", ...

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for the same bytes on disk, as far as names, sizes and times tell."""
        return (str(self.folder), *(entry.stamp for entry in self.weights.values()))

    @property
    def fills_holes(self) -> bool:
        """Whether the UNet was trained to fill a hole: besides the latents it takes a mask and a picture with it."""
        return self.unet_config["in_channels"] == HOLE_CHANNELS

    @property
    def knows_guidance(self) -> bool:
        """Whether the UNet was trained to be told the guidance scale (LCM), and so needs no negative prompt."""
        return self.unet_config.get("time_cond_proj_dim") is not None


@dataclass(frozen=True, kw_only=True)
class NetTraits:
    """What of a ControlNet decides its control images."""

    modes: int = 0  # how many kinds of control a union net tells apart; 0 for a plain net
    swaps_red_blue: bool = False  # diffusers hands the net the image with red and blue swapped

    @property
    def kind(self) -> NetKind:
        """How the net is built."""
        return NetKind.UNION if self.modes else NetKind.PLAIN


@dataclass(frozen=True, kw_only=True)
class ControlNetInfo:
    """A ControlNet whose files are whole."""

    folder: Path  # or the single file
    name: str
    config: dict[str, Any]
    weights: Weights
    traits: NetTraits

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for the same bytes on disk."""
        return (str(self.folder), self.weights.stamp)


def inspect_family(folder: Path, name: str) -> Family:
    """The family of a checkpoint folder or file. Raises ModelMissing or ModelBroken."""
    if folder.is_file():
        return FAMILIES[checkpoint_parts(folder, name).family]
    with readable(folder, name):
        is_checkpoint = (folder / "model_index.json").is_file()
    if not is_checkpoint:
        raise ModelBroken(
            model=name,
            reason=f"{folder} is not a diffusers checkpoint: it has no model_index.json. "
            "A ControlNet goes into a control, and a single file is named itself, not the folder where it lies",
        )
    class_name = str(read_json(folder / "model_index.json", name).get("_class_name", ""))
    named = [family for family in FAMILIES.values() if class_name in family.checkpoint_classes]
    if len(named) == 1:
        return named[0]
    if named:  # SD 1 and SD 2 have the same pipelines
        unet = read_json(folder / "unet" / "config.json", name)
        return next(family for family in named if _is_sd2(unet) == (family.id is FamilyId.SD2))
    known = ", ".join(family.title for family in FAMILIES.values())
    raise ModelBroken(model=name, reason=f"it is a {class_name or 'checkpoint of no known class'}; known are {known}")


def inspect_checkpoint(folder: Path, name: str, *, with_vae: bool = True) -> CheckpointInfo:
    """Everything that can be known of a checkpoint without loading it, but for its VAE where that isn't wanted.

    Raises ModelBroken, naming the file, for one that is missing, cut off or pickled.
    """
    read = _checkpoint_file if folder.is_file() else _checkpoint_folder
    return read(folder, name, with_vae)


def _checkpoint_file(file: Path, name: str, with_vae: bool) -> CheckpointInfo:
    parts = checkpoint_parts(file, name, with_vae=with_vae)
    family = FAMILIES[parts.family]
    _check_channels(parts.unet_config, family, name)
    return CheckpointInfo(
        folder=file,
        name=name,
        family=family,
        unet_config=parts.unet_config,
        scheduler_config=dict(parts.scheduler_config),
        zeros_for_empty=family.pooled_text,
        weights=dict(parts.weights),
    )


def _checkpoint_folder(folder: Path, name: str, with_vae: bool) -> CheckpointInfo:
    family = inspect_family(folder, name)
    denoiser = read_json(folder / family.denoiser / "config.json", name)
    _check_channels(denoiser, family, name)
    weights = {
        family.denoiser: find_weights(folder / family.denoiser, "diffusion_pytorch_model", name),
    }
    if with_vae:
        weights["vae"] = find_weights(folder / "vae", "diffusion_pytorch_model", name)
    for encoder, _, tokenizer in family.text_encoders:
        weights[encoder] = find_weights(folder / encoder, "model", name)
        with readable(folder / tokenizer, name):
            found = any((folder / tokenizer / file).is_file() for file in _VOCABULARIES)
        if not found:
            raise ModelBroken(model=name, reason=f"{tokenizer}/vocab.json is missing")
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json", name)
    # what diffusers takes where the checkpoint doesn't say
    zeros = read_json(folder / "model_index.json", name).get("force_zeros_for_empty_prompt", family.pooled_text)
    return CheckpointInfo(
        folder=folder,
        name=name,
        family=family,
        unet_config=denoiser,
        scheduler_config=scheduler,
        zeros_for_empty=family.pooled_text and bool(zeros),
        weights=weights,
    )


def _check_channels(denoiser: dict[str, Any], family: Family, name: str) -> None:
    channels = denoiser.get("in_channels")
    if channels in family.inputs:
        return
    if family.stock is not None:
        reason = (
            f"its transformer takes {channels} channels, and {family.title}'s plain ones {family.inputs[0]}; those "
            "that take a picture besides, such as Fill, Kontext and Edit, don't work. Choose the plain one"
        )
    else:
        reason = (
            f"its UNet takes {channels} channels; plain ones ({LATENT_CHANNELS}) and those for "
            f"inpainting ({HOLE_CHANNELS}) work, others, such as depth checkpoints, don't. Choose the plain one"
        )
    raise ModelBroken(model=name, reason=reason)


def inspect_controlnet(folder: Path, name: str) -> ControlNetInfo:
    """Everything that can be known of a ControlNet without loading it. Raises ModelMissing or ModelBroken."""
    if folder.is_file():
        weights = controlnet_part(folder, name)
        assert weights.part is not None
        config = dict(weights.part.config)
        _check_net(config, name)
        return ControlNetInfo(folder=folder, name=name, config=config, weights=weights, traits=_config_traits(config))
    config = _controlnet_config(folder, name)
    return ControlNetInfo(
        folder=folder,
        name=name,
        config=config,
        weights=find_weights(folder, _CONTROLNET_WEIGHTS, name),
        traits=inspect_traits(folder, name),
    )


def inspect_traits(folder: Path, name: str) -> NetTraits:
    """What a ControlNet has to be shown, by its config.json and such weights as are there already.

    A union net is told by its class or by its weights, which hold an embedding for each mode: configs from
    before diffusers knew unions call them plain. Raises ModelBroken for what is no ControlNet.
    """
    if folder.is_file():
        return inspect_controlnet(folder, name).traits
    traits = _config_traits(_controlnet_config(folder, name))
    for file in sorted(folder.glob(f"{_CONTROLNET_WEIGHTS}*.safetensors")):
        embedding = read_header(file, name).get("task_embedding")
        if embedding is not None:
            return replace(traits, modes=int(embedding["shape"][0]))
    return traits


def _config_traits(config: dict[str, Any]) -> NetTraits:
    if stock_nets.family_of(config) is not None:
        return NetTraits(modes=stock_nets.modes(config))
    modes = 0
    if config["_class_name"] == _UNION_CLASS or "num_control_type" in config:
        modes = int(config.get("num_control_type", _UNION_MODES))
    swaps = config.get("controlnet_conditioning_channel_order", "rgb") == "bgr"
    return NetTraits(modes=modes, swaps_red_blue=swaps)


def _controlnet_config(folder: Path, name: str) -> dict[str, Any]:
    with readable(folder, name):
        is_checkpoint = (folder / "model_index.json").is_file()
    if is_checkpoint:
        raise ModelBroken(model=name, reason="it is a checkpoint, and a control needs a ControlNet")
    config = read_json(folder / "config.json", name)
    class_name = config.get("_class_name")
    if stock_nets.family_of(config) is not None:
        return config
    if class_name not in _CONTROLNET_CLASSES:
        known = " or ".join(_CONTROLNET_CLASSES)
        raise ModelBroken(model=name, reason=f"it is a {class_name}, a {known} is needed")
    _check_net(config, name)
    return config


def _check_net(config: dict[str, Any], name: str) -> None:
    channels = config.get("in_channels", LATENT_CHANNELS)
    if channels != LATENT_CHANNELS:
        raise ModelBroken(
            model=name, reason=f"it takes {channels} channels, and a ControlNet is given {LATENT_CHANNELS}"
        )


def check_family(checkpoint: CheckpointInfo, folder: Path, name: str) -> None:
    """Raise ModelMismatch for a ControlNet of another family, by its config.json alone, or by a file's header."""
    if folder.is_file():
        found = recognise(read_header(folder, name))
        if found.kind is ModelKind.CONTROLNET and found.family not in (None, checkpoint.family.id):
            raise ModelMismatch(
                controlnet=name,
                controlnet_family=TITLES[found.family],
                checkpoint=checkpoint.name or "the embedded checkpoint",
                family=checkpoint.family.title,
            )
        return
    _check_class(checkpoint, _controlnet_config(folder, name), name)


def _check_class(checkpoint: CheckpointInfo, config: dict[str, Any], name: str) -> None:
    theirs = stock_nets.family_of(config)
    family = checkpoint.family
    if theirs is not None and theirs is not family:
        described = theirs.title
    elif theirs is None and family.stock is not None:
        described = _describe(config, config)
    else:
        return
    raise ModelMismatch(
        controlnet=name,
        controlnet_family=described.partition(" with ")[0],
        checkpoint=checkpoint.name or "the embedded checkpoint",
        family=family.title,
    )


def check_match(checkpoint: CheckpointInfo, controlnet: ControlNetInfo) -> None:
    """Raise ModelMismatch unless the ControlNet's residuals and text fit the checkpoint's UNet or transformer."""
    unet, net = checkpoint.unet_config, controlnet.config
    _check_class(checkpoint, net, controlnet.name)
    if checkpoint.family.stock is not None:
        if not stock_nets.agrees(net, unet):
            raise ModelMismatch(
                controlnet=controlnet.name,
                controlnet_family=stock_nets.describe(checkpoint.family, net),
                checkpoint=checkpoint.name,
                family=stock_nets.describe(checkpoint.family, unet),
            )
        return
    if _signature(unet) != _signature(net):
        raise ModelMismatch(
            controlnet=controlnet.name,
            controlnet_family=_describe(net, unet),
            checkpoint=checkpoint.name or "the embedded checkpoint",
            family=_describe(unet, net),
        )


def _text_width(config: dict[str, Any]) -> int:
    width = config.get("cross_attention_dim")
    return int(width[0] if isinstance(width, list) else width or 0)  # type: ignore[index]


def _is_sd2(unet: dict[str, Any]) -> bool:
    """By the text's width; where that is neither SD 1.5's nor SD 2's, by the matrices around the attention."""
    if unet.get("addition_embed_type") is not None:
        return False
    width = _text_width(unet)
    return width == 1024 or (width != 768 and bool(unet.get("use_linear_projection")))


def _signature(config: dict[str, Any]) -> tuple[object, ...]:
    """What must agree: the text's width, SDXL's pooled text, and the shapes of the skips.

    Not what a UNet takes besides latents: a net for the plain checkpoint serves the one for inpainting as well.
    """
    return (
        _text_width(config),
        config.get("addition_embed_type"),
        tuple(config.get("block_out_channels", ())),
        config.get("layers_per_block"),
    )


def _describe(config: dict[str, Any], other: dict[str, Any]) -> str:
    """A family's name, with numbers where two of the same family differ."""
    width = _text_width(config)
    if config.get("addition_embed_type") == "text_time":
        family = FamilyId.SDXL
    else:
        family = FamilyId.SD2 if width == 1024 else FamilyId.SD15
    title = FAMILIES[family].title
    if config.get("addition_embed_type") != other.get("addition_embed_type") or {width, _text_width(other)} == {
        768,
        1024,
    }:
        return title
    blocks = "-".join(str(channels) for channels in config.get("block_out_channels", ()))
    return f"{title} with {width} wide text and blocks {blocks}"
