"""The headers of safetensors files, read so that nothing in a file can do harm, and refused in words.

A header that passes here passes the safetensors library as well: the same rules are kept, so that a broken file is
said to be broken before anything loads. https://github.com/huggingface/safetensors (Format)
"""

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...protocol.errors import ModelBroken, ModelPickled

Header = dict[str, dict[str, Any]]  # by tensor: "dtype", "shape", "data_offsets"; and METADATA, where there is one

METADATA = "__metadata__"
MAX_HEADER_BYTES = 25 << 20  # a quarter of safetensors' own limit: the longest known, with pictures in them, have 5
BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Of one value of each dtype that safetensors has."""


def read_header(file: Path, name: str) -> Header:
    """Each tensor's dtype, shape and place. Raises ModelBroken, ModelPickled among it, for whatever isn't whole.

    `name` is what the request calls the model.
    """
    if not file.is_file():
        raise ModelBroken(model=name, reason=f"{_shown(file)} is missing; fetch it again")
    try:
        with file.open("rb") as stream:
            return _read(stream, file, name)
    except OSError as error:
        raise ModelBroken(model=name, reason=f"{_shown(file)} can't be read ({error.strerror})") from error


def metadata(header: Header) -> dict[str, str]:
    """What whoever made the file wrote into it."""
    return cast("dict[str, str]", header.get(METADATA, {}))


def _read(stream: BinaryIO, file: Path, name: str) -> Header:
    size = stream.seek(0, 2)
    stream.seek(0)
    prefix = stream.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
    if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise _not_safetensors(prefix + stream.read(504), size, file, name)
    text = stream.read(length)
    try:
        header = _parsed(text)
        end = _end_of_tensors(header)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ModelBroken(
            model=name, reason=f"{_shown(file)} has no readable header ({_first_words(error)}); fetch it again"
        ) from error
    if size != 8 + length + end:
        raise ModelBroken(
            model=name,
            reason=f"{_shown(file)} has {size} of {8 + length + end} bytes, so it is cut off or damaged; "
            "fetch it again",
        )
    return header


def _parsed(text: bytes) -> Header:
    if not text.startswith(b"{"):
        raise ValueError("it is no JSON object")
    header = json.loads(text.decode(), parse_constant=_no_constant)
    tensors = len(header) - (METADATA in header)
    if any(text.count(b'"%s"' % part) != tensors for part in (b"dtype", b"shape", b"data_offsets")):
        json.loads(text, object_pairs_hook=_without_twins)  # five times as slow, and so only where one is likely
    if b"\\ud" in text or b"\\uD" in text:
        json.dumps(header, ensure_ascii=False).encode()  # half of a pair of escapes is no text, though Python takes it
    told: object = header.get(METADATA, {})
    if not isinstance(told, dict) or not all(
        isinstance(value, str) for value in cast("dict[str, object]", told).values()
    ):
        raise ValueError("its metadata are no texts")
    return header


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name is there twice")
    return entries


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _end_of_tensors(header: Header) -> int:
    """Where the last tensor's bytes end. Raises ValueError and its like unless they lie one after the other."""
    places: list[tuple[int, int]] = []
    for key, entry in header.items():
        if key == METADATA:
            continue
        start, end = entry["data_offsets"]
        bits = BITS.get(entry["dtype"])
        if bits is None:
            raise ValueError(f"{key[:80]!r} is of the unknown type {str(entry['dtype'])[:20]!r}")
        for side in entry["shape"]:
            if type(side) is not int or side < 0:
                raise ValueError(f"{key[:80]!r} has no shape")
            bits *= side
        if type(start) is not int or type(end) is not int or start < 0 or (end - start) * 8 != bits:
            raise ValueError(f"the bytes of {key[:80]!r} don't fit its shape")
        places.append((start, end))
    last = 0
    for start, end in sorted(places):
        if start != last:
            raise ValueError("its tensors overlap or leave gaps")
        last = end
    return last


def _not_safetensors(start: bytes, size: int, file: Path, name: str) -> ModelBroken:
    """What a file is instead, as far as its first bytes tell."""
    words = start.lstrip().lower()
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return ModelPickled(model=name, file=_shown(file), path=file)
    if words.startswith(b"version https://git-lfs"):
        reason = 'is only a pointer of Git LFS, not the file itself; fetch it with "git lfs pull"'
    elif words.startswith((b"<!doctype", b"<html", b"<?xml")):
        reason = "is a web page that was saved in the model's place; fetch the model again, logged in where it needs it"
    elif start.startswith(b"GGUF"):
        reason = "is a GGUF file, which isn't read here; fetch the safetensors instead"
    elif not size:
        reason = "is empty; fetch it again"
    else:
        reason = "is no safetensors file, or is cut off; fetch it again"
    return ModelBroken(model=name, reason=f"{_shown(file)} {reason}")


def _first_words(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else str(error)[:160] or type(error).__name__


def _shown(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"
