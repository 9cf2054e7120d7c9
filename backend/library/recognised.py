"""What was found out about a model, and the families that its parts can go with."""

from dataclasses import dataclass

from ...protocol.models import FamilyId, ModelKind
from .tensors import Tensors


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """What a model is, as far as its header tells."""

    kind: ModelKind
    family: FamilyId | None = None  # None where it isn't known, or where it goes with several
    precision: str = ""
    traits: tuple[str, ...] = ()
    control_kinds: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    licence: str = ""
    problem: str = ""  # a sentence: why it can't be used, and the way out


TITLES = {
    FamilyId.SD15: "Stable Diffusion 1.5",
    FamilyId.SD2: "Stable Diffusion 2",
    FamilyId.SDXL: "Stable Diffusion XL",
    FamilyId.SD3: "Stable Diffusion 3",
    FamilyId.FLUX: "Flux.1",
    FamilyId.QWEN_IMAGE: "Qwen-Image",
    FamilyId.Z_IMAGE: "Z-Image",
}

_BY_TEXT_WIDTH = {768: FamilyId.SD15, 1024: FamilyId.SD2, 2048: FamilyId.SDXL}


def family_of_text(width: int) -> FamilyId | None:
    """The family whose UNet reads text of so many channels; None where none of the known does."""
    return _BY_TEXT_WIDTH.get(width)


def family_of_unet(tensors: Tensors, pooled: str) -> FamilyId | None:
    """Of a UNet or ControlNet: pooled text is SDXL's, and matrices around the attention are SD 2's."""
    if pooled in tensors.heads:
        return FamilyId.SDXL
    ways_in = [shape for key, shape in tensors.shapes.items() if key.endswith("proj_in.weight")]
    if ways_in:
        return FamilyId.SD2 if len(ways_in[0]) == 2 else FamilyId.SD15
    return family_of_text(tensors.width("attn2.to_k.weight"))


def unknown(problem: str, *traits: str) -> Recognised:
    """Something that Underpaint has no use for."""
    return Recognised(kind=ModelKind.UNKNOWN, traits=traits, problem=problem)
