"""One file on its way: what is there of it, and whether that is what the hub has."""

import asyncio
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_PIECE_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file of a repository, as the hub lists it."""

    path: str  # in the repository
    size: int  # bytes
    etag: str  # its SHA-256, or Git's SHA-1 of a file that is not in large-file storage


class Part:
    """The beginning of a file on disk, which is written on. One at a time has it; others are kept out by its lock."""

    def __init__(self, path: Path, file: RemoteFile) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._file = path, file
        self._stream = path.open("r+b" if path.exists() else "w+b")
        self._digest = _digest(file)
        self.size = 0
        """Bytes that are there, and counted in the hash."""

    def __enter__(self) -> "Part":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if not self.size:
            self._path.unlink(missing_ok=True)

    async def read_over(self) -> None:
        """Count in what an earlier try has left."""
        if self._path.stat().st_size > self._file.size:
            self.restart()
        while piece := self._stream.read(_PIECE_BYTES):
            self._digest.update(piece)
            self.size += len(piece)
            await asyncio.sleep(0)  # so that a cancel is heard in between

    def add(self, piece: bytes) -> None:
        """Write on."""
        self._stream.write(piece)
        self._digest.update(piece)
        self.size += len(piece)

    def restart(self) -> None:
        """Begin anew: what is there is not the file's beginning."""
        self._stream.seek(0)
        self._stream.truncate()
        self._digest = _digest(self._file)
        self.size = 0

    @property
    def is_whole(self) -> bool:
        """Whether all of the file is there, by its size."""
        return self.size == self._file.size

    @property
    def is_sound(self) -> bool:
        """Whether what is there has the file's hash."""
        return self._digest.hexdigest() == self._file.etag

    def finish(self, blob: Path) -> None:
        """Give the file its name, once it is on the disk and not only on the way there."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._path.replace(blob)


def _digest(file: RemoteFile) -> "hashlib._Hash":  # pyright: ignore[reportPrivateUsage]
    if len(file.etag) == 64:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)  # as `git hash-object` does
