"""Union ControlNets: one net for many kinds of control, told which by a mode. Data and look-ups; no torch.

Sources, per row: the model cards of the repositories named, and docs/conventions.md, "Union nets".
"""

from dataclasses import dataclass
from enum import StrEnum

from ....protocol.errors import InvalidRequest
from ....protocol.request import ControlKind
from ..families import FamilyId


class UnionId(StrEnum):
    """The union nets that Underpaint knows."""

    XINSIR = "xinsir"
    XINSIR_PROMAX = "xinsir_promax"
    FLUX_INSTANTX = "flux_instantx"
    FLUX_SHAKKER_PRO = "flux_shakker_pro"
    FLUX_SHAKKER_PRO_2 = "flux_shakker_pro_2"
    QWEN_INSTANTX = "qwen_instantx"


@dataclass(frozen=True, kw_only=True)
class Union:
    """What one union net takes."""

    title: str
    family: FamilyId
    repositories: tuple[str, ...]  # hub ids of its diffusers layout
    modes: dict[ControlKind, int | None]  # None: the net knows the kind by itself and must be given no mode
    mode_count: int  # num_control_type or num_mode in its config; 0 where it has none
    scale: tuple[float, float]  # conditioning scales that its authors recommend
    note: str


_XINSIR: dict[ControlKind, int | None] = {
    ControlKind.OPENPOSE: 0,
    ControlKind.DEPTH: 1,
    # thick lines: HED, PiDiNet, scribbles, TEED
    ControlKind.SOFTEDGE: 2,
    ControlKind.SCRIBBLE: 2,
    # thin lines
    ControlKind.CANNY: 3,
    ControlKind.LINEART: 3,
    ControlKind.LINEART_ANIME: 3,
    ControlKind.MLSD: 3,
    ControlKind.NORMAL: 4,
    ControlKind.SEGMENTATION: 5,
}
_FLUX: dict[ControlKind, int | None] = {
    ControlKind.CANNY: 0,
    ControlKind.TILE: 1,
    ControlKind.DEPTH: 2,
    ControlKind.BLUR: 3,
    ControlKind.OPENPOSE: 4,
    ControlKind.GRAY: 5,
    ControlKind.LOW_QUALITY: 6,
}
_PLAIN = (ControlKind.CANNY, ControlKind.SOFTEDGE, ControlKind.DEPTH, ControlKind.OPENPOSE)

UNIONS: dict[UnionId, Union] = {
    UnionId.XINSIR: Union(
        title="xinsir's union for Stable Diffusion XL",
        family=FamilyId.SDXL,
        repositories=("xinsir/controlnet-union-sdxl-1.0",),
        modes=_XINSIR,
        mode_count=6,
        scale=(1.0, 1.0),
        note="one net, several images at once, each at scale 1; segmentation saw SAM's masks in random colours",
    ),
    UnionId.XINSIR_PROMAX: Union(
        title="xinsir's union promax for Stable Diffusion XL",
        family=FamilyId.SDXL,
        repositories=("brad-twinkl/controlnet-union-sdxl-1.0-promax",),
        # Mode 6 serves deblurring, variations and super resolution; mode 7 inpainting and outpainting.
        modes={
            **_XINSIR,
            ControlKind.TILE: 6,
            ControlKind.BLUR: 6,
            ControlKind.LOW_QUALITY: 6,
            ControlKind.INPAINT: 7,
        },
        mode_count=8,
        scale=(1.0, 1.0),
        note="a copy in diffusers' layout; xinsir/controlnet-union-sdxl-1.0 holds the weights under another name",
    ),
    UnionId.FLUX_INSTANTX: Union(
        title="InstantX's union for Flux.1 dev",
        family=FamilyId.FLUX,
        repositories=("InstantX/FLUX.1-dev-Controlnet-Union",),
        modes=_FLUX,
        mode_count=10,
        scale=(0.3, 0.8),
        note="works only inside FluxMultiControlNetModel, which wants a mode for every image",
    ),
    UnionId.FLUX_SHAKKER_PRO: Union(
        title="Shakker Labs' Union Pro for Flux.1 dev",
        family=FamilyId.FLUX,
        repositories=("Shakker-Labs/FLUX.1-dev-ControlNet-Union-Pro",),
        modes=_FLUX,
        mode_count=10,
        scale=(0.3, 0.8),
        note="as InstantX's, trained for longer",
    ),
    UnionId.FLUX_SHAKKER_PRO_2: Union(
        title="Shakker Labs' Union Pro 2.0 for Flux.1 dev",
        family=FamilyId.FLUX,
        repositories=("Shakker-Labs/FLUX.1-dev-ControlNet-Union-Pro-2.0",),
        modes=dict.fromkeys((*_PLAIN, ControlKind.GRAY), None),
        mode_count=0,
        scale=(0.7, 0.9),
        note="the mode embedding was removed: control_mode must not be given; no tile",
    ),
    UnionId.QWEN_INSTANTX: Union(
        title="InstantX's union for Qwen-Image",
        family=FamilyId.QWEN_IMAGE,
        repositories=("InstantX/Qwen-Image-ControlNet-Union",),
        modes=dict.fromkeys(_PLAIN, None),
        mode_count=0,
        scale=(0.8, 1.0),
        note="takes no mode",
    ),
}


def mode_of(union: UnionId, kind: ControlKind) -> int | None:
    """The mode to give `union` for a kind; None where it must be given none.

    Raises InvalidRequest, naming what the net does know, for a kind that it wasn't trained on.
    """
    row = UNIONS[union]
    if kind not in row.modes:
        raise InvalidRequest(reason=f"{row.title} has no mode for {kind}; it knows {', '.join(sorted(row.modes))}")
    return row.modes[kind]


def mode(family: FamilyId, kind: ControlKind, modes: int) -> int:
    """The mode to give a union net of a family that tells `modes` kinds apart. Raises InvalidRequest as `mode_of`."""
    counts = {row.mode_count: union for union, row in UNIONS.items() if row.family is family and row.mode_count}
    if modes in counts:
        found = mode_of(counts[modes], kind)
        if found is not None:
            return found
    known = " or ".join(str(count) for count in sorted(counts)) or "none"
    raise InvalidRequest(reason=f"a union ControlNet with {modes} modes is not known, only ones with {known}")


def known(reference: str) -> Union | None:
    """The union net of that hub id, so that a wrong kind or family is refused before any download; None for others."""
    wanted = reference.strip().lower()
    named = (row for row in UNIONS.values() if wanted in (name.lower() for name in row.repositories))
    return next(named, None)
