"""Jobs from submission to result, through a real service and the real pipe."""

import itertools
import uuid
from contextlib import closing

import numpy as np
import pytest
from service_process import until
from underpaint.protocol.client import Connection, run, wait
from underpaint.protocol.errors import (
    DiskFull,
    InvalidRequest,
    JobCancelled,
    JobConflict,
    JobNotQueued,
    JobUnknown,
    OutOfMemory,
    WorkerFailed,
)
from underpaint.protocol.events import JobChanged, PreviewReady, Progress, WorkerChanged
from underpaint.protocol.geometry import Extent, Projection
from underpaint.protocol.jobs import JobState, Priority
from underpaint.protocol.request import Control, ControlKind, GenerateRequest
from underpaint.protocol.sources import DepthPass


def test_a_picture_arrives_as_it_was_made(connection, told):
    job = run(connection, told("then=succeed", seed=7))
    picture = connection.download(job.result.image)
    expected = np.random.default_rng(7).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(picture, expected)
    assert job.attempts == 1
    assert job.created_at <= job.started_at <= job.ended_at


def test_passes_are_uploaded_once_and_maps_come_back(connection):
    depth = np.full((16, 32), 2.5, np.float32)
    depth[0, 0] = np.inf
    ref = connection.upload(depth)
    assert connection.upload(depth) == ref
    np.testing.assert_array_equal(connection.download(ref), depth)
    control = Control(kind=ControlKind.DEPTH, source=DepthPass(metres=ref, projection=Projection.PERSPECTIVE))
    request = GenerateRequest(prompt="", size=Extent(width=32, height=16), controls=(control,))
    job = run(connection, request)
    assert job.request == request
    assert connection.download(job.result.control_maps[0]).shape == (16, 32, 3)


def test_events_tell_the_way_of_a_job(connection, told):
    seen = []
    previews = []

    def on_event(event):
        seen.append(event)
        if isinstance(event, PreviewReady):
            previews.append(connection.preview(event.job_id))

    job = run(connection, told("steps=3 pause=0.1"), on_event=on_event)
    states = [event.job.state for event in seen if isinstance(event, JobChanged) and event.job.id == job.id]
    assert states == [JobState.RUNNING, JobState.SUCCEEDED]
    # Progress and previews are latest-only: the last ones may be overtaken by the job's end.
    steps = [event.step for event in seen if isinstance(event, Progress)]
    assert steps in ([1, 2], [1, 2, 3])
    assert [int(preview[0, 0, 0]) for preview in previews][:2] == [1, 2]
    assert connection.preview(job.id)[0, 0, 0] == 3


def test_a_new_listener_is_told_how_the_worker_is(connection, told):
    run(connection, told())
    with closing(connection.events()) as events:
        first = [next(events) for _ in range(3)]
    assert [event.device for event in first if isinstance(event, WorkerChanged)] == ["fake"]


def test_submitting_twice_is_one_job(connection, told):
    job_id = uuid.uuid4().hex
    first = connection.submit(told(seed=1), job_id=job_id)
    second = connection.submit(told(seed=1), job_id=job_id)
    assert (first.id, first.created_at) == (second.id, second.created_at)
    wait(connection, second)
    assert connection.submit(told(seed=1), job_id=job_id).state is JobState.SUCCEEDED
    with pytest.raises(JobConflict):
        connection.submit(told(seed=2), job_id=job_id)


def test_a_lost_connection_resumes_without_losing_a_change(connection, told):
    start = connection.hello().revision
    with closing(connection.events(start)) as events:
        job = connection.submit(told("pause=0.05"))
        first = next(event for event in events if isinstance(event, JobChanged))
    until(lambda: connection.job(job.id).state.ended)
    seen = [first]
    with closing(connection.events(first.revision)) as events:
        for event in events:
            if isinstance(event, JobChanged):
                seen.append(event)
                if event.job.state.ended:
                    break
    assert [change.job.state for change in seen] == [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]
    assert [change.revision for change in seen] == list(range(start + 1, start + 4))


def test_a_running_job_is_cancelled(connection, told):
    started = []

    def on_event(event):
        started.append(isinstance(event, Progress))

    with pytest.raises(JobCancelled):
        run(connection, told("steps=1 then=hang"), on_event=on_event, cancelled=lambda: any(started))
    assert connection.jobs(limit=1).jobs[0].state is JobState.CANCELLED


def test_a_job_that_nobody_waits_for_any_more_is_cancelled(connection, told):
    class OutOfPaint(Exception):
        pass

    def on_event(event):
        if isinstance(event, Progress):
            raise OutOfPaint

    with pytest.raises(OutOfPaint):
        run(connection, told("steps=1 then=hang"), on_event=on_event)
    until(lambda: connection.jobs(limit=1).jobs[0].state is JobState.CANCELLED)


def test_a_queued_job_is_cancelled_and_never_begun(connection, told):
    first = connection.submit(told("then=hang"))
    second = connection.submit(told())
    assert connection.cancel(second.id).state is JobState.CANCELLED
    connection.cancel(first.id)
    with pytest.raises(JobCancelled):
        wait(connection, first)
    assert connection.job(second.id).attempts == 0
    assert connection.cancel(second.id).state is JobState.CANCELLED


def test_a_worker_that_ignores_a_cancel_is_killed_and_replaced(shared, connection, told):
    run(connection, told())
    before = shared.workers()
    job = connection.submit(told("steps=1 then=deaf"))
    until(lambda: connection.job(job.id).state is JobState.RUNNING and connection.preview(job.id) is not None)
    connection.cancel(job.id)
    with pytest.raises(JobCancelled):
        wait(connection, job)
    assert run(connection, told()).state is JobState.SUCCEEDED
    assert not before & shared.workers()


@pytest.mark.parametrize(
    ("then", "error"), [("fail", WorkerFailed), ("oom", OutOfMemory), ("full", DiskFull), ("lie", WorkerFailed)]
)
def test_a_failed_job_raises_its_own_error_and_the_worker_stays(shared, connection, told, then, error):
    run(connection, told())
    before = shared.workers()
    with pytest.raises(error):
        run(connection, told(f"then={then}"))
    run(connection, told())
    assert shared.workers() == before


def test_two_clients_share_the_queue(shared, connection, told):
    with Connection.to(shared.home) as other:
        jobs = [(client, client.submit(told(seed=seed))) for seed, client in enumerate([connection, other] * 3)]
        ended = [wait(client, job) for client, job in jobs]
        assert [job.id for job in other.jobs(limit=6).jobs] == [job.id for job in reversed(ended)]
        starts = [job.started_at for job in ended]
        assert starts == sorted(starts)
        assert all(before.ended_at <= after.started_at for before, after in itertools.pairwise(ended))


def test_jobs_come_in_pages(connection, told):
    made = [connection.submit(told(seed=seed)).id for seed in range(5)]
    wait(connection, connection.job(made[-1]))
    first = connection.jobs(limit=2)
    second = connection.jobs(before=first.next_before, limit=2)
    assert [job.id for job in (*first.jobs, *second.jobs)] == made[:0:-1]


def test_an_unknown_job_is_named(connection):
    with pytest.raises(JobUnknown, match="f" * 32):
        connection.job("f" * 32)
    with pytest.raises(InvalidRequest, match="32 lower-case hex"):
        connection.job("F" * 32)


def test_a_waiting_job_moves_up_and_everybody_hears_of_it(connection, told):
    held = connection.submit(told("steps=200 pause=0.05"))
    first, second, batch = (
        connection.submit(told("then=succeed", seed=seed), priority=priority)
        for seed, priority in ((1, Priority.NORMAL), (2, Priority.NORMAL), (3, Priority.LOW))
    )
    until(lambda: connection.job(held.id).state is JobState.RUNNING)
    with pytest.raises(JobNotQueued):
        connection.move(held.id)
    since = connection.hello().revision
    moved = connection.move(batch.id, before=first.id)
    assert (moved.priority, moved.place < first.place) == (Priority.NORMAL, True)
    with closing(connection.events(since)) as events:
        assert next(event.job for event in events if isinstance(event, JobChanged)) == moved
    connection.cancel(held.id)
    jobs = [wait(connection, job) for job in (first, second, batch)]
    starts = [job.started_at for job in jobs]
    assert starts[2] < starts[0] < starts[1]


def test_a_job_is_tried_again_as_a_job_of_its_own(connection, told):
    failed = connection.submit(told("then=oom"), priority=Priority.HIGH)
    with pytest.raises(OutOfMemory):
        wait(connection, failed)
    again = connection.retry(failed.id)
    assert again.id != failed.id
    assert (again.request, again.priority, again.state) == (failed.request, Priority.HIGH, JobState.QUEUED)


def test_the_service_says_what_it_can_do_and_hears_who_has_what(connection, told):
    assert {"moves", "plans", "collected"} <= set(connection.hello().capabilities)
    job = run(connection, told("then=succeed"))
    connection.collected(job.id)
    connection.collected(job.id)
    with pytest.raises(JobUnknown):
        connection.collected("f" * 32)
