"""What is forgotten and what is kept: jobs by age, blobs by use, and space by giving up the oldest."""

import asyncio
import json
import os
import sqlite3
import time

import numpy as np
import pytest
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.service.database import Database
from underpaint.backend.service.lifecycle import Transition
from underpaint.backend.service.retention import Keep, keep_tidy, tidy
from underpaint.backend.service.schema import MIGRATIONS
from underpaint.protocol.errors import DiskFull, JobUnknown
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobResult, JobState, JobSubmission
from underpaint.protocol.request import Control, ControlKind, GenerateRequest
from underpaint.protocol.sources import ReadyMap

DAY_S = 86400.0
IDS = [f"{number:032x}" for number in range(20)]


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "queue.sqlite3")
    yield database
    database.close()


@pytest.fixture
def blobs(tmp_path):
    return BlobStore(tmp_path / "blobs")


def store(blobs, value, age_s=DAY_S):
    """A blob of about 48 kB that was last touched so long ago."""
    ref = blobs.write_array(np.full((128, 128, 3), value, np.uint8))
    then = time.time() - age_s
    os.utime(blobs.path(ref.sha256), (then, then))
    return ref


def submit(database, number, hint, **details):
    control = Control(kind=ControlKind.DEPTH, source=ReadyMap(image=hint))
    request = GenerateRequest(prompt="", size=Extent(width=8, height=8), controls=(control,))
    database.submit(IDS[number], JobSubmission(request=request, **details), at=time.time())


def run(database, number, image, age_s):
    images = () if image is None else (image,)
    result = JobResult(images=images, control_maps=(), timings=(), checkpoint="", plan="", versions={})
    at = time.time() - age_s
    database.transition(Transition(job_id=IDS[number], to=JobState.RUNNING, at=at))
    database.transition(Transition(job_id=IDS[number], to=JobState.SUCCEEDED, at=at, result=result))


def tidied(database, blobs, **keep):
    return asyncio.run(tidy(database, blobs, Keep(**keep)))


def test_an_old_job_goes_with_what_only_it_used(database, blobs):
    shared, own, picture, kept = (store(blobs, value) for value in range(4))
    submit(database, 0, shared)
    run(database, 0, own, age_s=100 * DAY_S)
    submit(database, 1, shared)
    run(database, 1, kept, age_s=DAY_S)
    submit(database, 2, picture)  # still waits
    freed = tidied(database, blobs)
    assert freed > 128 * 128 * 3
    assert [blobs.has(ref.sha256) for ref in (shared, own, picture, kept)] == [True, False, True, True]
    with pytest.raises(JobUnknown):
        database.job(IDS[0])
    assert database.job(IDS[1]).result is not None


def test_a_blob_that_no_job_speaks_of_yet_may_be_about_to_be(database, blobs):
    fresh, old, touched = store(blobs, 0, age_s=60), store(blobs, 1), store(blobs, 2)
    assert blobs.touch(touched.sha256)
    tidied(database, blobs)
    assert [blobs.has(ref.sha256) for ref in (fresh, old, touched)] == [True, False, True]


def test_a_transient_job_is_in_no_list_goes_first_and_goes_soon(database, blobs):
    hint = store(blobs, 0)
    submit(database, 0, hint)
    submit(database, 1, hint, transient=True)
    assert database.next_queued().id == IDS[1]
    assert [job.id for job in database.jobs(None, 10).jobs] == [IDS[0]]
    run(database, 1, store(blobs, 1), age_s=3600)
    assert database.changes(0)[-1].job.transient
    tidied(database, blobs)
    with pytest.raises(JobUnknown):
        database.job(IDS[1])
    assert blobs.has(hint.sha256)


def test_beyond_the_space_the_oldest_give_way_and_no_more_than_needed(database, blobs):
    pictures = [store(blobs, value) for value in range(15)]
    for number, picture in enumerate(pictures):
        submit(database, number, picture)
        run(database, number, picture, age_s=DAY_S)
        database.collect(IDS[number])
    tidied(database, blobs, max_bytes=10 * 49_400)
    assert [blobs.has(ref.sha256) for ref in pictures] == [False] * 10 + [True] * 5


def test_pictures_that_nobody_has_fetched_yet_are_given_up_last(database, blobs):
    pictures = [store(blobs, value) for value in range(3)]
    for number, (picture, days) in enumerate(zip(pictures, (8, 2, 1), strict=True)):
        submit(database, number, picture)
        run(database, number, picture, age_s=days * DAY_S)
    database.collect(IDS[2])
    tidied(database, blobs, max_bytes=2 * 49_400)
    assert [blobs.has(ref.sha256) for ref in pictures] == [True, True, False]
    tidied(database, blobs, max_bytes=1)
    assert [blobs.has(ref.sha256) for ref in pictures] == [False, True, False]
    with pytest.raises(JobUnknown):
        database.collect(IDS[2])


def test_a_job_that_just_ended_is_never_given_up_for_space(database, blobs):
    picture = store(blobs, 0)
    submit(database, 0, picture)
    run(database, 0, picture, age_s=10)
    assert tidied(database, blobs, max_bytes=1) == 0
    assert database.job(IDS[0]).result is not None


def test_a_full_disk_keeps_old_jobs_and_frees_what_it_can(tmp_path, blobs):
    class FullDatabase(Database):
        def forget(self, **_):
            raise DiskFull(path="here")

    database = FullDatabase(tmp_path / "full.sqlite3")
    used, unused = store(blobs, 0), store(blobs, 1)
    submit(database, 0, used)
    run(database, 0, used, age_s=100 * DAY_S)
    assert tidied(database, blobs, max_bytes=1) > 128 * 128 * 3
    assert [blobs.has(ref.sha256) for ref in (used, unused)] == [True, False]
    database.close()


def test_a_folder_that_is_away_for_a_while_ends_nothing(database, blobs, caplog):
    unused = store(blobs, 0)
    away = blobs.folder.rename(blobs.folder.with_name("away"))

    async def story():
        task = asyncio.create_task(keep_tidy(database, blobs, Keep(every_s=0.01)))
        while "tried again" not in caplog.text:
            await asyncio.sleep(0.01)
        away.rename(blobs.folder)
        while blobs.has(unused.sha256):
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(asyncio.wait_for(story(), 20))


def test_a_revision_is_never_used_twice(database, blobs):
    hint = store(blobs, 0)
    submit(database, 0, hint)
    run(database, 0, hint, age_s=100 * DAY_S)
    before = database.revision()
    tidied(database, blobs)
    assert database.revision() == before
    submit(database, 1, hint)
    assert database.job(IDS[1]).revision == before + 1


def test_a_queue_of_the_first_format_knows_its_blobs(tmp_path, blobs):
    path = tmp_path / "old.sqlite3"
    hint, picture = store(blobs, 0), store(blobs, 1)
    fresh = Database(path)
    submit(fresh, 0, hint)
    run(fresh, 0, picture, age_s=DAY_S)
    fresh.close()
    _as_the_first_format(path)
    database = Database(path)
    try:
        assert database.uses(hint.sha256)
        assert database.uses(picture.sha256)
        assert not database.job(IDS[0]).transient
        assert tidied(database, blobs) == 0
    finally:
        database.close()


def _as_the_first_format(path):
    """The same jobs in a file as the first version made it."""
    db = sqlite3.connect(path)
    columns = {}
    for table in ("jobs", "changes"):
        cursor = db.execute(f"SELECT * FROM {table}")
        names = [entry[0] for entry in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        for row in rows:
            if row["result"] is not None:
                result = json.loads(row["result"])
                row["result"] = json.dumps(result | {"image": result.pop("images")[0]})
        later = ("transient", "priority", "place", "collected", "download")
        columns[table] = ([name for name in names if name not in later], rows)
    db.executescript("DROP TABLE uses; DROP TABLE changes; DROP TABLE jobs;")
    db.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1;")
    for table, (names, rows) in columns.items():
        marks = ", ".join("?" for _ in names)
        for row in rows:
            db.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", [row[name] for name in names])
    db.commit()
    db.close()
