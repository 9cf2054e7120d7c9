"""DWPose: YOLOX finds people, RTMPose their 133 points. Both nets are ONNX files that OpenCV runs.

controlnet-aux's own DWPose needs mmcv, mmdet and mmpose, which don't install beside today's torch; the authors of
DWPose publish the same nets as ONNX, and OpenCV, which is here anyway, reads those. An ONNX file holds
arithmetic and no code. Written from the facts of https://github.com/IDEA-Research/DWPose (Apache 2.0): sizes,
colour order, paddings, the decoding of both nets and the thresholds.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from .....protocol.arrays import AnyArray, Float32Array, UInt8Array
from .....protocol.errors import ModelBroken

SURE = 0.3  # points and people that the nets are less sure of are left out
POINTS = 133
_DETECTOR_PX = 640
_DETECTOR_GREY = 114
_STRIDES = (8, 16, 32)
_OVERLAP = 0.45
_POSE_SIZE = (288, 384)  # width, height
_POSE_MARGIN = 1.25
_BINS_PER_PX = 2
_MEAN = np.array([123.675, 116.28, 103.53], np.float32)  # red, green, blue
_DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)


class WholeBody:
    """Both nets, ready to run; on the CPU, for OpenCV's wheels have no other."""

    def __init__(self, detector: Path, pose: Path) -> None:
        self._detector = _Net(detector)
        self._pose = _Net(pose)

    def __call__(self, image: UInt8Array) -> list[Float32Array]:
        """Everybody in `image`: (133, 3) each, x and y in its pixels (a pixel's middle is whole) and a score.

        Where nobody stands out, the whole image is taken for one person, as DWPose's authors do.
        """
        height, width = image.shape[:2]
        boxes = self._people(image) or [(0.0, 0.0, float(width), float(height))]
        return [self._points(image, box) for box in boxes]

    def _people(self, image: UInt8Array) -> list[tuple[float, float, float, float]]:
        """Boxes around people: left, top, right, bottom."""
        height, width = image.shape[:2]
        scale = _DETECTOR_PX / max(height, width)
        inside = cv2.resize(image, (max(int(width * scale), 1), max(int(height * scale), 1)))
        canvas = np.full((_DETECTOR_PX, _DETECTOR_PX, 3), _DETECTOR_GREY, np.uint8)
        canvas[: inside.shape[0], : inside.shape[1]] = inside
        # YOLOX was trained on BGR.
        (found,) = self._detector(canvas[:, :, ::-1].astype(np.float32), [(len(_cells()), 85)])
        middle = (found[:, :2] + _cells()[:, :2]) * _cells()[:, 2:]
        half = np.exp(found[:, 2:4]) * _cells()[:, 2:] / 2
        scores = found[:, 4] * found[:, 5]  # something is there, and it is COCO's class 0
        likely = scores > SURE
        corners = np.hstack([middle - half, middle + half])[likely] / scale
        kept = cv2.dnn.NMSBoxes(
            [(left, top, right - left, bottom - top) for left, top, right, bottom in corners.tolist()],
            scores[likely].tolist(),
            SURE,
            _OVERLAP,
        )
        return [tuple(corners[index].tolist()) for index in np.asarray(kept, np.int64).ravel()]

    def _points(self, image: UInt8Array, box: tuple[float, float, float, float]) -> Float32Array:
        left, top, right, bottom = box
        width, height = _POSE_SIZE
        # The box with a margin, in the proportions of the net's input.
        across = _POSE_MARGIN * max(right - left, (bottom - top) * width / height, 1.0)
        scale = width / across
        start = np.array([(left + right - across) / 2, (top + bottom - across * height / width) / 2])
        matrix = np.array([[scale, 0, -scale * start[0]], [0, scale, -scale * start[1]]])
        crop = cv2.warpAffine(image, matrix, _POSE_SIZE).astype(np.float32)
        sizes = [(POINTS, width * _BINS_PER_PX), (POINTS, height * _BINS_PER_PX)]
        columns, rows = self._pose((crop - _MEAN) / _DEVIATION, sizes)
        at = np.stack([columns.argmax(axis=1), rows.argmax(axis=1)], axis=1) / _BINS_PER_PX
        scores = np.minimum(columns.max(axis=1), rows.max(axis=1))
        return np.hstack([at / scale + start, scores[:, None]]).astype(np.float32)


class _Net:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._net = cv2.dnn.readNetFromONNX(str(path))

    def __call__(self, image: AnyArray, shapes: Sequence[tuple[int, int]]) -> list[Float32Array]:
        """What the net says of `image` (height, width, 3): an array of each of these shapes, which all differ.

        Raises ModelBroken for a net that says something else.
        """
        self._net.setInput(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        try:
            parts = self._net.forward(self._net.getUnconnectedOutLayersNames())
        except cv2.error as error:
            raise self._broken(str(error).splitlines()[0]) from error
        said = [np.asarray(part, np.float32) for part in parts]
        by_shape = {part.shape[1:]: part[0] for part in said if part.shape[:1] == (1,)}
        if not set(shapes) <= set(by_shape):
            raise self._broken(f"it gives {', '.join(str(part.shape) for part in said)}, expected {list(shapes)}")
        return [by_shape[shape] for shape in shapes]

    def _broken(self, reason: str) -> ModelBroken:
        return ModelBroken(model="dwpose detector", reason=f"{self._path} is not the net that it should be ({reason})")


@functools.cache
def _cells() -> AnyArray:
    """The cells that YOLOX predicts a box for: column, row and pixels a cell."""
    parts: list[AnyArray] = []
    for stride in _STRIDES:
        count = _DETECTOR_PX // stride
        rows, columns = np.mgrid[:count, :count]
        parts.append(np.stack([columns.ravel(), rows.ravel(), np.full(count * count, stride)], axis=1))
    return np.concatenate(parts).astype(np.float32)
