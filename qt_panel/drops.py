"""What files and the clipboard give a control: pictures, and poses as OpenPose JSON."""

from pathlib import Path

from PySide6.QtCore import QMimeData

from ..protocol.errors import UnderpaintError
from ..protocol.openpose_json import people_from_json
from . import pictures
from .control_form import Picture, PoseFile

_MAX_POSE_BYTES = 64 << 20


class PoseUnreadable(UnderpaintError):
    code = "pose_unreadable"
    sentence = "{name} can't be read as an OpenPose file: {reason}."


def read(path: Path) -> Picture | PoseFile:
    """A picture, or the people of a pose file's first frame.

    Raises PictureUnreadable, PoseUnreadable, and InvalidPose for a file that is no OpenPose JSON.
    """
    if path.suffix.lower() != ".json":
        return pictures.read(path)
    try:
        if path.stat().st_size > _MAX_POSE_BYTES:
            raise PoseUnreadable(name=path.name, reason="it is larger than any pose")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PoseUnreadable(name=path.name, reason=str(error).rstrip(".")) from error
    return PoseFile(name=path.name, frame=people_from_json(text)[0], file=str(path))


def from_mime(mime: QMimeData | None) -> Picture | PoseFile | None:
    """What was dropped or pasted; None when there is nothing of use in it. Raises as `read` does."""
    if mime is None:  # a platform without a clipboard
        return None
    for url in mime.urls():
        if url.isLocalFile():
            return read(Path(url.toLocalFile()))
    return pictures.from_mime(mime)
