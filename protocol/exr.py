"""Control maps as OpenEXR files, their numbers untouched, for the add-on and the panel alike. Only bytes, no files.

Blender's own writer applies the colour management of the image and of the scene, and needs the main thread;
other libraries have no place in an extension.
"""

import struct
import zlib

import numpy as np

from .arrays import AnyArray

_MAGIC, _VERSION = 20000630, 2  # a single part of scan lines
_ZIP, _FLOAT, _LINES = 3, 2, 16  # compression, pixel type, scan lines in a block
_LEVEL = 4


def encoded(control_map: AnyArray) -> bytes:
    """The file of a map (height, width, 3), RGB, row 0 at the top: 32-bit floats, of bytes value / 255.

    No colour space is said: the numbers are data, and no light.
    """
    height, width, _ = control_map.shape
    values = control_map.astype(np.float32)
    if control_map.dtype == np.uint8:
        values /= 255
    header = struct.pack("<2I", _MAGIC, _VERSION) + _header(width, height)
    # a line holds its channels one after the other, in alphabetical order
    lines = np.ascontiguousarray(values[..., ::-1].transpose(0, 2, 1), dtype="<f4")
    blocks: list[bytes] = []
    for first in range(0, height, _LINES):
        raw = lines[first : first + _LINES].tobytes()
        packed = _zipped(raw)
        body = packed if len(packed) < len(raw) else raw  # a reader tells by the size
        blocks.append(struct.pack("<2i", first, len(body)) + body)
    sizes = [len(block) for block in blocks]
    start = len(header) + 8 * len(blocks)
    offsets = [start + sum(sizes[:number]) for number in range(len(blocks))]
    return header + struct.pack(f"<{len(offsets)}Q", *offsets) + b"".join(blocks)


def _header(width: int, height: int) -> bytes:
    channels = b"".join(name + b"\0" + struct.pack("<iB3x2i", _FLOAT, 0, 1, 1) for name in (b"B", b"G", b"R")) + b"\0"
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes = (
        (b"channels", b"chlist", channels),
        (b"compression", b"compression", bytes([_ZIP])),
        (b"dataWindow", b"box2i", window),
        (b"displayWindow", b"box2i", window),
        (b"lineOrder", b"lineOrder", b"\0"),
        (b"pixelAspectRatio", b"float", struct.pack("<f", 1.0)),
        (b"screenWindowCenter", b"v2f", struct.pack("<2f", 0.0, 0.0)),
        (b"screenWindowWidth", b"float", struct.pack("<f", 1.0)),
    )
    return (
        b"".join(b"\0".join((name, kind, struct.pack("<i", len(data)) + data)) for name, kind, data in attributes)
        + b"\0"
    )


def _zipped(raw: bytes) -> bytes:
    """EXR's ZIP: even and odd bytes apart, each the difference from the one before, then deflate."""
    values = np.frombuffer(raw, np.uint8)
    parted = np.concatenate([values[0::2], values[1::2]]).astype(np.int16)
    parted[1:] = (parted[1:] - parted[:-1] + 128) & 255
    return zlib.compress(parted.astype(np.uint8).tobytes(), _LEVEL)
