"""Downloads go beside pictures and looks, one after the other, and neither dies for the other."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from service_process import Service, until
from test_supervisor import JOB, SmallDisk, supervision
from test_supervisor import until as until_it
from underpaint.backend.library.catalogue import catalogue
from underpaint.backend.service.database import Database
from underpaint.backend.service.lanes import Lane
from underpaint.backend.service.limits import Limits
from underpaint.protocol.client import Connection, following
from underpaint.protocol.errors import InvalidRequest, JobNotQueued
from underpaint.protocol.events import Event, Progress
from underpaint.protocol.jobs import Job, JobState, JobSubmission, Phase
from underpaint.protocol.request import DownloadRequest, GenerateRequest

Told = Callable[..., GenerateRequest]


def download(then: str = "succeed") -> DownloadRequest:
    return DownloadRequest(reference="owner/name", file=f"then={then}")


def until_state(connection: Connection, job: Job, state: JobState) -> None:
    until(lambda: connection.job(job.id).state is state)


def test_a_download_goes_beside_a_picture_and_past_those_that_wait(connection: Connection, told: Told) -> None:
    painting, waiting = connection.submit(told("then=hang")), connection.submit(told())
    until_state(connection, painting, JobState.RUNNING)
    fetched = connection.submit(download())
    until_state(connection, fetched, JobState.SUCCEEDED)
    assert connection.job(fetched.id).result.checkpoint == "owner/name"
    assert connection.job(painting.id).state is JobState.RUNNING
    assert [job.id for job in connection.queue().jobs] == [waiting.id]
    connection.cancel(painting.id)
    until_state(connection, waiting, JobState.SUCCEEDED)


def test_downloads_go_one_after_the_other_and_pictures_past_them(connection: Connection, told: Told) -> None:
    first, second = connection.submit(download("hang")), connection.submit(download())
    until_state(connection, first, JobState.RUNNING)
    until_state(connection, connection.submit(told()), JobState.SUCCEEDED)
    assert connection.job(second.id).state is JobState.QUEUED
    assert connection.queue().jobs == ()
    with pytest.raises(JobNotQueued, match="a download"):
        connection.move(second.id)
    connection.cancel(first.id)
    until_state(connection, first, JobState.CANCELLED)
    until_state(connection, second, JobState.SUCCEEDED)


def test_how_far_it_is_is_told_to_those_who_wait_for_it_alone(connection: Connection, told: Told) -> None:
    heard: list[Event] = []
    fetching = connection.submit(download("hang"))
    until_state(connection, fetching, JobState.RUNNING)
    following.run(connection, told("pause=0.05"), on_event=heard.append)
    assert {event.phase for event in heard if isinstance(event, Progress)} == {Phase.STEP}

    def enough(event: Event) -> None:
        if isinstance(event, Progress) and event.phase is Phase.FETCH:
            connection.cancel(fetching.id)
            heard.append(event)

    with connection.another() as another:
        job = another.job(fetching.id)
        with pytest.raises(Exception, match="Cancelled"):
            following.wait(another, job, on_event=enough)
    assert heard[-1].fraction == 0.5


def test_a_reference_that_is_no_hub_id_is_refused_at_the_door(connection: Connection) -> None:
    with pytest.raises(InvalidRequest, match="hub id"):
        connection.submit(DownloadRequest(reference="../somewhere"))


def test_it_is_gone_on_with_after_a_worker_died_of_something_else(service: Service, told: Told) -> None:
    service.start()
    with Connection.to(service.home) as connection:
        fetching = connection.submit(download("hang"))
        until_state(connection, fetching, JobState.RUNNING)
        for _ in range(2):  # more often than a job may take its worker along
            until_state(connection, fetching, JobState.RUNNING)
            crashed = connection.submit(told("then=crash"), retry_interrupted=False)
            until_state(connection, crashed, JobState.INTERRUPTED)
        until(lambda: connection.job(fetching.id).attempts == 3)
        connection.cancel(fetching.id)
        until_state(connection, fetching, JobState.CANCELLED)
        killer = connection.submit(download("crash"))
        until_state(connection, killer, JobState.FAILED)
        assert "died on this job twice" in str(connection.job(killer.id).error.error())


def test_it_is_gone_on_with_by_the_next_service_and_the_one_after(service: Service) -> None:
    service.start()
    with Connection.to(service.home) as connection:
        fetching = connection.submit(download("hang"))
        until_state(connection, fetching, JobState.RUNNING)
    for attempts in (2, 3):
        service.kill()
        service.start()
        with Connection.to(service.home) as connection:
            until(lambda: connection.job(fetching.id).attempts == attempts)  # noqa: B023 (asked at once)
            until_state(connection, fetching, JobState.RUNNING)
    with Connection.to(service.home) as connection:
        connection.cancel(fetching.id)
        until_state(connection, fetching, JobState.CANCELLED)


def test_a_picture_does_not_die_for_a_download_that_ignores_its_cancel(tmp_path: Path, told: Told) -> None:
    database = SmallDisk(tmp_path / "queue.sqlite3")
    fetching, painting, next_one = (digit * 32 for digit in "123")

    async def scenario() -> None:
        async with supervision(database, tmp_path, download_cancel_s=0.1) as supervisor:
            database.submit(fetching, JobSubmission(request=download("deaf")), time.time())
            database.submit(next_one, JobSubmission(request=download()), time.time())
            supervisor.wake()
            await until_it(lambda: database.job(fetching).state is JobState.RUNNING)
            database.submit(painting, JobSubmission(request=told("steps=20 pause=0.05")), time.time())
            supervisor.wake()
            await until_it(lambda: database.job(painting).state is JobState.RUNNING)
            supervisor.cancel(fetching)
            await until_it(lambda: database.job(painting).state.ended)
            assert database.job(fetching).state is JobState.RUNNING  # ten times as long as it has
            await until_it(lambda: database.job(next_one).state is JobState.SUCCEEDED)

    asyncio.run(scenario())
    assert (database.job(painting).state, database.job(painting).attempts) == (JobState.SUCCEEDED, 1)
    assert database.job(fetching).state is JobState.CANCELLED  # the worker died for it, when nothing else ran


def test_a_download_that_tells_nothing_for_long_is_given_another_worker(tmp_path: Path) -> None:
    database = SmallDisk(tmp_path / "queue.sqlite3")

    async def scenario() -> None:
        async with supervision(database, tmp_path, stuck_s={Phase.FETCH: 0.2}, rest_s=0.0) as supervisor:
            database.submit(JOB, JobSubmission(request=download("hang")), time.time())
            supervisor.wake()
            await until_it(lambda: database.job(JOB).state is JobState.FAILED)

    asyncio.run(scenario())
    assert "a download told nothing" in str(database.job(JOB).error.error())


def test_a_silent_hub_is_given_up_before_the_worker_is() -> None:
    """The client's own limit for a silence, six tries of it, and the pauses between them."""
    from underpaint.backend.worker.hub import fetching, refusals

    pauses = sum(max(pause, refusals.LONGEST_PAUSE_S) for pause in fetching._PAUSES_S)
    assert Limits().stuck_s[Phase.FETCH] > pauses + 10.0 * (len(fetching._PAUSES_S) + 1)


def test_each_lane_has_a_queue_of_its_own(tmp_path: Path, told: Told) -> None:
    database = Database(tmp_path / "queue.sqlite3")
    for digit, request in (("1", told()), ("2", download()), ("3", told())):
        database.submit(digit * 32, JobSubmission(request=request), 1.0)
    database.submit("4" * 32, JobSubmission(request=told(), transient=True), 1.0)
    database.submit("5" * 32, JobSubmission(request=download(), transient=True), 1.0)

    def of(lane: Lane | None) -> set[str]:
        return {job.id[0] for job in database.queued(lane, limit=9)}

    assert (of(Lane.PICTURES), of(Lane.LOOKS), of(Lane.DOWNLOADS)) == ({"1", "3"}, {"4"}, {"2", "5"})
    assert of(None) == set("12345")
    database.close()


def test_the_catalogue_is_told(connection: Connection) -> None:
    assert connection.catalogue() == catalogue()
