"""The bench of sampling, on small modules: who calls what, how often. No times."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(scope="module")
def rows() -> dict[str, Any]:
    """Three nets that end at 1, 1/2 and 1/4 of four evaluations, by contestant."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        bench = importlib.import_module("sampling")
        found = bench.main(
            ["--device", "cpu", "--small", "--size", "64", "--rounds", "1", "--dtypes", "float32", "--cases", "windows"]
        )
        rows = found["float32", "windows"]
        for name in [name for name in sys.modules if name == "sampling" or name.startswith("sampling_")]:
            del sys.modules[name]
    return {row.contestant.name: row for row in rows}


def test_every_contestant_finishes_and_evaluates_the_unet_as_often(rows: dict[str, Any]) -> None:
    assert list(rows) == ["stock", "blog", "tuned", "ours", "ours again"]
    for row in rows.values():
        assert row.failure == ""
        assert len(row.times) == 1
        assert len(row.times[0].steps) == row.work.calls["unet"] == 4


def test_ours_calls_nothing_whose_result_is_known(rows: dict[str, Any]) -> None:
    assert {name: row.work.calls["net"] for name, row in rows.items()} == {
        "stock": 12, "blog": 12, "tuned": 12, "ours": 4 + 2 + 1, "ours again": 7,
    }  # fmt: skip
    assert rows["stock"].work.calls["hint"] == 12
    assert rows["ours"].work.calls["hint"] == 3
    assert rows["ours"].work.calls["text"] == 2
    assert "hint" not in rows["ours again"].work.calls
    assert "text" not in rows["ours again"].work.calls
    assert rows["ours"].work.tflop < 0.8 * rows["blog"].work.tflop
    assert rows["ours"].work.torch_calls < 0.8 * rows["blog"].work.torch_calls


def test_ours_is_the_picture_that_diffusers_makes(rows: dict[str, Any]) -> None:
    theirs, own = (rows[name].picture.astype(np.int16) for name in ("blog", "ours"))
    assert np.ptp(theirs) > 50
    assert np.abs(theirs - own).max() <= 2
    np.testing.assert_array_equal(rows["ours again"].picture, rows["ours"].picture)
