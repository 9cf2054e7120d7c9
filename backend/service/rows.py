"""How a job is kept in a row of the queue, and read from one."""

from collections.abc import Mapping
from typing import Any

from ...protocol import wire
from ...protocol.errors import ErrorInfo
from ...protocol.jobs import Job, JobResult, JobState, Priority
from ...protocol.request import Request

JOB_COLUMNS = (
    "id, client, request, created_at, state, revision, started_at, ended_at, attempts, error, result,"
    " transient, priority, place"
)
"""What `job_of` reads."""

PRIORITIES = (Priority.LOW, Priority.NORMAL, Priority.HIGH)
"""By the number that stands for each."""


def job_of(row: Mapping[str, Any]) -> Job:
    """The job in a row; what a newer version has added to its parts is passed over. Raises InvalidRequest."""
    return Job(
        id=row["id"],
        client=row["client"],
        state=JobState(row["state"]),
        request=wire.loads(Request, row["request"], ignore_unknown=True),
        revision=row["revision"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        attempts=row["attempts"],
        error=None if row["error"] is None else wire.loads(ErrorInfo, row["error"], ignore_unknown=True),
        result=None if row["result"] is None else wire.loads(JobResult, row["result"], ignore_unknown=True),
        transient=bool(row["transient"]),
        priority=PRIORITIES[int(row["priority"])],
        place=row["place"],
    )
