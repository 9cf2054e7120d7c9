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
_CONSTANT_Z = np.float32(2 * math.pi)
_STEEPNESS = 1000.0  # what dpt_hybrid's raw disparity spans, about: transformers' test of it expects 560 for a corner


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
        raise InvalidRequest(
            reason="SD 1.0's nets want slopes of the depth for normals: choose the midas encoding, and a DepthPass"
        )
    length = np.sqrt(np.einsum("hwc,hwc->hw", normal_camera, normal_camera))
    surface = (length > _NO_SURFACE) & (length < np.inf)
    encoded = np.empty(normal_camera.shape, np.uint8)
    scale = np.divide(np.float32(127.5), length, out=np.zeros_like(length), where=surface)
    for channel, sign in enumerate(signs):  # a channel at a time is three times as fast as all of them
        with np.errstate(invalid="ignore"):  # what isn't finite is background and is overwritten
            encoded[:, :, channel] = _to_byte(normal_camera[:, :, channel] * scale, sign)
    encoded[~surface] = convention.background
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
    x, y = (np.where(disparity < threshold, np.float32(0), slope) for slope in slopes)
    scale = np.float32(127.5) / np.sqrt(x * x + y * y + np.float32(_CONSTANT_Z**2))
    encoded = np.empty((height, width, 3), np.uint8)
    for channel, component in enumerate((_CONSTANT_Z, y, x)):
        encoded[:, :, channel] = component * scale + np.float32(127.5)  # cut off and not rounded, as the annotator does
    return _swapped(encoded) if options.swap_red_blue else encoded


def _to_byte(component: Float32Array, sign: int) -> Float32Array:
    """-127.5..127.5 to 0..255 in place, half a step up for the cut to an integer that follows."""
    if sign < 0:
        np.negative(component, out=component)
    component += np.float32(128)
    return np.clip(component, 0, 255, out=component)


def _swapped(image: UInt8Array) -> UInt8Array:
    return np.ascontiguousarray(image[:, :, ::-1])
