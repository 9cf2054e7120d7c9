"""Display-referred pictures and Blender's scene-linear buffers, and when the way back is exact."""

import functools
from typing import Any

import numpy as np
from mathutils import Color

from ..protocol.arrays import Float32Array, UInt8Array


def scene_linear(picture: UInt8Array) -> Float32Array:
    """A picture (..., 3) uint8 sRGB as scene-linear float32, so that the Standard view shows its very bytes."""
    linear = _linear_rec709()[picture]
    to_scene = _scene_from_rec709()
    return linear if to_scene is None else linear @ to_scene


def standard(linear: Float32Array) -> UInt8Array:
    """Scene-linear colours (..., 3) as the Standard view shows them: uint8 sRGB; what is not a number is black."""
    to_scene = _scene_from_rec709()
    if to_scene is not None:
        linear = linear @ np.linalg.inv(to_scene)
    linear = np.clip(np.nan_to_num(linear), 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255.0).astype(np.uint8)


def shows_exactly(scene: Any) -> bool:
    """Whether the render window and saved files show a render's sRGB bytes unchanged.

    Only the Standard view with nothing on top does. AgX and Filmic compress colours in a way that has no
    exact inverse, and the engine leaves the user's colour management alone.
    """
    view = scene.view_settings
    return bool(
        view.view_transform == "Standard"
        and view.look in ("None", "")
        and view.exposure == 0.0
        and view.gamma == 1.0
        and not view.use_curve_mapping
        and not getattr(view, "use_white_balance", False)  # since 4.3
        and scene.display_settings.display_device == "sRGB"
    )


@functools.cache
def _linear_rec709() -> Float32Array:
    encoded = np.arange(256, dtype=np.float64) / 255.0
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


def _scene_from_rec709() -> Float32Array | None:
    """The matrix to the file's working space (rows: what pure red, green, blue become); None when it is Rec.709."""
    rows = [tuple(Color(axis).from_rec709_linear_to_scene_linear()) for axis in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    matrix = np.array(rows, dtype=np.float32)
    return None if np.allclose(matrix, np.eye(3), atol=1e-6) else matrix
