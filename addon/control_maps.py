"""Control maps by themselves: made by the backend, named, and saved as files."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from ..protocol import client, exr
from ..protocol.arrays import AnyArray, ArrayRef, Float32Array, UInt8Array
from ..protocol.client import Connection
from ..protocol.errors import BlobMissing
from ..protocol.events import Event
from ..protocol.request import ControlKind
from . import png
from .capture import Capture
from .generation import Settings, maps_request, of_job
from .kinds import label_of


@dataclass(frozen=True, kw_only=True)
class ControlMap:
    """What one ControlNet is given, to the byte."""

    kind: ControlKind
    name: str  # "Depth", and "Depth 2" for a second one of its kind
    values: UInt8Array | Float32Array  # (height, width, 3), row 0 at the top; floats where a net wants less than black

    def floats(self) -> Float32Array:
        """The values as the net gets them: bytes run from 0 to 1."""
        return self.values.astype(np.float32) / np.float32(255) if self.values.dtype == np.uint8 else self.values

    def bytes(self) -> UInt8Array:
        """The values as a file of bytes can hold them: what is below black is black."""
        if self.values.dtype == np.uint8:
            return self.values
        return np.rint(np.clip(self.values, 0.0, 1.0) * 255).astype(np.uint8)


class FileFormat(Enum):
    """How maps are saved."""

    PNG = "png"  # 8 bits, the very bytes
    EXR = "exr"  # 32-bit floats, no colour management


class Sent:
    """A capture whose arrays are sent to the backend once, however many maps are made of it."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self._mine = {id(value) for value in vars(capture).values() if isinstance(value, np.ndarray)}
        self._refs: dict[int, ArrayRef] = {}

    def forget(self) -> None:
        """The backend may have thrown the arrays away: send them again."""
        self._refs.clear()

    def upload(self, connection: Connection) -> Callable[[AnyArray], ArrayRef]:
        """What hands an array to the backend, and doesn't where it has it."""

        def hand_over(array: AnyArray) -> ArrayRef:
            if id(array) not in self._mine:
                return connection.upload(array)
            if id(array) not in self._refs:
                self._refs[id(array)] = connection.upload(array)
            return self._refs[id(array)]

        return hand_over


def make(
    connection: Connection,
    settings: Settings,
    sent: Sent,
    *,
    on_event: Callable[[Event], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[ControlMap, ...]:
    """The maps of a capture, one for each control, in their order; blocks.

    They are those that a picture with the same settings is painted by. Raises what `generation.generate` does.
    """
    try:
        request = maps_request(settings, sent.capture, sent.upload(connection))
        job = connection.submit(request, client="blender", transient=True)
    except BlobMissing:
        sent.forget()
        request = maps_request(settings, sent.capture, sent.upload(connection))
        job = connection.submit(request, client="blender", transient=True)
    job = client.wait(connection, job, on_event=of_job(job.id, on_event), cancelled=cancelled)
    assert job.result is not None
    kinds = [control.kind for control in request.controls]
    return tuple(
        ControlMap(kind=kind, name=name, values=connection.download(ref))
        for kind, name, ref in zip(kinds, names(kinds), job.result.control_maps, strict=True)
    )


def names(kinds: Iterable[ControlKind]) -> list[str]:
    """What the maps of some controls are called, each otherwise."""
    seen: Counter[ControlKind] = Counter()
    found: list[str] = []
    for kind in kinds:
        seen[kind] += 1
        found.append(label_of(kind.name) + (f" {seen[kind]}" if seen[kind] > 1 else ""))
    return found


def save(maps: Iterable[ControlMap], folder: Path, file_format: FileFormat, *, frame: int | None = None) -> list[Path]:
    """Write each map into a file of its own, named after it and, where there is one, the frame. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for item in maps:
        number = "" if frame is None else f"_{frame:04d}"
        path = folder / f"control_{item.name.lower().replace(' ', '_')}{number}.{file_format.value}"
        if file_format is FileFormat.PNG:
            path.write_bytes(png.encoded(item.bytes()))
        else:
            path.write_bytes(exr.encoded(item.values))
        written.append(path)
    return written


def since(began: float) -> float:
    """Milliseconds since a moment of `time.perf_counter`."""
    return (time.perf_counter() - began) * 1e3
