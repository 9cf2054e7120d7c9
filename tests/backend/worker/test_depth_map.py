"""Depth to grey: the formula, its ranges and its background."""

import numpy as np
import pytest
from underpaint.backend.worker.conditioning.depth import depth_map
from underpaint.backend.worker.conditioning.table import DepthConvention
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.geometry import Projection
from underpaint.protocol.options import DepthOptions
from underpaint.protocol.sources import DepthPass

_REF = ArrayRef(sha256="0" * 64, shape=(1, 1), dtype=DType.FLOAT32)  # the values are given beside it
_INF = np.inf


def grey(metres: object, *, floor: float = 0.0, projection: Projection = Projection.PERSPECTIVE, **ranges: float):
    source = DepthPass(metres=_REF, projection=projection)
    image = depth_map(
        source, np.atleast_2d(np.asarray(metres, np.float32)), DepthConvention(floor=floor), DepthOptions(**ranges)
    )
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert (image == image[:, :, :1]).all()
    return image[:, :, 0].astype(int)


def test_near_is_white_far_is_the_floor_and_background_is_black():
    assert grey([1, 5, _INF]).tolist() == [[255, 0, 0]]
    assert grey([1, 5, _INF], floor=0.25).tolist() == [[255, 64, 0]]


def test_grey_is_affine_in_disparity():
    metres = np.array([1.0, 2.0, 4.0, 3.0, 1.5])
    values = grey(metres)[0]
    slope, offset = np.polyfit(1 / metres, values, 1)
    residual = values - (slope / metres + offset)
    assert 1 - residual.var() / values.var() > 0.9999
    assert slope > 0


def test_nearer_is_never_darker():
    metres = np.sort(np.random.default_rng(0).uniform(0.3, 80, 1000))
    assert (np.diff(grey(metres)[0]) <= 0).all()


def test_orthographic_depth_stays_linear():
    assert grey([1, 2, 3], projection=Projection.ORTHOGRAPHIC).tolist() == [[255, 128, 0]]
    assert grey([1, 2, 3]).tolist() != [[255, 128, 0]]


def test_a_fixed_range_gives_a_distance_the_same_grey_in_every_frame():
    first = grey([2, 3, 6, _INF], near_m=1, far_m=10)[0]
    second = grey([3, 9, 40, 0.5], near_m=1, far_m=10)[0]
    assert first[1] == second[0]
    assert second[2:].tolist() == [0, 255]  # beyond the range: clipped


def test_a_wall_facing_the_camera_is_near():
    assert grey([[2, 2], [2, _INF]]).tolist() == [[255, 255], [255, 0]]


def test_nothing_in_view_is_black():
    assert grey([_INF, np.nan, -1, 0]).tolist() == [[0, 0, 0, 0]]


def test_an_empty_range_is_refused():
    with pytest.raises(InvalidRequest, match="5 m to 5 m"):
        grey([1, 2], near_m=5, far_m=5)
    with pytest.raises(InvalidRequest, match="0 m"):
        grey([1, 2], near_m=0, far_m=5)
