"""A picture with a hole, as inpaint ControlNets expect it."""

import cv2
import numpy as np

from ....protocol.arrays import Float32Array, UInt8Array
from ....protocol.errors import InvalidRequest
from ....protocol.geometry import Extent
from ....protocol.options import PictureOptions
from .fitting import fit
from .table import InpaintConvention

_PAINTED = 127.5  # the mask's own middle: above it is painted anew


def inpaint_map(
    image: UInt8Array, mask: UInt8Array, extent: Extent, convention: InpaintConvention, options: PictureOptions
) -> UInt8Array | Float32Array:
    """The picture, with `convention.masked` in every channel where it is to be painted anew.

    (height, width, 3), uint8; float32 in 0..1 where the masked value is below 0, which 8 bits can't hold.
    `mask` is (height, width) uint8 and as large as `image`; after fitting, its middle grey is the border.
    It grows by `options.grow_px` pixels of the control image in every direction, or shrinks.
    Raises InvalidRequest where nothing is left of it: the net would be told to keep the whole picture.
    """
    painted = grown(fit_mask(mask, extent), options.grow_px)
    if not painted.any():
        raise InvalidRequest(
            reason="the inpaint control's mask is empty, so nothing would be painted anew. Let the camera see what is "
            "to be painted, choose another mask, or shrink it less"
        )
    picture = fit(image, extent)
    if convention.masked < 0:
        tensor = picture.astype(np.float32) / np.float32(255)
        tensor[painted] = convention.masked
        return tensor
    picture = picture.copy()
    picture[painted] = round(255 * convention.masked)
    return picture


def grown(
    painted: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], grow_px: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """A mask whose border moved outward by `grow_px` pixels, round at corners; inward where negative.

    What lies outside the picture counts as neither, so the picture's own border moves nothing.
    """
    if grow_px == 0 or painted.all() or not painted.any():
        return painted
    source = ~painted if grow_px > 0 else painted
    distance = cv2.distanceTransform(source.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return painted | (distance <= grow_px) if grow_px > 0 else distance > -grow_px


def fit_mask(mask: UInt8Array, extent: Extent) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """A mask (height, width) uint8 at exactly `extent`; its middle grey is the border."""
    size = (extent.width, extent.height)
    if mask.shape[::-1] != size:
        shrinks = extent.width <= mask.shape[1] and extent.height <= mask.shape[0]
        mask = np.asarray(
            cv2.resize(mask, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8
        )
    return mask > _PAINTED
