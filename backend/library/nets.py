"""Telling ControlNets and their like apart by their keys and shapes."""

from ...protocol.models import FamilyId, ModelKind
from .recognised import Recognised, family_of_unet
from .tensors import Tensors

# What a union net tells apart by its number of modes: xinsir's model cards, and InstantX's and Shakker's for Flux.
XINSIR_KINDS = (
    "openpose", "depth", "softedge", "scribble", "canny", "lineart", "lineart_anime", "mlsd", "normal", "segmentation",
)  # fmt: skip
PROMAX_KINDS = (*XINSIR_KINDS, "tile", "blur", "low_quality", "inpaint")
FLUX_KINDS = ("canny", "tile", "depth", "blur", "openpose", "gray", "low_quality")


def controlnet(tensors: Tensors) -> Recognised | None:
    """What ControlNet it is, or what it is instead that is used like one; None for anything else."""
    return _relative(tensors) or _unet_net(tensors) or _transformer_net(tensors)


def _unet_net(tensors: Tensors) -> Recognised | None:
    if "control_model" in tensors.heads:
        net = tensors.below("control_model.")
    elif tensors.has("input_hint_block.0.weight", "zero_convs.0.0.weight"):
        net = tensors
    elif "controlnet_cond_embedding" in tensors.heads and "controlnet_down_blocks" in tensors.heads:
        return _diffusers_net(tensors)
    else:
        return None
    problem = ""
    if "difference" in tensors.heads:
        problem = "It holds only what differs from the UNet of one checkpoint. Use the whole ControlNet instead."
    elif not net.has("input_hint_block.0.weight"):
        problem = "It lacks the part that looks at the control image. Fetch it again."
    return Recognised(kind=ModelKind.CONTROLNET, family=family_of_unet(net, "label_emb"), problem=problem)


def _diffusers_net(tensors: Tensors) -> Recognised:
    family = family_of_unet(tensors, "add_embedding")
    modes = tensors.side("task_embedding", 0)
    if not modes:
        return Recognised(kind=ModelKind.CONTROLNET, family=family)
    kinds, traits = (PROMAX_KINDS, ("union", "promax")) if modes > 6 else (XINSIR_KINDS, ("union",))
    return Recognised(kind=ModelKind.CONTROLNET, family=family, traits=traits, control_kinds=kinds)


def _transformer_net(tensors: Tensors) -> Recognised | None:
    if "control_all_x_embedder" in tensors.heads or "control_layers" in tensors.heads:
        return Recognised(kind=ModelKind.CONTROLNET, family=FamilyId.Z_IMAGE)
    if "controlnet_blocks" not in tensors.heads:
        return None
    if "double_blocks" in tensors.heads:
        return Recognised(
            kind=ModelKind.CONTROLNET,
            family=FamilyId.FLUX,
            problem="It is a Flux ControlNet in XLabs' own layout. Use the same one in diffusers' layout: "
            'their repositories whose names end in "-diffusers".',
        )
    if "pos_embed_input" in tensors.heads:
        return Recognised(kind=ModelKind.CONTROLNET, family=FamilyId.SD3)
    if tensors.any(r"^transformer_blocks\.0\.img_mlp\."):
        return Recognised(kind=ModelKind.CONTROLNET, family=FamilyId.QWEN_IMAGE)
    if "controlnet_x_embedder" in tensors.heads:
        modes = tensors.side("controlnet_mode_embedder.weight", 0)
        union = ("union",) if modes else ()
        kinds = FLUX_KINDS if modes else ()
        return Recognised(kind=ModelKind.CONTROLNET, family=FamilyId.FLUX, traits=union, control_kinds=kinds)
    return None


def _relative(tensors: Tensors) -> Recognised | None:
    """What is used like a ControlNet in other programs, and isn't one."""
    if "lora_controlnet" in tensors.heads:
        name, way = "a Control-LoRA", "Use a whole ControlNet for the same control"
    elif any(head.startswith("lllite_unet") for head in tensors.heads):
        name, way = "a ControlNet-LLLite", "Use a whole ControlNet for the same control"
    elif tensors.any(r"^adapter\.body\.0\.") or (
        tensors.has("conv_in.weight") and tensors.any(r"^body\.0\.(block1|in_conv)\.")
    ):
        name, way = "a T2I-Adapter", "Use a ControlNet for the same control"
    else:
        return None
    return Recognised(
        kind=ModelKind.CONTROLNET,
        traits=(name.partition(" ")[2],),
        problem=f"It is {name}, which isn't read here. {way}.",
    )
