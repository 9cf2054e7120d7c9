"""What the supervisor does at the wrong moments (a full disk, a hang, deaths in a row), with a real worker process."""

import asyncio
import contextlib
import itertools
import sys
import time
from pathlib import Path

import pytest
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.service.database import Database
from underpaint.backend.service.hub import Hub
from underpaint.backend.service.limits import Limits
from underpaint.backend.service.supervisor import Supervisor
from underpaint.protocol.errors import DiskFull
from underpaint.protocol.jobs import JobState, JobSubmission, Phase
from underpaint.protocol.request import ControlMapsRequest

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


class DiskWithRoomForOneLoss(SmallDisk):
    """The second loss is recorded only after a new worker had time enough to start."""

    losses = 0

    def lose(self, job_id, at, **details):
        if self.losses == 1 and self.refused < 60:
            self.refused += 1
            raise DiskFull(path="here")
        self.losses += 1
        return super().lose(job_id, at, **details)


async def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def supervision(database, tmp_path, *arguments, **limits):
    blobs = BlobStore(tmp_path / "blobs")
    supervisor = Supervisor(
        database=database,
        blobs=blobs,
        hub=Hub(),
        command=[sys.executable, str(FAKE_WORKER), "--blobs", str(blobs.folder), *arguments],
        worker_log=tmp_path / "worker.log",
        limits=Limits(tick_s=0.02, **limits),
    )
    watch = asyncio.create_task(supervisor.run())
    yield supervisor
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch
    await supervisor.stop()


@pytest.mark.parametrize(
    ("then", "state"),
    [("succeed", JobState.SUCCEEDED), ("oom", JobState.FAILED), ("leave", JobState.INTERRUPTED)],
)
def test_an_end_that_cannot_be_recorded_is_recorded_later(tmp_path, told, then, state):
    database = SmallDisk(tmp_path / "queue.sqlite3")

    async def story():
        async with supervision(database, tmp_path) as supervisor:
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

    asyncio.run(story())
    assert database.job(JOB).state is state
    database.close()


def test_a_death_that_is_half_recorded_is_not_told_of_jobs_that_came_later(tmp_path, told):
    database = DiskWithRoomForOneLoss(tmp_path / "queue.sqlite3")
    crashing = JobSubmission(request=told("pause=0.2 then=leave"), retry_interrupted=False)
    hanging = JobSubmission(request=told("then=hang"), transient=True)
    later = "3" * 32

    async def story():
        async with supervision(database, tmp_path) as supervisor:
            database.submit(JOB, crashing, at=1)
            database.submit("2" * 32, hanging, at=1)
            database.submit(later, JobSubmission(request=told("steps=2 pause=0.1")), at=1)
            supervisor.wake()
            await until(lambda: database.job(later).state.ended)
        assert database.losses == 2

    asyncio.run(story())
    assert database.job(JOB).state is JobState.INTERRUPTED
    assert (database.job(later).state, database.job(later).attempts) == (JobState.SUCCEEDED, 1)
    database.close()


def test_a_look_that_ends_workers_as_they_start_ends_no_picture(tmp_path, told):
    database = Database(tmp_path / "queue.sqlite3")
    look = "2" * 32

    async def story():
        async with supervision(database, tmp_path, "--start", "look-kills") as supervisor:
            database.submit(JOB, JobSubmission(request=told("steps=1")), at=1)
            request = ControlMapsRequest(size=told().size, controls=())
            database.submit(look, JobSubmission(request=request, transient=True), at=1)
            supervisor.wake()
            await until(lambda: database.job(JOB).state.ended)

    asyncio.run(story())
    assert database.job(look).state is JobState.FAILED
    assert database.job(JOB).state is JobState.SUCCEEDED
    database.close()


def test_a_look_that_ignores_its_cancel_is_in_no_picture_s_way(tmp_path, told):
    database = Database(tmp_path / "queue.sqlite3")
    look = "2" * 32

    async def story():
        async with supervision(database, tmp_path, look_cancel_s=0.2) as supervisor:
            # The fake worker does what has a prompt one by one, as the real one does photos and pictures.
            deaf = JobSubmission(request=told("steps=1 then=deaf"), transient=True)
            database.submit(look, deaf, at=1)
            supervisor.wake()
            await until(lambda: database.job(look).state is JobState.RUNNING)
            database.submit(JOB, JobSubmission(request=told("steps=1")), at=1)
            supervisor.wake()
            await until(lambda: database.job(JOB).state is JobState.RUNNING)
            await asyncio.sleep(0.5)
            assert not database.job(JOB).state.ended
            supervisor.cancel(look)
            await until(lambda: database.job(JOB).state.ended)

    asyncio.run(story())
    assert database.job(look).state is JobState.CANCELLED
    assert database.job(JOB).state is JobState.SUCCEEDED
    database.close()


def test_a_picture_that_is_being_painted_does_not_die_for_a_look(tmp_path, told):
    database = Database(tmp_path / "queue.sqlite3")
    look = "2" * 32

    async def story():
        async with supervision(database, tmp_path, look_cancel_s=0.05) as supervisor:
            database.submit(JOB, JobSubmission(request=told("steps=10 pause=0.1")), at=1)
            supervisor.wake()
            await until(lambda: supervisor._hub.progress is not None)
            database.submit(look, JobSubmission(request=told("then=deaf"), transient=True), at=1)
            supervisor.wake()
            await until(lambda: database.job(look).state is JobState.RUNNING)
            supervisor.cancel(look)
            await until(lambda: database.job(JOB).state.ended)

    asyncio.run(story())
    assert (database.job(JOB).state, database.job(JOB).attempts) == (JobState.SUCCEEDED, 1)
    database.close()


def test_a_worker_that_beats_and_makes_no_progress_is_killed(tmp_path, told):
    async def story():
        database = Database(tmp_path / "queue.sqlite3")
        database.submit(JOB, JobSubmission(request=told("steps=1 then=deaf"), retry_interrupted=False), at=1)
        async with supervision(database, tmp_path, stuck_s={Phase.STEP: 0.3}):
            await until(lambda: database.job(JOB).state.ended)
            job = database.job(JOB)
            assert job.state is JobState.INTERRUPTED
            assert "made no progress" in str(job.error.error())
        database.close()

    asyncio.run(story())


def test_workers_that_die_in_a_row_follow_each_other_more_and_more_slowly(tmp_path, told):
    async def story():
        database = Database(tmp_path / "queue.sqlite3")
        for number in range(3):
            database.submit(f"{number:032x}", JobSubmission(request=told("then=crash"), retry_interrupted=False), at=1)
        database.submit(JOB, JobSubmission(request=told("steps=1")), at=1)
        async with supervision(database, tmp_path, rest_s=0.2) as supervisor:
            await until(lambda: database.job(JOB).state.ended)
            starts = [database.job(f"{number:032x}").started_at for number in range(3)] + [database.job(JOB).started_at]
            gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
            assert gaps[1] > 0.4  # 0.2 doubled once
            assert gaps[2] > 0.8
            assert supervisor._deaths == 0  # a job that ended well starts the count anew
        database.close()

    asyncio.run(story())
