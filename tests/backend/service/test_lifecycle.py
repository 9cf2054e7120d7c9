"""The rules of the queue, as a table."""

import pytest
from underpaint.backend.service.lifecycle import FROM, after_loss
from underpaint.protocol.jobs import JobState


@pytest.mark.parametrize(
    ("attempts", "worker_deaths", "retry", "cancel_requested", "expected"),
    [
        (1, 1, True, False, JobState.QUEUED),
        (1, 0, True, False, JobState.QUEUED),  # the service died, not the worker
        (1, 1, False, False, JobState.INTERRUPTED),
        (2, 1, True, False, JobState.INTERRUPTED),  # worker, then service: it had its second try
        (2, 0, True, False, JobState.INTERRUPTED),
        (2, 2, True, False, JobState.FAILED),
        (2, 2, False, False, JobState.FAILED),
        (1, 1, True, True, JobState.CANCELLED),
        (2, 2, True, True, JobState.CANCELLED),
    ],
)
def test_what_becomes_of_a_job_that_lost_its_worker(attempts, worker_deaths, retry, cancel_requested, expected):
    became = after_loss(
        attempts=attempts, worker_deaths=worker_deaths, retry=retry, resumes=False, cancel_requested=cancel_requested
    )
    assert became is expected


def test_nothing_leaves_an_ended_state():
    assert set(FROM) == set(JobState)
    assert not any(origin.ended for origins in FROM.values() for origin in origins)


@pytest.mark.parametrize(
    ("worker_deaths", "retry", "cancel_requested", "expected"),
    [
        (0, True, False, JobState.QUEUED),  # the computer was switched off nine times: each brought it further
        (1, True, False, JobState.QUEUED),
        (2, True, False, JobState.FAILED),
        (0, False, False, JobState.INTERRUPTED),
        (0, True, True, JobState.CANCELLED),
    ],
)
def test_a_download_is_gone_on_with_however_often_it_was_begun(worker_deaths, retry, cancel_requested, expected):
    became = after_loss(
        attempts=9, worker_deaths=worker_deaths, retry=retry, resumes=True, cancel_requested=cancel_requested
    )
    assert became is expected
