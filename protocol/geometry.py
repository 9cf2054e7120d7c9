"""Sizes and cameras: what a picture's pixels mean in the world."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, kw_only=True)
class Extent:
    """A picture's size in pixels."""

    width: int
    height: int


class Projection(StrEnum):
    PERSPECTIVE = "perspective"
    ORTHOGRAPHIC = "orthographic"


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole or parallel camera, after lens shift, sensor fit and pixel aspect are worked in.

    A point (x, y, z) in camera space (Blender's: x right, y up, looking along -z, metres) lands on
    perspective:   u = cx_px + fx_px * x / -z,  v = cy_px - fy_px * y / -z
    orthographic:  u = cx_px + fx_px * x,       v = cy_px - fy_px * y
    with (u, v) in pixels from the picture's top left corner; a pixel's centre is at half-integers.
    """

    projection: Projection
    fx_px: float  # pixels, or pixels a metre for orthographic
    fy_px: float
    cx_px: float
    cy_px: float
    world_from_camera: tuple[float, ...]  # 16 numbers, row by row; a rotation and a translation
    clip_start_m: float
    clip_end_m: float
