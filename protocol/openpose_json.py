"""People as OpenPose JSON: what sd-webui-controlnet, huchenlei's editor and ComfyUI's POSE_KEYPOINT exchange.

A frame is {"people": [{"pose_keypoints_2d": [x, y, c] * 18, "face_keypoints_2d": ... or null,
"hand_left_keypoints_2d": ... or null, "hand_right_keypoints_2d": ... or null}], "animals": [],
"canvas_width": W, "canvas_height": H}; ComfyUI wants a list of frames. Pixels count from the top left; a
missing point is 0, 0, 0. Those tools take a confidence under 1.0 for a missing point, so 1.0 and 0.0 are what
is written. Read are these, and the files of CMU's own program, which has 25 points for a body,
confidences between 0 and 1 and no canvas. Reads and writes text; files are the caller's business.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from .checks import FACE_POINTS, HAND_JOINTS, JOINTS, MAX_PEOPLE, MAX_SIDE
from .errors import InvalidPose
from .geometry import Extent
from .sources import Keypoint, Keypoints, Person

_BODY = "pose_keypoints_2d"
_FACE = "face_keypoints_2d"
_LEFT_HAND = "hand_left_keypoints_2d"
_RIGHT_HAND = "hand_right_keypoints_2d"

_FROM_BODY_25 = (*range(8), *range(9, 19))
"""CMU's 25 points to OpenPose's 18: all but the middle of the hips (8) and the feet (19 to 24)."""
_SURE = 0.3  # DWPose's own threshold; 18-point files hold 1.0 and 0.0 alone
# Every number of normalised coordinates is at most 1 in size, by the rule of the tools above. A little more is
# a point outside the picture; nobody is two pixels large.
_NORMALISED = 2.0
_FAR_OFF = 1.0  # canvases beyond its edge, where a point is no longer a place to draw a limb to
_LARGEST_CANVAS = 1 << 16
_DECIMALS = 3  # of a pixel


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The people of one picture."""

    people: tuple[Person, ...]  # far to near, as the file lists them: later people are drawn over earlier ones
    canvas: Extent | None  # what the pixels count in; None where the file doesn't say
    notes: tuple[str, ...] = ()  # what the file held besides, and was left out


def people_to_json(people: Sequence[Person], extent: Extent) -> dict[str, object]:
    """One frame, ready for json.dumps; far people first, so that near ones are drawn over them.

    Every point that a person has is written, hidden or not; those outside the picture are not there.
    """
    return {
        "people": [
            {
                _BODY: _numbers(person.body),
                _FACE: _numbers(person.face),
                _LEFT_HAND: _numbers(person.left_hand),
                _RIGHT_HAND: _numbers(person.right_hand),
            }
            for person in sorted(people, key=lambda person: -person.depth_m)
        ],
        "animals": [],
        "canvas_width": extent.width,
        "canvas_height": extent.height,
    }


def people_from_json(text: str) -> tuple[Frame, ...]:
    """The frames of a file, which holds one or a list of them.

    A person whose file says nothing of depth stands in front of those listed before. Points with a
    confidence under 0.3 are missing. Raises InvalidPose, naming the place.
    """
    try:
        # NaN and Infinity are no JSON, though Python writes and reads them.
        content = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise InvalidPose(reason=f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # too deep; an integer of thousands of digits
        raise InvalidPose(reason=str(error) or "it is nested too deeply") from error
    frames = cast(list[object], content) if isinstance(content, list) else [content]
    if not frames:
        raise InvalidPose(reason="the list of frames is empty")
    return tuple(_frame(frame, f"frame {number}") for number, frame in enumerate(frames, 1))


def fitted(frame: Frame, extent: Extent) -> tuple[Person, ...]:
    """A frame's people on a picture of another size, stretched with their canvas as control images are.

    Without a canvas they are in pixels of that very picture.
    """
    if frame.canvas is None or frame.canvas == extent:
        return frame.people
    x, y = extent.width / frame.canvas.width, extent.height / frame.canvas.height
    return tuple(
        replace(
            person,
            body=_scaled(person.body, x, y),
            left_hand=_scaled(person.left_hand, x, y),
            right_hand=_scaled(person.right_hand, x, y),
            face=_scaled(person.face, x, y),
        )
        for person in frame.people
    )


def _numbers(points: Keypoints) -> list[float] | None:
    if not any(points):
        return [0.0] * 3 * len(points) if len(points) == JOINTS else None
    flat: list[float] = []
    for point in points:
        flat += (0.0, 0.0, 0.0) if point is None else (_rounded(point.x_px), _rounded(point.y_px), 1.0)
    return flat


def _rounded(pixels: float) -> float:
    return round(float(pixels), _DECIMALS)


def _scaled(points: Keypoints, x: float, y: float) -> Keypoints:
    return tuple(
        None if point is None else replace(point, x_px=point.x_px * x, y_px=point.y_px * y) for point in points
    )


def _frame(content: object, where: str) -> Frame:
    entries = _object(content, where)
    if "people" not in entries:
        raise InvalidPose(reason=f'{where} has no "people"')
    listed = _list(entries["people"], f'{where}, "people"')
    if len(listed) > MAX_PEOPLE:
        raise InvalidPose(reason=f"{where} has {len(listed)} people, at most {MAX_PEOPLE} work")
    canvas = _canvas(entries, where)
    found = [_Read(person, f"{where}, person {number}") for number, person in enumerate(listed, 1)]
    normalised = _are_normalised(found)
    if normalised and canvas is None:
        raise InvalidPose(reason=f"{where} has coordinates between 0 and 1, and no canvas_width and canvas_height")
    people: list[Person] = []
    far_off = 0
    for number, read in enumerate(found):
        scale = (canvas.width, canvas.height) if normalised and canvas is not None else (1, 1)
        person, lost = read.person(scale, canvas, depth_m=float(len(found) - number))
        far_off += lost
        if any((*person.body, *person.left_hand, *person.right_hand, *person.face)):
            people.append(person)
    notes: list[str] = []
    if animals := len(_list(entries.get("animals") or [], f'{where}, "animals"')):
        notes.append(f"{_count(animals, 'animal')} left out")
    if nobody := len(listed) - len(people):
        notes.append(f"{_count(nobody, 'entry', 'entries')} without a point left out")
    if far_off:
        notes.append(f"{_count(far_off, 'point')} far off the canvas left out")
    return Frame(people=tuple(people), canvas=canvas, notes=tuple(notes))


_Triple = tuple[float, float, float]


class _Read:
    """One person's numbers, in whatever units the frame has."""

    def __init__(self, content: object, where: str) -> None:
        entries = _object(content, where)
        body = _triples(entries, _BODY, where)
        if len(body) == 25:
            body = [body[index] for index in _FROM_BODY_25]
        elif len(body) == 17:
            raise InvalidPose(
                reason=f"{where}, {_BODY} has 17 points: that is COCO's own order, which has no neck. "
                "Save it with OpenPose's 18 or 25"
            )
        self.body = _expected(body, JOINTS, f"{where}, {_BODY}", also=", or 25")
        self.left_hand = _expected(_triples(entries, _LEFT_HAND, where), HAND_JOINTS, f"{where}, {_LEFT_HAND}")
        self.right_hand = _expected(_triples(entries, _RIGHT_HAND, where), HAND_JOINTS, f"{where}, {_RIGHT_HAND}")
        face = _triples(entries, _FACE, where)
        if len(face) == FACE_POINTS - 2:  # iBUG's, without pupils
            face = [*face, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)]
        self.face = _expected(face, FACE_POINTS, f"{where}, {_FACE}", also=", or 68")

    def sure(self) -> list[_Triple]:
        """The points that count."""
        every = (*self.body, *self.left_hand, *self.right_hand, *self.face)
        return [point for point in every if point[2] >= _SURE]

    def person(self, scale: tuple[float, float], canvas: Extent | None, *, depth_m: float) -> tuple[Person, int]:
        """The person in pixels, and how many points were too far away."""
        lost = 0

        def placed(points: list[_Triple], *, detected: bool) -> Keypoints:
            nonlocal lost
            found: list[Keypoint | None] = []
            for x, y, confidence in points:
                x, y = x * scale[0], y * scale[1]
                # The webui writes a finger or a face's point that it didn't find as -1, -1 with confidence 1.
                if confidence < _SURE or (detected and (x < 0 or y < 0)):
                    found.append(None)
                elif _is_far_off(x, y, canvas):
                    lost += 1
                    found.append(None)
                else:
                    found.append(Keypoint(x_px=x, y_px=y))
            return tuple(found) if any(found) or not detected else ()

        person = Person(
            body=placed(self.body, detected=False) or (None,) * JOINTS,
            left_hand=placed(self.left_hand, detected=True),
            right_hand=placed(self.right_hand, detected=True),
            face=placed(self.face, detected=True),
            depth_m=depth_m,
        )
        return person, lost


def _is_far_off(x: float, y: float, canvas: Extent | None) -> bool:
    width, height = (MAX_SIDE, MAX_SIDE) if canvas is None else (canvas.width, canvas.height)
    return not (-_FAR_OFF * width <= x <= (1 + _FAR_OFF) * width and -_FAR_OFF * height <= y <= (1 + _FAR_OFF) * height)


def _are_normalised(people: Sequence[_Read]) -> bool:
    sizes = [max(abs(x), abs(y)) for person in people for x, y, _ in person.sure()]
    return bool(sizes) and max(sizes) <= _NORMALISED


def _canvas(entries: dict[str, object], where: str) -> Extent | None:
    width, height = entries.get("canvas_width"), entries.get("canvas_height")
    if width is None and height is None:
        return None
    sides: list[int] = []
    for name, side in (("canvas_width", width), ("canvas_height", height)):
        number = _number(side, f"{where}, {name}")
        if not 1 <= number <= _LARGEST_CANVAS:
            raise InvalidPose(reason=f"{where}, {name} is {number:g}, expected 1 to {_LARGEST_CANVAS}")
        sides.append(round(number))
    return Extent(width=sides[0], height=sides[1])


def _triples(entries: dict[str, object], name: str, where: str) -> list[_Triple]:
    """Points as x, y, confidence; none where the file has null, an empty list or nothing."""
    content = entries.get(name)
    if content is None:
        return []
    numbers = _list(content, f"{where}, {name}")
    if len(numbers) % 3:
        raise InvalidPose(reason=f"{where}, {name} has {len(numbers)} numbers, expected three for each point")
    values = [_number(number, f"{where}, {name}, number {place}") for place, number in enumerate(numbers, 1)]
    return list(zip(values[0::3], values[1::3], values[2::3], strict=True))


def _expected(points: list[_Triple], count: int, where: str, *, also: str = "") -> list[_Triple]:
    if len(points) not in (0, count):
        raise InvalidPose(reason=f"{where} has {len(points)} points, expected {count}{also}")
    return points


def _object(content: object, where: str) -> dict[str, object]:
    if not isinstance(content, dict):
        raise InvalidPose(reason=f"{where} is {_kind(content)}, expected an object")
    return cast(dict[str, object], content)


def _list(content: object, where: str) -> list[object]:
    if not isinstance(content, list):
        raise InvalidPose(reason=f"{where} is {_kind(content)}, expected a list")
    return cast(list[object], content)


def _number(content: object, where: str) -> float:
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise InvalidPose(reason=f"{where} is {_kind(content)}, expected a number")
    try:
        number = float(content)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidPose(reason=f"{where} is not finite")
    return number


def _kind(content: Any) -> str:
    """What a value is, in JSON's words."""
    for kind, words in ((bool, "true or false"), (int | float, "a number"), (list, "a list"), (dict, "an object")):
        if isinstance(content, kind):
            return words
    return "null" if content is None else f'the text "{str(content)[:40]}"'


def _refuse_constant(name: str) -> float:
    raise InvalidPose(reason=f"it holds {name}, which is no number")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
