"""The queue on disk: transitions, revisions, restarts, a full disk."""

import json
import sqlite3

import pytest
from underpaint.backend.service.database import Database, UnusableDatabase
from underpaint.backend.service.lifecycle import Transition
from underpaint.backend.service.schema import MIGRATIONS
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.errors import DiskFull, JobConflict, JobNotQueued, JobUnknown, OutOfMemory
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobResult, JobState, JobSubmission, Move, Priority
from underpaint.protocol.request import GenerateRequest, PlanRequest, Start

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


def queue_order(database):
    """The ids in the order in which they run."""
    order = []
    while (job := database.next_queued()) is not None:
        order.append(IDS.index(job.id))
        database.transition(to(JobState.RUNNING, job.id))
    return order


def test_the_higher_priority_goes_first_and_looks_before_all(database):
    kinds = (Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.LOW, Priority.HIGH)
    for job_id, priority in zip(IDS, kinds, strict=False):
        database.submit(job_id, submission(priority=priority), at=1)
    database.submit(IDS[5], submission(transient=True), at=1)
    assert queue_order(database) == [5, 2, 4, 1, 0, 3]


def test_a_job_moves_before_another_and_takes_its_priority(database):
    for job_id in IDS[:4]:
        database.submit(job_id, submission(), at=1)
    database.submit(IDS[4], submission(priority=Priority.HIGH), at=1)
    revision = database.revision()
    moved = database.move(IDS[3], Move(before=IDS[1]))
    assert moved.revision == database.revision() == revision + 1
    assert database.changes(since=revision)[0].job == moved
    assert database.move(IDS[2], Move(before=IDS[4])).priority is Priority.HIGH
    assert queue_order(database) == [2, 4, 0, 3, 1]


def test_a_job_moves_behind_all_of_a_priority(database):
    for job_id in IDS[:3]:
        database.submit(job_id, submission(), at=1)
    database.submit(IDS[3], submission(priority=Priority.LOW), at=1)
    database.move(IDS[0], Move())
    database.move(IDS[1], Move(priority=Priority.LOW))
    database.submit(IDS[4], submission(), at=2)
    assert queue_order(database) == [2, 0, 4, 3, 1]


def test_places_do_not_run_out(database):
    for job_id in IDS[:3]:
        database.submit(job_id, submission(), at=1)
    for number in range(200):  # a double halves some fifty times
        database.move(IDS[number % 2], Move(before=IDS[2]))
        assert database.job(IDS[number % 2]).place < database.job(IDS[2]).place
    changes = database.changes(0, limit=10_000)  # whoever follows them knows every place that was given anew
    known = {change.job.id: change.job.revision for change in changes}
    assert known == {job_id: database.job(job_id).revision for job_id in IDS[:3]}
    assert known[IDS[2]] > 3
    assert queue_order(database) == [0, 1, 2]


def test_moving_again_before_the_same_job_changes_nothing(database):
    for job_id in IDS[:2]:
        database.submit(job_id, submission(), at=1)
    database.move(IDS[1], Move(before=IDS[1]))
    assert queue_order(database) == [0, 1]


def test_only_waiting_jobs_have_a_place(database):
    for job_id in IDS[:2]:
        database.submit(job_id, submission(), at=1)
    database.transition(to(JobState.RUNNING, IDS[0]))
    database.submit(IDS[2], submission(transient=True), at=1)
    for job_id, move in (
        (IDS[0], Move()),
        (IDS[1], Move(before=IDS[0])),
        (IDS[2], Move()),
        (IDS[1], Move(before=IDS[2])),
    ):
        with pytest.raises(JobNotQueued):
            database.move(job_id, move)
    with pytest.raises(JobUnknown):
        database.move(IDS[9], Move())
    with pytest.raises(JobUnknown):
        database.move(IDS[1], Move(before=IDS[9]))


def test_the_queue_is_read_by_its_index_however_long_the_history(database):
    asked = []
    database._db.set_trace_callback(asked.append)
    database.next_queued()
    database._db.set_trace_callback(None)
    plan = " ".join(row["detail"] for row in database._db.execute(f"EXPLAIN QUERY PLAN {asked[0]}"))
    assert "USING INDEX queue" in plan
    assert "SCAN" not in plan


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


def test_a_database_of_one_picture_a_job_is_brought_up_to_date(path):
    picture = {"sha256": "ab" * 32, "shape": [8, 8, 3], "dtype": "uint8"}
    control_map = {"sha256": "cd" * 32, "shape": [8, 8, 3], "dtype": "uint8"}
    common = {"timings": [{"phase": "step", "ms": 2.5}], "checkpoint": "x", "plan": "on the CPU"}
    results = [
        {"image": picture, "control_maps": [control_map], **common, "versions": {"torch": "2"}},
        {"image": None, "control_maps": [control_map], **common, "versions": {}},
        None,
    ]
    raw = sqlite3.connect(path)
    for script in MIGRATIONS[:2]:  # as the version before wrote it
        raw.executescript(script)
    raw.execute("PRAGMA user_version = 2")
    for number, result in enumerate(results, start=1):
        text = None if result is None else json.dumps(result)
        state = "failed" if result is None else "succeeded"
        request = json.dumps({"type": "GenerateRequest", "prompt": "x", "size": {"width": 8, "height": 8}})
        raw.execute(
            "INSERT INTO jobs (number, id, client, request, retry_interrupted, created_at, state, revision, result)"
            " VALUES (?, ?, 'test', ?, 1, 1.5, ?, ?, ?)",
            (number, IDS[number], request, state, number, text),
        )
        raw.execute("INSERT INTO changes (number, state, attempts, result) VALUES (?, ?, 1, ?)", (number, state, text))
    raw.commit()
    raw.close()

    database = Database(path)
    listed = database.jobs(before=None, limit=10).jobs
    changed = [change.job for change in database.changes(since=0)]
    database.close()
    for first, second, third in (listed[::-1], changed):
        assert [(ref.sha256, ref.shape) for ref in first.result.images] == [("ab" * 32, (8, 8, 3))]
        assert first.result.image == first.result.images[0]
        assert [ref.sha256 for ref in first.result.control_maps] == ["cd" * 32]
        assert (first.result.timings[0].ms, first.result.versions) == (2.5, {"torch": "2"})
        assert (second.result.images, second.result.image, third.result) == ((), None, None)
        assert [ref.sha256 for ref in second.result.control_maps] == ["cd" * 32]
    Database(path).close()  # and once more, with nothing left to do


def test_every_picture_of_a_job_is_in_use(database):
    picture = ArrayRef(sha256="ab" * 32, shape=(8, 8, 3), dtype=DType.UINT8)
    other = ArrayRef(sha256="cd" * 32, shape=(8, 8, 3), dtype=DType.UINT8)
    start = ArrayRef(sha256="ef" * 32, shape=(8, 8, 3), dtype=DType.UINT8)
    mask = ArrayRef(sha256="01" * 32, shape=(8, 8), dtype=DType.UINT8)
    request = GenerateRequest(prompt="", size=Extent(width=8, height=8), start=Start(image=start, mask=mask))
    database.submit(IDS[0], JobSubmission(request=PlanRequest(picture=request)), at=1)
    database.submit(IDS[1], JobSubmission(request=request), at=1)
    result = JobResult(images=(picture, other), control_maps=(), timings=(), checkpoint="", plan="", versions={})
    database.transition(to(JobState.RUNNING, IDS[1]))
    database.transition(to(JobState.SUCCEEDED, IDS[1], at=3.0, result=result))
    assert database.job(IDS[1]).result == result
    assert [database.uses(ref.sha256) for ref in (picture, other, start, mask)] == [True] * 4
    database.forget(ended_before=10)
    assert [database.uses(ref.sha256) for ref in (picture, other, start, mask)] == [False, False, True, True]


def test_pages_end(database):
    for job_id in IDS[:5]:
        database.submit(job_id, submission(), at=1)
    first = database.jobs(before=None, limit=3)
    second = database.jobs(before=first.next_before, limit=3)
    assert [job.id for job in (*first.jobs, *second.jobs)] == IDS[4::-1]
    assert second.next_before is None
