"""Acceptance 17 and 18: the drawing against two references, and its people through JSON and the webui's decoder."""

import colorsys
import json
import math
import sys
import warnings
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from underpaint.backend.worker.conditioning.openpose import COLOURS, LIMBS, pose_map
from underpaint.backend.worker.conditioning.table import PoseConvention
from underpaint.protocol.geometry import Extent
from underpaint.protocol.openpose_json import people_to_json
from underpaint.protocol.options import PoseOptions
from underpaint.protocol.sources import Keypoint, Keypoints, Person

_SIDE = 512
_PLAIN = PoseConvention()
_XINSIR = PoseConvention(grows=True)


@pytest.fixture
def annotator(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """controlnet-aux's drawing functions (Apache-2.0).

    Its other detectors warn about what they miss. Of matplotlib, which we have no other use for, it wants
    one function, which Python has too and works out in the same steps.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from controlnet_aux.open_pose import util
    matplotlib = ModuleType("matplotlib")
    colors = SimpleNamespace(hsv_to_rgb=lambda hsv: np.array(colorsys.hsv_to_rgb(*hsv)))
    monkeypatch.setattr(matplotlib, "colors", colors, raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", matplotlib)
    return util


def draw(person: Person, convention: PoseConvention = _PLAIN, side: int = _SIDE):
    return pose_map((person,), Extent(width=side, height=side), convention, PoseOptions())


def limb_alone(limb: int, start: tuple[float, float], end: tuple[float, float]) -> Person:
    body: list[Keypoint | None] = [None] * 18
    for index, (x, y) in zip(LIMBS[limb], (start, end), strict=True):
        body[index] = Keypoint(x_px=x, y_px=y)
    return Person(body=tuple(body), depth_m=1.0)


def dimmed(colour: tuple[int, int, int]) -> list[int]:
    return [int(0.6 * channel) for channel in colour]


def in_ellipse(
    side: int, start: tuple[float, float], end: tuple[float, float], half_width: int
) -> tuple[np.ndarray, np.ndarray]:
    """The limb's and its joints' pixels, worked out from their equations; no rasteriser has a part in it."""
    rows, columns = np.mgrid[0:side, 0:side]
    (x0, y0), (x1, y1) = start, end
    angle = math.radians(int(math.degrees(math.atan2(y0 - y1, x0 - x1))))  # whole degrees are the rule
    dx, dy = columns - int((x0 + x1) / 2), rows - int((y0 + y1) / 2)
    along = dx * math.cos(angle) + dy * math.sin(angle)
    across = dy * math.cos(angle) - dx * math.sin(angle)
    half_length = int(math.hypot(x1 - x0, y1 - y0) / 2)
    limb = (along / (half_length + 0.5)) ** 2 + (across / (half_width + 0.5)) ** 2 <= 1
    discs = np.zeros_like(limb)
    for x, y in (start, end):
        discs |= (columns - int(x)) ** 2 + (rows - int(y)) ** 2 <= half_width**2
    return limb, discs


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_joints_have_exactly_their_colours(accept: Callable[..., None]) -> None:
    worst = 0
    for index, colour in enumerate(COLOURS):
        body: list[Keypoint | None] = [None] * 18
        body[index] = Keypoint(x_px=77.3 + 20 * index, y_px=301.8)
        image = draw(Person(body=tuple(body), depth_m=1.0))
        worst = max(worst, int(np.abs(image[301, int(77.3 + 20 * index)].astype(int) - colour).max()))
    accept(17, "OpenPose palette at the joints, largest difference", worst, 0, unit="/255")


def test_limbs_have_six_tenths_of_their_colours(accept: Callable[..., None]) -> None:
    worst = 0
    for limb in range(len(LIMBS)):
        start, end = (90.0 + 7 * limb, 120.0), (400.0, 380.0 - 9 * limb)
        image = draw(limb_alone(limb, start, end))
        middle = image[int((start[1] + end[1]) / 2), int((start[0] + end[0]) / 2)]
        worst = max(worst, int(np.abs(middle.astype(int) - dimmed(COLOURS[limb])).max()))
    accept(17, "OpenPose limb's middle against int(0.6 c), largest difference", worst, 1, unit="/255")


@pytest.mark.parametrize(("convention", "side", "half_width"), [(_PLAIN, 512, 4), (_XINSIR, 1024, 12)])
def test_limbs_against_the_equation_of_an_ellipse(
    accept: Callable[..., None], convention: PoseConvention, side: int, half_width: int
) -> None:
    random = np.random.default_rng(17)
    lowest = 1.0
    for number in range(200 if side == 512 else 40):
        limb = number % len(LIMBS)
        (x0, x1), (y0, y1) = random.uniform(40, side - 40, (2, 2))
        image = draw(limb_alone(limb, (x0, y0), (x1, y1)), convention, side)
        ellipse, discs = in_ellipse(side, (x0, y0), (x1, y1), half_width)
        dim = (image == dimmed(COLOURS[limb])).all(axis=2)
        lowest = min(lowest, overlap(dim, ellipse & ~discs), overlap(image.any(axis=2), ellipse | discs))
    accept(17, f"OpenPose limb's IoU with the analytic ellipse at {side}, lowest", lowest, 0.9, better="more")


def test_limbs_against_controlnet_aux(accept: Callable[..., None], annotator: ModuleType) -> None:
    random = np.random.default_rng(18)
    lowest = 1.0
    for number in range(200):
        (x0, x1), (y0, y1) = random.uniform(0, _SIDE, (2, 2))
        person = limb_alone(number % len(LIMBS), (x0, y0), (x1, y1))
        theirs = annotator.draw_bodypose(_black(), _normalised(person.body))
        lowest = min(lowest, overlap(draw(person).any(axis=2), theirs.any(axis=2)))
    accept(17, "OpenPose limb's IoU with controlnet-aux's drawing, lowest", lowest, 0.9, better="more")


def test_a_whole_person_against_controlnet_aux(accept: Callable[..., None], annotator: ModuleType) -> None:
    random = np.random.default_rng(19)
    most = 0
    for _ in range(20):
        body, left, right, face = (_scattered(random, count) for count in (18, 21, 21, 70))
        theirs = annotator.draw_bodypose(_black(), _normalised(body))
        for hand in (left, right):
            theirs = annotator.draw_handpose(theirs, _normalised(hand))
        theirs = annotator.draw_facepose(theirs, _normalised(face))
        ours = draw(Person(body=body, left_hand=left, right_hand=right, face=face, depth_m=1.0))
        most = max(most, int((ours != theirs).any(axis=2).sum()))
    accept(17, "Body, hands and face: pixels that differ from controlnet-aux's drawing", most, 0, unit=" px")


def test_xinsir_s_sticks_at_1024(accept: Callable[..., None]) -> None:
    worst = 0.0
    for limb in range(len(LIMBS)):
        image = draw(limb_alone(limb, (200.5, 500.5), (800.5, 500.5)), _XINSIR, 1024)
        worst = max(worst, abs((int(image[:, 500].any(axis=1).sum()) - 1) / 2 - 12))
    accept(17, "xinsir's stick at 1024, half width off 12 px", worst, 1, unit=" px")


def _black() -> np.ndarray:
    return np.zeros((_SIDE, _SIDE, 3), np.uint8)


def _scattered(random: np.random.Generator, count: int) -> Keypoints:
    """Places on a grid of 1/8 px, which survive being divided by the side and multiplied again."""
    return tuple(Keypoint(x_px=x / 8, y_px=y / 8) for x, y in random.integers(0, 8 * _SIDE, (count, 2)).tolist())


def _normalised(points: Keypoints) -> list[Any]:
    from controlnet_aux.open_pose.body import Keypoint as Theirs

    return [None if point is None else Theirs(point.x_px / _SIDE, point.y_px / _SIDE, 1.0, 0) for point in points]


# ------------------------------------------------------------------------------------ 18: OpenPose JSON


def strict_decoder(text: str) -> tuple[list[dict[str, list[tuple[float, float] | None] | None]], int, int]:
    """What sd-webui-controlnet reads from a frame, by its rules, with every surprise an error.

    Both canvas sides must be there; null and empty are no keypoints; the numbers come in threes; a
    confidence under 1.0 is a missing point; a hand has 21 points, a face 70, a body 18.
    """
    frame = json.loads(text)
    assert isinstance(frame["canvas_width"], int)
    assert isinstance(frame["canvas_height"], int)
    people = []
    for person in frame["people"]:
        decoded: dict[str, list[tuple[float, float] | None] | None] = {}
        for name, count in (("pose", 18), ("face", 70), ("hand_left", 21), ("hand_right", 21)):
            numbers = person.get(f"{name}_keypoints_2d")
            if not numbers:
                assert name != "pose", "the webui fails to draw a person without a body"
                decoded[name] = None
                continue
            assert len(numbers) == 3 * count
            assert all(isinstance(number, float) for number in numbers)
            triples = zip(numbers[0::3], numbers[1::3], numbers[2::3], strict=True)
            decoded[name] = [None if sure < 1.0 else (x, y) for x, y, sure in triples]
        people.append(decoded)
    return people, frame["canvas_width"], frame["canvas_height"]


def test_the_webui_reads_back_every_point(accept: Callable[..., None]) -> None:
    random = np.random.default_rng(20)
    extent = Extent(width=768, height=512)

    def scattered(count: int, share: float) -> Keypoints:
        there = random.random(count) < share
        places = random.uniform(0, (extent.width, extent.height), (count, 2)).tolist()
        return tuple(Keypoint(x_px=x, y_px=y) if known else None for known, (x, y) in zip(there, places, strict=True))

    lost = total = 0
    farthest = 0.0
    for _ in range(50):
        people = [
            Person(
                body=scattered(18, 0.8),
                left_hand=scattered(21, 0.9) if random.random() < 0.5 else (),
                right_hand=scattered(21, 1.0) if random.random() < 0.5 else (),
                face=scattered(70, 0.9) if random.random() < 0.5 else (),
                depth_m=float(depth),
            )
            for depth in range(5, 0, -1)
        ]
        decoded, width, height = strict_decoder(json.dumps(people_to_json(people, extent)))
        assert (width, height) == (extent.width, extent.height)
        assert len(decoded) == len(people)
        for person, theirs in zip(people, decoded, strict=True):
            for points, name in (
                (person.body, "pose"),
                (person.face, "face"),
                (person.left_hand, "hand_left"),
                (person.right_hand, "hand_right"),
            ):
                for index, point in enumerate(points):
                    found = (theirs[name] or [None] * len(points))[index]
                    total += point is not None
                    if point is None or found is None:
                        lost += found is not point
                    else:
                        farthest = max(farthest, math.dist(found, (point.x_px, point.y_px)))
    assert total > 5000
    accept(18, f"OpenPose JSON: visible points of {total} lost or made up in the webui's decoder", lost, 0)
    accept(18, "OpenPose JSON: farthest that a point moved on the way", farthest, 0.001, unit=" px")
