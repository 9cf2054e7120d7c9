"""Which control image a family's ControlNet of a kind expects: one row each.

A wrong convention is one wrong row here and not a hunt. Sources: docs/conventions.md,
which names the annotator code or model card behind each number.
"""

from dataclasses import dataclass

from ....protocol.errors import InvalidRequest
from ....protocol.request import ControlKind
from ..families import FamilyId


@dataclass(frozen=True, kw_only=True)
class DepthConvention:
    """Near is white, background black, grey runs in disparity: what MiDaS-trained nets saw."""

    floor: float = 0.0  # grey of the farthest surface, 0..1; lifts it off the black background


@dataclass(frozen=True, kw_only=True)
class NormalConvention:
    """A direction in camera space (x right, y up, z to the viewer) as a colour: 0.5 + 0.5 * sign * n."""

    signs: tuple[int, int, int]
    background: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class PoseConvention:
    """OpenPose sticks."""

    stick_px: int = 4  # half width of a limb's ellipse
    joint_px: int = 4  # radius of a joint's disc
    grows: bool = False  # both times 2 from 500 px on, 3 from 1000, and one more for each further 1000


@dataclass(frozen=True, kw_only=True)
class EdgeConvention:
    """Canny's hysteresis thresholds on 0..255; edges are one pixel wide, 0 or 255."""

    low: int = 100  # controlnet-aux's defaults; v1.1 was trained with random ones
    high: int = 200


Convention = DepthConvention | NormalConvention | PoseConvention | EdgeConvention

_DISPARITY = DepthConvention()
_BAE = NormalConvention(signs=(-1, 1, 1), background=(128, 128, 255))  # red faces image-left
_CANNY = EdgeConvention()

_ROWS: dict[tuple[FamilyId, ControlKind], Convention] = {
    # lllyasviel/control_v11f1p_sd15_depth: MiDaS among others, "real depth from rendering engines" too
    (FamilyId.SD15, ControlKind.DEPTH): _DISPARITY,
    # lllyasviel/control_v11p_sd15_normalbae
    (FamilyId.SD15, ControlKind.NORMAL): _BAE,
    # lllyasviel/control_v11p_sd15_openpose: 4 px at any size
    (FamilyId.SD15, ControlKind.OPENPOSE): PoseConvention(),
    (FamilyId.SD15, ControlKind.CANNY): _CANNY,
    # thibaud/controlnet-sd21-*: trained with the v1.1 annotators
    (FamilyId.SD2, ControlKind.DEPTH): _DISPARITY,
    (FamilyId.SD2, ControlKind.NORMAL): _BAE,
    (FamilyId.SD2, ControlKind.OPENPOSE): PoseConvention(),
    (FamilyId.SD2, ControlKind.CANNY): _CANNY,
    # diffusers/controlnet-depth-sdxl-1.0 and xinsir/controlnet-depth-sdxl-1.0: MiDaS
    (FamilyId.SDXL, ControlKind.DEPTH): _DISPARITY,
    # xinsir's union, mode 4: NormalBaeDetector in its example
    (FamilyId.SDXL, ControlKind.NORMAL): _BAE,
    # xinsir/controlnet-openpose-sdxl-1.0: the author's README scales sticks and joints with the size
    (FamilyId.SDXL, ControlKind.OPENPOSE): PoseConvention(grows=True),
    (FamilyId.SDXL, ControlKind.CANNY): _CANNY,
}


def convention(family: FamilyId, kind: ControlKind) -> Convention:
    """The row of a family and a kind. Raises InvalidRequest where the family has no such ControlNets."""
    row = _ROWS.get((family, kind))
    if row is None:
        raise InvalidRequest(reason=f"there is no {kind} control for {family}")
    return row
