"""Control maps as OpenEXR files: the numbers that the net gets, float32, uncompressed. Knows no Qt.

Written by hand because that is all of OpenEXR that is needed here: one part, scan lines, three channels.
Layout: https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

import struct

import numpy as np

from ..protocol.arrays import AnyArray

_MAGIC = 20000630
_VERSION = 2
_FLOAT = 2
_CHANNELS = ("B", "G", "R")  # in the file they are sorted by name
_NAMES = "RGB"  # in the array


def exr_bytes(control_map: AnyArray) -> bytes:
    """An OpenEXR file of a control map (height, width, 3): float32 as it is, uint8 as value / 255.

    The numbers are data, and no light: no colour space is said, and readers must not convert them.
    """
    values = control_map.astype(np.float32)
    if control_map.dtype == np.uint8:
        values /= 255
    height, width, _ = values.shape
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channels = b"".join(name.encode() + b"\0" + struct.pack("<iB3xii", _FLOAT, 0, 1, 1) for name in _CHANNELS) + b"\0"
    header = struct.pack("<2i", _MAGIC, _VERSION) + b"".join(
        (
            _attribute("channels", "chlist", channels),
            _attribute("compression", "compression", b"\0"),
            _attribute("dataWindow", "box2i", window),
            _attribute("displayWindow", "box2i", window),
            _attribute("lineOrder", "lineOrder", b"\0"),  # from the top
            _attribute("pixelAspectRatio", "float", struct.pack("<f", 1)),
            _attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
            _attribute("screenWindowWidth", "float", struct.pack("<f", 1)),
            b"\0",
        )
    )
    planar = values[:, :, [_NAMES.index(name) for name in _CHANNELS]].transpose(0, 2, 1)
    line_bytes = 3 * width * 4
    first = len(header) + 8 * height
    offsets = struct.pack(f"<{height}Q", *(first + row * (8 + line_bytes) for row in range(height)))
    lines = (
        struct.pack("<2i", row, line_bytes) + np.ascontiguousarray(planar[row], "<f4").tobytes()
        for row in range(height)
    )
    return header + offsets + b"".join(lines)


def _attribute(name: str, kind: str, value: bytes) -> bytes:
    return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
