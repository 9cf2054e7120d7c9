"""The SHA-256 of model files, kept in a small file by path, size and time of change: gigabytes are read once.

The worker computes and keeps them, the service reads what is kept.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

FILE = "hashes.json"  # in the models folder
_MOST = 20_000  # entries; the oldest go
_MAX_FILE_BYTES = 16 << 20
_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True)
class FileState:
    """What tells whether a file is as it was."""

    size: int  # bytes
    changed_ns: int  # time of change

    @classmethod
    def of(cls, file: Path) -> "FileState":
        """A file's state now. Raises OSError."""
        found = file.stat()
        return cls(size=found.st_size, changed_ns=found.st_mtime_ns)


class Hashes:
    """The hashes that are kept for a models folder. Reading is for any thread, keeping for one."""

    def __init__(self, models: Path) -> None:
        self._file = models / FILE
        self._read_at: FileState | None = None
        self._held: dict[str, tuple[FileState, str]] = {}

    def known(self, file: Path) -> str:
        """The hash of a file as it is now; empty where it isn't known yet, or the file isn't there."""
        self._refresh()
        entry = self._held.get(_key(file))
        try:
            state = FileState.of(file)
        except OSError:
            return ""
        if entry is None:
            return self._moved(state)
        return entry[1] if state == entry[0] else ""

    def below(self, folder: Path) -> list[tuple[str, str]]:
        """The files in a folder whose hashes are known as they are now: paths in the folder, and hashes."""
        self._refresh()
        start = _key(folder) + os.sep
        inside = ((key.removeprefix(start).replace(os.sep, "/"), key) for key in self._held if key.startswith(start))
        return [(path, sha256) for path, key in inside if (sha256 := self.known(Path(key)))]

    def keep(self, file: Path, state: FileState, sha256: str) -> None:
        """Keep the hash that a file had in this state."""
        self._refresh()
        held = self._held.copy()
        held.pop(_key(file), None)
        held[_key(file)] = (state, sha256)
        self._held = dict(list(held.items())[-_MOST:])
        self._write()

    def _moved(self, state: FileState) -> str:
        """The hash of a file that was known by another name: one of its size and time, to the nanosecond, that is
        gone from there."""
        for name, (held, sha256) in self._held.items():
            if held == state and not Path(name).exists():
                return sha256
        return ""

    def _refresh(self) -> None:
        """Read what others have kept. What can't be read is computed anew, so it is passed over."""
        try:
            state = FileState.of(self._file)
            if state == self._read_at or state.size > _MAX_FILE_BYTES:
                return
            told: object = json.loads(self._file.read_bytes())
        except (OSError, ValueError, RecursionError):
            return
        self._read_at = state
        if isinstance(told, dict):
            self._held = dict(_entries(cast("dict[object, object]", told).items()))

    def _write(self) -> None:
        """Replace the file as a whole; one that can't be written costs the time to compute again, and no more."""
        told = {name: [state.size, state.changed_ns, sha256] for name, (state, sha256) in self._held.items()}
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=f"{FILE}.", dir=self._file.parent)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as stream:
                    json.dump(told, stream)
                Path(temporary).replace(self._file)
            except OSError:
                Path(temporary).unlink(missing_ok=True)
                raise
            self._read_at = FileState.of(self._file)


def sha256_of(file: Path, *, stopped: Callable[[], bool]) -> tuple[str, FileState]:
    """A file's hash and the state that it had; "" where `stopped`, or where it changed meanwhile. Raises OSError."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with file.open("rb", buffering=0) as stream:
        before = FileState.of(file)
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
            if stopped():
                return "", before
    return (digest.hexdigest() if FileState.of(file) == before else ""), before


def of_folder(parts: Iterable[tuple[str, str]]) -> str:
    """The hash of a folder, from its weights' paths in it and their hashes; empty where one of these is."""
    ordered = sorted(parts)
    if not all(sha256 for _, sha256 in ordered):
        return ""
    return hashlib.sha256("".join(f"{sha256} {path}\n" for path, sha256 in ordered).encode()).hexdigest()


def _key(file: Path) -> str:
    return os.fspath(file.absolute())


def _entries(told: Iterable[tuple[object, object]]) -> Iterable[tuple[str, tuple[FileState, str]]]:
    for name, entry in told:
        match entry:
            case [int(size), int(changed_ns), str(sha256)] if isinstance(name, str) and len(sha256) == 64:
                yield name, (FileState(size=size, changed_ns=changed_ns), sha256)
            case _:
                continue
