"""The OpenPose drawing: palette, dimming, sizes, what is too small, what is hidden, and who covers whom."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from underpaint.backend.worker.conditioning.openpose import COLOURS, HAND_BONES, HAND_COLOURS, LIMBS, pose_map
from underpaint.backend.worker.conditioning.table import PoseConvention
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.geometry import Extent
from underpaint.protocol.options import HiddenJoints, PoseOptions
from underpaint.protocol.sources import Keypoint, Keypoints, Person, Visibility

_SIZE = Extent(width=512, height=512)
_NOBODY: tuple[None, ...] = (None,) * 18


def one(*joints: tuple[int, float, float], depth_m: float = 1.0) -> Person:
    body: list[Keypoint | None] = list(_NOBODY)
    for index, x, y in joints:
        body[index] = Keypoint(x_px=x, y_px=y)
    return Person(body=tuple(body), depth_m=depth_m)


def spread_hand(x: float, y: float, length: float) -> Keypoints:
    """An open hand, its wrist at (x, y), as long as that to the tip of its middle finger."""
    points = [(x, y)]
    for turn_deg, root, bone in (
        (-50, 0.2, 0.19),
        (-18, 0.48, 0.155),
        (0, 0.5, 0.167),
        (14, 0.47, 0.155),
        (28, 0.43, 0.12),
    ):
        turn = math.radians(turn_deg)
        for joint in range(4):
            away = length * (root + bone * joint)
            points.append((x + away * math.sin(turn), y - away * math.cos(turn)))
    return tuple(Keypoint(x_px=px, y_px=py) for px, py in points)


def round_face(x: float, y: float, width: float) -> Keypoints:
    """70 points on three circles."""
    angles = [(0.5, 2 * math.pi * i / 30) for i in range(30)] + [(0.3, 2 * math.pi * i / 40) for i in range(40)]
    return tuple(Keypoint(x_px=x + width * r * math.cos(a), y_px=y + width * r * math.sin(a)) for r, a in angles)


def draw(*people: Person, size: Extent = _SIZE, grows: bool = False, options: PoseOptions | None = None):
    return pose_map(people, size, PoseConvention(grows=grows), options or PoseOptions())


def with_hands(*hands: Keypoints, face: Keypoints = ()) -> Person:
    left, right = (*hands, (), ())[:2]
    return Person(body=_NOBODY, left_hand=left, right_hand=right, face=face, depth_m=1.0)


@pytest.mark.parametrize("index", range(18))
def test_a_joint_is_a_disc_of_radius_4_in_its_own_colour(index: int) -> None:
    image = draw(one((index, 100.5, 200.5)))
    rows, columns = np.nonzero(image.any(axis=2))
    rows, columns = rows - 200, columns - 100
    assert len(rows) == 49
    assert (rows**2 + columns**2 <= 16).all()
    assert image[200, 100].tolist() == list(COLOURS[index])


@pytest.mark.parametrize("limb", range(17))
def test_a_limb_is_an_ellipse_at_six_tenths_of_its_colour(limb: int) -> None:
    start, end = LIMBS[limb]
    image = draw(one((start, 120.2, 300.7), (end, 260.4, 180.1)))
    middle = image[240, 190]
    assert np.abs(middle.astype(int) - [int(0.6 * channel) for channel in COLOURS[limb]]).max() <= 1


@pytest.mark.parametrize(("longest", "half_width"), [(448, 4), (512, 8), (1024, 12), (2048, 16)])
def test_sticks_grow_with_the_picture_where_the_family_wants_it(longest: int, half_width: int) -> None:
    size = Extent(width=longest, height=256)
    image = draw(one((2, 50.5, 128.5), (3, 400.5, 128.5)), size=size, grows=True)
    column = image[:, 225].any(axis=1)
    assert abs((int(column.sum()) - 1) / 2 - half_width) <= 1


def test_hands_and_faces_are_the_same_in_a_family_whose_sticks_grow() -> None:
    person = with_hands(spread_hand(200, 400, 120), face=round_face(700, 300, 200))
    size = Extent(width=1024, height=1024)
    np.testing.assert_array_equal(draw(person, size=size, grows=True), draw(person, size=size))


@pytest.mark.parametrize(("stick_px", "half_width"), [(1, 1), (9, 9), (None, 4)])
def test_the_user_s_own_sizes(stick_px: int | None, half_width: int) -> None:
    options = PoseOptions(stick_px=stick_px, joint_px=20)
    image = draw(one((2, 50.5, 128.5), (3, 400.5, 128.5)), options=options)
    assert abs((int(image[:, 225].any(axis=1).sum()) - 1) / 2 - half_width) <= 1
    assert image[128, 69].tolist() == list(COLOURS[2])


def test_a_hand_has_the_hues_of_a_circle_and_blue_joints() -> None:
    hand = spread_hand(256, 400, 300)
    image = draw(with_hands(hand))
    for joint in hand:
        assert joint is not None
        assert image[int(joint.y_px), int(joint.x_px)].tolist() == [0, 0, 255]
    for (start, end), colour in zip(HAND_BONES, HAND_COLOURS, strict=True):
        first, second = hand[start], hand[end]
        assert first is not None
        assert second is not None
        middle = image[int((first.y_px + second.y_px) / 2), int((first.x_px + second.x_px) / 2)]
        assert middle.tolist() == list(colour)


def test_a_face_is_white_dots_of_radius_3() -> None:
    face: list[Keypoint | None] = [None] * 70
    face[3], face[40] = Keypoint(x_px=60.5, y_px=80.5), Keypoint(x_px=260.5, y_px=80.5)
    image = draw(with_hands(face=tuple(face)))
    assert set(map(tuple, image.reshape(-1, 3).tolist())) == {(0, 0, 0), (255, 255, 255)}
    assert int((image[:, :200, 0] > 0).sum()) == 29  # of OpenCV's circle of radius 3


@pytest.mark.parametrize(("length", "drawn"), [(16, False), (20, False), (28, True), (40, True)])
def test_a_hand_that_would_be_a_blob_is_left_out(length: float, drawn: bool) -> None:
    assert draw(with_hands((), spread_hand(256, 256, length))).any() == drawn


@pytest.mark.parametrize(("width", "drawn"), [(15, False), (22, False), (28, True)])
def test_a_face_that_would_be_a_blob_is_left_out(width: float, drawn: bool) -> None:
    assert draw(with_hands(face=round_face(256, 256, width))).any() == drawn


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (HiddenJoints.DRAW, {Visibility.VISIBLE, Visibility.BEHIND_ITSELF, Visibility.BEHIND_OTHERS}),
        (HiddenJoints.DROP_BEHIND_OTHERS, {Visibility.VISIBLE, Visibility.BEHIND_ITSELF}),
        (HiddenJoints.DROP, {Visibility.VISIBLE}),
    ],
)
def test_hidden_joints_are_drawn_or_not_with_their_limbs(policy: HiddenJoints, kept: set[Visibility]) -> None:
    for visibility in Visibility:
        body: list[Keypoint | None] = list(_NOBODY)
        body[2] = Keypoint(x_px=100, y_px=100)
        body[3] = Keypoint(x_px=200, y_px=100, visibility=visibility)
        hand = tuple(
            Keypoint(x_px=point.x_px, y_px=point.y_px, visibility=visibility)
            for point in spread_hand(300, 400, 100)
            if point is not None
        )
        image = draw(Person(body=tuple(body), right_hand=hand, depth_m=1.0), options=PoseOptions(hidden=policy))
        shown = visibility in kept
        assert image[100, 100].any()
        assert image[100, 150].any() == shown
        assert image[100, 200].any() == shown
        assert image[200:].any() == shown


def test_hands_and_faces_can_be_left_out() -> None:
    hand, face = with_hands(spread_hand(100, 200, 90)), with_hands(face=round_face(256, 256, 100))
    assert not draw(hand, options=PoseOptions(hands=False)).any()
    assert not draw(face, options=PoseOptions(face=False)).any()
    assert draw(hand, options=PoseOptions(face=False)).any()
    assert draw(face, options=PoseOptions(hands=False)).any()


def test_near_people_cover_far_ones() -> None:
    near = one((0, 100.5, 100.5), depth_m=2)
    far = one((4, 100.5, 100.5), depth_m=9)
    for people in ((near, far), (far, near)):
        assert draw(*people)[100, 100].tolist() == list(COLOURS[0])


def test_missing_joints_and_joints_off_the_picture() -> None:
    assert not draw(Person(body=_NOBODY, depth_m=1.0)).any()
    assert draw(one((2, -50, 100), (3, 60, 100))).any()
    assert draw(one((2, 511.9, 511.9)))[511, 511].tolist() == list(COLOURS[2])


def test_a_picture_of_one_pixel_and_a_crowd() -> None:
    assert draw(one((0, 0.5, 0.5)), size=Extent(width=1, height=1)).tolist() == [[list(COLOURS[0])]]
    random = np.random.default_rng(1)
    people = [_anywhere(random.uniform(0, 512, (18, 2)), depth_m=float(depth)) for depth in range(300)]
    image = draw(*people)
    for (x, y), colour in zip(_places(people[0]), COLOURS, strict=True):  # depth 0 is the nearest
        if all(math.hypot(x - u, y - v) > 6 for u, v in _places(people[0]) if (u, v) != (x, y)):
            assert image[int(y), int(x)].tolist() == list(colour)


def _anywhere(places: np.ndarray, *, depth_m: float) -> Person:
    return Person(body=tuple(Keypoint(x_px=float(x), y_px=float(y)) for x, y in places), depth_m=depth_m)


def _places(person: Person) -> Sequence[tuple[float, float]]:
    return [(point.x_px, point.y_px) for point in person.body if point is not None]


def test_nonsense_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="17 joints"):
        draw(Person(body=_NOBODY[:17], depth_m=1.0))
    with pytest.raises(InvalidRequest, match="20 joints of a hand"):
        draw(with_hands(spread_hand(9, 9, 9)[:20]))
    with pytest.raises(InvalidRequest, match="68 points of a face"):
        draw(with_hands(face=(None,) * 68))
    with pytest.raises(InvalidRequest, match="1e"):
        draw(one((0, 1e30, 0)))
    with pytest.raises(InvalidRequest, match="nan"):
        draw(one((0, math.nan, 0)))
    for options in (PoseOptions(stick_px=0), PoseOptions(joint_px=-1)):
        with pytest.raises(InvalidRequest, match="can't be drawn"):
            draw(one((0, 5, 5)), options=options)
