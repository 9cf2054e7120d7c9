"""The bytes of Blender's image datablocks."""

from typing import Any

import numpy as np

from ..protocol.arrays import Float32Array, UInt8Array
from ..protocol.errors import InvalidArray


def pixels_of(image: Any) -> UInt8Array:
    """An image datablock's bytes, (height, width, 3) sRGB, row 0 at the top. Raises InvalidArray."""
    values = _values(image)
    if image.channels < 3:
        raise InvalidArray(reason=f'"{image.name}" has no colours')
    values = values[..., :3]
    if image.is_float and not image.colorspace_settings.is_data:  # scene-linear; byte images hold their bytes / 255
        values = np.where(values <= 0.0031308, values * 12.92, 1.055 * np.abs(values) ** (1 / 2.4) - 0.055)
    return _bytes(values)


def alpha_of(image: Any) -> UInt8Array:
    """An image's alpha, (height, width), row 0 at the top. Raises InvalidArray where it has none."""
    values = _values(image)
    if image.channels < 4:
        raise InvalidArray(reason=f'"{image.name}" has no alpha channel')
    return _bytes(values[..., 3])


def brightness_of(image: Any) -> UInt8Array:
    """How bright an image is, (height, width), row 0 at the top. Raises InvalidArray."""
    if image.size[0] and image.channels < 3:
        return _bytes(_values(image)[..., 0])
    return np.rint(pixels_of(image) @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def problem_of(image: Any) -> str:
    """Why an image can't be read, for a panel, which is drawn too often to read it; "" where nothing is known."""
    if image.source in ("MOVIE", "SEQUENCE"):  # its pixels are those of whatever frame an editor showed last, or none
        return (
            f'"{image.name}" is a movie or an image sequence, which can\'t be read frame by frame: choose a still image'
        )
    if not image.size[0] or not image.size[1]:
        return f'Blender has no pixels of "{image.name}": is its file where it was?'
    return ""


def _values(image: Any) -> Float32Array:
    problem = problem_of(image)
    if problem:
        raise InvalidArray(reason=problem.rstrip("?"))
    width, height = image.size
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(height, width, image.channels)[::-1]


def _bytes(values: Float32Array) -> UInt8Array:
    return np.rint(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)
