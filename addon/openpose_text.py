"""People from OpenPose JSON that a Text datablock holds, for a pose control in the place of the scene's rigs.

A Text is saved with the file and travels with it. Only reads, so it may run in the render thread.
"""

import functools
from collections.abc import Iterable
from typing import Any

from ..protocol.errors import InvalidPose
from ..protocol.geometry import Extent
from ..protocol.openpose_json import Frame, fitted, people_from_json
from ..protocol.sources import Person


def frames_of(text: Any) -> tuple[Frame, ...]:
    """Every frame of a Text. Raises InvalidPose."""
    return _frames(text.as_string())


def frame_of(text: Any, scene: Any) -> Frame:
    """The frame of a Text that belongs to the scene's current one.

    The first stands for the scene's first frame, the last for all that come after it. Raises InvalidPose, also
    where nobody is in that frame.
    """
    frames = frames_of(text)
    number = min(max(scene.frame_current - scene.frame_start, 0), len(frames) - 1)
    if not frames[number].people:
        raise InvalidPose(reason=f'nobody is in frame {number + 1} of "{text.name}"')
    return frames[number]


def problem_of(text: Any, scene: Any) -> str:
    """Why a Text gives no people, as a sentence; "" where it does."""
    try:
        frame_of(text, scene)
    except InvalidPose as error:
        return str(error)
    return ""


def described(text: Any, scene: Any) -> str:
    """What a Text gives, for panels; "Nobody" where `problem_of` says why."""
    try:
        people = counted(len(frame_of(text, scene).people))
    except InvalidPose:
        return "Nobody"
    frames = len(frames_of(text))
    return people if frames == 1 else f"{people}, of {frames} frames"


def text_with(texts: Iterable[Any], people: tuple[Person, ...], extent: Extent) -> Any | None:
    """The Text that holds exactly these people, as they are on a picture so large; None where none does."""
    for text in texts:
        if len(text.lines) and text.lines[0].body.lstrip()[:1] in ("{", "["):
            try:
                frames = frames_of(text)
            except InvalidPose:
                continue  # some other text
            if any(fitted(frame, extent) == people for frame in frames):
                return text
    return None


def counted(people: int) -> str:
    return f"{people} {'person' if people == 1 else 'people'}"


@functools.lru_cache(maxsize=4)  # panels and every frame of an animation ask again
def _frames(content: str) -> tuple[Frame, ...]:
    return people_from_json(content)
