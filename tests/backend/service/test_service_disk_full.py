"""A service on a disk that is full: typed errors, and nothing lost. Needs a small file system of its own."""

import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
from service_process import Service, until
from underpaint.protocol.client import Home, run, wait
from underpaint.protocol.errors import DiskFull
from underpaint.protocol.events import WorkerChanged, WorkerState
from underpaint.protocol.jobs import JobState


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """A service whose home is a file system of 4 MiB."""
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small file system can't be mounted here: {error}")
    service = Service(Home(folder))
    try:
        yield service
        service.stop()
        until(lambda: not service.workers())
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(service):
    """Take all space there is."""
    filler = service.home.folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while stream.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return filler


def test_an_array_too_many_is_refused_and_leaves_no_trace(small_disk):
    connection = small_disk.start()
    kept = connection.upload(np.ones((64, 64), np.float32))
    with pytest.raises(DiskFull, match="small"):
        connection.upload(np.zeros(2 << 20, np.float32))
    assert not list(small_disk.home.blobs.glob(".incoming-*"))
    assert connection.download(kept).shape == (64, 64)
    connection.upload(np.zeros((64, 64), np.float32))


def test_a_service_that_cannot_start_for_lack_of_space_says_so(small_disk):
    small_disk.home.create()
    filler = fill(small_disk)
    with pytest.raises(DiskFull, match="small"):
        small_disk.start()
    filler.unlink()
    assert small_disk.start().hello()


def test_a_job_that_cannot_be_recorded_is_refused_and_can_be_submitted_later(small_disk, told):
    connection = small_disk.start()
    filler = fill(small_disk)
    refused = 0
    for seed in range(200):  # until what SQLite had in reserve is used up
        try:
            connection.submit(told("then=hang", seed=seed))
        except DiskFull:
            refused += 1
            break
    assert refused
    held = [job.id for job in connection.jobs(limit=500).jobs]
    filler.unlink()
    for job_id in held:
        connection.cancel(job_id)
    assert run(connection, told("steps=1")).state is JobState.SUCCEEDED
    assert len(connection.jobs(limit=500).jobs) == len(held) + 1


def test_a_result_that_cannot_be_stored_ends_its_job_and_no_other(small_disk, told):
    connection = small_disk.start()
    job = connection.submit(told("steps=1 pause=1"))
    until(lambda: connection.job(job.id).state is JobState.RUNNING)
    filler = fill(small_disk)
    until(lambda: connection.preview(job.id) is not None)
    with closing(connection.events()) as events:
        until(lambda: next(events) == WorkerChanged(state=WorkerState.READY, device="fake"))
    filler.unlink()
    with pytest.raises(DiskFull):
        wait(connection, job)
    assert run(connection, told()).state is JobState.SUCCEEDED
