"""Depth to grey: the formulas, their ranges and the background."""

import numpy as np
import pytest
from underpaint.backend.worker.conditioning.depth import depth_map
from underpaint.backend.worker.conditioning.table import DepthConvention, NetKind, convention
from underpaint.backend.worker.families import FamilyId
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.geometry import Projection
from underpaint.protocol.options import DepthEncoding, DepthOptions
from underpaint.protocol.request import ControlKind

_INF = np.inf


def grey(metres: object, *, projection: Projection = Projection.PERSPECTIVE, **options: object):
    image = depth_map(
        projection, np.atleast_2d(np.asarray(metres, np.float32)), DepthConvention(), DepthOptions(**options)
    )
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert (image == image[:, :, :1]).all()
    return image[:, :, 0].astype(int)


def test_near_is_white_far_is_the_floor_and_background_is_black():
    assert grey([1, 5, _INF]).tolist() == [[255, 0, 0]]
    assert grey([1, 5, _INF], floor=0.25).tolist() == [[255, 64, 0]]


def test_a_net_may_have_a_floor_of_its_own():
    image = depth_map(
        Projection.PERSPECTIVE, np.array([[1, 5, _INF]], np.float32), DepthConvention(floor=0.25), DepthOptions()
    )
    assert image[0, :, 0].tolist() == [255, 64, 0]


def test_grey_is_affine_in_disparity():
    metres = np.array([1.0, 2.0, 4.0, 3.0, 1.5])
    values = grey(metres)[0]
    slope, offset = np.polyfit(1 / metres, values, 1)
    residual = values - (slope / metres + offset)
    assert 1 - residual.var() / values.var() > 0.9999
    assert slope > 0


@pytest.mark.parametrize("encoding", DepthEncoding)
def test_nearer_is_never_darker(encoding: DepthEncoding):
    metres = np.sort(np.random.default_rng(0).uniform(0.3, 80, 1000))
    assert (np.diff(grey(metres, encoding=encoding)[0]) <= 0).all()


def test_orthographic_depth_stays_linear():
    assert grey([1, 2, 3], projection=Projection.ORTHOGRAPHIC).tolist() == [[255, 128, 0]]
    assert grey([1, 2, 3]).tolist() != [[255, 128, 0]]


def test_zoe_s_range_ends_at_its_percentiles():
    metres = np.linspace(1, 101, 1001)
    values = grey(metres, encoding=DepthEncoding.LINEAR)[0]
    # controlnet-aux: (depth - percentile 2) / (percentile 85 - percentile 2), inverted and clipped
    low, high = np.percentile(metres, 2), np.percentile(metres, 85)
    expected = 255 * np.clip(1 - (metres - low) / (high - low), 0, 1)
    assert np.abs(values - expected).max() <= 0.5 + 1e-3
    assert grey([1, 2, 3], encoding=DepthEncoding.LINEAR, outliers=0).tolist() == [[255, 128, 0]]


def test_outliers_beyond_the_range_are_clipped():
    metres = np.concatenate(([0.01], np.linspace(2, 4, 98), [900]))
    assert np.unique(grey(metres)[0][1:-1]).size < 4  # one near mote takes the whole range
    values = grey(metres, outliers=0.01)[0]
    assert values[0] == values[1] == 255
    assert values[-1] == values[-2] == 0
    assert np.unique(values).size > 80
    with pytest.raises(InvalidRequest, match="leaves none"):
        grey(metres, outliers=0.5)


def test_a_fixed_range_gives_a_distance_the_same_grey_in_every_frame():
    first = grey([2, 3, 6, _INF], near_m=1, far_m=10)[0]
    second = grey([3, 9, 40, 0.5], near_m=1, far_m=10)[0]
    assert first[1] == second[0]
    assert second[2:].tolist() == [0, 255]  # beyond the range: clipped
    assert grey([2, 3, 6], near_m=2)[0].tolist() == grey([2, 3, 6])[0].tolist()  # the other end is the frame's


def test_black_may_be_near():
    assert grey([1, 5, _INF], invert=True).tolist() == [[0, 255, 0]]
    assert grey([1, 5, _INF], invert=True, floor=0.5).tolist() == [[128, 255, 0]]


@pytest.mark.parametrize("projection", Projection)
@pytest.mark.parametrize("encoding", DepthEncoding)
def test_a_wall_facing_the_camera_is_near(encoding: DepthEncoding, projection: Projection):
    assert grey([[2, 2], [2, _INF]], encoding=encoding, projection=projection).tolist() == [[255, 255], [255, 0]]
    # Cycles' own rounding, which is no relief
    assert grey([[2, 2.00002], [2, _INF]], encoding=encoding, projection=projection).tolist() == [[255, 255], [255, 0]]


def test_what_is_left_out_before_and_behind_a_wall_stays_before_and_behind_it():
    metres = [2, *[5] * 97, 40, 50]
    for options in ({"outliers": 0.03}, {"encoding": DepthEncoding.LINEAR}):
        assert grey(metres, **options)[0].tolist() == [255] * 98 + [0, 0]


def test_nothing_in_view_is_black():
    assert grey([_INF, np.nan, -1, 0, -_INF, 1e-45]).tolist() == [[0, 0, 0, 0, 0, 0]]


def test_what_is_no_distance_is_background_and_changes_nothing_else():
    assert grey([np.nan, 1, -2, 5, -_INF, 0])[0].tolist() == [0, 255, 0, 0, 0, 0]
    assert grey([1e-30, 1, 2])[0].tolist() == [255, 0, 0]  # absurd, and no overflow


def test_an_empty_range_is_refused():
    with pytest.raises(InvalidRequest, match="5 m to 5 m"):
        grey([1, 2], near_m=5, far_m=5)
    with pytest.raises(InvalidRequest, match="0 m"):
        grey([1, 2], near_m=0, far_m=5)
    with pytest.raises(InvalidRequest, match="3 m to 2 m"):
        grey([1, 2], near_m=3)  # everything in view is nearer
    for near_m, far_m in ((np.nan, 5), (1, np.nan), (1, _INF), (_INF, _INF)):
        with pytest.raises(InvalidRequest, match="is empty"):
            grey([1, 2], near_m=near_m, far_m=far_m)
    with pytest.raises(InvalidRequest, match="floor"):
        grey([1, 2], floor=1.5)


def test_every_family_s_nets_are_shown_disparity():
    for family in FamilyId:
        rule = convention(family, ControlKind.DEPTH, NetKind.PLAIN)
        assert isinstance(rule, DepthConvention)
        assert (rule.encoding, rule.floor) == (DepthEncoding.DISPARITY, 0)
