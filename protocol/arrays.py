"""Arrays on the wire: `.npy` bytes without pickle, addressed by the SHA-256 of those bytes."""

import hashlib
import io
import math
from dataclasses import dataclass
from enum import StrEnum
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .errors import InvalidArray

Float32Array = NDArray[np.float32]
Int32Array = NDArray[np.int32]
UInt8Array = NDArray[np.uint8]
AnyArray = NDArray[Any]

MAX_ARRAY_BYTES = 1 << 30  # of one array's data; larger ones are refused before anything is allocated
_MAX_HEADER_BYTES = 4096
_MAX_DIMENSIONS = 8
# numpy reads a header as a Python literal: one that is nested deeply enough brings down the parser's own limits.
_UNREADABLE = (ValueError, SyntaxError, RecursionError, MemoryError, TokenError)
HEADER_BYTES = 10 + _MAX_HEADER_BYTES  # magic, version and length, then the header itself


class DType(StrEnum):
    """The element types that cross the wire."""

    FLOAT32 = "float32"
    INT32 = "int32"
    UINT8 = "uint8"


@dataclass(frozen=True, kw_only=True)
class ArrayRef:
    """An array that lies in the service's blob store."""

    sha256: str  # 64 lower-case hex digits, of the whole .npy file
    shape: tuple[int, ...]
    dtype: DType


def encode(array: AnyArray) -> bytes:
    """The `.npy` file (format 1.0, C order, little endian) of a float32, int32 or uint8 array."""
    _wire_dtype(array.dtype)
    contiguous = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    header = io.BytesIO()
    npy.write_array_header_1_0(header, npy.header_data_from_array_1_0(contiguous))
    return b"".join((header.getvalue(), contiguous.reshape(-1).view(np.uint8).data))  # one copy of the data, no more


def decode(data: bytes | memoryview) -> AnyArray:
    """The array in a `.npy` file, writable and independent of `data`.

    Raises InvalidArray for anything but format 1.0, C order and a type of DType, with exactly as many
    bytes as its header promises.
    """
    header = read_header(data[:HEADER_BYTES])
    if len(data) != header.file_bytes:
        raise InvalidArray(reason=f"{len(data)} bytes where the header promises {header.file_bytes}")
    body = memoryview(data)[header.offset :]
    return np.frombuffer(body, dtype=np.dtype(header.dtype.value).newbyteorder("<")).reshape(header.shape).copy()


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the beginning of a `.npy` file promises of the rest."""

    shape: tuple[int, ...]
    dtype: DType
    offset: int  # bytes before the data
    file_bytes: int  # of header and data together


def read_header(start: bytes | memoryview) -> Header:
    """The header at the start of a `.npy` file; HEADER_BYTES of it are always enough. Raises InvalidArray."""
    stream = io.BytesIO(start)
    try:
        version = npy.read_magic(stream)
        if version != (1, 0):
            raise InvalidArray(reason=f".npy format {version[0]}.{version[1]}, expected 1.0")
        shape, fortran_order, dtype = npy.read_array_header_1_0(stream, max_header_size=_MAX_HEADER_BYTES)
    except _UNREADABLE as error:
        raise InvalidArray(reason=str(error)) from error
    if fortran_order:
        raise InvalidArray(reason="Fortran order, expected C order")
    if dtype.newbyteorder("<") != dtype:
        raise InvalidArray(reason="big-endian numbers, expected little-endian")
    if any(side < 0 for side in shape):
        raise InvalidArray(reason=f"a negative side in shape {shape}")
    if len(shape) > _MAX_DIMENSIONS or any(side > MAX_ARRAY_BYTES for side in shape):  # one that is empty, too
        raise InvalidArray(reason="its shape is beyond every limit")
    promised = math.prod(shape) * dtype.itemsize
    if promised > MAX_ARRAY_BYTES:
        raise InvalidArray(reason=f"{promised} bytes, the limit is {MAX_ARRAY_BYTES}")
    offset = stream.tell()
    return Header(shape=shape, dtype=_wire_dtype(dtype), offset=offset, file_bytes=offset + promised)


def reference(array: AnyArray, data: bytes) -> ArrayRef:
    """The address of `array`, given its encoded bytes."""
    return ArrayRef(sha256=digest(data), shape=tuple(array.shape), dtype=_wire_dtype(array.dtype))


def digest(data: bytes | memoryview) -> str:
    """The blob address of some bytes: SHA-256, as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def is_address(text: str) -> bool:
    """Whether a string is a blob address; nothing else may become a file name."""
    return len(text) == 64 and all(character in "0123456789abcdef" for character in text)


def _wire_dtype(dtype: np.dtype[Any]) -> DType:
    try:
        return DType(dtype.name)
    except ValueError:
        raise InvalidArray(reason=f"element type {dtype}, expected float32, int32 or uint8") from None
