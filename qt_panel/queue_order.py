"""The order in which jobs wait, and what to ask for to change it. Knows no Qt."""

from collections.abc import Iterable, Sequence

from ..protocol.jobs import Job, JobState, Priority
from . import messages as m

_RANKS = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
PRIORITIES = {Priority.HIGH: "High", Priority.NORMAL: "Normal", Priority.LOW: "Low"}


def list_order(job: Job) -> tuple[float, float, float, float, str]:
    """Sorts a job list: what runs, what waits in the order in which it will run, and what is over, newest first."""
    if job.state is JobState.RUNNING:
        return 0, 0, 0, job.created_at, job.id
    if job.state is JobState.QUEUED:
        return 1, -1 if job.transient else _RANKS[job.priority], job.place, job.created_at, job.id
    return 2, 0, 0, -job.created_at, job.id


def waiting(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """The jobs that have a place in the queue, next one first."""
    return tuple(sorted((job for job in jobs if can_move(job)), key=list_order))


def can_move(job: Job) -> bool:
    """Whether a job waits, and isn't a look, which goes before all pictures."""
    return job.state is JobState.QUEUED and not job.transient


def can_retry(job: Job) -> bool:
    """Whether a job is over, so that its request may be tried again."""
    return job.state.ended and not job.transient


def moved(queue: Sequence[Job], job_id: str, to: int) -> m.MoveJob | None:
    """What puts a job before the one that is `to`-th in the queue now; None where it stands there, or doesn't wait."""
    place = next((index for index, job in enumerate(queue) if job.id == job_id), None)
    to = min(max(to, 0), len(queue))
    if place is None or to in (place, place + 1):
        return None
    job, others = queue[place], [other for other in queue if other.id != job_id]
    at = to if to < place else to - 1
    before = others[at - 1] if at > 0 else None
    after = others[at] if at < len(others) else None
    # Between two priorities it keeps its own where that is one of them, and else takes the higher one.
    if after is not None and (before is None or after.priority in (before.priority, job.priority)):
        return m.MoveJob(job_id=job_id, before=after.id)
    assert before is not None
    return m.MoveJob(job_id=job_id, priority=before.priority)


def step(queue: Sequence[Job], job_id: str, places: int) -> m.MoveJob | None:
    """What moves a job by so many places, forwards where they are negative; None where there is no such place."""
    place = next((index for index, job in enumerate(queue) if job.id == job_id), None)
    if place is None or not 0 <= place + places < len(queue):
        return None
    return moved(queue, job_id, place + places + (places > 0))
