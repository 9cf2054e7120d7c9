"""Whatever a job raises, as an error that says what to do."""

import errno
import sys
from pathlib import Path

from ...protocol.errors import DiskFull, ErrorInfo, OutOfMemory, UnderpaintError, WorkerFailed

_DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
# torch's CPU and MPS allocators raise a plain RuntimeError; these are their words, and Python's where there is no room
# for a thread's stack.
_NO_MEMORY = (
    "not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory", "can't start new thread",
)  # fmt: skip


def error_info(error: BaseException, *, device: str, blobs: Path) -> ErrorInfo:
    """The wire form of an error. Anything unforeseen becomes WorkerFailed with its type and message.

    The service, which writes the log from what is printed here, adds where that lies.
    """
    if isinstance(error, UnderpaintError):
        return error.info()
    if is_out_of_memory(error):
        return OutOfMemory(device=device).info()
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return DiskFull(path=error.filename or blobs).info()
    return WorkerFailed(reason=f"{type(error).__name__}: {error}").info()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether main memory or the GPU's ran out."""
    torch_error = getattr(sys.modules.get("torch"), "OutOfMemoryError", MemoryError)  # not imported, not torch's
    if isinstance(error, (MemoryError, torch_error)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)
