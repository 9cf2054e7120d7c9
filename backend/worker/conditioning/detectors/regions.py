"""Detectors that paint a photo anew: in flat regions, or bent out of shape."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from .....protocol.arrays import UInt8Array
from .....protocol.errors import InvalidRequest
from .....protocol.options import SegmentColours
from ..segmentation import distinct_colours
from ..table import SegmentationConvention
from .work import Work, smooth


def sam(generator: Any, work: Work) -> UInt8Array:
    """Every region in a colour of its own; small regions lie on large ones. No two regions share a colour.

    Only for nets that were shown such pictures: SAM doesn't know what a region is, so in the colours of ADE20K,
    which name things, its map would say nonsense.
    """
    if isinstance(work.rule, SegmentationConvention) and work.rule.colours is not SegmentColours.RANDOM:
        raise InvalidRequest(
            reason="SAM tells regions apart and doesn't know what they are, and this ControlNet reads colours as "
            "ADE20K's classes. Use a union net, or a map that is ready"
        )
    masks = generator.generate(work.image)
    labels = np.full(work.image.shape[:2], -1, np.int32)
    for number, mask in enumerate(sorted(masks, key=lambda mask: -mask["area"])):
        labels[mask["segmentation"]] = number
    wanted = (work.extent.width, work.extent.height)
    indices = np.asarray(cv2.resize(labels, wanted, interpolation=cv2.INTER_NEAREST_EXACT), np.int32)
    colours = distinct_colours([f"region {number}" for number in range(len(masks))], work.options.seed)
    return np.array([*colours, (0, 0, 0)], np.uint8)[indices]  # -1, in no region, is the last row


def shuffle(detector: Any, work: Work) -> UInt8Array:
    """The photo, bent until nothing but its colours is left; the same seed bends alike."""
    with _numpy_seeded(work.options.seed):
        found = detector(work.image, output_type="np", **work.at_its_size)
    return smooth(found, work.extent)


@contextmanager
def _numpy_seeded(seed: int) -> Generator[None]:
    """controlnet-aux draws from numpy's global generator, which others may count on."""
    before = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(before)
