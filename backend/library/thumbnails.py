"""The small pictures of models: beside their files, or inside their metadata. Handed out as they are, never decoded."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .headers import metadata, read_header

MAX_BYTES = 8 << 20
_KEY = "modelspec.thumbnail"


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A picture as whoever made it left it."""

    data: bytes
    media_type: str
    etag: str  # changes with the data


def is_inside(told: Mapping[str, str]) -> bool:
    """Whether a file's metadata hold a picture that can be handed out."""
    text = told.get(_KEY, "")
    return text.startswith("data:image/") and 0 < len(text) * 3 // 4 <= MAX_BYTES


def beside(picture: Path) -> Thumbnail | None:
    """A picture in a file; None where it is gone, too large, or no picture. Raises OSError."""
    if not picture.is_file():
        return None
    with picture.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    return _checked(data)


def inside(file: Path, name: str) -> Thumbnail | None:
    """The picture in a model's metadata. Raises ModelBroken for a file that isn't whole any more."""
    start, comma, text = metadata(read_header(file, name)).get(_KEY, "").partition(",")
    if not comma or not start.startswith("data:image/") or not start.endswith(";base64"):
        return None
    try:
        return _checked(base64.b64decode(text, validate=True))
    except binascii.Error:
        return None


def _checked(data: bytes) -> Thumbnail | None:
    media_type = _media_type(data)
    if media_type is None or len(data) > MAX_BYTES:
        return None
    return Thumbnail(data=data, media_type=media_type, etag=hashlib.blake2b(data, digest_size=16).hexdigest())


def _media_type(data: bytes) -> str | None:
    """By the first bytes, whatever the file is called: what is no picture is never handed out as one."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None
