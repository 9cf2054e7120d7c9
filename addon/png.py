"""A picture as a PNG file, in any thread.

Blender's own encoder runs on the main thread, where it would hold the interface up.
"""

import struct
import zlib

import numpy as np

from ..protocol.arrays import UInt8Array

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LEVEL = 1  # higher ones take several times as long for a few per cent
_TRUE_COLOUR = 2
_UP = 2  # the filter: each row minus the one above


def encoded(picture: UInt8Array) -> bytes:
    """The PNG of (height, width, 3) uint8 sRGB, row 0 at the top."""
    height, width, _ = picture.shape
    flat = np.ascontiguousarray(picture).reshape(height, -1)
    rows = np.empty((height, 1 + flat.shape[1]), np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])  # modulo 256, as PNG wants it
    header = struct.pack(">2I5B", width, height, 8, _TRUE_COLOUR, 0, 0, 0)
    body = zlib.compress(rows, _LEVEL)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"sRGB", b"\0") + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
