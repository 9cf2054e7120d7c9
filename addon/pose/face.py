"""The 70 points of a face, fitted to a nose, two eyes and two ears. Arrays only.

Points are given in the head's own frame: x to the person's left, y forward, z up.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

NOSE_TIP, RIGHT_PUPIL, LEFT_PUPIL = 30, 68, 69

# A grown person's face in millimetres from the middle between the pupils; the person's left half and the
# middle line. Distances are the means of face anthropometry (L. G. Farkas, Anthropometry of the Head and Face,
# 2nd ed. 1994; men and women, rounded): pupils 63 apart, eyes 16 to 45 from the middle, nose 34 wide and 53
# from nasion to subnasale, tip 20 before it, mouth 52 wide and 22 below subnasale, chin 120 below nasion,
# jaw 105 wide at its angles, tragi 140 apart. Depths follow from those and from the curve of the face.
_HALF: dict[int, tuple[float, float, float]] = {
    8: (0, 3, -111), 9: (17, -4, -107), 10: (33, -20, -98), 11: (45.5, -36, -86), 12: (55, -50, -71),
    13: (62, -60, -54), 14: (66, -66, -36), 15: (67.5, -70, -19), 16: (68, -73, -2),
    22: (12, 10, 20), 23: (24, 8, 24), 24: (36, 4, 25), 25: (46, -2, 22), 26: (52, -12, 16),
    27: (0, 8, 6), 28: (0, 14, -6), 29: (0, 21, -18), 30: (0, 29, -32),
    33: (0, 14, -43), 34: (8, 12, -42), 35: (15, 6, -40),
    42: (16, -2, -2), 43: (27, 0.5, 4.5), 44: (37, -1, 4.5), 45: (45, -8, -0.5), 46: (37, -2, -4.5), 47: (27, 0, -4),
    51: (0, 17, -58), 52: (7, 16, -57), 53: (16, 11, -60), 54: (26, 2, -66), 55: (17, 8.5, -72), 56: (8, 13, -75),
    57: (0, 14, -75), 62: (0, 14, -65.5), 63: (8, 13, -65), 64: (22, 3.5, -66), 65: (8, 12.5, -67), 66: (0, 13, -68),
    69: (31.5, 0, 0),
}  # fmt: skip
MIRROR = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65, 69, 68,
)  # fmt: skip
"""The point on the other half of the face that mirrors each point."""
INNER_LIPS = {
    60: (48, 54, 0.08), 61: (50, 58, 0.4), 62: (51, 57, 0.4), 63: (52, 56, 0.4),
    64: (54, 48, 0.08), 65: (56, 52, 0.4), 66: (57, 51, 0.4), 67: (58, 50, 0.4),
}  # fmt: skip
"""How far each point of the inner lips is from one point of the outer lips to another."""
TRAGUS_MM = np.array((70.0, -93.0, -22.0))  # the left one
HEAD_MM, PUPILS_MM, _TRAGI_MM = 225.0, 63.0, 140.0
EYEBALL_MM = 12.0  # its radius: bones of eyes lie in its centre


def _template() -> Points:
    half = np.zeros((70, 3))
    for index, place in _HALF.items():
        half[index] = place
        half[MIRROR[index]] = np.multiply(place, (-1, 1, 1))
    return half


TEMPLATE = _template()
# Where the skin looks: away from the axis of the head, a little downwards below the eyes.
_OUT = (TEMPLATE - (0.0, -85.0, -40.0)) * (1.0, 1.0, 0.3)
OUTWARD: Points = _OUT / np.linalg.norm(_OUT, axis=1, keepdims=True)


@dataclass(frozen=True, kw_only=True)
class Features:
    """What a face is fitted to, in the head's frame. Left before right."""

    nose: Points  # (3) its tip
    eyes: Points  # (2, 3) on the surface
    ears: Points  # (2, 3)
    height: float | None = None  # of the head, chin to crown; None where nothing tells


def mm(features: Features) -> float:
    """How long a millimetre of the template is on this head."""
    eyes, ears = (np.linalg.norm(pair[0] - pair[1]) for pair in (features.eyes, features.ears))
    return float(eyes / PUPILS_MM + ears / _TRAGI_MM) / 2


def tragi(middle: Points, scale: Points | float) -> Points:
    """(2, 3): a point before each ear, left before right."""
    return middle + np.array((TRAGUS_MM, TRAGUS_MM * (-1, 1, 1))) * scale


def face(features: Features) -> Points:
    """(70, 3): the template, stretched to the head and then moved so that nose, pupils and ears fit exactly."""
    across = mm(features)
    along = across if features.height is None else features.height / HEAD_MM
    scale = np.array((across, (across + along) / 2, along))
    middle = features.eyes.mean(axis=0)
    points = middle + TEMPLATE * scale
    anchors = np.concatenate([points[[NOSE_TIP, LEFT_PUPIL, RIGHT_PUPIL]], tragi(middle, scale)])
    wanted = np.concatenate([features.nose[None], features.eyes, features.ears])
    distance = np.linalg.norm(points[:, None] - anchors, axis=-1)
    weight = 1 / np.maximum(distance, 1e-6 * across) ** 2
    weight /= weight.sum(axis=1, keepdims=True)
    return points + weight @ (wanted - anchors)
