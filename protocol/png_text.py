"""Text in PNG files: put into the bytes of one, and read from them.

After the PNG specification, third edition, sections 5 and 11.3.3. Only chunks are copied, so the picture stays as it is
to the bit. Works wherever Python does: no imaging library is needed.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping

from .errors import UnderpaintError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT_BYTES = 8 << 20  # of one text, unpacked; what is larger is no text of a picture
_MAX_TEXTS_BYTES = 32 << 20  # of all texts together
_MAX_KEYWORD = 79  # characters, by the specification
_KINDS = (b"tEXt", b"zTXt", b"iTXt")


class InvalidPng(UnderpaintError):
    """The bytes are no PNG, or one that is damaged where it is read."""

    code = "invalid_png"
    sentence = "It is not a whole PNG file: {reason}."


def is_png(data: bytes | memoryview) -> bool:
    """Whether the bytes begin as a PNG does."""
    return bytes(data[: len(SIGNATURE)]) == SIGNATURE


def texts(data: bytes) -> dict[str, str]:
    """Every text in a PNG by its keyword, the first of each; packed ones are unpacked.

    Raises InvalidPng for what is no PNG, is cut off, or has a text that is damaged or larger than MAX_TEXT_BYTES.
    """
    found: dict[str, str] = {}
    held = 0
    for kind, body in _chunks(data):
        if kind in _KINDS:
            keyword, text = _text(kind, body)
            held += len(text)
            if held > _MAX_TEXTS_BYTES:
                raise InvalidPng(reason="its texts are larger than any picture needs")
            found.setdefault(keyword, text)
    return found


def with_texts(data: bytes, added: Mapping[str, str]) -> bytes:
    """The PNG with these texts before its pixels, where every reader finds them; what it had by the same names goes.

    Raises InvalidPng as `texts` does, and ValueError for a keyword or a text that a PNG can't hold.
    """
    new = b"".join(_chunk(*_packed(keyword, text)) for keyword, text in added.items())
    parts = [SIGNATURE]
    for kind, body in _chunks(data):
        if kind == b"IDAT" and new:
            parts.append(new)
            new = b""
        if kind not in _KINDS or _keyword(body)[0] not in added:
            parts.append(_chunk(kind, body))
    return b"".join(parts)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Each chunk's kind and body, IHDR to IEND; the checksums are checked."""
    if not is_png(data):
        raise InvalidPng(reason="it begins otherwise")
    view = memoryview(data)
    place, first = len(SIGNATURE), True
    while True:
        head = view[place : place + 8]
        if len(head) < 8:
            raise InvalidPng(reason="it is cut off")
        (length,) = struct.unpack(">I", head[:4])
        kind, body = bytes(head[4:]), view[place + 8 : place + 8 + length]
        checksum = view[place + 8 + length : place + 12 + length]
        if len(checksum) < 4:
            raise InvalidPng(reason="it is cut off")
        if struct.unpack(">I", checksum)[0] != zlib.crc32(body, zlib.crc32(kind)):
            raise InvalidPng(reason=f"its {kind.decode('latin-1')!r} part is damaged")
        if first and kind != b"IHDR":
            raise InvalidPng(reason="it begins otherwise")
        first = False
        yield kind, body
        if kind == b"IEND":
            return
        place += 12 + length


def _text(kind: bytes, body: memoryview) -> tuple[str, str]:
    keyword, rest = _keyword(body)
    if kind == b"tEXt":
        return keyword, _sized(rest).decode("latin-1")
    if kind == b"zTXt":
        return keyword, _unpacked(rest[1:]).decode("latin-1")
    if len(rest) < 2:
        raise InvalidPng(reason=f"its text {keyword!r} is damaged")
    packed, after = rest[0] == 1, rest[2:]
    fields = after.split(b"\0", 2)  # language, translated keyword, text
    if len(fields) != 3:
        raise InvalidPng(reason=f"its text {keyword!r} is damaged")
    content = _unpacked(fields[2]) if packed else _sized(fields[2])
    try:
        return keyword, content.decode()
    except UnicodeDecodeError as error:
        raise InvalidPng(reason=f"its text {keyword!r} is not UTF-8") from error


def _keyword(body: memoryview) -> tuple[str, bytes]:
    """A text chunk's keyword, and what follows."""
    head = bytes(body[: _MAX_KEYWORD + 1])
    end = head.find(b"\0")
    if end < 1:
        raise InvalidPng(reason="one of its texts has no keyword")
    return head[:end].decode("latin-1"), bytes(body[end + 1 :])


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        return _sized(unpacker.decompress(data, MAX_TEXT_BYTES + 1))
    except zlib.error as error:
        raise InvalidPng(reason="a packed text is damaged") from error


def _sized(data: bytes) -> bytes:
    if len(data) > MAX_TEXT_BYTES:
        raise InvalidPng(reason="one of its texts is larger than any picture needs")
    return data


def _packed(keyword: str, text: str) -> tuple[bytes, bytes]:
    """The chunk for a text: the oldest kind where that can hold it, for every program reads that."""
    name = keyword.encode("latin-1")
    if not 0 < len(name) <= _MAX_KEYWORD or "\0" in keyword or keyword != keyword.strip():
        raise ValueError(f"{keyword!r} is no keyword for a PNG")
    if "\0" in text:
        raise ValueError("a PNG's texts hold no zero characters")
    if all(character == "\n" or " " <= character <= "~" or "\xa0" <= character <= "\xff" for character in text):
        return b"tEXt", name + b"\0" + text.encode("latin-1")
    return b"iTXt", name + b"\0\0\0\0\0" + text.encode()


def _chunk(kind: bytes, body: bytes | memoryview) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(body)), kind, body, struct.pack(">I", checksum)))
