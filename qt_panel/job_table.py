"""The job list as data: pages and events in, rows out. Knows no Qt."""

import dataclasses
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ..protocol.events import Alive, Event, JobChanged, PreviewReady, Progress, WorkerChanged
from ..protocol.jobs import Job, JobState
from .queue_order import list_order

_LOOKS_KEPT = 16  # ended ones, the newest


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """A job and what is known of its running."""

    job: Job
    progress: Progress | None = None  # of a running job
    preview_step: int | None = None  # the newest preview the service holds


@dataclass(frozen=True, kw_only=True)
class JobTable:
    """Every job this panel has heard of, and the worker."""

    rows: tuple[JobRow, ...] = ()  # what runs, what waits in the order of its turns, what is over, newest first
    revision: int = 0  # of the newest change taken in; where to resume the event stream
    worker: WorkerChanged | None = None

    def row(self, job_id: str) -> JobRow | None:
        """The job's row; None when it was never heard of."""
        return next((row for row in self.rows if row.job.id == job_id), None)


def with_event(table: JobTable, event: Event) -> JobTable:
    """The table after an event; one that tells nothing new leaves it the same object."""
    match event:
        case JobChanged(revision=revision, job=job):
            changed = with_jobs(table, (job,))
            if revision <= changed.revision:
                return changed
            return dataclasses.replace(changed, revision=revision)
        case Progress(job_id=job_id):
            return _with_row(table, job_id, progress=event)
        case PreviewReady(job_id=job_id, step=step):
            return _with_row(table, job_id, preview_step=step)
        case WorkerChanged():
            return table if event == table.worker else dataclasses.replace(table, worker=event)
        case Alive():
            return table


def with_jobs(table: JobTable, jobs: Iterable[Job]) -> JobTable:
    """The table with jobs put in at their place; an older revision never replaces a newer one."""
    rows = {row.job.id: row for row in table.rows}
    changed = False
    for job in jobs:
        known = rows.get(job.id)
        if known is not None and known.job.revision >= job.revision:
            continue
        changed = True
        if known is not None and known.job.attempts == job.attempts and job.state is JobState.RUNNING:
            rows[job.id] = dataclasses.replace(known, job=job)
        else:
            rows[job.id] = JobRow(job=job)  # progress belongs to one attempt, and ends with it
    if not changed:
        return table
    return dataclasses.replace(table, rows=tuple(sorted(rows.values(), key=lambda row: list_order(row.job))))


def without_worker(table: JobTable) -> JobTable:
    """The table when the service is gone: the jobs stay, what was live does not."""
    rows = tuple(dataclasses.replace(row, progress=None, preview_step=None) for row in table.rows)
    return dataclasses.replace(table, rows=rows, worker=None)


def without_old_looks(table: JobTable, kept: Collection[str]) -> JobTable:
    """The table without transient jobs that are long over, but for `kept`: options in motion make hundreds."""
    over = [row.job.id for row in table.rows if row.job.transient and row.job.state.ended]
    gone = set(over[_LOOKS_KEPT:]).difference(kept)
    if not gone:
        return table
    return dataclasses.replace(table, rows=tuple(row for row in table.rows if row.job.id not in gone))


def unended(table: JobTable, ids: Collection[str]) -> tuple[JobRow, ...]:
    """Those of the jobs `ids` that are not over: the running one, then the queued ones by their turns."""
    return tuple(row for row in table.rows if row.job.id in ids and not row.job.state.ended)


def _with_row(table: JobTable, job_id: str, **changes: object) -> JobTable:
    row = table.row(job_id)
    if row is None or row.job.state.ended:  # late news of a job that is over
        return table
    changed = dataclasses.replace(row, **changes)
    if changed == row:
        return table
    return dataclasses.replace(table, rows=tuple(changed if each is row else each for each in table.rows))
