"""A queue whose file was damaged, emptied or removed is as it was; one that is locked is waited for."""

import asyncio
import contextlib
import errno
import os
import sqlite3
import time

import pytest
from service_process import alive, until
from underpaint.backend.service import recovery
from underpaint.backend.service.database import DamagedDatabase, Database
from underpaint.backend.service.journal import Journal, entries
from underpaint.backend.service.lifecycle import Transition
from underpaint.backend.service.recovery import close_queue, keep_copy, open_queue
from underpaint.protocol.client import Connection, Home, run, wait
from underpaint.protocol.errors import DiskFull, QueueLocked
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobState, JobSubmission
from underpaint.protocol.request import GenerateRequest

IDS = [f"{number:032x}" for number in range(20)]


def submission(prompt=""):
    return JobSubmission(request=GenerateRequest(prompt=prompt, size=Extent(width=8, height=8)))


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.create()
    return home


def truncated(path):
    os.truncate(path, path.stat().st_size // 2)


def emptied(path):
    os.truncate(path, 0)


def removed(path):
    path.unlink()


def overwritten(path):
    path.write_bytes(b"\xff" * path.stat().st_size)


def copied(home, database):
    """Let the copying have its turn, and end it."""

    async def once():
        task = asyncio.create_task(keep_copy(home, database))
        before = home.database_copy.stat().st_mtime_ns if home.database_copy.exists() else 0
        for _ in range(500):
            await asyncio.sleep(0.01)
            if home.database_copy.exists() and home.database_copy.stat().st_mtime_ns != before:
                break
        await asyncio.sleep(0.05)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(once())


@pytest.mark.parametrize("with_copy", [True, False], ids=["copy", "journal"])
@pytest.mark.parametrize("spoil", [truncated, emptied, removed, overwritten])
def test_a_spoiled_queue_is_as_it_was(home, spoil, with_copy, monkeypatch):
    monkeypatch.setattr(recovery, "_LOOK_EVERY_S", 0.01)
    database = open_queue(home)
    for job_id in IDS[:10]:
        database.submit(job_id, submission("x" * 5000), at=1)
    database.transition(Transition(job_id=IDS[0], to=JobState.RUNNING, at=2))
    database.transition(Transition(job_id=IDS[0], to=JobState.SUCCEEDED, at=3))
    if with_copy:
        copied(home, database)
        assert list(entries(home.journal)) == []
    database.submit(IDS[10], submission("after the copy"), at=4)
    database.transition(Transition(job_id=IDS[1], to=JobState.RUNNING, at=5))
    before = [database.job(job_id) for job_id in IDS[:11]]
    database.close()  # as a kill leaves it: the mark stays
    spoil(home.database)
    for end in ("-wal", "-shm"):
        home.database.with_name(home.database.name + end).unlink(missing_ok=True)
    again = open_queue(home)
    assert [again.job(job_id) for job_id in IDS[:11]] == before
    again.submit(IDS[11], submission("later"), at=6)
    close_queue(home, again)
    once_more = open_queue(home)
    assert once_more.job(IDS[11]).request.prompt == "later"
    close_queue(home, once_more)


@pytest.mark.parametrize("told", [0, 3, 9])
@pytest.mark.parametrize("clean", [True, False], ids=["closed", "killed"])
def test_a_service_that_dies_while_it_restores_leaves_it_to_the_next(home, monkeypatch, told, clean):
    database = open_queue(home)
    for job_id in IDS[:10]:
        database.submit(job_id, submission(), at=1)
    if clean:
        close_queue(home, database)
    else:
        database.close()
    overwritten(home.database)

    def entries_until_killed(folder):
        for number, entry in enumerate(entries(folder)):
            if number == told:
                raise KeyboardInterrupt
            yield entry

    with monkeypatch.context() as patch:
        patch.setattr(recovery.journal, "entries", entries_until_killed)
        with pytest.raises(KeyboardInterrupt):
            open_queue(home)
    again = open_queue(home)
    assert [again.job(job_id).state for job_id in IDS[:10]] == [JobState.QUEUED] * 10
    close_queue(home, again)
    assert not list(home.folder.glob("*.restored*"))


def test_a_restored_queue_takes_the_place_of_the_old_one_last(home, monkeypatch):
    """The moment between the two leaves none at all, and the copy and the journal still tell everything."""
    database = open_queue(home)
    database.submit(IDS[0], submission(), at=1)
    database.close()
    overwritten(home.database)
    replace = type(home.database).replace

    def replace_until_killed(path, target):
        if target == home.database:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(type(home.database), "replace", replace_until_killed)
        with pytest.raises(KeyboardInterrupt):
            open_queue(home)
    assert not home.database.exists()
    again = open_queue(home)
    assert again.job(IDS[0])
    close_queue(home, again)


def test_a_damaged_queue_is_kept_for_who_wants_to_look(home):
    database = open_queue(home)
    database.submit(IDS[0], submission(), at=1)
    database.close()
    overwritten(home.database)
    open_queue(home).close()
    assert [path.name for path in home.folder.glob("damaged-*")]


def test_a_damaged_copy_is_not_used(home, monkeypatch):
    monkeypatch.setattr(recovery, "_LOOK_EVERY_S", 0.01)
    database = open_queue(home)
    database.submit(IDS[0], submission(), at=1)
    copied(home, database)
    database.submit(IDS[1], submission(), at=1)
    database.close()
    overwritten(home.database)
    overwritten(home.database_copy)
    again = open_queue(home)
    assert again.job(IDS[1])
    again.close()


def test_damage_is_not_copied_over_the_copy(home, monkeypatch):
    monkeypatch.setattr(recovery, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(recovery, "_COPY_AFTER_BYTES", 1)
    database = open_queue(home)
    for job_id in IDS[:10]:
        database.submit(job_id, submission("x" * 20000), at=1)
    copied(home, database)
    database.submit(IDS[10], submission(), at=1)
    database.close()
    with home.database.open("r+b") as stream:  # but for its first page, which SQLite looks at when it opens
        stream.seek(4096)
        stream.write(b"\xff" * (home.database.stat().st_size - 4096))
    before = home.database_copy.read_bytes()
    database = Database(home.database, Journal(home.journal))
    with pytest.raises(DamagedDatabase):
        asyncio.run(asyncio.wait_for(keep_copy(home, database), 20))
    database.close()
    assert home.database_copy.read_bytes() == before
    again = open_queue(home)
    assert [again.job(job_id).id for job_id in IDS[:11]] == IDS[:11]
    close_queue(home, again)


@pytest.mark.parametrize("spoil", [emptied, removed])
def test_a_queue_that_is_lost_while_it_is_in_use_does_not_become_the_copy(home, monkeypatch, spoil):
    """Its service goes on with the file that was, and sees nothing of it."""
    monkeypatch.setattr(recovery, "_LOOK_EVERY_S", 0.01)
    database = open_queue(home)
    for job_id in IDS[:10]:
        database.submit(job_id, submission("x" * 5000), at=1)
    copied(home, database)
    database.submit(IDS[10], submission(), at=1)
    monkeypatch.setattr(recovery, "_COPY_AFTER_BYTES", 1)
    before = home.database_copy.read_bytes()
    spoil(home.database)
    with pytest.raises(DamagedDatabase, match=r"emptied|removed"):
        asyncio.run(asyncio.wait_for(keep_copy(home, database), 20))
    assert home.database_copy.read_bytes() == before
    database.close()
    home.database.unlink(missing_ok=True)
    again = open_queue(home)
    assert [again.job(job_id).id for job_id in IDS[:11]] == IDS[:11]
    close_queue(home, again)


def test_an_older_queue_in_the_place_of_the_one_in_use_does_not_become_the_copy(home, monkeypatch):
    monkeypatch.setattr(recovery, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(recovery, "_COPY_AFTER_BYTES", 1)
    database = open_queue(home)
    database.submit(IDS[0], submission(), at=1)
    copied(home, database)
    database.submit(IDS[1], submission(), at=1)
    Database(home.folder / "older.sqlite3").close()
    (home.folder / "older.sqlite3").replace(home.database)
    for end in ("-wal", "-shm"):
        home.database.with_name(home.database.name + end).unlink()
    before = home.database_copy.read_bytes()
    with pytest.raises(DamagedDatabase, match="another one"):
        asyncio.run(asyncio.wait_for(keep_copy(home, database), 20))
    assert home.database_copy.read_bytes() == before
    assert [entry[0] for entry in entries(home.journal)] == [IDS[1]]
    database.close()


def test_a_queue_that_was_closed_before_its_first_copy_is_restored_from_the_journal(home):
    database = open_queue(home)
    database.submit(IDS[0], submission(), at=1)
    close_queue(home, database)
    assert not home.database_copy.exists()
    removed(home.database)
    again = open_queue(home)
    assert again.job(IDS[0])
    close_queue(home, again)


def test_a_journal_that_cannot_be_begun_lets_the_old_one_go_on(home, monkeypatch):
    """With its old handle closed it would write into whatever is opened next: a blob, the queue, a connection."""
    journal = Journal(home.journal)
    journal.submitted(IDS[0], submission(), 1.0)

    def refuse(*_arguments):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            journal.turn()
    with (home.folder / "another").open("wb"):
        journal.submitted(IDS[1], submission(), 1.0)
    assert (home.folder / "another").read_bytes() == b""
    assert [entry[0] for entry in entries(home.journal)] == IDS[:2]
    journal.drop(journal.turn())
    assert list(entries(home.journal)) == []
    journal.close()


def test_copies_that_fail_leave_no_journal_each(home):
    journal = Journal(home.journal)
    journal.submitted(IDS[0], submission(), 1.0)
    turned = [journal.turn() for _ in range(5)]
    assert len(set(turned)) == 1
    assert len(list(home.journal.iterdir())) == 2
    journal.submitted(IDS[1], submission(), 1.0)
    journal.drop(turned[-1])
    assert [entry[0] for entry in entries(home.journal)] == [IDS[1]]
    journal.close()


@pytest.mark.parametrize(
    "line",
    [
        b"1",
        b"[]",
        b"{}",
        b'{"id": 1, "submission": {}, "at": 1}',
        b'{"id": "x", "submission": {"request": {"type": "FilmRequest", "prompt": "secret"}}, "at": 1}',
        b'{"change": {"job_id": "x", "to": "secret", "at": 1}}',
        b"\x00" * 600,
    ],
)
def test_a_line_that_cannot_be_understood_keeps_no_job_from_being_restored(home, line, caplog):
    database = open_queue(home)
    database.submit(IDS[0], submission(), at=1)
    with next(home.journal.iterdir()).open("ab") as stream:
        stream.write(b"\n" + line)
    database.submit(IDS[1], submission(), at=1)
    database.close()
    overwritten(home.database)
    again = open_queue(home)
    assert [again.job(job_id).id for job_id in IDS[:2]] == IDS[:2]
    assert "is passed over" in caplog.text
    assert "secret" not in caplog.text
    close_queue(home, again)


def test_the_journal_passes_over_what_was_cut_off(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.submitted(IDS[0], submission("whole"), 1.0)
    journal.close()
    path = next((tmp_path / "journal").iterdir())
    with path.open("ab") as stream:
        stream.write(b'\n{"id": "cut o')
    journal = Journal(tmp_path / "journal")
    change = Transition(job_id=IDS[0], to=JobState.RUNNING, at=2.0)
    journal.changed(change)
    journal.close()
    assert list(entries(tmp_path / "journal")) == [(IDS[0], submission("whole"), 1.0), change]


def test_a_journal_that_cannot_be_written_refuses_the_job(home, monkeypatch):
    database = open_queue(home)
    monkeypatch.setattr(os, "write", lambda handle, data: len(data) - 1)
    with pytest.raises(DiskFull):
        database.submit(IDS[0], submission(), at=1)
    monkeypatch.undo()
    assert database.next_queued() is None
    database.close()


def test_a_queue_that_another_program_locks_says_so_and_goes_on(home):
    database = open_queue(home)
    other = sqlite3.connect(home.database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(QueueLocked, match="Another program"):
        database.submit(IDS[0], submission(), at=1)
    assert database.next_queued() is None  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    database.submit(IDS[0], submission(), at=1)
    close_queue(home, database)


def test_damage_that_shows_while_it_is_in_use_is_named(home):
    database = open_queue(home)
    for job_id in IDS:
        database.submit(job_id, submission("x" * 20000), at=1)
    database.close()
    database = Database(home.database)
    with home.database.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xff" * (home.database.stat().st_size - 4096))
    with pytest.raises(DamagedDatabase):
        [database.job(job_id) for job_id in IDS]
    database.close()


def test_a_locked_queue_ends_no_job(service, told):
    connection = service.start()
    job = connection.submit(told("steps=1 pause=0.5"))
    until(lambda: connection.job(job.id).state is JobState.RUNNING)
    other = sqlite3.connect(service.home.database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(QueueLocked):
        connection.submit(told())
    time.sleep(1.0)
    assert connection.job(job.id).state is JobState.RUNNING  # what its worker told can't be recorded yet
    other.execute("ROLLBACK")
    other.close()
    assert wait(connection, job).state is JobState.SUCCEEDED


def test_a_service_whose_queue_was_spoiled_is_replaced_by_one_with_every_job(service, told):
    connection = service.start()
    done = run(connection, told("then=succeed", seed=3))
    waiting = connection.submit(told("steps=400 pause=0.05"))
    pid = service.pid
    with service.home.database.open("r+b") as stream:
        stream.write(b"\xff" * service.home.database.stat().st_size)
    service.home.database.with_name(service.home.database.name + "-wal").write_bytes(b"")
    service.kill()
    assert not alive(pid)
    again = service.start()
    assert again.job(done.id).result == done.result
    assert again.job(waiting.id).request == waiting.request
    with Connection.to(service.home) as connection:
        connection.cancel(waiting.id)
