"""A lock on a file that dies with its process."""

import os
import sys
import time
from pathlib import Path
from types import TracebackType

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_POLL_S = 0.02


class FileLock:
    """Exclusive among processes; the system releases it when its owner dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        """The file; created where needed, never removed (removing it would let two own the lock)."""
        self._handle: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it; whether that worked."""
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            if sys.platform == "win32":
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # on every platform: somebody else has it
            os.close(handle)
            return False
        self._handle = handle
        return True

    def acquire(self, timeout_s: float) -> bool:
        """Wait for the lock; False when it was not free in time."""
        deadline = time.monotonic() + timeout_s
        while not self.try_acquire():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def intact(self) -> bool:
        """Whether others who look for the lock still find this one; not so once its folder was removed."""
        try:
            return self._handle is not None and os.path.samestat(os.fstat(self._handle), self.path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the lock back; nothing happens when it isn't held."""
        if self._handle is not None:
            os.close(self._handle)  # closing releases, on every platform
            self._handle = None

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
