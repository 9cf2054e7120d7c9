"""Writes small ONNX files: the little of the format that two stand-ins for DWPose's nets need.

An ONNX file is a protobuf message; field numbers are those of onnx.proto.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Attribute = int | Sequence[int]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value % 2**64)


def _bytes(field: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(raw)) + raw


def _tensor(name: str, array: NDArray[np.float32] | NDArray[np.int64]) -> bytes:
    kind = {"float32": 1, "int64": 7}[array.dtype.name]
    dims = b"".join(_number(1, side) for side in array.shape)
    return dims + _number(2, kind) + _bytes(8, name) + _bytes(9, np.ascontiguousarray(array).tobytes())


def _value(name: str, shape: Sequence[int]) -> bytes:
    sides = b"".join(_bytes(1, _number(1, side)) for side in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, sides)))


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return _bytes(1, name) + _number(3, value) + _number(20, 2)
    return _bytes(1, name) + b"".join(_number(8, entry) for entry in value) + _number(20, 7)


class Graph:
    """A net, node by node."""

    def __init__(self, source: str, shape: Sequence[int]) -> None:
        self._source = _value(source, shape)
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._sinks: list[bytes] = []

    def constant(self, name: str, array: NDArray[np.float32] | NDArray[np.int64]) -> str:
        self._constants.append(_tensor(name, array))
        return name

    def node(self, kind: str, sources: Sequence[str], sink: str, **attributes: Attribute) -> str:
        node = b"".join(_bytes(1, source) for source in sources) + _bytes(2, sink) + _bytes(3, sink) + _bytes(4, kind)
        self._nodes.append(node + b"".join(_bytes(5, _attribute(*entry)) for entry in attributes.items()))
        return sink

    def sink(self, name: str, shape: Sequence[int]) -> None:
        self._sinks.append(_value(name, shape))

    def save(self, path: Path) -> None:
        graph = (
            b"".join(_bytes(1, node) for node in self._nodes)
            + _bytes(2, "net")
            + b"".join(_bytes(5, tensor) for tensor in self._constants)
            + _bytes(11, self._source)
            + b"".join(_bytes(12, sink) for sink in self._sinks)
        )
        opset = _bytes(1, "") + _number(2, 13)
        path.write_bytes(_number(1, 8) + _bytes(8, opset) + _bytes(7, graph))


def write_yolox(path: Path, boxes: Mapping[int, tuple[float, float, float, float]]) -> None:
    """A net of YOLOX's shapes that sees people in the given cells, if the picture's first channel is bright.

    A box is its cell's number, and what the net says of it: offsets of its middle in cells, logarithms of its sides.
    """
    graph = Graph("images", (1, 3, 640, 640))
    weight = np.zeros((1, 3, 1, 1), np.float32)
    weight[0, 0] = 1 / 255
    graph.node("Conv", ["images", graph.constant("first", weight)], "channel", kernel_shape=[1, 1])
    graph.node("GlobalAveragePool", ["channel"], "mean")
    graph.node("Reshape", ["mean", graph.constant("shape", np.array([1, 1, 1]))], "bright")
    fixed, sure = np.zeros((1, 8400, 85), np.float32), np.zeros((1, 8400, 85), np.float32)
    for cell, box in boxes.items():
        fixed[0, cell, :4] = box
        fixed[0, cell, 5] = 1  # COCO's first class
        sure[0, cell, 4] = 1
    graph.node("Mul", ["bright", graph.constant("sure", sure)], "scores")
    graph.node("Add", ["scores", graph.constant("fixed", fixed)], "output")
    graph.sink("output", (1, 8400, 85))
    graph.save(path)


def write_pose(path: Path) -> None:
    """A net of DWPose's shapes that finds all 133 points where the picture's first channel is brightest."""
    width, height, points = 288, 384, 133
    graph = Graph("input", (1, 3, height, width))
    weight = np.zeros((points, 3, 1, 1), np.float32)
    weight[:, 0] = 1
    graph.node("Conv", ["input", graph.constant("first", weight)], "channel", kernel_shape=[1, 1])
    for axis, count, sink in ((2, width, "simcc_x"), (3, height, "simcc_y")):
        graph.node("ReduceMax", ["channel"], f"{sink}_profile", axes=[axis], keepdims=0)  # (1, points, count)
        bins = np.zeros((count, 2 * count), np.float32)  # two to a pixel, the first the higher
        bins[np.arange(count), 2 * np.arange(count)] = 1
        bins[np.arange(count), 2 * np.arange(count) + 1] = 0.5
        graph.node("MatMul", [f"{sink}_profile", graph.constant(f"{sink}_bins", bins)], sink)
        graph.sink(sink, (1, points, 2 * count))
    graph.save(path)
