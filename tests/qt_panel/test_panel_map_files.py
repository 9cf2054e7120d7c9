"""Control maps as files: PNG with the same bytes, OpenEXR for what PNG can't hold.

That others read these OpenEXR files to the bit is tested with Blender, in tests/addon/test_map_files.py.
"""

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtGui import QImage
from underpaint.protocol import exr
from underpaint.qt_panel import pictures


def test_the_name_says_which_format(tmp_path: Path) -> None:
    values = np.full((4, 6, 3), -1, np.float32)
    pictures.save(tmp_path / "map.EXR", values, None)
    assert (tmp_path / "map.EXR").read_bytes() == exr.encoded(values)


def test_a_png_has_the_map_s_own_bytes(tmp_path: Path) -> None:
    levels = np.random.default_rng(1).integers(0, 256, (9, 13, 3), np.uint8)
    pictures.save(tmp_path / "map.png", levels, {})
    assert np.array_equal(pictures.to_array(QImage(str(tmp_path / "map.png"))), levels)


def test_a_map_with_numbers_below_zero_goes_into_no_png(tmp_path: Path) -> None:
    with pytest.raises(pictures.PictureNotSaved, match=r"save it as \.exr"):
        pictures.save(tmp_path / "map.png", np.full((4, 4, 3), -1, np.float32), None)
    assert not (tmp_path / "map.png").exists()
    assert (pictures.displayed(np.float32([[[-1, 0.5, 2]]])) == [[[0, 128, 255]]]).all()
