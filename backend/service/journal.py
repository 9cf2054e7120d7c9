"""What happened to the queue since its last copy, as lines in a file; with that copy it makes a damaged queue whole.

A line is written before its change is committed, so that the journal never lacks what the queue holds. What it holds
beyond that does no harm: submitting twice is one job, and a change that isn't possible any more is passed over.
"""

import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...protocol import wire
from ...protocol.errors import InvalidRequest
from ...protocol.jobs import JobSubmission
from .lifecycle import Transition

_PREFIX, _SUFFIX = "journal-", ".jsonl"

log = logging.getLogger("underpaint.service")

Entry = tuple[str, JobSubmission, float] | Transition  # a submission (id, what, when), or a change of state


class Journal:
    """The newest of the journals in a folder; older ones go once a copy of the queue holds what they tell."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True, mode=0o700)
        numbers = [number for number, _ in _files(folder)]
        self._number = max(numbers, default=0)
        self._handle = self._open(self._number)

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
        """Begin a new journal; the number of the old one, which `drop` takes once the queue was copied.

        Raises OSError; then the old one goes on.
        """
        if os.fstat(self._handle).st_size:  # else it is new already, and a copy that failed is tried again
            old, self._handle = self._handle, self._open(self._number + 1)
            self._number += 1
            os.close(old)
        return self._number - 1

    def drop(self, number: int) -> None:
        """Remove the journals up to a number."""
        for found, path in _files(self._folder):
            if found <= number:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def _open(self, number: int) -> int:
        path = self._folder / f"{_PREFIX}{number:08d}{_SUFFIX}"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _write(self, entry: dict[str, Any]) -> None:
        # The line break goes first: a line that a full disk or a kill cut off then spoils no other.
        line = b"\n" + json.dumps(entry, separators=(",", ":")).encode()
        if os.write(self._handle, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def entries(folder: Path) -> Iterator[Entry]:
    """Everything that the journals of a folder tell, oldest first; a line that was cut off, or tells what this
    version does not know, is passed over: it must not keep the others from being told."""
    for _, path in _files(folder):
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if not line:
                continue
            try:
                entry = _entry(json.loads(line))
            except (ValueError, LookupError, TypeError, InvalidRequest) as error:
                # Without the error's text, which may quote a prompt.
                log.warning("line %d of %s is passed over (%s)", number, path, type(error).__name__)
                continue
            yield entry


def _entry(told: Any) -> Entry:
    if "change" in told:
        return wire.from_json(Transition, told["change"], ignore_unknown=True)
    submission = wire.from_json(JobSubmission, told["submission"], ignore_unknown=True)
    return wire.from_json(str, told["id"]), submission, wire.from_json(float, told["at"])


def _files(folder: Path) -> list[tuple[int, Path]]:
    return sorted(
        (int(path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)), path)
        for path in folder.glob(f"{_PREFIX}*{_SUFFIX}")
    )
