"""Telling LoRAs, embeddings and IP-Adapters apart by their keys and shapes, and whom they go with."""

import re
from collections.abc import Iterator

from ...protocol.models import FamilyId, ModelKind
from .recognised import Recognised, family_of_text
from .tensors import Tensors

_MARKS = (
    "lora_down",
    "lora_up",
    "lora_A",
    "lora_B",
    "lora.down",
    "lora.up",
    "lora_linear_layer",
    "hada_w1_a",
    "lokr_w",
)
_OTHER_LYCORIS = {"oft_blocks": "OFT", "oft_diag": "OFT", "on_input": "(IA)3", "diff": "full differences"}
_CROSS_KEY = re.compile(r"attn2[._](processor[._])?to_[kv]")
_ADDED_KEY = re.compile(r"add_k_proj")
_TEXT_KEY = re.compile(r"^(?:lora_te_|text_encoder\.).*[qk]_proj")
_FLUX_BLOCKS = 19  # of two streams; Qwen-Image has 60
_SD3_WIDTHS = (1536, 2432)
_TOKENS = 128  # more rows than any embedding has


def lora(tensors: Tensors) -> Recognised | None:
    """What LoRA, or LyCORIS, it is; None for anything else."""
    if not any(mark in tensors.names for mark in _MARKS):
        return _other_lycoris(tensors)
    marks = (("hada_w1_a", "LoHa"), ("lokr_w", "LoKr"), ("dora_scale", "DoRA"))
    traits = [trait for mark, trait in marks if mark in tensors.names]
    rank = next((shape[0] for key, shape in tensors.shapes.items() if _is_down(key) and len(shape) >= 2), 0)
    if rank:
        traits.append(f"rank {rank}")
    return Recognised(kind=ModelKind.LORA, family=_lora_family(tensors), traits=tuple(traits))


def _other_lycoris(tensors: Tensors) -> Recognised | None:
    if not any(head.startswith(("lora_unet_", "lora_te", "lycoris_")) for head in tensors.heads):
        return None
    trait = next((name for end, name in _OTHER_LYCORIS.items() if tensors.any(rf"\.{end}(\.|$)")), "LyCORIS")
    return Recognised(
        kind=ModelKind.LORA,
        traits=(trait,),
        problem=f"It is a LyCORIS of a sort that isn't read ({trait}). LoRA, LoCon, LoHa, LoKr and DoRA are.",
    )


def _is_down(key: str) -> bool:
    return any(part in key for part in ("lora_down", "lora_A", "lora.down", "_lora.down", "lora_linear_layer.down"))


def _lora_family(tensors: Tensors) -> FamilyId | None:
    """By the names of the blocks, and by how wide the text is that its layers read."""
    names = tensors.names
    if any(blocks in names for blocks in ("double_blocks", "single_transformer_blocks", "single_blocks")):
        return FamilyId.FLUX
    if "joint_blocks" in names:
        return FamilyId.SD3
    if any(layer in names for layer in ("img_mlp", "img_mod", "txt_mlp", "txt_mod")):
        return FamilyId.QWEN_IMAGE
    if "add_k_proj" in names:
        if any(width in _SD3_WIDTHS for width in _input_widths(tensors, _ADDED_KEY)):
            return FamilyId.SD3
        return FamilyId.QWEN_IMAGE if tensors.count(r"transformer_blocks[._](\d+)[._]") > _FLUX_BLOCKS else None
    if "layers" in names and tensors.any(r"(?:^|[._])layers[._]\d+[._](?:attention|feed_forward|adaLN)"):
        return FamilyId.Z_IMAGE
    return _unet_lora_family(tensors)


def _unet_lora_family(tensors: Tensors) -> FamilyId | None:
    for width in _input_widths(tensors, _CROSS_KEY):
        family = family_of_text(width)
        if family is not None:
            return family
    # Only SDXL has a second text encoder, and several transformers in one place.
    if tensors.any(r"^(?:lora_te2_|text_encoder_2\.)|transformer_blocks[._][2-9][._]attn"):
        return FamilyId.SDXL
    return {768: FamilyId.SD15, 1024: FamilyId.SD2}.get(next(_input_widths(tensors, _TEXT_KEY), 0))


def _input_widths(tensors: Tensors, where: re.Pattern[str]) -> Iterator[int]:
    """How wide the input is of each layer whose name matches, by the matrices that belong to it."""
    for key, shape in tensors.shapes.items():
        if len(shape) < 2 or not where.search(key):
            continue
        if _is_down(key) or key.endswith(("hada_w1_b", "hada_w2_b")):
            yield shape[1]
        elif key.endswith("lokr_w1"):
            layer = key.removesuffix("lokr_w1")
            second = tensors.shapes.get(f"{layer}lokr_w2") or tensors.shapes.get(f"{layer}lokr_w2_b")
            if second is not None and len(second) >= 2:
                yield shape[1] * second[1]


def embedding(tensors: Tensors) -> Recognised | None:
    """What textual inversion it is; None for anything else."""
    shapes = tensors.shapes
    if not 0 < len(shapes) <= 4 or not all(len(shape) in (1, 2) for shape in shapes.values()):
        return None
    rows = [shape[0] if len(shape) == 2 else 1 for shape in shapes.values()]
    if max(rows) > _TOKENS:
        return None
    if "clip_l" in shapes or "clip_g" in shapes:
        family = FamilyId.SDXL if {"clip_l", "clip_g"} <= set(shapes) and "t5xxl" not in shapes else None
        return Recognised(kind=ModelKind.EMBEDDING, family=family, traits=(f"{max(rows)} tokens",))
    if len(shapes) > 1:
        return None
    ((key, shape),) = shapes.items()
    if key != "emb_params" and "." in key:
        return None
    family = {768: FamilyId.SD15, 1024: FamilyId.SD2}.get(shape[-1])
    words = () if key == "emb_params" else (key,)
    return Recognised(kind=ModelKind.EMBEDDING, family=family, traits=(f"{max(rows)} tokens",), words=words)


def ip_adapter(tensors: Tensors) -> Recognised | None:
    """What IP-Adapter it is; None for anything else."""
    if "ip_adapter_double_stream" in tensors.names:
        return Recognised(
            kind=ModelKind.IP_ADAPTER, family=FamilyId.FLUX, problem="It is an IP-Adapter for Flux.1, which isn't read."
        )
    if not {"image_proj", "ip_adapter"} <= tensors.heads:
        return None
    family = family_of_text(tensors.width(".to_k_ip.weight"))
    image = tensors.below("image_proj.")
    if "perceiver_resampler" in image.heads or (image.has("norm.weight", "proj.0.weight", "proj.2.weight")):
        return Recognised(
            kind=ModelKind.IP_ADAPTER,
            family=family,
            traits=("FaceID",),
            problem="It is a FaceID adapter, which needs a program that recognises faces. Use a plain IP-Adapter, or "
            "one for a face without ID.",
        )
    if image.has("proj.weight"):
        variant, seen = "plain", {1024: "ViT-H", 1280: "ViT-bigG"}.get(image.side("proj.weight", 1), "")
    elif image.has("proj.3.weight"):
        variant, seen = "full face", "ViT-H"
    elif image.has("latents", "proj_in.weight"):
        variant, seen = "plus", {1280: "ViT-H", 1664: "ViT-bigG"}.get(image.side("proj_in.weight", 1), "")
    else:
        return Recognised(
            kind=ModelKind.IP_ADAPTER, family=family, problem="It is an IP-Adapter of a sort that isn't known."
        )
    return Recognised(
        kind=ModelKind.IP_ADAPTER, family=family, traits=(variant, *((f"looks with {seen}",) if seen else ()))
    )
