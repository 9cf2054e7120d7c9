"""Pictures between numpy, Qt, files and the clipboard."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QMimeData, QSaveFile, QSize
from PySide6.QtGui import QImage, QImageReader, QImageWriter

from ..protocol import exr, png_text, record
from ..protocol.arrays import AnyArray, UInt8Array
from ..protocol.errors import InvalidRequest, UnderpaintError
from ..protocol.record import Record
from .form import Picture

_MAX_PNG_BYTES = 1 << 30
MAX_SIDE_PX = 16384  # of a dropped picture; larger ones are refused before they are decoded


class PictureUnreadable(UnderpaintError):
    code = "picture_unreadable"
    sentence = "{name} can't be read as a picture: {reason}."


class NoPictureGiven(UnderpaintError):
    code = "no_picture_given"
    sentence = "There is no picture on the clipboard. Copy one, or drop a file."


class PictureNotSaved(UnderpaintError):
    code = "picture_not_saved"
    sentence = "The picture can't be saved as {path}: {reason}."


def to_qimage(pixels: UInt8Array) -> QImage:
    """An image of its own memory from (height, width, 3) sRGB."""
    height, width, _ = pixels.shape
    contiguous = np.ascontiguousarray(pixels)
    return QImage(contiguous.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()


def displayed(pixels: AnyArray) -> UInt8Array:
    """How (height, width, 3) numbers are shown: bytes as they are, float maps with what is below 0 black."""
    if pixels.dtype == np.uint8:
        return pixels
    levels: UInt8Array = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return levels


def to_array(image: QImage) -> UInt8Array:
    """(height, width, 3) sRGB from any image; transparency lies on black, as control maps have it."""
    if image.hasAlphaChannel():
        flat = image.convertToFormat(QImage.Format.Format_RGBA8888_Premultiplied)
        rgba = _rows(flat, 4)
        return np.ascontiguousarray(rgba[..., :3])
    opaque = image.convertToFormat(QImage.Format.Format_RGB888)
    return _rows(opaque, 3)


def read(path: Path) -> Picture:
    """A picture from a file, turned as its Exif says. Raises PictureUnreadable."""
    reader = QImageReader(str(path))
    reader.setAutoTransform(True)
    size = reader.size()
    if max(size.width(), size.height()) > MAX_SIDE_PX:
        raise PictureUnreadable(name=path.name, reason=f"it is larger than {MAX_SIDE_PX} pixels")
    image = reader.read()
    if image.isNull():
        raise PictureUnreadable(name=path.name, reason=reader.errorString().rstrip(".").lower())
    return Picture(name=path.name, pixels=to_array(image), file=str(path), rgba=_rgba(image))


def from_mime(mime: QMimeData) -> Picture | None:
    """The picture that was dropped or pasted; None when there is none in it. Raises PictureUnreadable."""
    for url in mime.urls():
        if url.isLocalFile():
            return read(Path(url.toLocalFile()))
    if mime.hasImage():
        image = mime.imageData()
        if isinstance(image, QImage) and not image.isNull():
            return Picture(name="Pasted picture", pixels=to_array(image), rgba=_rgba(image))
    return None


def holds_picture(mime: QMimeData | None) -> bool:
    """Whether dropping this could give a picture, without reading it. A platform may have no clipboard: None."""
    if mime is None:
        return False
    return mime.hasImage() or any(url.isLocalFile() for url in mime.urls())


def png_bytes(pixels: UInt8Array, texts: Mapping[str, str]) -> bytes:
    """A PNG file of (height, width, 3) sRGB that carries these texts, by their keywords."""
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    writer = QImageWriter(buffer, b"png")
    if not writer.write(to_qimage(pixels)):
        raise PictureNotSaved(path="PNG", reason=writer.errorString())
    buffer.close()
    return png_text.with_texts(bytes(data.data()), texts)


def save(path: Path, pixels: AnyArray, texts: Mapping[str, str]) -> None:
    """Save a picture; what lay at `path` is replaced when all is written. Raises PictureNotSaved.

    As OpenEXR where the name says so, which holds a control map's numbers as the net gets them; else as PNG.
    """
    if path.suffix.lower() == ".exr":
        data = QByteArray(exr.encoded(pixels))
    elif pixels.dtype == np.uint8:
        data = QByteArray(png_bytes(pixels, texts))
    else:
        raise PictureNotSaved(path=path, reason="its numbers below 0 don't go into a PNG, save it as .exr")
    file = QSaveFile(str(path))
    whole = file.open(QIODevice.OpenModeFlag.WriteOnly) and file.write(data) == data.size() and file.commit()
    if not whole:
        raise PictureNotSaved(path=path, reason=file.errorString())


def record_in(path: Path) -> Record | None:
    """What a picture says of how it was made, here or by another program; None for one that says nothing.

    Raises PictureUnreadable.
    """
    try:
        if path.stat().st_size > _MAX_PNG_BYTES:
            raise PictureUnreadable(name=path.name, reason="it is larger than any picture")
        with path.open("rb") as stream:
            head = stream.read(len(png_text.SIGNATURE))
            if head != png_text.SIGNATURE:  # a JPEG, or no picture at all
                return None
            data = head + stream.read()
        return record.read(data)
    except OSError as error:
        raise PictureUnreadable(name=path.name, reason=(error.strerror or str(error)).lower()) from error
    except (png_text.InvalidPng, InvalidRequest) as error:
        raise PictureUnreadable(name=path.name, reason=error.details["reason"]) from error


def fitted(size: QSize, width: int, height: int) -> QSize:
    """`size` scaled to fit into width x height, never to nothing."""
    scale = min(width / max(1, size.width()), height / max(1, size.height()))
    return QSize(max(1, round(size.width() * scale)), max(1, round(size.height() * scale)))


def _rgba(image: QImage) -> UInt8Array | None:
    """(height, width, 4) of an image that is not opaque throughout; None for one that is."""
    if not image.hasAlphaChannel():
        return None
    rgba = _rows(image.convertToFormat(QImage.Format.Format_RGBA8888), 4)
    return rgba if (rgba[..., 3] < 255).any() else None


def _rows(image: QImage, channels: int) -> UInt8Array:
    width, height = image.width(), image.height()
    flat = np.frombuffer(image.constBits(), dtype=np.uint8).reshape(height, image.bytesPerLine())
    return flat[:, : width * channels].reshape(height, width, channels).copy()
