"""Camera-space normals to the colours that normal ControlNets expect."""

import numpy as np

from ....protocol.arrays import AnyArray, UInt8Array
from .table import NormalConvention

_NO_SURFACE = 1e-3  # shorter than this is the background's zero vector


def normal_map(normal_camera: AnyArray, convention: NormalConvention) -> UInt8Array:
    """Control image: (height, width, 3) uint8. Background, where the normal is zero, has its own colour.

    `normal_camera` is (height, width, 3) float32: x right, y up, z toward the viewer. Normals are brought
    to unit length, for interpolated shading normals fall short of it.
    Formula and test values: docs/conventions.md, "Normals".
    """
    length = np.sqrt(np.einsum("hwc,hwc->hw", normal_camera, normal_camera))[:, :, None]
    surface = length > _NO_SURFACE
    unit = normal_camera / np.where(surface, length, 1)
    colour = 127.5 + 127.5 * unit * np.asarray(convention.signs, np.float32)
    encoded = np.where(surface, np.clip(colour + 0.5, 0, 255), convention.background)
    return encoded.astype(np.uint8)
