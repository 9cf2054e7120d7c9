"""Where the bones of a face rig lie among the 70 points of OpenPose's face.

Data only. The points are the 68 of iBUG's 300-W (jaw from the person's right ear to the left, brows, nose,
eyes, lips; all seen from the front, the person's right first) and the right and the left pupil. A face rig
has bones along the same lines, some more and some fewer than iBUG has points, so the points are spread
evenly over a line of bones.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Line:
    """Points `first`..`last`, spread evenly by their number over a line through the heads of these bones.

    A name that ends in ">" stands for its bone's tail.
    """

    first: int
    last: int
    bones: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Knots:
    """A face rig: its lines, with the prefix that the rig's bones have."""

    lines: tuple[Line, ...]
    prefix: str = ""
    pupils: tuple[str, str] = ("", "")  # the right and the left eye's bone, which ends at the pupil


NONE = Knots(lines=())


def _line(first: int, last: int, *bones: str) -> Line:
    return Line(first=first, last=last, bones=bones)


# Rigify's face as its human metarig has it in 4.2 to 5.0; deform bones carry the same names after "DEF-".
_RIGIFY = (
    _line(0, 4, "jaw.R", "jaw.R.001"),
    _line(4, 6, "jaw.R.001", "chin.R"),
    _line(6, 8, "chin.R", "jaw>"),
    _line(8, 10, "jaw>", "chin.L"),
    _line(10, 12, "chin.L", "jaw.L.001"),
    _line(12, 16, "jaw.L.001", "jaw.L"),
    _line(17, 21, "brow.T.R.001", "brow.T.R.002", "brow.T.R.003"),
    _line(22, 26, "brow.T.L.003", "brow.T.L.002", "brow.T.L.001"),
    _line(27, 29, "nose", "nose.001"),
    _line(30, 30, "nose.002"),
    _line(31, 33, "nose.R.001", "nose.004"),
    _line(33, 35, "nose.004", "nose.L.001"),
    _line(36, 39, "lid.T.R", "lid.T.R.001", "lid.T.R.003", "lid.B.R"),
    _line(40, 41, "lid.B.R.001", "lid.B.R.003"),
    _line(42, 45, "lid.B.L", "lid.T.L.003", "lid.T.L.001", "lid.T.L"),
    _line(46, 47, "lid.B.L.003", "lid.B.L.001"),
    _line(48, 51, "cheek.B.R", "lip.T.R.001", "lip.T.L"),
    _line(51, 54, "lip.T.L", "lip.T.L.001", "cheek.B.L"),
    _line(54, 57, "cheek.B.L", "lip.B.L.001", "lip.B.L"),
    _line(57, 60, "lip.B.L", "lip.B.R.001", "cheek.B.R"),  # 60 is an inner lip's, and made from the outer ones
)

RIGIFY = Knots(lines=_RIGIFY, prefix="DEF-", pupils=("ORG-eye.R", "ORG-eye.L"))
RIGIFY_METARIG = Knots(lines=_RIGIFY, pupils=("eye.R", "eye.L"))
