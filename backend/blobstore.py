"""Arrays on disk under the SHA-256 of their `.npy` bytes; shared by the service and its workers."""

import errno
import hashlib
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO, cast

from ..protocol import arrays
from ..protocol.arrays import AnyArray, ArrayRef
from ..protocol.errors import BlobMissing, DiskFull, InvalidArray

DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows has no quota error
"""What the system says where a disk, or a user's share of it, is full."""
_INCOMING = ".incoming-"
_READ_PLAIN = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A blob on disk."""

    sha256: str
    size: int  # bytes
    touched_at: float  # Unix seconds


class BlobStore:
    """A folder of blobs. A blob is complete or absent: it is written aside and renamed into place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Where the blobs lie, two hex digits a sub-folder."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, sha256: str) -> Path:
        """Where a blob lies or would lie. Raises BlobMissing for anything but an address."""
        if not arrays.is_address(sha256):
            raise BlobMissing(sha256=sha256[:80])
        return self.folder / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Whether the blob is there, as a plain file in a plain folder: no link leads out of the store."""
        path = self.path(sha256)
        return path.is_file() and not path.is_symlink() and not path.parent.is_symlink()

    def touch(self, sha256: str) -> bool:
        """Whether the blob is there; somebody is about to speak of it, so that its age begins anew."""
        if not self.has(sha256):
            return False
        try:
            os.utime(self.path(sha256))
        except FileNotFoundError:  # it was discarded in this very moment
            return False
        return True

    def stored(self) -> list["Stored"]:
        """Every blob on disk."""
        found: list[Stored] = []
        for folder in self.folder.iterdir():
            if len(folder.name) == 2 and folder.is_dir() and not folder.is_symlink():
                for path in filter(lambda path: arrays.is_address(path.name), folder.iterdir()):
                    try:
                        state = path.lstat()
                    except FileNotFoundError:  # a worker discards what it finds damaged
                        continue
                    found.append(Stored(sha256=path.name, size=state.st_size, touched_at=state.st_mtime))
        return found

    def read(self, sha256: str) -> bytes:
        """The blob's bytes. Raises BlobMissing, and InvalidArray when the disk changed them."""
        with self._file(sha256) as stream:
            data = stream.read()
        if arrays.digest(data) != sha256:
            raise self._damaged(sha256)
        return data

    def open(self, sha256: str) -> BinaryIO:
        """The blob as a file, at its beginning, its bytes proven. Raises as `read` does."""
        stream = self._file(sha256)
        if hashlib.file_digest(cast(FileIO, stream), "sha256").hexdigest() != sha256:
            stream.close()
            raise self._damaged(sha256)
        stream.seek(0)
        return stream

    def _file(self, sha256: str) -> BinaryIO:
        if not self.has(sha256):
            raise BlobMissing(sha256=sha256)
        try:
            return os.fdopen(os.open(self.path(sha256), _READ_PLAIN), "rb")
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):  # discarded in this moment, or become a link
                raise BlobMissing(sha256=sha256) from error
            raise

    def _damaged(self, sha256: str) -> InvalidArray:
        self.discard(sha256)  # so that whoever has the bytes may store them again
        return InvalidArray(reason=f"the stored bytes of {sha256} are damaged")

    def write(self, data: bytes) -> str:
        """Store bytes, durably, and return their address. Raises DiskFull; on error nothing is left."""
        sha256 = arrays.digest(data)
        if not self.touch(sha256):
            with self.incoming() as incoming:
                incoming.write(data)
                incoming.keep(sha256)
        return sha256

    @contextmanager
    def incoming(self) -> Generator["Incoming", None, None]:
        """A blob that arrives in pieces; unless it is kept, nothing of it is left. Raises DiskFull."""
        with _disk_full_named(self.folder):
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=_INCOMING)
        temporary = Path(name)
        with os.fdopen(handle, "w+b", buffering=0) as stream:
            try:
                yield Incoming(store=self, stream=stream, temporary=temporary)
            finally:
                stream.close()
                temporary.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what was arriving when its process was killed."""
        for left in self.folder.glob(f"{_INCOMING}*"):
            left.unlink(missing_ok=True)

    def check(self, ref: ArrayRef) -> None:
        """Raise BlobMissing where the array isn't there, InvalidArray where its header tells of another one."""
        if not self.touch(ref.sha256):
            raise BlobMissing(sha256=ref.sha256)
        with self.path(ref.sha256).open("rb") as stream:
            header = arrays.read_header(stream.read(arrays.HEADER_BYTES))
        if (header.shape, header.dtype) != (ref.shape, ref.dtype):
            raise _not_as_promised(header.dtype, header.shape, ref)

    def discard(self, sha256: str) -> None:
        """Remove a blob; nothing happens when it isn't there."""
        self.path(sha256).unlink(missing_ok=True)

    def discard_untouched(self, sha256: str, *, since: float) -> bool:
        """Remove a blob that nobody has spoken of since then (Unix seconds); whether it went."""
        path = self.path(sha256)
        try:
            if path.lstat().st_mtime >= since:
                return False
            path.unlink()
        except (FileNotFoundError, PermissionError):  # gone already; or held open, which keeps it on Windows
            return False
        return True

    def read_array(self, ref: ArrayRef) -> AnyArray:
        """The array behind a reference. Raises BlobMissing, or InvalidArray when it is not as promised."""
        array = arrays.decode(self.read(ref.sha256))
        if array.shape != ref.shape or array.dtype.name != ref.dtype:
            raise _not_as_promised(array.dtype.name, array.shape, ref)
        return array

    def write_array(self, array: AnyArray) -> ArrayRef:
        """Store an array and return its reference."""
        data = arrays.encode(array)
        self.write(data)
        return arrays.reference(array, data)


def _not_as_promised(dtype: str, shape: tuple[int, ...], ref: ArrayRef) -> InvalidArray:
    return InvalidArray(reason=f"{dtype} {shape} where {ref.dtype} {ref.shape} was promised")


class Incoming:
    """A blob on its way in: written aside, and at its address only once it is complete and proven."""

    def __init__(self, *, store: BlobStore, stream: FileIO, temporary: Path) -> None:
        self._store = store
        self._stream = stream
        self._temporary = temporary
        self._digest = hashlib.sha256()

    def write(self, piece: bytes | memoryview) -> None:
        """The next piece. Raises DiskFull."""
        rest = memoryview(piece)
        self._digest.update(rest)
        with _disk_full_named(self._store.folder):
            while rest:
                rest = rest[self._stream.write(rest) :]

    def keep(self, sha256: str) -> None:
        """Put the blob, durably, at its address. Raises InvalidArray when the bytes aren't those, and DiskFull."""
        if self._digest.hexdigest() != sha256:
            raise InvalidArray(reason=f"the bytes have the hash {self._digest.hexdigest()}, not {sha256}")
        path = self._store.path(sha256)
        with _disk_full_named(self._store.folder):
            if self._store.touch(sha256):
                return
            os.fsync(self._stream.fileno())
            self._stream.close()  # Windows doesn't rename open files
            if path.parent.is_symlink():
                path.parent.unlink()  # the link alone; nothing of ours makes one
            path.parent.mkdir(exist_ok=True, mode=0o700)
            self._temporary.replace(path)


@contextmanager
def _disk_full_named(folder: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise DiskFull(path=folder) from error
        raise
