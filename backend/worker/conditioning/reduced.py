"""Control images for a smaller picture of the same thing: the first of two passes.

What a scene gives is made anew from fewer of the pass's own pixels: depth, normals and indices that are averaged would
be surfaces and things that aren't there. So lines and joints are as thick as the net expects at that size. A ready map
and what a detector found are made smaller by what they are: palettes by their nearest pixel, thin lines by their
brightest, so that none breaks, and everything else by area.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import cv2
import numpy as np

from ....protocol.arrays import AnyArray, ArrayRef, Float32Array, UInt8Array
from ....protocol.geometry import Camera, Extent
from ....protocol.request import Control, ControlKind
from ....protocol.sources import (
    DepthPass,
    Keypoint,
    Keypoints,
    LinesPass,
    NormalPass,
    Person,
    Photo,
    PosePass,
    ReadyMap,
    SegmentationPass,
)

_Map = UInt8Array | Float32Array

_THIN = (
    ControlKind.CANNY,
    ControlKind.MLSD,
    ControlKind.LINEART,
    ControlKind.LINEART_ANIME,
    ControlKind.SCRIBBLE,
)
_LEAST_PX = 0.1  # that lengths in options may be


def reduced_control(control: Control, full: Extent, small: Extent) -> Control | None:
    """The control as it is made anew at `small`; None where its map is to be reduced instead.

    Its arrays are read through `reduced_arrays`.
    """
    across, down = small.width / full.width, small.height / full.height
    source = control.source
    match source:
        case ReadyMap() | Photo():
            return None
        case PosePass():
            source = PosePass(people=tuple(_person(person, across, down) for person in source.people))
        case LinesPass():
            source = dataclasses.replace(source, camera=_camera(source.camera, across, down))
        case _:
            pass
    return dataclasses.replace(control, source=source, options=_options(control.options, min(across, down)))


def reduced_arrays(
    control: Control, read: Callable[[ArrayRef], AnyArray], full: Extent, small: Extent
) -> Callable[[ArrayRef], AnyArray]:
    """What reads a pass's arrays at `small`; pictures are read whole, for they are fitted anyway."""
    if not isinstance(control.source, DepthPass | NormalPass | LinesPass | SegmentationPass):
        return read

    def reduced(ref: ArrayRef) -> AnyArray:
        array = read(ref)
        if array.shape[:2] != (full.height, full.width):
            return array  # refused, with its size, where it is used
        return np.ascontiguousarray(array[_nearest(full.height, small.height)][:, _nearest(full.width, small.width)])

    return reduced


def reduced_map(image: _Map, kind: ControlKind, small: Extent) -> _Map:
    """A finished control image at `small`."""
    height, width = image.shape[:2]
    if kind is ControlKind.SEGMENTATION:
        return _sampled(image, small)
    if kind in _THIN:
        block = np.ones((-(-height // small.height), -(-width // small.width)), np.uint8)
        return _sampled(cast(_Map, cv2.dilate(image, block)), small)
    return cast(_Map, cv2.resize(image, (small.width, small.height), interpolation=cv2.INTER_AREA))


def _sampled(image: _Map, small: Extent) -> _Map:
    height, width = image.shape[:2]
    return cast(_Map, np.ascontiguousarray(image[_nearest(height, small.height)][:, _nearest(width, small.width)]))


def _nearest(before: int, after: int) -> Any:
    """The pixels in which those of the smaller side have their centres."""
    return ((np.arange(after) + 0.5) * before / after).astype(np.int64)


def _camera(camera: Camera, across: float, down: float) -> Camera:
    return dataclasses.replace(
        camera,
        fx_px=camera.fx_px * across,
        fy_px=camera.fy_px * down,
        cx_px=camera.cx_px * across,
        cy_px=camera.cy_px * down,
    )


def _person(person: Person, across: float, down: float) -> Person:
    def scaled(points: Keypoints) -> Keypoints:
        return tuple(None if point is None else _point(point, across, down) for point in points)

    return dataclasses.replace(
        person,
        body=scaled(person.body),
        left_hand=scaled(person.left_hand),
        right_hand=scaled(person.right_hand),
        face=scaled(person.face),
    )


def _point(point: Keypoint, across: float, down: float) -> Keypoint:
    return dataclasses.replace(point, x_px=point.x_px * across, y_px=point.y_px * down)


def _options(options: Any, ratio: float) -> Any:
    """Options whose lengths in pixels of the picture are those of the smaller one."""
    if options is None:
        return None
    lengths = {
        entry.name: getattr(options, entry.name) for entry in dataclasses.fields(options) if entry.name.endswith("_px")
    }
    changed = {name: _length(length, ratio) for name, length in lengths.items() if length is not None}
    return dataclasses.replace(options, **changed) if changed else options


def _length(length: float, ratio: float) -> float:
    """Whole pixels stay whole, and what can be seen stays visible."""
    if isinstance(length, int):
        return max(1, round(length * ratio)) if length > 0 else round(length * ratio)
    return max(length * ratio, min(_LEAST_PX, length))
