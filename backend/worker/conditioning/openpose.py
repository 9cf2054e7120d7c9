"""Keypoints to the coloured sticks that OpenPose ControlNets expect.

The drawing rules (ellipses for limbs at 0.6 of their colour, discs for joints on top, one person after
another) and the colours are those of the OpenPose annotator of ControlNet v1.1 and controlnet-aux, told in
docs/conventions.md, "OpenPose". Written from those facts.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from ....protocol.arrays import UInt8Array
from ....protocol.checks import JOINTS
from ....protocol.errors import InvalidRequest
from ....protocol.geometry import Extent
from ....protocol.sources import Keypoint, Person
from .table import PoseConvention

# Limb i joins two joints and has colour i; joint i has colour i.
LIMBS: tuple[tuple[int, int], ...] = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLOURS: tuple[tuple[int, int, int], ...] = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
_LIMB_DIMMING = 0.6
_FARTHEST_PX = 1 << 14  # OpenCV's rasteriser works in 16.16 fixed point


def pose_map(people: Sequence[Person], extent: Extent, convention: PoseConvention) -> UInt8Array:
    """Control image: (height, width, 3) uint8 on black; far people first, so near ones cover them.

    Raises InvalidRequest for a person without exactly 18 joints, or a joint absurdly far off the picture.
    """
    canvas = np.zeros((extent.height, extent.width, 3), np.uint8)
    scale = _scale(max(extent.width, extent.height)) if convention.grows else 1
    for person in sorted(people, key=lambda person: -person.depth_m):
        if len(person.body) != JOINTS:
            raise InvalidRequest(reason=f"a person has {len(person.body)} joints, expected {JOINTS}")
        for joint in person.body:
            _check(joint)
        for (start, end), colour in zip(LIMBS, COLOURS, strict=False):  # the last joint's colour has no limb
            _draw_limb(canvas, person.body[start], person.body[end], convention.stick_px * scale, colour)
        for joint, colour in zip(person.body, COLOURS, strict=True):
            if joint is not None:
                cv2.circle(canvas, _pixel(joint), convention.joint_px * scale, colour, thickness=-1)
    return canvas


def _draw_limb(
    canvas: UInt8Array, start: Keypoint | None, end: Keypoint | None, stick_px: int, colour: tuple[int, int, int]
) -> None:
    if start is None or end is None:
        return
    dx, dy = end.x_px - start.x_px, end.y_px - start.y_px
    centre = (int((start.x_px + end.x_px) / 2), int((start.y_px + end.y_px) / 2))
    axes = (int(math.hypot(dx, dy) / 2), stick_px)
    outline = cv2.ellipse2Poly(centre, axes, int(math.degrees(math.atan2(dy, dx))), 0, 360, 1)
    dim = tuple(int(_LIMB_DIMMING * channel) for channel in colour)
    cv2.fillConvexPoly(canvas, np.asarray(outline, np.int32), dim)


def _check(joint: Keypoint | None) -> None:
    if joint is not None and max(abs(joint.x_px), abs(joint.y_px)) > _FARTHEST_PX:
        raise InvalidRequest(reason=f"a joint lies at ({joint.x_px:g}, {joint.y_px:g}) px")


def _pixel(joint: Keypoint) -> tuple[int, int]:
    return math.floor(joint.x_px), math.floor(joint.y_px)


def _scale(longest_px: int) -> int:
    """How much larger xinsir's nets want sticks and joints on a large picture."""
    return 1 if longest_px < 500 else min(2 + longest_px // 1000, 7)
