"""Telling checkpoints apart by their keys and shapes: the original layouts, and transformers in diffusers' names.

The keys are those by which diffusers' single_file_utils.py and ComfyUI's model_detection.py know them: facts about the
files that people have.
"""

from ...protocol.models import FamilyId, ModelKind
from .recognised import Recognised, family_of_unet, unknown
from .tensors import Tensors

_ORIGINAL = "model.diffusion_model."
_PLAIN_CHANNELS = 4
_HOLE_CHANNELS = 9
_LARGE_BLOCKS = 38  # of SD 3.5 Large; Medium has 24
_FLUX_CHANNELS = {64: "", 96: "", 384: "inpainting", 128: "depth or canny", 448: "inpainting"}

# A key that only this one has, and whose it is.
_OTHERS = {
    "distilled_guidance_layer.in_proj.bias": "Chroma",
    "single_stream_modulation.lin.weight": "Flux.2",
    "early_stream_modulations.image.lin.weight": "Flux.3",
    "clip_txt_mapper.weight": "Stable Cascade",
    "down_blocks.1.0.channelwise.0.weight": "Stable Cascade",
    "double_layers.0.attn.w1q.weight": "AuraFlow",
    "patchify_proj.weight": "LTX-Video",
    "txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias": "HunyuanVideo",
    "blocks.0.attn.qkv_x.weight": "Mochi",
    "blocks.0.cross_attn.q_linear.weight": "Sana or PixArt",
    "head.modulation": "Wan",
    "double_stream_blocks.0.block.adaLN_modulation.1.bias": "HiDream",
    "net.x_embedder.proj.1.weight": "Cosmos",
    "txtfusion.projector.weight": "Krea 2",
    "txt_in.text_norm.weight": "Qwen-Image 2",
    "cap_embedder.0.weight": "Lumina 2",  # looked for after Z-Image, which has it as well
}


def checkpoint(tensors: Tensors) -> Recognised | None:
    """What checkpoint it is; None for what is none."""
    prefixed = "model" in tensors.heads and any(key.startswith(_ORIGINAL) for key in tensors.shapes)
    inner = tensors.below(_ORIGINAL) if prefixed else tensors
    found = _unet(inner, tensors) or _transformer(inner) or _other(inner)
    if found is None:
        return None
    if found.kind is not ModelKind.CHECKPOINT or found.problem:
        return found
    return _with_parts(found, tensors)


def _unet(inner: Tensors, whole: Tensors) -> Recognised | None:
    if not inner.has("input_blocks.0.0.weight", "time_embed.0.weight") or "control_model" in whole.heads:
        return _diffusers_unet(inner)
    width = inner.width(".attn2.to_k.weight")
    if any(key.startswith("edm_") for key in whole.heads):
        return Recognised(
            kind=ModelKind.CHECKPOINT,
            family=FamilyId.SDXL if "label_emb" in inner.heads else None,
            traits=("EDM",),
            problem="It was trained with EDM's noise levels, which aren't known here. Choose a plain checkpoint.",
        )
    if "label_emb" in inner.heads and width == 1024:
        return Recognised(
            kind=ModelKind.CHECKPOINT,
            family=FamilyId.SD2,
            traits=("unCLIP",),
            problem="It is an unCLIP checkpoint, which paints variations of pictures. Choose the plain one.",
        )
    if "label_emb" in inner.heads:
        refiner = width == 1280 or (
            any(key.startswith("conditioner.embedders.0.model.") for key in whole.shapes)
            and not any(key.startswith("conditioner.embedders.1.") for key in whole.shapes)
        )
        family = FamilyId.SDXL
        if refiner:
            return Recognised(
                kind=ModelKind.CHECKPOINT,
                family=family,
                traits=("refiner",),
                problem="It is the refiner of Stable Diffusion XL, which only goes over what the base model painted. "
                "Choose a base model; a second pass does what a refiner is for.",
            )
    else:
        family = family_of_unet(inner, "label_emb") or FamilyId.SD15
    return _of_channels(family, inner.side("input_blocks.0.0.weight", 1), _unet_traits(inner, whole))


def _diffusers_unet(inner: Tensors) -> Recognised | None:
    """A UNet alone, in diffusers' names."""
    if not inner.has("conv_in.weight", "time_embedding.linear_1.weight") or "up_blocks" not in inner.heads:
        return None
    if "motion_modules" in inner.names:
        return unknown("It makes films (AnimateDiff), and Underpaint paints single pictures.")
    family = family_of_unet(inner, "add_embedding")
    return _of_channels(family, inner.side("conv_in.weight", 1), ())


def _unet_traits(inner: Tensors, whole: Tensors) -> tuple[str, ...]:
    traits: list[str] = []
    if "v_pred" in whole.heads:
        traits.append("v-prediction")
    if "ztsnr" in whole.heads:
        traits.append("zero-terminal SNR")
    if "model_ema" in whole.heads:
        traits.append("EMA")
    if inner.has("time_embed.cond_proj.weight"):
        traits.append("distilled")  # is told the guidance scale, as LCMs are
    return tuple(traits)


def _of_channels(family: FamilyId | None, channels: int, traits: tuple[str, ...]) -> Recognised:
    """A checkpoint with a UNet, by what that takes besides latents."""
    special = {8: "instruct-pix2pix", 5: "depth", 7: "upscaler"}.get(channels)
    problem = ""
    if channels == _HOLE_CHANNELS:
        traits = ("inpainting", *traits)
    elif special == "instruct-pix2pix":
        problem = "It is for instruct-pix2pix, which changes a picture by an order. Choose the plain checkpoint."
    elif special is not None:
        problem = f"It is a checkpoint for {special}s. Choose the plain one." if special == "upscaler" else (
            "It takes a depth map besides the latents. Choose the plain checkpoint, and a depth ControlNet with it."
        )  # fmt: skip
    elif channels != _PLAIN_CHANNELS:
        problem = f"Its UNet takes {channels} channels; those with 4, and with 9 for inpainting, work."
    if special is not None:
        traits = (special, *traits)
    return Recognised(kind=ModelKind.CHECKPOINT, family=family, traits=traits, problem=problem)


def _transformer(inner: Tensors) -> Recognised | None:
    if any(
        key in inner.shapes for key in ("distilled_guidance_layer.in_proj.bias", "single_stream_modulation.lin.weight")
    ):
        return None
    if "joint_blocks" in inner.heads and inner.has("x_embedder.proj.weight"):
        return _sd3(inner.count(r"^joint_blocks\.(\d+)\."), two_attentions=inner.any(r"\.x_block\.attn2\."))
    if "pos_embed" in inner.heads and inner.any(r"^transformer_blocks\.0\.attn\.add_k_proj\."):
        return _sd3(inner.count(r"^transformer_blocks\.(\d+)\."), two_attentions=inner.any(r"\.attn2\."))
    if "double_blocks" in inner.heads and "single_blocks" in inner.heads and inner.has("img_in.weight"):
        return _flux(inner.side("img_in.weight", 1), has_guidance="guidance_in" in inner.heads)
    if "single_transformer_blocks" in inner.heads and "x_embedder" in inner.heads:
        guided = inner.any(r"^time_text_embed\.guidance_embedder\.")
        return _flux(inner.side("x_embedder.weight", 1), has_guidance=guided)
    if inner.has("img_in.weight", "txt_in.weight", "txt_norm.weight") and inner.any(
        r"^transformer_blocks\.0\.img_mod\."
    ):
        return Recognised(kind=ModelKind.CHECKPOINT, family=FamilyId.QWEN_IMAGE)
    if inner.has("layers.0.adaLN_modulation.0.weight") and "cap_embedder" in inner.heads:
        return Recognised(kind=ModelKind.CHECKPOINT, family=FamilyId.Z_IMAGE)
    return None


def _sd3(blocks: int, *, two_attentions: bool) -> Recognised:
    size = "3.5 large" if blocks == _LARGE_BLOCKS else "3.5 medium" if two_attentions else "3"
    return Recognised(kind=ModelKind.CHECKPOINT, family=FamilyId.SD3, traits=(size,))


def _flux(channels: int, *, has_guidance: bool) -> Recognised:
    trait = _FLUX_CHANNELS.get(channels, "")
    traits = ("dev", "distilled guidance") if has_guidance else ("schnell",)
    problem = ""
    if trait:
        problem = f"It is the Flux.1 for {trait}, which takes {channels} channels. Choose Flux.1 dev or schnell."
        traits = (trait, *traits)
    return Recognised(kind=ModelKind.CHECKPOINT, family=FamilyId.FLUX, traits=traits, problem=problem)


def _other(inner: Tensors) -> Recognised | None:
    for key, title in _OTHERS.items():
        if key in inner.shapes:
            return unknown(f"It is a {title} model, a family that Underpaint doesn't paint with.", title)
    if "motion_module" in inner.names:
        return unknown("It makes films (AnimateDiff), and Underpaint paints single pictures.")
    return None


def _with_parts(found: Recognised, whole: Tensors) -> Recognised:
    """The same, with what a whole checkpoint has and this one lacks."""
    lacking: list[str] = []
    if not whole.heads & {"cond_stage_model", "conditioner", "text_encoders", "text_encoder"}:
        lacking.append("text encoder")
    if not whole.heads & {"first_stage_model", "vae"}:
        lacking.append("VAE")
    return Recognised(
        kind=found.kind,
        family=found.family,
        traits=(*found.traits, *(f"without {part}" for part in lacking)),
    )
