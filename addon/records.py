"""What a picture's file says of how it was made, and the way back: into the scene."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..protocol import png_text, record
from ..protocol.errors import BackendError, InvalidRequest
from . import png

if TYPE_CHECKING:
    from .generation import Outcome

_MAX_FILE_BYTES = 1 << 30


def texts(outcome: "Outcome", picture: int = 0) -> dict[str, str]:
    """Everything that the file of one of a job's pictures says, by keyword."""
    return record.texts(outcome.request, outcome.job.result, job_id=outcome.job.id, picture=picture)


def packed(outcome: "Outcome") -> tuple[bytes, ...]:
    """The PNG of each of a job's pictures, with its record; in any thread."""
    return tuple(
        png_text.with_texts(png.encoded(picture), texts(outcome, number))
        for number, picture in enumerate(outcome.pictures)
    )


def restore(path: str, scene: Any) -> list[str]:
    """Put the settings of a picture's file back into a scene; sentences on what could not be had back.

    The models are looked for in the list of them, which the backend is asked for where there is none yet: one that is
    here under another name is taken by that. Raises InvalidRequest for a file that says nothing, or can't be read.
    Main thread only.
    """
    from . import images, model_list

    try:
        file = Path(path)
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise InvalidRequest(reason=f"{file.name} is too large for a picture")
        data = file.read_bytes()
    except OSError as error:
        raise InvalidRequest(reason=f"the picture can't be read: {error.strerror}") from error
    found = record.read(data)
    if found is None:
        raise InvalidRequest(
            reason=f"{file.name} doesn't say how it was made. Pictures lose that when they are saved by many other "
            "programs"
        )
    sentences = list(found.notes)
    try:
        known = model_list.asked().models
    except BackendError as error:
        sentences.append(f"Whether its models are on this computer could not be found out. {error}")
    else:
        absent = record.missing(found, known)
        found = record.counted(record.adopted(found, absent), known)
        sentences += [gone.sentence for gone in absent]
    lost = images.restore_request(record.alone(found.request, found.picture), scene)
    if lost:
        sentences.append(images.lost_words(lost))
    return sentences


def stamp(result: Any, outcome: "Outcome") -> None:
    """Have Blender write the record into the file of a render: `result` is the engine's, once it is whole."""
    for keyword, text in texts(outcome).items():
        result.stamp_data_add_field(keyword, text)
