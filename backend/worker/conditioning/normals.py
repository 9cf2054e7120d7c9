"""Camera-space normals, or slopes of the disparity, to the colours that normal ControlNets expect."""

import math

import cv2
import numpy as np

from ....protocol.arrays import Float32Array, UInt8Array
from ....protocol.errors import InvalidRequest
from ....protocol.geometry import Projection
from ....protocol.options import DepthEncoding, DepthOptions, NormalEncoding, NormalOptions
from .depth import relative_nearness, surfaces
from .table import NormalConvention

_NO_SURFACE = 1e-3  # shorter than this is the background's zero vector
_SIGNS: dict[NormalEncoding, tuple[int, int, int]] = {
    NormalEncoding.BAE: (-1, 1, 1),
    NormalEncoding.OPENGL: (1, 1, 1),
    NormalEncoding.DIRECTX: (1, -1, 1),
}
_STEEPNESS = 1000.0  # what dpt_hybrid's disparity spans, about: its Sobel slopes are set against a constant 2 pi


def normal_map(normal_camera: Float32Array, convention: NormalConvention, options: NormalOptions) -> UInt8Array:
    """Control image: (height, width, 3) uint8. Background, where there is no normal, has its own colour.

    `normal_camera` is (height, width, 3) float32: x right, y up, z toward the viewer. Normals are brought
    to unit length, for interpolated shading normals fall short of it; one that isn't finite is background.
    Raises InvalidRequest for the MIDAS encoding, which no normals can give.
    Formula and test values: docs/conventions.md, "Normals".
    """
    encoding = options.encoding or convention.encoding
    signs = _SIGNS.get(encoding)
    if signs is None:
        raise InvalidRequest(reason="normals of the midas encoding are slopes of the disparity and want a DepthPass")
    length = np.sqrt(np.einsum("hwc,hwc->hw", normal_camera, normal_camera))[:, :, None]
    surface = (length > _NO_SURFACE) & np.isfinite(length)
    scale = np.divide(np.float32(127.5), length, out=np.zeros_like(length), where=surface)
    with np.errstate(invalid="ignore"):  # what isn't finite is background and is overwritten
        colour = normal_camera * (scale * np.asarray(signs, np.float32))
    colour += 128.0  # 127.5, and a half to round
    encoded = np.where(surface, np.clip(colour, 0, 255), np.asarray(convention.background, np.float32)).astype(np.uint8)
    return _swapped(encoded) if options.swap_red_blue else encoded


def slope_map(
    projection: Projection, metres: Float32Array, convention: NormalConvention, options: NormalOptions
) -> UInt8Array:
    """Control image of SD 1.0's normal net (lllyasviel/sd-controlnet-normal), which knows no real normals.

    Sobel slopes of MiDaS's disparity, as x and y, beside a constant z of 2 pi, brought to unit length;
    where the relative disparity is below the threshold there is no slope. The channels are z, y, x: what
    the net's tensor has to hold. (height, width, 3) uint8.
    Raises InvalidRequest for other encodings, which want a NormalPass.
    """
    encoding = options.encoding or NormalEncoding.MIDAS
    if encoding is not NormalEncoding.MIDAS:
        raise InvalidRequest(reason=f"normals of the {encoding} encoding want a NormalPass, not a DepthPass")
    threshold = (
        convention.background_threshold if options.background_threshold is None else options.background_threshold
    )
    surface = surfaces(metres)
    disparity = np.zeros(metres.shape, np.float32)
    disparity[surface] = relative_nearness(projection, metres[surface], DepthEncoding.DISPARITY, DepthOptions())
    height, width = metres.shape
    # A slope is a difference between neighbouring pixels: the same surface has half of it at twice the size.
    steepness = _STEEPNESS * min(height, width) / 512
    slopes = [cv2.Sobel(disparity, cv2.CV_32F, *order, ksize=3) * steepness for order in ((1, 0), (0, 1))]
    x, y = (np.where(disparity < threshold, 0, slope) for slope in slopes)
    z = np.full_like(disparity, 2 * math.pi)
    vectors = np.stack((z, y, x), axis=2)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    encoded = np.clip(vectors * 127.5 + 127.5, 0, 255).astype(np.uint8)
    return _swapped(encoded) if options.swap_red_blue else encoded


def _swapped(image: UInt8Array) -> UInt8Array:
    return np.ascontiguousarray(image[:, :, ::-1])
