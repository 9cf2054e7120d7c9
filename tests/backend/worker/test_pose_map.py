"""The OpenPose drawing: palette, dimming, sizes, and who covers whom."""

import math

import numpy as np
import pytest
from underpaint.backend.worker.conditioning.openpose import COLOURS, LIMBS, pose_map
from underpaint.backend.worker.conditioning.table import PoseConvention
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.geometry import Extent
from underpaint.protocol.sources import Keypoint, Person

_SIZE = Extent(width=512, height=512)
_NOBODY: tuple[None, ...] = (None,) * 18


def one(*joints: tuple[int, float, float], depth_m: float = 1.0) -> Person:
    body: list[Keypoint | None] = list(_NOBODY)
    for index, x, y in joints:
        body[index] = Keypoint(x_px=x, y_px=y)
    return Person(body=tuple(body), depth_m=depth_m)


def draw(*people: Person, size: Extent = _SIZE, grows: bool = False):
    return pose_map(people, size, PoseConvention(grows=grows))


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


@pytest.mark.parametrize("grows", [False, True])
def test_limbs_against_an_analytic_ellipse(grows: bool) -> None:
    size = Extent(width=1024, height=1024) if grows else _SIZE
    stick = 12 if grows else 4
    random = np.random.default_rng(3)
    rows, columns = np.mgrid[0 : size.height, 0 : size.width]
    for _ in range(12):
        (x0, x1), (y0, y1) = random.uniform(100, 400, (2, 2))
        drawn = draw(one((2, x0, y0), (3, x1, y1)), size=size, grows=grows)
        limb = (drawn == [int(0.6 * channel) for channel in COLOURS[2]]).all(axis=2)
        limb |= (drawn == COLOURS[2]).all(axis=2) | (drawn == COLOURS[3]).all(axis=2)
        length = math.hypot(x1 - x0, y1 - y0)
        angle = math.radians(int(math.degrees(math.atan2(y1 - y0, x1 - x0))))  # whole degrees are the rule
        dx, dy = columns - int((x0 + x1) / 2), rows - int((y0 + y1) / 2)
        along = dx * math.cos(angle) + dy * math.sin(angle)
        across = dy * math.cos(angle) - dx * math.sin(angle)
        expected = (along / (length / 2 + 0.5)) ** 2 + (across / (stick + 0.5)) ** 2 <= 1
        for x, y in ((x0, y0), (x1, y1)):
            expected |= (columns - int(x)) ** 2 + (rows - int(y)) ** 2 <= stick**2
        assert (limb & expected).sum() / (limb | expected).sum() > 0.9


@pytest.mark.parametrize(("longest", "half_width"), [(448, 4), (512, 8), (1024, 12), (2048, 16)])
def test_sticks_grow_with_the_picture_where_the_family_wants_it(longest: int, half_width: int) -> None:
    size = Extent(width=longest, height=256)
    image = draw(one((2, 50.5, 128.5), (3, 400.5, 128.5)), size=size, grows=True)
    column = image[:, 225].any(axis=1)
    assert abs((int(column.sum()) - 1) / 2 - half_width) <= 1


def test_near_people_cover_far_ones() -> None:
    near = one((0, 100.5, 100.5), depth_m=2)
    far = one((4, 100.5, 100.5), depth_m=9)
    for people in ((near, far), (far, near)):
        assert draw(*people)[100, 100].tolist() == list(COLOURS[0])


def test_missing_joints_and_joints_off_the_picture() -> None:
    assert not draw(Person(body=_NOBODY, depth_m=1.0)).any()
    assert draw(one((2, -50, 100), (3, 60, 100))).any()


def test_nonsense_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="17 joints"):
        draw(Person(body=_NOBODY[:17], depth_m=1.0))
    with pytest.raises(InvalidRequest, match="1e"):
        draw(one((0, 1e30, 0)))
