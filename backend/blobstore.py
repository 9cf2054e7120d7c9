"""Arrays on disk under the SHA-256 of their `.npy` bytes; shared by the service and its workers."""

import errno
import os
import tempfile
from pathlib import Path

from ..protocol import arrays
from ..protocol.arrays import AnyArray, ArrayRef
from ..protocol.errors import BlobMissing, DiskFull, InvalidArray

_DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows has no quota error


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
        """Whether the blob is there, as a plain file."""
        path = self.path(sha256)
        return path.is_file() and not path.is_symlink()

    def read(self, sha256: str) -> bytes:
        """The blob's bytes. Raises BlobMissing, and InvalidArray when the disk changed them."""
        if not self.has(sha256):
            raise BlobMissing(sha256=sha256)
        data = self.path(sha256).read_bytes()
        if arrays.digest(data) != sha256:
            raise InvalidArray(reason=f"the stored bytes of {sha256} are damaged")
        return data

    def write(self, data: bytes) -> str:
        """Store bytes, durably, and return their address. Raises DiskFull; on error nothing is left."""
        sha256 = arrays.digest(data)
        if self.has(sha256):
            return sha256
        path = self.path(sha256)
        temporary: str | None = None
        try:
            path.parent.mkdir(exist_ok=True, mode=0o700)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".incoming-")
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(path)
        except OSError as error:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
            if error.errno in _DISK_FULL:
                raise DiskFull(path=str(self.folder)) from error
            raise
        return sha256

    def read_array(self, ref: ArrayRef) -> AnyArray:
        """The array behind a reference. Raises BlobMissing, or InvalidArray when it is not as promised."""
        array = arrays.decode(self.read(ref.sha256))
        if array.shape != ref.shape or array.dtype.name != ref.dtype:
            raise InvalidArray(reason=f"{array.dtype} {array.shape} where {ref.dtype} {ref.shape} was promised")
        return array

    def write_array(self, array: AnyArray) -> ArrayRef:
        """Store an array and return its reference."""
        data = arrays.encode(array)
        self.write(data)
        return arrays.reference(array, data)
