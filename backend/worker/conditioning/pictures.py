"""Pictures for ControlNets that are shown a picture: tile, blur, gray, low quality and shuffle."""

import math

import cv2
import numpy as np

from ....protocol.arrays import Float32Array, UInt8Array
from ....protocol.errors import InvalidRequest
from ....protocol.geometry import Extent
from ....protocol.options import PictureOptions
from .fitting import fit
from .table import PictureConvention, growth

_COARSE = 128  # places along the longer side where the shuffle's displacement is worked out
_NARROW = 4  # pixels of a Gaussian's sigma that no smaller size would carry


def picture_map(
    image: UInt8Array, extent: Extent, convention: PictureConvention, options: PictureOptions
) -> UInt8Array:
    """The picture at `extent`, worn down as the net was trained to see it: (height, width, 3) uint8.

    `options.shrink` and `options.blur_px`, in pixels of the control image, stand in for the convention's.
    The same seed shuffles the same way at every size. Facts: docs/conventions.md, "Pictures".
    """
    shrink = convention.shrink if options.shrink is None else options.shrink
    blur_px = convention.blur_px * growth(extent) if options.blur_px is None else options.blur_px
    if not (1 <= shrink < math.inf and 0 <= blur_px < math.inf):
        raise InvalidRequest(reason=f"shrink is {shrink:g} and blur_px {blur_px:g}, expected 1 or more and 0 or more")
    picture = fit(image, extent)
    if shrink > 1:
        small = Extent(width=max(1, round(extent.width / shrink)), height=max(1, round(extent.height / shrink)))
        picture = fit(fit(image, small), extent)
    if blur_px > 0:
        picture = blurred(picture, blur_px)
    if convention.gray:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    return shuffled(picture, options.seed) if convention.shuffle else picture


def blurred(picture: UInt8Array, sigma_px: float) -> UInt8Array:
    """A Gaussian blur; a wide one at a smaller size, where it costs a fraction and looks the same."""
    height, width = picture.shape[:2]
    sigma_px = min(sigma_px, 2.0 * max(height, width))  # one colour already
    across, down = (max(1, min(int(sigma_px / _NARROW), side // _NARROW)) for side in (width, height))
    small = picture
    if across > 1 or down > 1:
        small = cv2.resize(picture, (width // across, height // down), interpolation=cv2.INTER_AREA)
    sigmas = sigma_px * small.shape[1] / width, sigma_px * small.shape[0] / height
    # This border mirrors at the pixels' outer edge, which is the same place at any size.
    small = cv2.GaussianBlur(small, (0, 0), sigmas[0], sigmaY=sigmas[1], borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def shuffled(picture: UInt8Array, seed: int) -> UInt8Array:
    """Every pixel from somewhere else, neighbours from near each other, so that colours and style alone are left.

    The sampling position runs smoothly over the whole picture, as the v1.1 annotator's does: a cubic
    enlargement of a few random knots, stretched to reach from border to border.
    """
    height, width = picture.shape[:2]
    random = np.random.default_rng(seed)
    x, y = (_wandering(random, height, width, side - 1) for side in (width, height))
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR), np.uint8)


def _wandering(random: np.random.Generator, height: int, width: int, highest: int) -> Float32Array:
    """Smooth noise, (height, width) float32, from exactly 0 to `highest`; the same at every size."""
    knots = random.random((5, 5), np.float32)
    longest = max(height, width)
    # Places in units of the knots' distance, which is half the longer side; few of them tell all there is.
    rows, columns = (max(1, round(_COARSE * side / longest)) for side in (height, width))
    across, down = ((np.arange(count, dtype=np.float32) + 0.5) / _COARSE * 2 + 0.5 for count in (columns, rows))
    places = np.meshgrid(across, down)
    coarse = cv2.remap(knots, places[0], places[1], cv2.INTER_CUBIC)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    low, high = float(noise.min()), float(noise.max())
    return np.asarray((noise - low) * np.float32(highest / max(high - low, 1e-6)), np.float32)
