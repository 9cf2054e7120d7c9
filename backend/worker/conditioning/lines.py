"""Geometry to the white lines that canny, lineart, softedge, scribble and mlsd ControlNets expect."""

import math

import cv2
import numpy as np

from ....protocol.arrays import Float32Array, Int32Array, UInt8Array
from ....protocol.geometry import Camera, Extent
from ....protocol.options import LineOptions
from .table import LineConvention, LineStyle, growth

_STEP = 0.05  # relative: neighbouring pixels that differ by more don't lie on one surface


def line_map(
    metres: Float32Array,
    normal_camera: Float32Array,
    objects: Int32Array,
    materials: Int32Array,
    camera: Camera,
    extent: Extent,
    rule: LineConvention,
    options: LineOptions,
) -> UInt8Array:
    """Control image: (height, width, 3) uint8, white lines on black, drawn where surfaces end, bend or change."""
    lines = np.zeros(metres.shape, np.uint8)
    for axis in (0, 1):
        here = (slice(None, -1), slice(None))[:: 1 - 2 * axis]
        there = (slice(1, None), slice(None))[:: 1 - 2 * axis]
        differs = np.zeros(metres[here].shape, bool)
        if options.silhouettes:
            near, far = np.minimum(metres[here], metres[there]), np.maximum(metres[here], metres[there])
            differs |= near * (1 + _STEP) < far
        if options.creases:
            bend = np.einsum("hwc,hwc->hw", normal_camera[here], normal_camera[there])
            differs |= bend < math.cos(math.radians(options.crease_deg))
        if options.objects:
            differs |= objects[here] != objects[there]
        if options.materials:
            differs |= materials[here] != materials[there]
        lines[here][differs] = 255
    width_px = rule.width_px * growth(extent) if options.width_px is None else options.width_px
    if rule.style in (LineStyle.STROKES, LineStyle.SOFT):
        lines = cv2.GaussianBlur(lines, (0, 0), max(width_px, 0.5) / 2)
    elif rule.style is LineStyle.THICK:
        side = max(1, round(width_px))
        lines = cv2.dilate(lines, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return np.repeat(np.asarray(lines, np.uint8)[:, :, None], 3, axis=2)
