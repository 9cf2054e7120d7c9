"""A step's preview, enlarged."""

import numpy as np
from underpaint.addon.live_preview import enlarged
from underpaint.protocol.geometry import Extent


def test_a_ramp_stays_a_ramp_and_its_ends_stay_where_they_are() -> None:
    ramp = np.repeat(np.linspace(0, 240, 6, dtype=np.uint8)[None, :, None], 4, axis=0).repeat(3, axis=2)
    picture = enlarged(ramp, Extent(width=48, height=32))
    assert picture.shape == (32, 48, 3)
    row = picture[0, :, 0].astype(int)
    assert (row[0], row[-1]) == (0, 240)
    steps = np.diff(row)
    assert steps.min() >= 0
    assert steps.max() <= 6 + 1  # 48 a pixel of the preview, over 8 of the picture
    assert (picture == picture[:1]).all()


def test_the_frame_s_own_size_changes_nothing() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(enlarged(picture, Extent(width=7, height=5)), picture)
