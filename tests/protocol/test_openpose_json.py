"""OpenPose JSON: what is written, what is understood, and what is refused by its place."""

import json
import math
from typing import Any

import pytest
from underpaint.protocol.errors import InvalidPose
from underpaint.protocol.geometry import Extent
from underpaint.protocol.openpose_json import fitted, people_from_json, people_to_json
from underpaint.protocol.sources import Keypoint, Keypoints, Person, Visibility

_CANVAS = Extent(width=512, height=768)


def points(count: int, *, start: float = 10.0, gaps: tuple[int, ...] = ()) -> Keypoints:
    return tuple(
        None if index in gaps else Keypoint(x_px=start + 3.25 * index, y_px=start + 5.5 * index)
        for index in range(count)
    )


def someone(depth_m: float = 1.0, **more: Any) -> Person:
    return Person(body=points(18, gaps=(3, 16)), depth_m=depth_m, **more)


def numbers(count: int, confidence: float = 1.0, scale: float = 1.0) -> list[float]:
    return [value for index in range(count) for value in (scale * (20 + index), scale * (30 + 2 * index), confidence)]


def frame(*people: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"people": list(people), "canvas_width": 512, "canvas_height": 768, **more}


def read(content: Any):
    return people_from_json(json.dumps(content))


def test_what_is_written_is_what_the_editors_write() -> None:
    (written,) = people_to_json([someone(left_hand=points(21, gaps=(4,)))], _CANVAS)["people"]  # type: ignore[misc]
    assert set(written) == {
        "pose_keypoints_2d",
        "face_keypoints_2d",
        "hand_left_keypoints_2d",
        "hand_right_keypoints_2d",
    }
    assert len(written["pose_keypoints_2d"]) == 54
    assert written["pose_keypoints_2d"][9:12] == [0.0, 0.0, 0.0]
    assert set(written["pose_keypoints_2d"][2::3]) == {0.0, 1.0}
    assert written["hand_left_keypoints_2d"][12:15] == [0.0, 0.0, 0.0]
    assert written["hand_right_keypoints_2d"] is None
    assert written["face_keypoints_2d"] is None
    whole = people_to_json([], _CANVAS)
    assert whole == {"people": [], "animals": [], "canvas_width": 512, "canvas_height": 768}


@pytest.mark.parametrize("listed", [False, True])
def test_a_round_trip_keeps_every_point(listed: bool) -> None:
    people = (
        someone(9.0, left_hand=points(21, start=100), face=points(70, start=200, gaps=(68, 69))),
        someone(2.0, right_hand=points(21, start=50, gaps=(0, 1))),
    )
    written = people_to_json(people, _CANVAS)
    (found,) = read([written] if listed else written)
    assert found.canvas == _CANVAS
    assert found.notes == ()
    for ours, theirs in zip(people, found.people, strict=True):
        for name in ("body", "left_hand", "right_hand", "face"):
            assert getattr(theirs, name) == getattr(ours, name)
    assert found.people[0].depth_m > found.people[1].depth_m


def test_hidden_points_are_written_too_and_near_people_last() -> None:
    body = (Keypoint(x_px=5, y_px=6, visibility=Visibility.BEHIND_OTHERS), *(None,) * 17)
    near, far = Person(body=body, depth_m=1.0), someone(7.0)
    written: Any = people_to_json([near, far], _CANVAS)
    assert [person["pose_keypoints_2d"][:3] for person in written["people"]] == [[10.0, 10.0, 1.0], [5.0, 6.0, 1.0]]


def test_a_list_of_frames() -> None:
    found = read([frame({"pose_keypoints_2d": numbers(18)}), frame()])
    assert [len(item.people) for item in found] == [1, 0]


@pytest.mark.parametrize("absent", [None, [], "left out", [0.0] * 63])
def test_absent_hands(absent: Any) -> None:
    person = {"pose_keypoints_2d": numbers(18), "hand_left_keypoints_2d": absent, "face_keypoints_2d": None}
    if absent == "left out":
        del person["hand_left_keypoints_2d"]
    (found,) = read(frame(person))
    assert found.people[0].left_hand == ()
    assert found.people[0].right_hand == ()
    assert found.people[0].face == ()


def test_normalised_coordinates() -> None:
    body = numbers(18)
    scaled = [value / (512, 768, 1)[place % 3] for place, value in enumerate(body)]
    (pixels,), (normalised,) = read(frame({"pose_keypoints_2d": body})), read(frame({"pose_keypoints_2d": scaled}))
    for one, other in zip(pixels.people[0].body, normalised.people[0].body, strict=True):
        assert one is not None
        assert other is not None
        assert (other.x_px, other.y_px) == pytest.approx((one.x_px, one.y_px))


def test_a_normalised_point_just_outside_the_picture() -> None:
    body = [0.5, 0.25, 1.0] * 17 + [1.05, 0.5, 1.0]
    (found,) = read(frame({"pose_keypoints_2d": body}))
    last = found.people[0].body[17]
    assert last is not None
    assert last.x_px == pytest.approx(1.05 * 512)


def test_cmu_s_own_file() -> None:
    body = [value for index in range(25) for value in (100.0 + index, 200.0 + index, 0.9)]
    body[3 * 4 + 2] = 0.1  # the right wrist, hardly seen
    person = {
        "person_id": [-1],
        "pose_keypoints_2d": body,
        "face_keypoints_2d": numbers(70, 0.8),
        "hand_left_keypoints_2d": numbers(21, 0.7),
        "hand_right_keypoints_2d": [0] * 63,
        "pose_keypoints_3d": [],
    }
    (found,) = read({"version": 1.3, "people": [person]})
    assert found.canvas is None
    (one,) = found.people
    places = [None if point is None else round(point.x_px - 100) for point in one.body]
    assert places == [0, 1, 2, 3, None, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    assert len(one.face) == 70
    assert len(one.left_hand) == 21
    assert one.right_hand == ()
    assert fitted(found, Extent(width=64, height=64)) == found.people


def test_a_face_without_pupils() -> None:
    (found,) = read(frame({"pose_keypoints_2d": numbers(18), "face_keypoints_2d": numbers(68)}))
    assert found.people[0].face[67] is not None
    assert found.people[0].face[68:] == (None, None)


def test_fingers_that_the_webui_did_not_find() -> None:
    hand = numbers(21)
    hand[9:12] = [-1.0, -1.0, 1.0]
    (found,) = read(frame({"pose_keypoints_2d": numbers(18), "hand_right_keypoints_2d": hand}))
    assert found.people[0].right_hand[3] is None
    assert found.people[0].right_hand[4] is not None


def test_what_is_left_out_is_noted() -> None:
    far = numbers(18)
    far[0] = 1e9
    (found,) = read(
        frame(
            {"pose_keypoints_2d": far},
            {"pose_keypoints_2d": [0.0] * 54},
            {"pose_keypoints_2d": None},
            animals=[numbers(17)],
        )
    )
    assert len(found.people) == 1
    assert found.people[0].body[0] is None
    assert found.notes == (
        "1 animal left out",
        "2 entries without a point left out",
        "1 point far off the canvas left out",
    )


def test_people_are_stretched_to_the_picture() -> None:
    (found,) = read(frame({"pose_keypoints_2d": numbers(18), "hand_left_keypoints_2d": numbers(21)}))
    (person,) = fitted(found, Extent(width=1024, height=384))
    assert person.body[0] == Keypoint(x_px=40, y_px=15)
    assert person.left_hand[1] == Keypoint(x_px=42, y_px=16)
    assert fitted(found, _CANVAS) is found.people


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{"people": [', "line 1, column 13"),
        ("", "line 1, column 1"),
        ("[]", "list of frames is empty"),
        ("[3]", "frame 1 is a number, expected an object"),
        ('{"faces": []}', 'frame 1 has no "people"'),
        ('[{"people": []}, {"people": {}}]', 'frame 2, "people" is an object, expected a list'),
        ('{"people": [null]}', "frame 1, person 1 is null"),
        ('{"people": [], "canvas_width": 0, "canvas_height": 9}', "canvas_width is 0"),
        ('{"people": [], "canvas_width": 9}', "canvas_height is null"),
        ('{"people": [{"pose_keypoints_2d": NaN}]}', "NaN"),
        ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "has 2 numbers, expected three for each"),
        ('{"people": [{"pose_keypoints_2d": [1, "a", 1]}]}', 'person 1, pose_keypoints_2d, number 2 is the text "a"'),
        ('{"people": [{"pose_keypoints_2d": [1, true, 1]}]}', "number 2 is true or false"),
        ('{"people": [{"pose_keypoints_2d": [1, 1e999, 1]}]}', "number 2 is not finite"),
        (json.dumps({"people": [{"pose_keypoints_2d": numbers(19)}]}), "has 19 points, expected 18, or 25"),
        (json.dumps({"people": [{"pose_keypoints_2d": numbers(17)}]}), "COCO's own order, which has no neck"),
        (json.dumps({"people": [{"hand_left_keypoints_2d": numbers(20)}]}), "hand_left_keypoints_2d has 20 points"),
        (json.dumps({"people": [{"face_keypoints_2d": numbers(5)}]}), "face_keypoints_2d has 5 points"),
        (json.dumps({"people": [{"pose_keypoints_2d": numbers(18, scale=1e-3)}]}), "between 0 and 1, and no canvas"),
        (json.dumps({"people": [{}] * 1001}), "1001 people"),
        ("[" * 100_000, "nested|recursion"),
        ('{"people": [{"pose_keypoints_2d": [' + "9" * 5000 + "]}]}", "digits|not finite|numbers"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(content: str, place: str) -> None:
    with pytest.raises(InvalidPose, match=place):
        people_from_json(content)


def test_numbers_are_written_short_and_finite() -> None:
    body = (Keypoint(x_px=math.pi * 100, y_px=1 / 3), *(None,) * 17)
    written: Any = people_to_json([Person(body=body, depth_m=1.0)], _CANVAS)
    assert written["people"][0]["pose_keypoints_2d"][:3] == [314.159, 0.333, 1.0]
