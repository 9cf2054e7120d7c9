"""The white lines that canny, lineart, softedge, scribble and mlsd ControlNets expect."""

import math

import cv2
import numpy as np

from ....protocol.arrays import UInt8Array
from ....protocol.errors import InvalidRequest
from ....protocol.geometry import Extent
from ....protocol.options import LineOptions
from .chains import trace, without_spurs
from .straight import draw_segments, segments
from .strokes import faded, in_levels, strokes
from .table import LineConvention, LineStyle, growth
from .thinning import thin, without_specks

_SMOOTH = 4  # how far strokes even out the pixels' stairs
_LOOSE = 24  # the same for a scribble, which is drawn by a hand
_CORE = 0.6  # the part of a soft stroke's width that doesn't fade
_ROOM = 1.2  # times a scribble's width that two lines must be apart to be told apart
_WIDEST_PX = 256.0


def draw_lines(kinds: UInt8Array, rule: LineConvention, options: LineOptions) -> UInt8Array:
    """Control image: (height, width, 3) uint8, white lines on black, of the lines that `edges.find_lines` found.

    `options.width_px` and `options.shortest_px`, in pixels of the control image, stand in for the convention's.
    How each style is drawn: docs/conventions.md, "Lines". Raises InvalidRequest for widths that no line can have.
    """
    scale = growth(Extent(width=kinds.shape[1], height=kinds.shape[0]))
    # in a small picture, what is thinner than a pixel would fade
    width_px = max(1.0, rule.width_px * scale) if options.width_px is None else options.width_px
    shortest_px = rule.shortest_px * scale if options.shortest_px is None else options.shortest_px
    levels = rule.levels if options.levels is None else options.levels
    if not (0 < width_px <= _WIDEST_PX and 0 <= shortest_px < math.inf):
        raise InvalidRequest(reason=f"lines {width_px:g} px wide and {shortest_px:g} px long at least can't be drawn")
    if levels == 1 or not 0 <= levels <= 256:
        raise InvalidRequest(reason=f"{levels} shades of grey, expected 2 to 256, or 0 for all of them")
    if rule.style is not LineStyle.STRAIGHT:
        kinds = kinds * without_specks(kinds > 0, shortest_px)
    match rule.style:
        case LineStyle.THIN:
            grey = np.where(kinds > 0, np.uint8(255), np.uint8(0))
        case LineStyle.STRAIGHT:
            grey = draw_segments(segments(trace(kinds), shortest_px=shortest_px), kinds.shape)
        case LineStyle.STROKES:
            grey = strokes(trace(kinds), kinds.shape, width_px=width_px, lightest=rule.lightest, evenness=_SMOOTH)
        case LineStyle.SOFT:
            grey = _soft(kinds, width_px, rule.lightest, levels)
        case LineStyle.THICK:
            grey = _thick(kinds, width_px, scale)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _soft(kinds: UInt8Array, width_px: float, lightest: float, levels: int) -> UInt8Array:
    """Strokes that fade out; the thinner ones are darker, as edges are of which an annotator is less sure."""
    core_px = _CORE * width_px
    hard = strokes(trace(kinds), kinds.shape, width_px=core_px, lightest=lightest, evenness=_SMOOTH)
    grey = faded(hard, core_px=core_px, sigma_px=(width_px - core_px) / 1.2)
    return in_levels(grey, levels) if levels else grey


def _thick(kinds: UInt8Array, width_px: float, scale: float) -> UInt8Array:
    """Strokes as wide as a marker's. Lines between which there is no room for black are drawn as one.

    They are drawn at about the reference size and enlarged before they become black and white.
    """
    height, width = kinds.shape
    times = max(1, int(scale))
    on = (kinds > 0).astype(np.uint8)
    if times > 1:
        size = (max(1, width // times), max(1, height // times))
        on = (np.asarray(cv2.resize(on * 255.0, size, interpolation=cv2.INTER_AREA)) > 0).astype(np.uint8)
        width_px /= times
    near = max(1, round(_ROOM * width_px))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (near, near))
    middle = without_spurs(thin(np.asarray(cv2.dilate(on, kernel), np.uint8)), near)
    wide = strokes(trace(middle), middle.shape, width_px=width_px, lightest=1.0, evenness=_LOOSE)
    # rounds what ends and crosses, as the blur and the threshold of the annotator do
    blurred = cv2.GaussianBlur(wide, (0, 0), max(width_px / 4, 0.5))
    enlarged = np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_CUBIC))
    return np.where(enlarged > 127, np.uint8(255), np.uint8(0))
