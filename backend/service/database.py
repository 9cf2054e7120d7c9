"""The queue on disk. The only module that knows SQLite.

Every change of state is one `UPDATE ... WHERE state IN (...)` decided by its rowcount, together with a
row in `changes`: that row's number is the revision, and clients that lost the connection read on from it.
"""

import os
import sqlite3
from collections.abc import Generator, Iterable
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ...protocol import wire
from ...protocol.arrays import ArrayRef
from ...protocol.checks import references
from ...protocol.errors import (
    DiskFull,
    JobConflict,
    JobInterrupted,
    JobNotQueued,
    JobUnknown,
    QueueLocked,
    WorkerFailed,
)
from ...protocol.events import JobChanged
from ...protocol.jobs import Job, JobPage, JobState, JobSubmission, Move
from ...protocol.request import DownloadRequest, Request
from ..blobstore import DISK_FULL
from . import lifecycle
from .journal import Journal
from .lanes import Lane, lane_of
from .lifecycle import Loss, Transition
from .rows import JOB_COLUMNS, PRIORITIES, job_of
from .schema import MIGRATIONS

_IOERR_SHORT_READ, _IOERR_WRITE, _IOERR_SHMSIZE, _IOERR_FSYNC = 522, 778, 4874, 1034  # sqlite3 has no names for them
_DAMAGE = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_PATIENCE_S = 0.3  # with another program that has the file locked; nobody is answered in the meantime
_NO_PLACE = {Lane.LOOKS: "a look", Lane.DOWNLOADS: "a download"}
_EITHER, _NOT, _ONLY = (False, True), (False, False), (True, True)
_IN_LANE = {  # what is transient, and what a download
    None: (_EITHER, _EITHER),
    Lane.PICTURES: (_NOT, _NOT),
    Lane.LOOKS: (_ONLY, _NOT),
    Lane.DOWNLOADS: (_EITHER, _ONLY),
}
_REVISION = "SELECT seq FROM sqlite_sequence WHERE name = 'changes'"
_LAST = (
    "SELECT coalesce(max(place), 0) FROM jobs"
    " WHERE state = ? AND transient = ? AND priority = ?"
)  # fmt: skip


class UnusableDatabase(Exception):
    """The file was written by a newer version of this program."""


class DamagedDatabase(UnusableDatabase):
    """The file is no queue, or no whole one."""


class Database:
    """Owns the connection; to be used from one thread."""

    def __init__(self, path: Path, journal: Journal | None = None) -> None:
        """Open or make the file; what happens is told to the journal as well.

        Raises UnusableDatabase, DamagedDatabase where that shows at once, DiskFull, QueueLocked.
        """
        self._path = path
        self.journal = journal
        """What is told of every change, where one is kept."""
        with self._trouble_named():
            self._db = sqlite3.connect(path, isolation_level=None, timeout=_PATIENCE_S)
            self._db.row_factory = sqlite3.Row
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                # In WAL mode NORMAL survives a killed process; a power cut can undo the last change, no more.
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._db.execute("PRAGMA foreign_keys = ON")
                self._migrate()
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def check(self) -> None:
        """Read the whole file. Raises DamagedDatabase."""
        found = self._rows("PRAGMA quick_check(1)")[0]["quick_check"]
        if found != "ok":
            raise DamagedDatabase(f"The queue {self._path} is damaged ({found}).")

    # ---- changes

    def submit(self, job_id: str, submission: JobSubmission, at: float) -> tuple[Job, bool]:
        """Queue a job; the job and whether it is new. Raises JobConflict, DiskFull, QueueLocked."""
        with self._transaction():
            found = self._db.execute(
                f"SELECT {JOB_COLUMNS}, retry_interrupted FROM jobs WHERE id = ?", (job_id,)
            ).fetchone()
            if found is None:
                priority = PRIORITIES.index(submission.priority)
                self._db.execute(
                    "INSERT INTO jobs (id, client, request, retry_interrupted, transient, download, priority, place,"
                    " created_at, state, revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                    (
                        job_id,
                        submission.client,
                        wire.dumps(submission.request, Request),
                        submission.retry_interrupted,
                        submission.transient,
                        isinstance(submission.request, DownloadRequest),
                        priority,
                        self._behind_all(submission.transient, priority),
                        at,
                        JobState.QUEUED,
                    ),
                )
                self._use(job_id, references(submission.request))
                self._record(job_id)
                if self.journal is not None:
                    self.journal.submitted(job_id, submission, at)
        if found is None:
            return self.job(job_id), True
        job = job_of(found)
        # The priority isn't compared: somebody may have moved the job since.
        if (job.request, bool(found["retry_interrupted"]), job.transient) != (
            submission.request,
            submission.retry_interrupted,
            submission.transient,
        ):
            raise JobConflict(job_id=job_id)
        return job, False

    def transition(self, change: Transition) -> Job | None:
        """Change a job's state; None when it isn't in a state from which that is possible. Raises DiskFull,
        QueueLocked.

        The one place where a job that exists enters another state.
        """
        origins = ", ".join(f"'{state.value}'" for state in lifecycle.FROM[change.to])
        with self._transaction():
            cursor = self._db.execute(
                "UPDATE jobs SET state = :to, error = :error, result = :result,"
                " attempts = attempts + (:to = 'running'), worker_deaths = worker_deaths + :died,"
                " started_at = CASE :to WHEN 'running' THEN :at WHEN 'queued' THEN NULL ELSE started_at END,"
                " ended_at = CASE WHEN :ended THEN :at END"
                f" WHERE id = :id AND state IN ({origins})"
                " AND NOT (cancel_requested AND :gives_way)",
                {
                    "id": change.job_id,
                    "to": change.to.value,
                    "at": change.at,
                    "error": None if change.error is None else wire.dumps(change.error),
                    "result": None if change.result is None else wire.dumps(change.result),
                    "died": change.worker_died,
                    "ended": change.to.ended,
                    "gives_way": change.to in lifecycle.UNLESS_CANCELLED,
                },
            )
            if cursor.rowcount == 0:
                return None
            if change.result is not None:
                self._use(change.job_id, (*change.result.images, *change.result.control_maps))
            self._record(change.job_id)
            if self.journal is not None:
                self.journal.changed(change)
        return self.job(change.job_id)

    def move(self, job_id: str, move: Move) -> Job:
        """Give a queued job another place. Raises JobUnknown, JobNotQueued (of either job), DiskFull, QueueLocked."""
        with self._transaction():
            job = self._waiting(job_id)
            if move.before:
                next_one = self._waiting(move.before)
                if next_one.id == job.id:
                    return job
                priority, place = next_one.priority, self._place_before(next_one)
            else:
                priority = move.priority or job.priority
                place = self._behind_all(False, PRIORITIES.index(priority))
            self._db.execute(
                "UPDATE jobs SET priority = ?, place = ? WHERE id = ?", (PRIORITIES.index(priority), place, job_id)
            )
            self._record(job_id)
        return self.job(job_id)

    def collect(self, job_id: str) -> None:
        """Remember that whoever asked for a job has what it made. Raises JobUnknown, DiskFull, QueueLocked."""
        with self._transaction():
            if self._db.execute("UPDATE jobs SET collected = 1 WHERE id = ?", (job_id,)).rowcount == 0:
                raise JobUnknown(job_id=job_id)

    def request_cancel(self, job_id: str) -> Job:
        """Remember that a job's end was asked for, once and for all. Raises JobUnknown, DiskFull, QueueLocked."""
        with self._transaction():
            self._db.execute(
                "UPDATE jobs SET cancel_requested = 1 WHERE id = ? AND state IN ('queued', 'running')", (job_id,)
            )
        return self.job(job_id)

    def lose(self, job_id: str, at: float, *, worker_died: bool, reason: str, log: Path) -> Job | None:
        """Decide what becomes of a running job whose worker or service is gone, and record it.

        Raises DiskFull, QueueLocked.
        """
        loss = self.loss(job_id)
        to = lifecycle.after_loss(
            attempts=loss.attempts,
            worker_deaths=loss.worker_deaths + worker_died,
            retry=loss.retry,
            resumes=loss.resumes,
            cancel_requested=loss.cancel_requested,
        )
        error = None
        if to is JobState.FAILED:
            error = WorkerFailed(reason=f"the worker died on this job twice, the last time: {reason}", log=log).info()
        elif to is JobState.INTERRUPTED:
            error = JobInterrupted(reason=reason).info()
        return self.transition(Transition(job_id=job_id, to=to, at=at, error=error, worker_died=worker_died))

    def forget(
        self, *, ended_before: float, transient_only: bool = False, settled_only: bool = False, limit: int = 100
    ) -> int:
        """Remove the oldest jobs that ended before a time, at most `limit`; how many they were.

        `settled_only` leaves those whose pictures nobody has collected.
        """
        with self._transaction():
            numbers = [
                row["number"]
                for row in self._db.execute(
                    "SELECT number FROM jobs WHERE ended_at < ? AND transient >= ?"
                    " AND (collected OR state != 'succeeded' OR NOT ?) ORDER BY number LIMIT ?",
                    (ended_before, transient_only, settled_only, limit),
                )
            ]
            for number in numbers:
                self._db.execute("DELETE FROM changes WHERE number = ?", (number,))
                self._db.execute("DELETE FROM jobs WHERE number = ?", (number,))
        return len(numbers)

    # ---- questions

    def uses(self, sha256: str) -> bool:
        """Whether a job speaks of a blob."""
        return bool(self._rows("SELECT 1 FROM uses WHERE sha256 = ? LIMIT 1", (sha256,)))

    def job(self, job_id: str) -> Job:
        """A job as it is now. Raises JobUnknown."""
        rows = self._rows(f"SELECT {JOB_COLUMNS} FROM jobs WHERE id = ?", (job_id,))
        if not rows:
            raise JobUnknown(job_id=job_id)
        return job_of(rows[0])

    def jobs(self, before: int | None, limit: int) -> JobPage:
        """A page of jobs, newest first, without the transient ones."""
        rows = self._rows(
            f"SELECT number, {JOB_COLUMNS} FROM jobs WHERE number < ? AND NOT transient ORDER BY number DESC LIMIT ?",
            (before if before is not None else 2**62, limit + 1),
        )
        page = rows[:limit]
        more = len(rows) > limit
        return JobPage(jobs=tuple(job_of(row) for row in page), next_before=page[-1]["number"] if more else None)

    def next_queued(self, lane: Lane | None = None) -> Job | None:
        """The job whose turn it is, of a lane or of all."""
        return next(iter(self.queued(lane, limit=1)), None)

    def queued(self, lane: Lane | None = None, *, limit: int) -> list[Job]:
        """The jobs whose turns are next, in order, of a lane or of all."""
        transient, download = _IN_LANE[lane]
        rows = self._rows(
            f"SELECT {JOB_COLUMNS} FROM jobs WHERE state = 'queued' AND transient IN (?, ?) AND download IN (?, ?)"
            " ORDER BY transient DESC, priority DESC, place, number LIMIT ?",
            (*transient, *download, limit),
        )
        return [job_of(row) for row in rows]

    def running(self) -> list[str]:
        """Ids of the jobs that are running, or were when the last service died."""
        return [row["id"] for row in self._rows("SELECT id FROM jobs WHERE state = 'running' ORDER BY number")]

    def loss(self, job_id: str) -> Loss:
        """What decides over a job that lost its worker."""
        rows = self._rows(
            "SELECT attempts, worker_deaths, retry_interrupted, download, cancel_requested FROM jobs WHERE id = ?",
            (job_id,),
        )
        if not rows:
            raise JobUnknown(job_id=job_id)
        row = rows[0]
        return Loss(
            attempts=row["attempts"],
            worker_deaths=row["worker_deaths"],
            retry=bool(row["retry_interrupted"]),
            resumes=bool(row["download"]),
            cancel_requested=bool(row["cancel_requested"]),
        )

    def revision(self) -> int:
        """The newest change's number; 0 when nothing has happened yet."""
        # The counter, and not the newest row: that may have been forgotten with its job.
        rows = self._rows(_REVISION)
        return int(rows[0]["seq"]) if rows else 0

    def changes(self, since: int, limit: int = 100) -> list[JobChanged]:
        """The changes after revision `since`, oldest first, each with the job as it was then."""
        rows = self._rows(
            "SELECT id, client, request, created_at, c.state, c.revision, c.started_at, c.ended_at, c.attempts,"
            " c.error, c.result, transient, priority, place FROM changes c JOIN jobs USING (number)"
            " WHERE c.revision > ? ORDER BY c.revision LIMIT ?",
            (since, limit),
        )
        return [JobChanged(revision=row["revision"], job=job_of(row)) for row in rows]

    # ---- inside

    def _use(self, job_id: str, refs: Iterable[ArrayRef]) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO uses SELECT number, ? FROM jobs WHERE id = ?", [(ref.sha256, job_id) for ref in refs]
        )

    def _waiting(self, job_id: str) -> Job:
        """A job that has a place in the queue. Looks and downloads have none: they never wait for pictures."""
        job = self.job(job_id)
        other = _NO_PLACE.get(lane_of(job.request, transient=job.transient))
        if job.state is not JobState.QUEUED or other:
            raise JobNotQueued(job_id=job_id, state=other or job.state)
        return job

    def _behind_all(self, transient: bool, priority: int) -> float:
        """A place behind every job of a priority that waits, or would wait again if its worker died."""
        last = (
            self._db.execute(_LAST, (state, transient, priority)).fetchone()[0]
            for state in (JobState.QUEUED, JobState.RUNNING)
        )
        return float(max(last)) + 1

    def _place_before(self, job: Job) -> float:
        """A place between a queued job and the one that runs before it."""
        priority = PRIORITIES.index(job.priority)
        found = self._db.execute(
            "SELECT max(place) FROM jobs WHERE state = 'queued' AND NOT transient AND priority = ? AND place < ?",
            (priority, job.place),
        ).fetchone()[0]
        if found is None:
            return job.place - 1
        middle = (found + job.place) / 2
        if found < middle < job.place:
            return middle
        # A gap halved so often has no middle any more; whole numbers make room again.
        self._db.execute(
            "UPDATE jobs SET place = ordered.place FROM"
            " (SELECT number, row_number() OVER (ORDER BY place, number) AS place FROM jobs"
            " WHERE state = 'queued' AND NOT transient AND priority = ?) AS ordered"
            " WHERE jobs.number = ordered.number",
            (priority,),
        )
        for row in self._db.execute(
            "SELECT id FROM jobs WHERE state = 'queued' AND NOT transient AND priority = ?", (priority,)
        ).fetchall():
            self._record(row["id"])
        return self.job(job.id).place - 0.5

    def _record(self, job_id: str) -> None:
        cursor = self._db.execute(
            "INSERT INTO changes (number, state, started_at, ended_at, attempts, error, result)"
            " SELECT number, state, started_at, ended_at, attempts, error, result FROM jobs WHERE id = ?",
            (job_id,),
        )
        self._db.execute("UPDATE jobs SET revision = ? WHERE id = ?", (cursor.lastrowid, job_id))

    def _migrate(self) -> None:
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version > len(MIGRATIONS):
            raise UnusableDatabase(
                f"The queue {self._path} was written by a newer version (format {version}; this one knows"
                f" {len(MIGRATIONS)}). Update this program, or move the file away."
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            self._db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")

    @contextmanager
    def _transaction(self) -> Generator[None, None, None]:
        with self._trouble_named():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:  # an error, or a change that turned out impossible
                    self._db.execute("ROLLBACK")

    def _rows(self, sql: str, parameters: Any = ()) -> list[Any]:
        with self._trouble_named():
            return self._db.execute(sql, parameters).fetchall()

    @contextmanager
    def _trouble_named(self) -> Generator[None, None, None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = error.sqlite_errorcode
            if code in (sqlite3.SQLITE_FULL, _IOERR_WRITE, _IOERR_SHMSIZE, _IOERR_FSYNC):
                raise DiskFull(path=self._path.parent) from error
            if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise QueueLocked(path=self._path) from error
            if code & 0xFF in _DAMAGE or code == _IOERR_SHORT_READ:
                raise DamagedDatabase(f"The queue {self._path} is damaged ({error}).") from error
            raise
        except OSError as error:
            if error.errno in DISK_FULL:
                raise DiskFull(path=self._path.parent) from error
            raise


def copy(source: Path, target: Path, *, revision: int) -> None:
    """A whole copy of a queue that is in use, durably at its place or not at all. For any thread.

    `revision` is what it holds at least. Whoever has it open goes on with the file that was; another one in its place,
    an empty one above all, must not become the copy. Raises DamagedDatabase where the queue is damaged or not there,
    UnusableDatabase, OSError.
    """
    if not source.exists():
        raise DamagedDatabase(f"The queue {source} was removed.")
    aside = target.with_name(f"{target.name}.new")
    aside.unlink(missing_ok=True)
    try:
        there = f"{source.absolute().as_uri()}?mode=rw"  # which makes none
        with closing(sqlite3.connect(there, uri=True)) as reading, closing(sqlite3.connect(aside)) as writing:
            reading.backup(writing)  # page by page: it would copy damage, too
            found = writing.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise DamagedDatabase(f"The queue {source} is damaged ({found}).")
            if _revision_in(writing) < revision:
                raise DamagedDatabase(f"The queue {source} was emptied, or another one was put in its place.")
        with aside.open("rb+") as stream:
            os.fsync(stream.fileno())
        aside.replace(target)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in _DAMAGE:
            raise DamagedDatabase(f"The queue {source} is damaged ({error}).") from error
        raise UnusableDatabase(f"The queue {source} can't be copied ({error}).") from error
    finally:
        aside.unlink(missing_ok=True)


def _revision_in(queue: sqlite3.Connection) -> int:
    """The newest change's number, in a file that may be no queue of ours; -1 where it is none."""
    if queue.execute("PRAGMA user_version").fetchone()[0] != len(MIGRATIONS):
        return -1
    found = queue.execute(_REVISION).fetchone()
    return int(found[0]) if found else 0
