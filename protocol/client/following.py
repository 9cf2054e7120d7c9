"""A job from its submission to its end, for callers who wait."""

import contextlib
import time
from collections.abc import Callable
from contextlib import closing

from ..errors import BackendUnreachable, JobCancelled, JobInterrupted, UnderpaintError
from ..events import Event, JobChanged, Progress
from ..jobs import Job, JobState, Phase
from ..request import Request
from .connection import Connection

OnEvent = Callable[[Event], None]
Cancelled = Callable[[], bool]

RECONNECT_S = 5.0  # how long a service that was restarted under a job has to be back
_PROBE_S = 1.0
_POLL_S = 0.05


def run(
    connection: Connection,
    request: Request,
    *,
    client: str = "script",
    transient: bool = False,
    on_event: OnEvent | None = None,
    cancelled: Cancelled | None = None,
) -> Job:
    """Submit a request and wait for its end; the job that succeeded.

    `on_event` is told every event, other jobs' too, but not how far their downloads are. `cancelled` is asked at
    least every 50 ms; once it says True the job is cancelled, and so it is when a callback raises. Raises the job's
    own error, JobCancelled, JobInterrupted, and BackendUnreachable when the service is gone and not back within a
    few seconds: it never hangs.
    """
    return wait(
        connection,
        connection.submit(request, client=client, transient=transient),
        on_event=on_event,
        cancelled=cancelled,
    )


def wait(
    connection: Connection, job: Job, *, on_event: OnEvent | None = None, cancelled: Cancelled | None = None
) -> Job:
    """Wait for the end of a job that was submitted; otherwise as `run`."""
    lost_once = False
    try:
        while not job.state.ended:
            try:
                job = _follow(connection, job, on_event, cancelled)
            except BackendUnreachable:
                if lost_once:
                    raise
                lost_once = True
                job = _find_again(connection, job.id, cancelled)
    except BackendUnreachable:
        raise  # the queue keeps the job, and whoever finds the service again finds it too
    except BaseException:  # Ctrl-C, or a callback that raised: nobody waits for the job any more
        _abandon(connection, job.id)
        raise
    return succeeded(job)


def succeeded(job: Job) -> Job:
    """The job, if it succeeded; raises what it ended in otherwise."""
    if job.state is JobState.SUCCEEDED:
        return job
    if job.state is JobState.CANCELLED:
        raise JobCancelled
    if job.error is not None:
        raise job.error.error()
    if job.state is JobState.INTERRUPTED:
        raise JobInterrupted(reason="the worker died")
    raise UnderpaintError(reason=f"the job {job.id} is {job.state}")


def _follow(connection: Connection, job: Job, on_event: OnEvent | None, cancelled: Cancelled | None) -> Job:
    asked = False
    with closing(connection.events(job.revision, poll_s=_POLL_S)) as events:
        for event in events:
            if not asked and cancelled is not None and cancelled():
                asked = True
                job = connection.cancel(job.id)
                if job.state.ended:
                    return job
            if event is None:
                continue
            if on_event is not None and not _is_anothers_download(event, job):
                on_event(event)
            if isinstance(event, JobChanged) and event.job.id == job.id:
                job = event.job
                if job.state.ended:
                    return job
    raise BackendUnreachable(reason="the events ended")


def _is_anothers_download(event: Event, job: Job) -> bool:
    """Downloads go beside whatever else runs; two at once would make one bar jump back and forth."""
    return isinstance(event, Progress) and event.phase is Phase.FETCH and event.job_id != job.id


def _abandon(connection: Connection, job_id: str) -> None:
    """Have the backend not work for nobody; a job that has ended, or a backend that is gone, needs nothing."""
    with contextlib.suppress(UnderpaintError), connection.another(timeout_s=_PROBE_S) as other:
        other.cancel(job_id)


def _find_again(connection: Connection, job_id: str, cancelled: Cancelled | None) -> Job:
    deadline = time.monotonic() + RECONNECT_S
    while True:
        try:
            with connection.another(timeout_s=_PROBE_S) as probe:
                probe.hello()
            return connection.job(job_id)
        except BackendUnreachable:
            if time.monotonic() > deadline:
                raise
            if cancelled is not None and cancelled():
                raise JobCancelled from None
        time.sleep(_POLL_S)
