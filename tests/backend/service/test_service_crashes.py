"""Workers and services that die, hang or talk nonsense."""

import json
import os
import signal

import pytest
from service_process import alive, until
from underpaint.protocol.client import event_stream, following, run, wait
from underpaint.protocol.errors import BackendUnreachable, JobCancelled, JobInterrupted, WorkerFailed
from underpaint.protocol.jobs import JobState


def test_a_job_whose_worker_died_is_tried_once_more(shared, connection, told):
    job = run(connection, told("then=crash-once"))
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 2)


def test_a_job_that_kills_two_workers_is_not_tried_again(shared, connection, told):
    job = connection.submit(told("then=crash"))
    with pytest.raises(WorkerFailed, match=r"twice.*SIGKILL"):
        wait(connection, job)
    job = connection.job(job.id)
    assert (job.state, job.attempts) == (JobState.FAILED, 2)
    assert run(connection, told()).state is JobState.SUCCEEDED


def test_an_unexpected_error_is_told_with_the_log_that_holds_it(shared, connection, told):
    with pytest.raises(WorkerFailed, match="as told") as caught:
        run(connection, told("then=fail"))
    assert str(shared.home.worker_log) in str(caught.value)


def test_a_job_that_does_not_want_another_try_is_interrupted(connection, told):
    job = connection.submit(told("then=leave"), retry_interrupted=False)
    with pytest.raises(JobInterrupted, match="code 7: last words"):
        wait(connection, job)
    assert connection.job(job.id).state is JobState.INTERRUPTED


@pytest.mark.parametrize("then", ["garbage", "huge", "stranger", "silent"])
def test_a_worker_that_talks_nonsense_or_falls_silent_is_killed(shared, connection, told, then):
    run(connection, told())
    before = shared.workers()
    job = connection.submit(told(f"then={then}"), retry_interrupted=False)
    with pytest.raises(JobInterrupted):
        wait(connection, job)
    assert run(connection, told()).state is JobState.SUCCEEDED
    assert not before & shared.workers()


@pytest.mark.parametrize(("start", "reason"), [("die", "told not to start"), ("garbage", "understood")])
def test_a_worker_that_cannot_start_fails_the_job_and_does_not_block_the_queue(service, told, start, reason):
    connection = service.start(worker=start)
    with pytest.raises(WorkerFailed, match=reason):
        run(connection, told())
    assert connection.job(connection.jobs().jobs[0].id).attempts == 0


def test_a_killed_service_leaves_its_queue_intact_and_no_worker(service, told):
    connection = service.start()
    running = connection.submit(told("steps=1 then=hang", seed=1))
    waiting = connection.submit(told(seed=2))
    until(lambda: connection.job(running.id).state is JobState.RUNNING)
    service.kill()
    until(lambda: not service.workers())
    assert service.home.endpoint_file.exists()

    connection = service.start()
    assert connection.job(waiting.id).state is JobState.QUEUED
    until(lambda: connection.job(running.id).state is JobState.RUNNING)
    assert connection.job(running.id).attempts == 2
    connection.cancel(running.id)
    with pytest.raises(JobCancelled):
        wait(connection, running)
    assert wait(connection, waiting).state is JobState.SUCCEEDED


def test_a_job_is_not_tried_a_third_time_by_a_third_service(service, told):
    job = service.start().submit(told("steps=1 then=hang"))
    for _ in range(2):
        until(lambda: service.connection.job(job.id).state is JobState.RUNNING)
        service.kill()
        service.start()
    with pytest.raises(JobInterrupted, match="service"):
        wait(service.connection, job)


def test_a_client_whose_service_dies_is_told_and_never_hangs(service, told, monkeypatch):
    monkeypatch.setattr(following, "RECONNECT_S", 0.5)
    connection = service.start()

    def cut(event):
        if alive(service.pid):
            service.kill()

    with pytest.raises(BackendUnreachable):
        run(connection, told("then=hang"), on_event=cut)


def test_a_client_finds_a_service_that_was_restarted_under_its_job(service, told):
    connection = service.start()
    killed = []

    def cut(event):
        if not killed and connection.jobs().jobs[0].state is JobState.RUNNING:
            killed.append(service.pid)
            service.kill()
            mine, service.connection = service.connection, None
            service.start().close()
            service.connection = mine

    job = run(connection, told("steps=2 pause=0.2"), on_event=cut)
    assert killed
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 2)


def test_a_client_whose_service_hangs_is_told(service, told, monkeypatch):
    monkeypatch.setattr(following, "RECONNECT_S", 0.5)
    monkeypatch.setattr(event_stream, "SILENCE_S", 0.5)
    connection = service.start()
    job = connection.submit(told("then=hang"))
    os.kill(service.pid, signal.SIGSTOP)
    try:
        with pytest.raises(BackendUnreachable, match="time"):
            wait(connection, job)
    finally:
        os.kill(service.pid, signal.SIGCONT)
    assert service.start().job(job.id).state in (JobState.QUEUED, JobState.RUNNING)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_service_and_worker_cleanly(service, told, number):
    connection = service.start()
    run(connection, told())
    assert service.workers()
    os.kill(service.pid, number)
    until(lambda: not alive(service.pid))
    assert not service.workers()
    assert not service.home.endpoint_file.exists()
    assert not service.home.token_file.exists()
    assert json.loads(service.home.service_log.read_text().splitlines()[-1])["text"] == "left"
