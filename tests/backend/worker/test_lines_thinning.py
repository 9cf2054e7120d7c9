"""Lines one pixel wide that stay as connected as they were."""

import cv2
import numpy as np
import pytest
from lines_scene import blocks
from underpaint.backend.worker.conditioning.chains import curves, smooth, trace, without_spurs
from underpaint.backend.worker.conditioning.thinning import close_gaps, ends, thin, without_specks
from underpaint.protocol.arrays import UInt8Array


def canvas(side: int = 64) -> UInt8Array:
    return np.zeros((side, side), np.uint8)


def parts(lines: UInt8Array) -> tuple[int, int]:
    """How many lines hang together, and how many pieces they part the picture into."""
    on = np.pad(lines > 0, 1).astype(np.uint8)
    return cv2.connectedComponents(on)[0], cv2.connectedComponents(1 - on, connectivity=4)[0]


@pytest.mark.parametrize("seed", range(4))
def test_thinning_keeps_what_hangs_together_and_every_hole(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=(96, 96)).astype(np.float32)
    blobs = (cv2.GaussianBlur(noise, (0, 0), 2.5) > 0.03).astype(np.uint8)
    thinned = thin(blobs)
    assert parts(thinned) == parts(blobs)
    assert not (thinned > blobs).any()
    assert blocks(thinned) <= 0.01 * thinned.sum()
    np.testing.assert_array_equal(thin(thinned), thinned)


def test_a_wide_bar_becomes_its_middle() -> None:
    lines = canvas()
    lines[20:25, 5:60] = 1
    assert set(np.nonzero(thin(lines))[0]) == {22}


def test_of_two_lines_side_by_side_the_lower_kind_stays() -> None:
    lines = canvas()
    lines[20, 5:60], lines[21, 5:60] = 3, 1
    thinned = thin(lines)
    assert not thinned[20].any()
    assert (thinned[21, 5:60] == 1).all()


def test_a_line_that_meets_another_leaves_it_straight() -> None:
    lines = canvas()
    lines[20, 5:60], lines[21:40, 30] = 1, 1
    np.testing.assert_array_equal(thin(lines), lines)


def test_a_gap_is_closed_ahead_and_not_aside() -> None:
    lines = canvas()
    lines[20, 5:28], lines[20, 30:60] = 1, 1
    lines[40, 5:60], lines[42, 10:50] = 1, 1
    closed = close_gaps(lines, 3)
    assert closed[20, 5:60].all()
    np.testing.assert_array_equal(closed[21:], lines[21:])
    assert sorted(zip(*ends(closed[:30]), strict=True)) == [(20, 5), (20, 59)]


def test_specks_go_and_lines_stay() -> None:
    lines = canvas()
    lines[10, 10:14], lines[20, 5:25] = 1, 1
    kept = without_specks(lines > 0, 5)
    assert not kept[10].any()
    assert kept[20, 5:25].all()


def test_chains_hold_every_pixel_and_every_link() -> None:
    lines = canvas()
    cv2.circle(lines, (20, 20), 9, 1)
    lines[40, 5:60], lines[30:50, 30] = 2, 2
    lines[60, 60] = 3
    lines = thin(lines)
    chains = trace(lines)
    again = canvas()
    for part in chains.slices():
        xy = chains.xy_px[part].astype(int)
        again[xy[:, 1], xy[:, 0]] = chains.kinds[part]
        assert (np.abs(np.diff(xy, axis=0)).max(axis=1, initial=0) <= 1).all()
    np.testing.assert_array_equal(again, lines)
    assert len(chains.slices()) == 6  # a ring, four arms, a dot


def test_spurs_go_and_ends_stay() -> None:
    lines = canvas()
    lines[40, 5:60] = 1
    spurs = lines.copy()
    spurs[36:40, 30] = 1
    np.testing.assert_array_equal(without_spurs(spurs, 8), lines)
    np.testing.assert_array_equal(without_spurs(spurs, 3), spurs)
    np.testing.assert_array_equal(without_spurs(lines, 99), lines)


def test_a_straight_line_is_drawn_straight_and_a_ring_stays_round() -> None:
    lines = canvas(128)
    cv2.line(lines, (4, 10), (120, 33), 1)
    cv2.circle(lines, (60, 85), 30, 1)
    chains = trace(thin(lines))
    curve = smooth(curves(chains), chains, 4)
    first, second = (curve[part] for part in sorted(chains.slices(), key=lambda part: chains.xy_px[part, 1].mean()))
    assert np.abs(first[:, 1] - (10 + (first[:, 0] - 4) * 23 / 116))[4:-4].max() < 0.3
    assert np.abs(np.hypot(*(second - (60, 85)).T) - 30).max() < 1.2
