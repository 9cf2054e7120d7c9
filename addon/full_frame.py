"""The whole frame's passes while a render region is on.

Blender allocates the render result as large as the region before the engine is asked, and Cycles can
only write into that. With auto-tiling on it keeps the whole frame in a tiled EXR in Blender's temporary
folder until the frame is finished. This reads that file: 32-bit float channels, one level, ZIP.
"""

import os
import struct
import zlib
from pathlib import Path

import bpy
import numpy as np

from ..protocol.arrays import Float32Array
from ..protocol.errors import RegionTooSmall
from ..protocol.geometry import Extent

TILE_PX = 64  # the smallest that Cycles accepts
_COMPONENTS = "RGBA"
_ZIP = 3
_FLOAT = 2


class TileFiles:
    """Cycles' tile files of this process: those that appear inside the `with`, and are removed at its end."""

    def __init__(self, extent: Extent) -> None:
        if extent.width * extent.height <= TILE_PX * TILE_PX:  # Cycles would not tile it
            raise RegionTooSmall(width=extent.width, height=extent.height)
        self._before = self._files()

    def __enter__(self) -> "TileFiles":
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._files() - self._before:
            path.unlink()

    def read(self) -> dict[str, Float32Array]:
        """Every pass by name, (height, width, channels), row 0 at the bottom as everywhere in Blender."""
        (path,) = self._files() - self._before
        return read_tiled_exr(path.read_bytes())

    def _files(self) -> set[Path]:
        return set(Path(bpy.app.tempdir).glob(f"cycles-tile-buffer-{os.getpid()}-*.exr"))


def read_tiled_exr(data: bytes) -> dict[str, Float32Array]:
    """The passes in a tiled EXR as Cycles writes it; raises ValueError for any other kind of EXR."""
    magic, version = struct.unpack_from("<II", data)
    if magic != 20000630 or not version & 0x200:
        raise ValueError("not a tiled EXR file")
    attributes, position = _attributes(data)
    channels = _channels(attributes["channels"])
    if attributes["compression"][0] != _ZIP:
        raise ValueError(f"EXR compression {attributes['compression'][0]}, expected ZIP")
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    tile_width, tile_height, mode = struct.unpack("<IIB", attributes["tiles"])
    if mode & 0xF:
        raise ValueError("an EXR with several levels")
    across, down = -(-width // tile_width), -(-height // tile_height)
    offsets = struct.unpack_from(f"<{across * down}Q", data, position)
    planes = np.empty((height, len(channels), width), np.float32)
    for offset in offsets:
        tile_x, tile_y, _, _, size = struct.unpack_from("<5i", data, offset)
        x, y = tile_x * tile_width, tile_y * tile_height
        shape = (min(tile_height, height - y), len(channels), min(tile_width, width - x))
        block = _unzipped(data[offset + 20 : offset + 20 + size], 4 * shape[0] * shape[1] * shape[2])
        planes[y : y + shape[0], :, x : x + shape[2]] = np.frombuffer(block, "<f4").reshape(shape)
    return _passes(channels, planes)


def _attributes(data: bytes) -> tuple[dict[str, bytes], int]:
    """The header's attributes by name, and where the table of chunk offsets starts."""
    found: dict[str, bytes] = {}
    position = 8
    while data[position]:
        name, _kind, rest = data[position : position + 512].split(b"\0", 2)
        position += len(name) + len(_kind) + 2
        (size,) = struct.unpack_from("<i", data, position)
        del rest
        found[name.decode()] = data[position + 4 : position + 4 + size]
        position += 4 + size
    return found, position + 1


def _channels(chlist: bytes) -> list[str]:
    names: list[str] = []
    position = 0
    while chlist[position]:
        end = chlist.index(0, position)
        (kind,) = struct.unpack_from("<i", chlist, end + 1)
        if kind != _FLOAT:
            raise ValueError("an EXR channel that is not 32-bit float")
        names.append(chlist[position:end].decode())
        position = end + 17
    return names


def _unzipped(block: bytes, size: int) -> bytes:
    """EXR's ZIP: deflate, then undo the delta predictor and the split into even and odd bytes."""
    if len(block) == size:  # stored as it is where deflate would not have helped
        return block
    deltas = np.frombuffer(zlib.decompress(block), np.uint8).astype(np.int64)
    deltas[1:] -= 128
    values = np.cumsum(deltas).astype(np.uint8)
    half = (size + 1) // 2
    result = np.empty(size, np.uint8)
    result[0::2], result[1::2] = values[:half], values[half:]
    return result.tobytes()


def _passes(channels: list[str], planes: Float32Array) -> dict[str, Float32Array]:
    """Channels such as "00000003Depth.R" gathered into passes; Cycles prefixes a running number."""
    columns: dict[str, dict[str, int]] = {}
    for column, channel in enumerate(channels):
        name, _, component = channel[8:].rpartition(".")
        if name:  # Cycles' own sample counter has none
            columns.setdefault(name, {})[component] = column
    return {
        name: np.stack([planes[:, found[part]] for part in _COMPONENTS if part in found], axis=-1)
        for name, found in columns.items()
    }
