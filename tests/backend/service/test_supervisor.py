"""What the supervisor does when the disk is full at the wrong moment, with a real worker process."""

import asyncio
import contextlib
import sys
import time
from pathlib import Path

import pytest
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.service.database import Database
from underpaint.backend.service.hub import Hub
from underpaint.backend.service.supervisor import Limits, Supervisor
from underpaint.protocol.errors import DiskFull
from underpaint.protocol.jobs import JobState, JobSubmission

FAKE_WORKER = Path(__file__).parents[1] / "fake_worker.py"
JOB = "1" * 32


class SmallDisk(Database):
    full = False
    refused = 0

    def _refuse(self):
        if self.full:
            self.refused += 1
            raise DiskFull(path="here")

    def transition(self, change):
        self._refuse()
        return super().transition(change)


@pytest.mark.parametrize(
    ("then", "state"),
    [("succeed", JobState.SUCCEEDED), ("oom", JobState.FAILED), ("leave", JobState.INTERRUPTED)],
)
def test_an_end_that_cannot_be_recorded_is_recorded_later(tmp_path, told, then, state):
    database = SmallDisk(tmp_path / "queue.sqlite3")
    blobs = BlobStore(tmp_path / "blobs")
    command = [sys.executable, str(FAKE_WORKER), "--blobs", str(blobs.folder)]

    async def until(condition):
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    async def story():
        supervisor = Supervisor(
            database=database,
            blobs=blobs,
            hub=Hub(),
            command=command,
            worker_log=tmp_path / "worker.log",
            limits=Limits(tick_s=0.02),
        )
        watch = asyncio.create_task(supervisor.run())
        submission = JobSubmission(request=told(f"steps=1 pause=0.1 then={then}"), retry_interrupted=False)
        database.submit(JOB, submission, at=1)
        supervisor.wake()
        await until(lambda: database.job(JOB).state is JobState.RUNNING)
        database.full = True
        await until(lambda: database.refused > 2)
        assert database.job(JOB).state is JobState.RUNNING
        assert supervisor.busy
        database.full = False
        await until(lambda: database.job(JOB).state.ended)
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
        await supervisor.stop()

    asyncio.run(story())
    assert database.job(JOB).state is state
    database.close()
