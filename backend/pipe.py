"""What the service and a worker say to each other over the worker's stdin and stdout.

A frame is 8 bytes (two big-endian uint32: length of the JSON header, length of the payload), then the
header, then the payload. Arrays of a job lie in the blob store; only previews travel as payload.
The worker's own prints never reach the pipe: it moves its stdout to stderr before importing anything.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from ..protocol import wire
from ..protocol.errors import ErrorInfo
from ..protocol.events import Progress
from ..protocol.jobs import JobResult
from ..protocol.request import Request

MAX_HEADER_BYTES = 16 << 20
MAX_PAYLOAD_BYTES = 64 << 20
_LENGTHS = struct.Struct(">II")


# ---- service to worker


@dataclass(frozen=True, kw_only=True)
class Run:
    """Do this job; one picture at a time, and beside it one look and one download."""

    job_id: str
    request: Request


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Stop this job within one step; ignored when it doesn't run."""

    job_id: str


@dataclass(frozen=True, kw_only=True)
class Shutdown:
    """Leave; end of file on the pipe means the same."""


ToWorker = Run | Cancel | Shutdown

# ---- worker to service


@dataclass(frozen=True, kw_only=True)
class MapsReady:
    """Control images may be asked for; torch, which they don't need, is still being imported."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """torch is imported and the device is known; jobs of every kind may come."""

    device: str
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A running job's progress."""

    progress: Progress


@dataclass(frozen=True, kw_only=True)
class Previewed:
    """The payload is the `.npy` file of a (h, w, 3) uint8 picture: as large as the latents are, or larger."""

    job_id: str
    step: int


@dataclass(frozen=True, kw_only=True)
class Succeeded:
    """The job is done and its arrays are in the blob store."""

    job_id: str
    result: JobResult


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The job ended with an error; JobCancelled's code after a Cancel."""

    job_id: str
    error: ErrorInfo


@dataclass(frozen=True, kw_only=True)
class Beat:
    """Sent every second by a thread of its own: the process lives, whatever its main thread does."""


FromWorker = MapsReady | Ready | Reported | Previewed | Succeeded | Failed | Beat


class PipeBroken(Exception):
    """The other end is gone, or says what no peer of ours would."""


def write_frame(stream: BinaryIO, message: ToWorker | FromWorker, payload: bytes = b"") -> None:
    """Write one frame and flush; the caller serialises writers. Raises OSError when the pipe is closed."""
    header = wire.dumps(message, ToWorker | FromWorker).encode()
    stream.write(_LENGTHS.pack(len(header), len(payload)) + header + payload)
    stream.flush()


def decode_lengths(prefix: bytes) -> tuple[int, int]:
    """Header and payload length from a frame's first 8 bytes; raises PipeBroken when they can't be right."""
    header, payload = _LENGTHS.unpack(prefix)
    if header > MAX_HEADER_BYTES or payload > MAX_PAYLOAD_BYTES:
        raise PipeBroken(f"a frame of {header} + {payload} bytes")
    return header, payload


def read_frame(stream: BinaryIO) -> tuple[ToWorker | FromWorker, bytes] | None:
    """The next frame; None at a clean end of the stream. Raises PipeBroken."""
    prefix = _read_exactly(stream, _LENGTHS.size, at_boundary=True)
    if not prefix:
        return None
    header_length, payload_length = decode_lengths(prefix)
    header = _read_exactly(stream, header_length)
    payload = _read_exactly(stream, payload_length)
    try:
        return wire.loads(ToWorker | FromWorker, header), payload
    except Exception as error:  # whatever it is, the peer does not speak our language
        raise PipeBroken(str(error)) from error


def _read_exactly(stream: BinaryIO, count: int, *, at_boundary: bool = False) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = stream.read(count - len(data))
        if not chunk:
            if at_boundary and not data:
                return b""
            raise PipeBroken("the stream ended inside a frame")
        data += chunk
    return bytes(data)
