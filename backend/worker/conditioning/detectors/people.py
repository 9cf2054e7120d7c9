"""Detectors of people. What they find is drawn as a scene's characters are, by the rules of the ControlNet."""

import importlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from .....protocol.arrays import AnyArray, UInt8Array
from .....protocol.checks import FACE_POINTS, HAND_JOINTS
from .....protocol.errors import InvalidRequest
from .....protocol.options import PoseOptions
from .....protocol.sources import Keypoint, Keypoints, Person
from ..openpose import pose_map
from ..table import PoseConvention
from .dwpose import SURE, WholeBody
from .work import Work

_UTIL = "controlnet_aux.open_pose.util"
_FACE_SURE = 0.05  # controlnet-aux's

# Where DWPose has what OpenPose calls body joints 0 to 17: nose, neck, right shoulder ... left ear.
_NECK = -1
_BODY = (0, _NECK, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_SHOULDERS = [5, 6]
_FACE, _LEFT_HAND, _RIGHT_HAND = slice(23, 91), slice(91, 112), slice(112, 133)
_PUPILS = [2, 1]  # right, left: the eyes of the body


def openpose(detector: Any, work: Work) -> UInt8Array:
    """CMU's OpenPose, by controlnet-aux."""
    poses = detector.detect_poses(work.image, include_hand=work.options.hands, include_face=False)
    people = [
        Person(
            body=_points(pose.body.keypoints, work),
            left_hand=_points(pose.left_hand or (), work),
            right_hand=_points(pose.right_hand or (), work),
            face=_face(detector, pose.body, work) if work.options.face else (),
            depth_m=0.0,
        )
        for pose in poses
    ]
    return _draw(people, work)


def dwpose(detector: WholeBody, work: Work) -> UInt8Array:
    """DWPose: whole bodies, hands and faces among them."""
    return _draw([_person(points, work) for points in detector(work.image)], work)


def _draw(people: list[Person], work: Work) -> UInt8Array:
    if not isinstance(work.rule, PoseConvention):
        raise InvalidRequest(reason=f"a {work.kind} control is not made of people")
    options = PoseOptions(hands=work.options.hands, face=work.options.face)
    return pose_map(people, work.extent, work.rule, options)


def _points(points: Iterable[Any], work: Work) -> Keypoints:
    """controlnet-aux's keypoints, in which a whole side of the picture is 1; what lies below 0 wasn't found."""
    size = work.size
    return tuple(
        None
        if point is None or point.x < 0 or point.y < 0
        else _keypoint(float(point.x) * size.width, float(point.y) * size.height, work)
        for point in points
    )


def _face(detector: Any, body: Any, work: Work) -> Keypoints:
    """The face of a body that controlnet-aux has found, each point in its place.

    The library's own way leaves out points that it isn't sure of, so that nobody knows which the others are,
    and takes the net's last channel, which is the background, for a point.
    """
    size = work.size
    scaled = [
        None if point is None else point._replace(x=point.x * size.width, y=point.y * size.height)
        for point in body.keypoints
    ]
    box = importlib.import_module(_UTIL).faceDetect(body._replace(keypoints=scaled), work.image)
    if box is None:
        return ()
    x, y, side = box
    bgr = work.image[:, :, ::-1]
    heat = detector.face_estimation(np.ascontiguousarray(bgr[y : y + side, x : x + side]))[:FACE_POINTS]
    return tuple(_peak(channel, x, y, work) for channel in heat)


def _peak(heat: AnyArray, left: int, top: int, work: Work) -> Keypoint | None:
    row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
    if heat[row, column] <= _FACE_SURE:
        return None
    return _keypoint(left + float(column), top + float(row), work)


def _person(points: AnyArray, work: Work) -> Person:
    """One of DWPose's people: (133, 3), x and y in pixels of `work.image` and how sure it is."""

    def keypoint(x: float, y: float, score: float) -> Keypoint | None:
        return _keypoint(x, y, work) if score > SURE else None

    def run(part: slice) -> Keypoints:
        return tuple(keypoint(*point) for point in points[part].tolist())

    neck = points[_SHOULDERS].mean(axis=0)
    neck[2] = points[_SHOULDERS, 2].min()
    joints = np.vstack([points, neck])
    body = tuple(keypoint(*joints[index].tolist()) for index in _BODY)
    left_hand, right_hand = run(_LEFT_HAND), run(_RIGHT_HAND)
    assert len(left_hand) == len(right_hand) == HAND_JOINTS
    face = run(_FACE) + tuple(keypoint(*points[index].tolist()) for index in _PUPILS)
    return Person(body=body, left_hand=left_hand, right_hand=right_hand, face=face, depth_m=0.0)


def _keypoint(x: float, y: float, work: Work) -> Keypoint:
    """A pixel of the image that the detector saw, by its middle, on the picture."""
    size = work.size
    return Keypoint(x_px=(x + 0.5) / size.width * work.extent.width, y_px=(y + 0.5) / size.height * work.extent.height)
