"""Pictures that somebody brings, made as large as the picture that is asked for."""

import cv2
import numpy as np

from ....protocol.arrays import UInt8Array
from ....protocol.geometry import Extent


def fit(image: UInt8Array, extent: Extent) -> UInt8Array:
    """`image` at exactly `extent`, stretched when the proportions differ, as diffusers does with control images.

    Lanczos where a side grows, area averages where both shrink (controlnet-aux's own rule), and untouched,
    to the byte, where the size is right already.
    """
    height, width = image.shape[:2]
    if (width, height) == (extent.width, extent.height):
        return image
    grows = extent.width > width or extent.height > height
    method = cv2.INTER_LANCZOS4 if grows else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, (extent.width, extent.height), interpolation=method), np.uint8)
