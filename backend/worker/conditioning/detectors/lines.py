"""Detectors of lines: white on black, whatever the library's way."""

import importlib
import math
import warnings
from typing import Any

import cv2
import numpy as np

from .....protocol.arrays import AnyArray, UInt8Array
from .....protocol.geometry import Extent
from .....protocol.request import ControlKind
from ...third_party import torch
from .work import Work, at_size, binary, grey, size_to_work_at, smooth

CANNY_LOW = 100.0  # controlnet-aux's defaults, here and below
CANNY_HIGH = 200.0
MLSD_SCORE = 0.1
MLSD_DISTANCE = 0.1
_FARTHEST_PX = 1 << 14  # OpenCV's rasteriser works in 16.16 fixed point


def canny(_: Any, work: Work) -> UInt8Array:
    """Lines one pixel wide, 0 or 255.

    OpenCV's Canny is all that controlnet-aux's detector calls, but that one enlarges the lines afterwards, which
    blurs them. Here it is the photo that gets coarser when a smaller resolution is asked for.
    """
    image = at_size(work.photo, work.extent)
    wanted = work.options.resolution_px
    if wanted is not None and wanted < min(work.extent.width, work.extent.height):
        image = smooth(at_size(work.photo, size_to_work_at(work.extent, wanted)), work.extent)
    low = CANNY_LOW if work.options.low is None else work.options.low
    high = CANNY_HIGH if work.options.high is None else work.options.high
    return grey(np.asarray(cv2.Canny(image, low, high), np.uint8))


def soft(detector: Any, work: Work) -> UInt8Array:
    """HED and PiDiNet: soft edges, or the outlines of scribbles."""
    scribble = work.kind is ControlKind.SCRIBBLE
    found = detector(work.image, scribble=scribble, output_type="np", **work.at_its_size)
    if scribble:
        return binary(found, work.extent)
    edges = smooth(found, work.extent)
    return _few_shades(edges) if work.options.safe else edges


def _few_shades(edges: UInt8Array) -> UInt8Array:
    """Black, grey and white, by the thresholds of controlnet-aux's safe_step; at the final size, so that none blend."""
    return np.array([0, 127, 255], np.uint8)[np.minimum(edges.astype(np.int32) * 3 // 255, 2)]


def anyline(detector: Any, work: Work) -> UInt8Array:
    """TEED's edges with the photo's own dark lines laid over them.

    controlnet-aux lays one over the other in 8 bits, where the arithmetic wraps: pixels that both are sure of
    come out as any grey. What is meant, a screen, is what is done here.
    """
    detector.combine_layers = _screen
    return smooth(detector(work.image, detect_resolution=min(work.image.shape[:2]), output_type="np"), work.extent)


def _screen(base: UInt8Array, top: UInt8Array) -> UInt8Array:
    dark = (255 - base.astype(np.float32)) * (255 - top.astype(np.float32)) / 255
    return np.asarray(255 - dark + 0.5, np.uint8)


def lineart(detector: Any, work: Work) -> UInt8Array:
    """Strokes, fine or coarse; controlnet-aux has turned the net's black on white around already."""
    found = detector(work.image, coarse=work.options.coarse, output_type="np", **work.at_its_size)
    return smooth(found, work.extent)


def lineart_anime(detector: Any, work: Work) -> UInt8Array:
    """Strokes as in a drawn film, turned around as `lineart`'s are."""
    return smooth(detector(work.image, output_type="np", **work.at_its_size), work.extent)


def lineart_standard(detector: Any, work: Work) -> UInt8Array:
    """What is darker than its surroundings; no net."""
    with warnings.catch_warnings():
        # numpy warns of the median of nothing, which a photo without lines has; the detector copes with it.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = detector(work.image, detect_resolution=min(work.image.shape[:2]), output_type="np")
    return smooth(found, work.extent)


def mlsd(detector: Any, work: Work) -> UInt8Array:
    """Straight segments, one pixel wide, 0 or 255.

    controlnet-aux draws them at the size that the net works at, and hides whatever goes wrong; here they are
    drawn at the final size, where they stay thin.
    """
    score = MLSD_SCORE if work.options.score is None else work.options.score
    distance = MLSD_DISTANCE if work.options.distance is None else work.options.distance
    canvas = np.zeros((work.extent.height, work.extent.width), np.uint8)
    for start, end in _segments(detector.model, work.image, work.extent, score, distance):
        cv2.line(canvas, start, end, 255, 1)
    return grey(canvas)


def _segments(
    model: Any, image: UInt8Array, extent: Extent, score: float, distance: float
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    height, width = image.shape[:2]
    library = importlib.import_module("controlnet_aux.mlsd.utils")
    try:
        with torch().no_grad():
            lines: AnyArray = library.pred_lines(image, model, [height, width], score, distance)
    except IndexError:  # the library's way to say that there are none: it indexes an empty list as a table
        return []
    scale = np.array([extent.width / width, extent.height / height] * 2)
    ends = np.clip(lines * scale, -_FARTHEST_PX, _FARTHEST_PX)
    return [
        ((math.floor(x0), math.floor(y0)), (math.floor(x1), math.floor(y1)))
        for x0, y0, x1, y1 in ends[np.isfinite(ends).all(axis=1)].tolist()
    ]
