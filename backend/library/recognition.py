"""What a model is, told by its keys, shapes and metadata; never by its name, and without a weight being loaded."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from ...protocol.models import FamilyId, ModelKind
from . import notes
from .adapters import embedding, ip_adapter, lora
from .checkpoints import checkpoint
from .headers import Header
from .nets import controlnet
from .recognised import Recognised, unknown
from .tensors import Tensors, tensors


def recognise(header: Header) -> Recognised:
    """What a file is, by its header."""
    return recognise_all((header,))


def recognise_all(headers: Iterable[Header]) -> Recognised:
    """What several files are together: the shards of one model."""
    every = tensors(headers)
    if not every.shapes:
        return unknown("It holds no tensors at all. Fetch it again.")
    for look in _LOOKS:
        found = look(every)
        if found is not None:
            return _with_notes(found, every)
    return replace(
        unknown("It is no kind of model that Underpaint knows, by the names of its tensors."), precision=every.precision
    )


def _with_notes(found: Recognised, every: Tensors) -> Recognised:
    """The same, with what its maker wrote into it."""
    told = every.metadata
    traits = dict.fromkeys((*found.traits, *notes.traits(told)))
    if every.mixed:
        traits["mixed precision"] = None
    return replace(
        found,
        family=found.family or notes.family(told),
        precision=every.precision,
        traits=tuple(traits),
        words=tuple(dict.fromkeys((*notes.words(told), *found.words))),
        licence=notes.licence(told),
    )


def _vae(tensors: Tensors) -> Recognised | None:
    if not {"decoder"} <= tensors.heads or tensors.any(r"^encoder\.block\.\d"):
        return None
    if tensors.has("decoder.middle.0.residual.0.gamma") or tensors.has("decoder.mid_block.resnets.0.norm1.gamma"):
        return Recognised(kind=ModelKind.VAE, family=FamilyId.QWEN_IMAGE)
    if tensors.any(r"^decoder\.layers\.\d") and len(tensors.shapes.get("decoder.layers.0.weight", ())) == 4:
        return Recognised(kind=ModelKind.TINY_DECODER)
    if tensors.has("decoder.conv_in.weight") and len(tensors.shapes["decoder.conv_in.weight"]) == 4:
        channels = tensors.side("decoder.conv_in.weight", 1)
        traits = () if channels == 4 else (f"{channels} latent channels",)
        if "encoder" not in tensors.heads:
            return Recognised(
                kind=ModelKind.VAE, traits=traits, problem="It is only the decoder of a VAE. Use the whole VAE."
            )
        return Recognised(kind=ModelKind.VAE, traits=traits)
    return None


def _tiny_decoder(tensors: Tensors) -> Recognised | None:
    """TAESD's decoder or encoder in its author's own names, which are numbers."""
    if tensors.has("1.weight", "3.conv.0.weight"):
        return Recognised(kind=ModelKind.TINY_DECODER)
    if not tensors.has("0.weight", "1.conv.0.weight"):
        return None
    return Recognised(
        kind=ModelKind.TINY_DECODER,
        problem="It is the encoder of a tiny VAE. Use the decoder, whose name says so: previews need that.",
    )


def _safety_checker(tensors: Tensors) -> Recognised | None:
    if {"concept_embeds", "special_care_embeds"} <= tensors.heads:
        return Recognised(kind=ModelKind.SAFETY_CHECKER)
    return None


def _image_encoder(tensors: Tensors) -> Recognised | None:
    if "vision_model" not in tensors.heads and not tensors.has("visual.class_embedding"):
        return None
    if "visual" in tensors.heads:
        return Recognised(
            kind=ModelKind.IMAGE_ENCODER,
            problem="It is an image encoder in OpenCLIP's layout. Use the one in transformers' layout.",
        )
    width = tensors.side("vision_model.embeddings.class_embedding", 0)
    name = {1024: "ViT-L", 1280: "ViT-H", 1664: "ViT-bigG"}.get(width)
    if "text_model" in tensors.heads and not name:
        return None
    problem = "" if "visual_projection" in tensors.heads else "It has no projection, which IP-Adapters look through."
    return Recognised(kind=ModelKind.IMAGE_ENCODER, traits=(name,) if name else (), problem=problem)


def _text_encoder(tensors: Tensors) -> Recognised | None:
    if (
        "text_model" in tensors.heads
        or tensors.has("embeddings.token_embedding.weight")
        or tensors.has("encoder.block.0.layer.0.SelfAttention.q.weight")
        or tensors.has("model.layers.0.self_attn.q_proj.weight")
        or tensors.has("transformer.resblocks.0.attn.in_proj_weight")
    ):
        return unknown("It is a text encoder alone. Checkpoints bring their own.", "text encoder")
    return None


def _upscaler(tensors: Tensors) -> Recognised | None:
    if (
        tensors.has("conv_first.weight")
        or tensors.has("model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight")
        or tensors.any(r"^(params|params_ema)\.")
        or tensors.any(r"^layers\.0\.residual_group\.")
        or tensors.any(r"^body\.\d+\.rdb1\.")
    ):
        return unknown(
            "It is an upscaler, which isn't used here. A second pass, or the tile ControlNet, makes pictures larger.",
            "upscaler",
        )
    return None


_LOOKS: tuple[Callable[[Tensors], Recognised | None], ...] = (
    ip_adapter,  # some hold LoRAs
    controlnet,  # some hold LoRAs, or whole checkpoints
    lora,
    checkpoint,
    _safety_checker,  # has an image encoder in it
    _vae,
    _tiny_decoder,
    embedding,
    _image_encoder,
    _text_encoder,
    _upscaler,
)
