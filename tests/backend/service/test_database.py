"""The queue on disk: transitions, revisions, restarts, a full disk."""

import sqlite3

import pytest
from underpaint.backend.service.database import Database, Transition, UnusableDatabase
from underpaint.protocol.errors import DiskFull, JobConflict, JobUnknown, OutOfMemory
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobState, JobSubmission
from underpaint.protocol.request import GenerateRequest

IDS = [f"{number:032x}" for number in range(20)]


def submission(prompt="", **options):
    return JobSubmission(request=GenerateRequest(prompt=prompt, size=Extent(width=8, height=8)), **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "queue.sqlite3"


@pytest.fixture
def database(path):
    database = Database(path)
    yield database
    database.close()


def to(state, job_id=IDS[0], at=2.0, **details):
    return Transition(job_id=job_id, to=state, at=at, **details)


def test_a_job_comes_back_as_it_was_submitted(database):
    job, new = database.submit(IDS[0], submission("é 🎨", client="test"), at=1.5)
    assert new
    assert database.job(IDS[0]) == job
    assert (job.request.prompt, job.client, job.created_at, job.state) == ("é 🎨", "test", 1.5, JobState.QUEUED)


def test_the_same_submission_is_the_same_job_and_another_is_a_conflict(database):
    first = database.submit(IDS[0], submission("a"), at=1)
    assert database.submit(IDS[0], submission("a"), at=9) == (first[0], False)
    with pytest.raises(JobConflict):
        database.submit(IDS[0], submission("b"), at=9)
    assert database.revision() == 1


def test_only_one_of_two_wins_a_transition(database):
    database.submit(IDS[0], submission(), at=1)
    assert database.transition(to(JobState.RUNNING)).attempts == 1
    assert database.transition(to(JobState.RUNNING)) is None
    assert database.transition(to(JobState.FAILED, error=OutOfMemory(device="cpu").info())) is not None
    assert database.transition(to(JobState.CANCELLED)) is None
    assert database.job(IDS[0]).error.error().details == {"device": "cpu"}


def test_a_refused_transition_has_no_revision(database):
    database.submit(IDS[0], submission(), at=1)
    database.transition(to(JobState.SUCCEEDED))
    assert database.revision() == 1


def test_a_job_whose_end_was_asked_for_does_not_succeed(database):
    database.submit(IDS[0], submission(), at=1)
    database.transition(to(JobState.RUNNING))
    database.request_cancel(IDS[0])
    assert database.transition(to(JobState.SUCCEEDED)) is None
    assert database.transition(to(JobState.CANCELLED)).state is JobState.CANCELLED


def test_the_queue_is_first_come_first_served(database):
    for job_id in IDS[:3]:
        database.submit(job_id, submission(), at=1)
    database.transition(to(JobState.CANCELLED, IDS[0]))
    assert database.next_queued().id == IDS[1]


def test_a_retried_job_keeps_its_place(database):
    for job_id in IDS[:2]:
        database.submit(job_id, submission(), at=1)
    database.transition(to(JobState.RUNNING, IDS[0]))
    job = database.lose(IDS[0], at=3, worker_died=True, reason="x", log="x")
    assert (job.state, job.started_at) == (JobState.QUEUED, None)
    assert database.next_queued().id == IDS[0]


def test_changes_tell_each_state_in_order_with_the_job_as_it_was(database):
    database.submit(IDS[0], submission(), at=1)
    database.transition(to(JobState.RUNNING, at=2))
    database.transition(to(JobState.FAILED, at=3))
    changes = database.changes(since=0)
    assert [change.revision for change in changes] == [1, 2, 3]
    assert [change.job.revision for change in changes] == [1, 2, 3]
    assert [(change.job.state.value, change.job.ended_at) for change in changes] == [
        ("queued", None),
        ("running", None),
        ("failed", 3.0),
    ]
    assert database.changes(since=2) == changes[2:]


def test_everything_is_there_after_a_restart(path, database):
    database.submit(IDS[0], submission(), at=1)
    database.submit(IDS[1], submission(), at=1)
    database.transition(to(JobState.RUNNING, IDS[0]))
    again = Database(path)  # while the first still has it open: nothing was closed cleanly
    assert again.running() == [IDS[0]]
    assert again.next_queued().id == IDS[1]
    assert again.revision() == 3
    again.close()


def test_a_full_disk_is_named_and_leaves_the_queue_as_it_was(database):
    database.submit(IDS[0], submission(), at=1)
    pages = database._db.execute("PRAGMA page_count").fetchone()[0]
    database._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull):
        database.submit(IDS[1], submission("x" * 100_000), at=1)
    with pytest.raises(JobUnknown):
        database.job(IDS[1])
    database._db.execute("PRAGMA max_page_count = 100000")
    assert database.submit(IDS[1], submission("x" * 100_000), at=1)[1]


def test_a_database_from_the_future_is_left_alone(path):
    Database(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(UnusableDatabase, match="99"):
        Database(path)


def test_pages_end(database):
    for job_id in IDS[:5]:
        database.submit(job_id, submission(), at=1)
    first = database.jobs(before=None, limit=3)
    second = database.jobs(before=first.next_before, limit=3)
    assert [job.id for job in (*first.jobs, *second.jobs)] == IDS[4::-1]
    assert second.next_before is None
