"""A step's preview at the size of the picture. No bpy: it runs in the threads that wait for the backend."""

import numpy as np

from ..protocol.arrays import Float32Array, UInt8Array
from ..protocol.geometry import Extent


def enlarged(preview: UInt8Array, extent: Extent) -> UInt8Array:
    """A preview (h, w, 3), as large as the latents are, at the frame's size, bilinear."""

    def taps(count: int, size: int) -> tuple[np.ndarray, np.ndarray, Float32Array]:
        at = np.clip((np.arange(size, dtype=np.float32) + 0.5) * count / size - 0.5, 0, count - 1)
        low = at.astype(np.intp)
        return low, np.minimum(low + 1, count - 1), at - low

    rows, next_rows, down = taps(preview.shape[0], extent.height)
    columns, next_columns, across = taps(preview.shape[1], extent.width)
    values = preview.astype(np.float32)
    values = values[rows] + (values[next_rows] - values[rows]) * down[:, None, None]
    values = values[:, columns] + (values[:, next_columns] - values[:, columns]) * across[None, :, None]
    return np.rint(values).astype(np.uint8)
