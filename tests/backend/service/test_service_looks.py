"""A look at control maps doesn't wait for a picture, and costs no picture anything."""

from collections.abc import Callable

import numpy as np
import pytest
from service_process import Service, until
from underpaint.protocol.client import Connection
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import Job, JobState
from underpaint.protocol.request import Control, ControlKind, ControlMapsRequest, GenerateRequest
from underpaint.protocol.sources import ReadyMap

Told = Callable[..., GenerateRequest]


def look(connection: Connection, *, transient: bool = True) -> Job:
    image = connection.upload(np.zeros((16, 32, 3), np.uint8))
    control = Control(kind=ControlKind.TILE, source=ReadyMap(image=image))
    request = ControlMapsRequest(size=Extent(width=32, height=16), controls=(control,))
    return connection.submit(request, transient=transient)


def until_state(connection: Connection, job: Job, state: JobState) -> None:
    until(lambda: connection.job(job.id).state is state)


@pytest.fixture
def painting(connection: Connection, told: Told) -> Job:
    job = connection.submit(told("then=hang"))
    until_state(connection, job, JobState.RUNNING)
    return job


def test_a_look_goes_beside_a_picture(connection: Connection, painting: Job) -> None:
    for _ in range(2):
        until_state(connection, look(connection), JobState.SUCCEEDED)
    assert connection.job(painting.id).state is JobState.RUNNING
    connection.cancel(painting.id)
    until_state(connection, painting, JobState.CANCELLED)


def test_maps_that_are_to_be_kept_take_their_turn(connection: Connection, painting: Job) -> None:
    kept = look(connection, transient=False)
    until_state(connection, look(connection), JobState.SUCCEEDED)
    assert connection.job(kept.id).state is JobState.QUEUED
    connection.cancel(painting.id)
    until_state(connection, kept, JobState.SUCCEEDED)


def test_a_look_that_is_cancelled_leaves_the_picture_alone(connection: Connection, painting: Job) -> None:
    first, second = look(connection), look(connection)
    connection.cancel(second.id)
    for job in (first, second):
        until(lambda job=job: connection.job(job.id).state.ended)
    assert connection.job(painting.id).state is JobState.RUNNING
    connection.cancel(painting.id)
    until_state(connection, painting, JobState.CANCELLED)


def test_both_are_tried_again_when_the_worker_dies(service: Service, told: Told) -> None:
    service.start()
    with Connection.to(service.home) as connection:
        picture = connection.submit(told("pause=0.3 then=crash-once"))
        until_state(connection, picture, JobState.RUNNING)
        looks = [look(connection) for _ in range(8)]
        until_state(connection, picture, JobState.SUCCEEDED)
        assert connection.job(picture.id).attempts == 2
        for job in looks:
            until_state(connection, job, JobState.SUCCEEDED)
