"""What every detector gets, and how what it finds becomes as large as the picture."""

from dataclasses import dataclass

import cv2
import numpy as np

from .....protocol.arrays import UInt8Array
from .....protocol.geometry import Extent
from .....protocol.options import DetectorOptions
from .....protocol.request import ControlKind
from ..fitting import fit
from ..table import Convention

STEP_PX = 64  # controlnet-aux rounds every size to multiples of it
LONGEST_PX = 4096
"""No detector works at a longer side, whatever the proportions of the picture."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A photo to find a control image in."""

    photo: UInt8Array  # (height, width, 3), of any size
    image: UInt8Array  # the photo at the size to work at, both sides multiples of STEP_PX
    extent: Extent  # of the control image
    kind: ControlKind
    rule: Convention
    options: DetectorOptions

    @property
    def size(self) -> Extent:
        """Of `image`."""
        return Extent(width=self.image.shape[1], height=self.image.shape[0])

    @property
    def at_its_size(self) -> dict[str, int]:
        """The arguments that keep a controlnet-aux detector from resizing."""
        shorter = min(self.image.shape[:2])
        return {"detect_resolution": shorter, "image_resolution": shorter}


def size_to_work_at(extent: Extent, shorter_px: int) -> Extent:
    """A size near `shorter_px` with the proportions of `extent`, as near as multiples of STEP_PX come."""
    growth = shorter_px / min(extent.width, extent.height)

    def rounded(side: int) -> int:
        return min(max(round(side * growth / STEP_PX), 1) * STEP_PX, LONGEST_PX)

    return Extent(width=rounded(extent.width), height=rounded(extent.height))


def at_size(photo: UInt8Array, size: Extent) -> UInt8Array:
    """The photo, stretched as the control image is."""
    return np.ascontiguousarray(fit(photo, size))


def smooth(found: UInt8Array, extent: Extent) -> UInt8Array:
    """Greys or directions at `extent`. Linear where a side grows: sharper filters ring beside edges."""
    height, width = found.shape[:2]
    if (width, height) == (extent.width, extent.height):
        return found
    grows = extent.width > width or extent.height > height
    method = cv2.INTER_LINEAR if grows else cv2.INTER_AREA
    return np.asarray(cv2.resize(found, (extent.width, extent.height), interpolation=method), np.uint8)


def binary(found: UInt8Array, extent: Extent) -> UInt8Array:
    """0 and 255 at `extent`, with smooth outlines."""
    return np.where(smooth(found, extent) > 127, np.uint8(255), np.uint8(0))


def grey(channel: UInt8Array) -> UInt8Array:
    """One channel as three."""
    return np.repeat(channel[:, :, None], 3, axis=2)
