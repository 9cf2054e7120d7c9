"""Control maps as files: what Blender reads of them is what the nets get. The panel writes the same OpenEXR."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from underpaint.addon import generation, inspector
from underpaint.addon.inspector import state
from underpaint.protocol import exr
from underpaint.protocol.client import Connection


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    inspector.close()


def read(path: Path) -> np.ndarray:
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)[::-1, :, :3]


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 40), (64, 48)])
def test_a_float_map_keeps_every_number(tmp_path: Path, size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).random((*size, 3), np.float32)
    values[0] = -1
    values[-1, -1] = (-1.0, 1e-30, 3e38)
    (tmp_path / "map.exr").write_bytes(exr.encoded(values))
    assert np.array_equal(read(tmp_path / "map.exr"), values)


def test_a_byte_map_is_what_the_net_gets(tmp_path: Path) -> None:
    levels = np.arange(256 * 3, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    (tmp_path / "map.exr").write_bytes(exr.encoded(levels))
    assert np.array_equal(read(tmp_path / "map.exr"), levels.astype(np.float32) / 255)


def test_what_is_flat_takes_little_room(tmp_path: Path) -> None:
    (tmp_path / "flat.exr").write_bytes(exr.encoded(np.full((64, 64, 3), 0.25, np.float32)))
    assert (tmp_path / "flat.exr").stat().st_size < 2000
    assert (read(tmp_path / "flat.exr") == 0.25).all()


def test_maps_are_saved_exactly(scene: Any, backend: Connection, tmp_path: Path) -> None:
    bpy.ops.underpaint.preview_maps()
    for name in ("PNG", "EXR"):
        bpy.ops.underpaint.save_maps(directory=str(tmp_path), file_format=name)
    for item in state.look.maps:
        stem = f"control_{item.name.lower()}"
        png = bpy.data.images.load(str(tmp_path / f"{stem}.png"))
        np.testing.assert_array_equal(generation.pixels_of(png), item.values)
        np.testing.assert_array_equal(read(tmp_path / f"{stem}.exr"), item.values.astype(np.float32) / np.float32(255))


def test_maps_of_a_range_of_frames_are_saved_and_the_frame_stays(
    scene: Any, backend: Connection, tmp_path: Path
) -> None:
    scene.frame_start, scene.frame_end, scene.frame_step = 1, 5, 2
    scene.frame_set(4)
    cube = scene.objects["Cube"]
    for frame, x in ((1, 0.0), (5, 2.0)):
        cube.location.x = x
        cube.keyframe_insert("location", frame=frame)
    bpy.ops.underpaint.save_maps(directory=str(tmp_path), use_range=True)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"control_{kind}_{frame:04d}.png" for kind in ("depth", "normal") for frame in (1, 3, 5)]
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 6
    assert scene.frame_current == 4
