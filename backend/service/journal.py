"""What happened to the queue since its last copy, as lines in a file; with that copy it makes a damaged queue whole.

A line is written before its change is committed, so that the journal never lacks what the queue holds. What it holds
beyond that does no harm: submitting twice is one job, and a change that isn't possible any more is passed over.
"""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...protocol import wire
from ...protocol.jobs import JobSubmission
from .lifecycle import Transition

_PREFIX, _SUFFIX = "journal-", ".jsonl"

Entry = tuple[str, JobSubmission, float] | Transition  # a submission (id, what, when), or a change of state


class Journal:
    """The newest of the journals in a folder; older ones go once a copy of the queue holds what they tell."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True, mode=0o700)
        numbers = [number for number, _ in _files(folder)]
        self._number = max(numbers, default=0)
        self._open()

    @property
    def size(self) -> int:
        """Bytes of everything since the last copy."""
        return sum(path.stat().st_size for _, path in _files(self._folder))

    def submitted(self, job_id: str, submission: JobSubmission, at: float) -> None:
        """Remember a submission. Raises OSError."""
        self._write({"id": job_id, "submission": wire.to_json(submission), "at": at})

    def changed(self, change: Transition) -> None:
        """Remember a change of state. Raises OSError."""
        self._write({"change": wire.to_json(change)})

    def turn(self) -> int:
        """Begin a new journal; the number of the old one, which `drop` takes once the queue was copied."""
        self.close()
        self._number += 1
        self._open()
        return self._number - 1

    def drop(self, number: int) -> None:
        """Remove the journals up to a number."""
        for found, path in _files(self._folder):
            if found <= number:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def _open(self) -> None:
        path = self._folder / f"{_PREFIX}{self._number:08d}{_SUFFIX}"
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _write(self, entry: dict[str, Any]) -> None:
        # The line break goes first: a line that a full disk or a kill cut off then spoils no other.
        line = b"\n" + json.dumps(entry, separators=(",", ":")).encode()
        if os.write(self._handle, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def entries(folder: Path) -> Iterator[Entry]:
    """Everything that the journals of a folder tell, oldest first; a line that was cut off is passed over."""
    for _, path in _files(folder):
        for line in path.read_bytes().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if "change" in entry:
                yield wire.from_json(Transition, entry["change"], ignore_unknown=True)
            else:
                submission = wire.from_json(JobSubmission, entry["submission"], ignore_unknown=True)
                yield entry["id"], submission, entry["at"]


def _files(folder: Path) -> list[tuple[int, Path]]:
    return sorted(
        (int(path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)), path)
        for path in folder.glob(f"{_PREFIX}*{_SUFFIX}")
    )
