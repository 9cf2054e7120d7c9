"""People as the coloured sticks, hands and dotted faces that OpenPose ControlNets were trained on.

The drawing (ellipses at six tenths of their colour, full colour discs on them, then hands, then the face, one
person after another) is that of the OpenPose annotator of ControlNet v1.1 and controlnet-aux, told in
docs/conventions.md, "OpenPose". Written from those facts; the tests hold it against controlnet-aux to the byte.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from ....protocol.arrays import UInt8Array
from ....protocol.checks import FACE_POINTS, FARTHEST_PX, HAND_JOINTS, JOINTS
from ....protocol.errors import InvalidRequest
from ....protocol.geometry import Extent
from ....protocol.options import HiddenJoints, PoseOptions
from ....protocol.sources import Keypoint, Keypoints, Person, Visibility
from .table import PoseConvention

Colour = tuple[int, int, int]

# Limb i joins two joints and has colour i; joint i has colour i.
LIMBS: tuple[tuple[int, int], ...] = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLOURS: tuple[Colour, ...] = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
# A finger runs from the wrist (0) over four joints; bone i has colour i: hues of a full circle, in fractions of which
# the annotators make 255ths by OpenCV's rounding.
HAND_BONES: tuple[tuple[int, int], ...] = (
    (0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (5, 6), (6, 7), (7, 8), (0, 9), (9, 10),
    (10, 11), (11, 12), (0, 13), (13, 14), (14, 15), (15, 16), (0, 17), (17, 18), (18, 19), (19, 20),
)  # fmt: skip
HAND_COLOURS: tuple[Colour, ...] = (
    (255, 0, 0), (255, 77, 0), (255, 153, 0), (255, 229, 0), (204, 255, 0), (128, 255, 0), (51, 255, 0),
    (0, 255, 25), (0, 255, 102), (0, 255, 179), (0, 255, 255), (0, 178, 255), (0, 102, 255), (0, 25, 255),
    (51, 0, 255), (128, 0, 255), (204, 0, 255), (255, 0, 230), (255, 0, 153), (255, 0, 77),
)  # fmt: skip
HAND_JOINT_COLOUR: Colour = (0, 0, 255)
FACE_COLOUR: Colour = (255, 255, 255)

# What a hand's and a face's points must span, corner to corner of their box, in diameters of their discs (9 and
# 7 px), to be more than a blob: 32 and 35 px, a spread hand of 23 px and a face 25 px wide. Looked at from 10 px
# to 100 px; below, no finger and no eye can be told. Detectors don't find smaller ones either: CMU's refuses boxes
# under 20 px, and DWPose's points fall under its confidence of 0.3.
SMALLEST_HAND = 3.5
SMALLEST_FACE = 5.0
_LIMB_DIMMING = 0.6
_SHOWN: dict[HiddenJoints, frozenset[Visibility]] = {
    HiddenJoints.DRAW: frozenset(Visibility),
    HiddenJoints.DROP_BEHIND_OTHERS: frozenset((Visibility.VISIBLE, Visibility.BEHIND_ITSELF)),
    HiddenJoints.DROP: frozenset((Visibility.VISIBLE,)),
}


def pose_map(people: Sequence[Person], extent: Extent, convention: PoseConvention, options: PoseOptions) -> UInt8Array:
    """Control image: (height, width, 3) uint8 on black; far people first, so near ones cover them.

    A hand or a face that would be a blob of discs is left out (see `readable`).
    Raises InvalidRequest for a person with another number of points than 18, 21 and 70, a point absurdly
    far off the picture, or a stick or joint of no size.
    """
    canvas = np.zeros((extent.height, extent.width, 3), np.uint8)
    scale = _scale(max(extent.width, extent.height)) if convention.grows else 1
    stick_px = convention.stick_px * scale if options.stick_px is None else options.stick_px
    joint_px = convention.joint_px * scale if options.joint_px is None else options.joint_px
    if not (1 <= stick_px <= FARTHEST_PX and 0 <= joint_px <= FARTHEST_PX):
        raise InvalidRequest(reason=f"sticks of {stick_px} px and joints of {joint_px} px can't be drawn")
    for person in sorted(people, key=lambda person: -person.depth_m):
        body = _points(person.body, JOINTS, "joints", options.hidden)
        hands = [_points(hand, HAND_JOINTS, "joints of a hand", options.hidden) for hand in _hands(person)]
        face = _points(person.face, FACE_POINTS, "points of a face", options.hidden) if person.face else []
        _draw_body(canvas, body, stick_px, joint_px)
        for hand in hands:
            if options.hands and readable(hand, convention.hand_joint_px, SMALLEST_HAND):
                _draw_hand(canvas, hand, convention)
        if options.face and readable(face, convention.face_point_px, SMALLEST_FACE):
            _draw_dots(canvas, face, convention.face_point_px, FACE_COLOUR)
    return canvas


def readable(points: Sequence[Keypoint | None], radius_px: int, smallest: float) -> bool:
    """Whether points drawn as discs are more than a blob: they span `smallest` discs' diameters or more."""
    there = np.array([(point.x_px, point.y_px) for point in points if point is not None])
    if len(there) < 2:
        return False
    return bool(np.hypot(*np.ptp(there, axis=0)) >= smallest * (2 * radius_px + 1))


def _hands(person: Person) -> list[Keypoints]:
    return [hand for hand in (person.left_hand, person.right_hand) if hand]


def _points(points: Keypoints, count: int, what: str, hidden: HiddenJoints) -> list[Keypoint | None]:
    """The points that are drawn, in their order; None for the others."""
    if len(points) != count:
        raise InvalidRequest(reason=f"a person has {len(points)} {what}, expected {count}")
    for point in points:
        # a NaN compares as false, too; max() would pass over one
        if point is not None and not (abs(point.x_px) <= FARTHEST_PX and abs(point.y_px) <= FARTHEST_PX):
            raise InvalidRequest(reason=f"a joint lies at ({point.x_px:g}, {point.y_px:g}) px")
    return [point if point is not None and point.visibility in _SHOWN[hidden] else None for point in points]


def _draw_body(canvas: UInt8Array, body: Sequence[Keypoint | None], stick_px: int, joint_px: int) -> None:
    for (first, second), colour in zip(LIMBS, COLOURS, strict=False):  # the last joint's colour has no limb
        start, end = body[first], body[second]
        if start is not None and end is not None:
            _draw_limb(canvas, start, end, stick_px, colour)
    for joint, colour in zip(body, COLOURS, strict=True):
        if joint is not None:
            cv2.circle(canvas, _pixel(joint), joint_px, colour, thickness=-1)


def _draw_limb(canvas: UInt8Array, start: Keypoint, end: Keypoint, stick_px: int, colour: Colour) -> None:
    dx, dy = start.x_px - end.x_px, start.y_px - end.y_px
    centre = (int((start.x_px + end.x_px) / 2), int((start.y_px + end.y_px) / 2))
    axes = (int(math.hypot(dx, dy) / 2), stick_px)
    outline = cv2.ellipse2Poly(centre, axes, int(math.degrees(math.atan2(dy, dx))), 0, 360, 1)
    dim = tuple(int(_LIMB_DIMMING * channel) for channel in colour)
    cv2.fillConvexPoly(canvas, np.asarray(outline, np.int32), dim)


def _draw_hand(canvas: UInt8Array, hand: Sequence[Keypoint | None], convention: PoseConvention) -> None:
    for (first, second), colour in zip(HAND_BONES, HAND_COLOURS, strict=True):
        start, end = hand[first], hand[second]
        if start is not None and end is not None and _counts(start) and _counts(end):
            cv2.line(canvas, _pixel(start), _pixel(end), colour, thickness=convention.hand_line_px)
    _draw_dots(canvas, hand, convention.hand_joint_px, HAND_JOINT_COLOUR)


def _draw_dots(canvas: UInt8Array, points: Sequence[Keypoint | None], radius_px: int, colour: Colour) -> None:
    for point in points:
        if point is not None and _counts(point):
            cv2.circle(canvas, _pixel(point), radius_px, colour, thickness=-1)


def _counts(point: Keypoint) -> bool:
    """In hands and faces, annotators take the first row and column for a point that wasn't found."""
    x, y = _pixel(point)
    return x > 0 and y > 0


def _pixel(joint: Keypoint) -> tuple[int, int]:
    return int(joint.x_px), int(joint.y_px)


def _scale(longest_px: int) -> int:
    """How much larger xinsir's nets want bodies on a large picture; hands and faces stay as they are."""
    return 1 if longest_px < 500 else min(2 + longest_px // 1000, 7)
