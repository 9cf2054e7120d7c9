"""How a rig's names are written down. The rigs themselves are in `rigs_body`, `rigs_hands` and `rigs_face`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .points import PAIRED, SIDES, SINGLE, paired
from .rigs_face import NONE, Knots
from .rigs_hands import Hand


@dataclass(frozen=True, kw_only=True)
class FacePoint:
    """Where a point of the face lies from the head of the head bone, in head bone lengths."""

    lateral: float  # to the point's own side
    forward: float
    up: float


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face for rigs that have a head bone and nothing on it. Head bones start at different heights."""

    nose: FacePoint
    eye: FacePoint
    ear: FacePoint


# Measured on the meshes of the rigs' own humans; eyes are on the surface.
FROM_THE_JAW = Face(  # Rigify's human, whose head bone starts at the height of the jaw
    nose=FacePoint(lateral=0.0, forward=0.86, up=0.32),
    eye=FacePoint(lateral=0.26, forward=0.60, up=0.57),
    ear=FacePoint(lateral=0.46, forward=0.03, up=0.41),
)
FROM_THE_EARS = Face(  # MPFB's default rig, whose head bone starts between the ears
    nose=FacePoint(lateral=0.0, forward=0.82, up=0.02),
    eye=FacePoint(lateral=0.195, forward=0.58, up=0.26),
    ear=FacePoint(lateral=0.51, forward=0.07, up=0.065),
)


@dataclass(frozen=True, kw_only=True)
class Rig:
    """One family's names. `{s}` stands for the side; the first name that the armature has is taken."""

    name: str
    sides: tuple[str, str]  # left, right: the person's
    bones: Mapping[str, tuple[str, ...]] = field(hash=False)  # by the point's name; those of the hands apart
    hands: tuple[Hand, ...] = field(default=(), hash=False)  # of each finger, the one that has most bones is taken
    knots: Knots = field(default=NONE, hash=False)  # the bones of a face rig
    face: Face = FROM_THE_JAW
    true_length: bool = False  # whether the head bone ends at the crown; importers invent tails

    def spelled(self, name: str, side: str) -> str:
        """A name with the side put in: "left" or "right"."""
        letter = self.sides[SIDES.index(side)]
        return name.format(s=letter, S=letter.upper())


def rig(
    name: str,
    sides: tuple[str, str],
    *,
    hands: tuple[Hand, ...] = (),
    knots: Knots = NONE,
    face: Face = FROM_THE_JAW,
    true_length: bool = False,
    **bones: str | tuple[str, ...],
) -> Rig:
    """A row of the table: `bones` by the part, as `shoulder="upper_arm.{s}"`."""
    row = Rig(name=name, sides=sides, bones={}, hands=hands, knots=knots, face=face, true_length=true_length)
    named: dict[str, tuple[str, ...]] = {}
    unknown = bones.keys() - {*PAIRED, *SINGLE}
    if unknown:
        raise ValueError(f"{name}: no such part: {', '.join(sorted(unknown))}")
    for part, value in bones.items():
        spellings = (value,) if isinstance(value, str) else value
        if part in SINGLE:
            named[part] = spellings
        else:
            for side in SIDES:
                named[paired(side, part)] = tuple(row.spelled(spelling, side) for spelling in spellings)
    return Rig(name=name, sides=sides, bones=named, hands=hands, knots=knots, face=face, true_length=true_length)
