"""OpenEXR files as the add-on and the panel write them, read by Blender's OpenEXR."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from underpaint.protocol import exr


def read(path: Path) -> np.ndarray:
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)[::-1, :, :3]


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (64, 48)])
def test_a_float_map_keeps_every_number(tmp_path: Path, size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).random((*size, 3), np.float32)
    values[0] = -1
    (tmp_path / "map.exr").write_bytes(exr.encoded(values))
    assert np.array_equal(read(tmp_path / "map.exr"), values)


def test_a_byte_map_is_what_the_net_gets(tmp_path: Path) -> None:
    levels = np.arange(256 * 3, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    (tmp_path / "map.exr").write_bytes(exr.encoded(levels))
    assert np.array_equal(read(tmp_path / "map.exr"), levels.astype(np.float32) / 255)
