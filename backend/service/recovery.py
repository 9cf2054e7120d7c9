"""Opening the queue, whatever state its file is in, and making the copies that a damaged one is restored from."""

import asyncio
import contextlib
import logging
import shutil
import time
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from ...protocol.client.home import Home
from ...protocol.errors import DiskFull, JobConflict, QueueLocked
from . import journal
from .database import DamagedDatabase, Database, UnusableDatabase, copy
from .journal import Journal
from .lifecycle import Transition

_COPY_AFTER_BYTES = 1 << 20  # of journal
_LOOK_EVERY_S = 10.0

log = logging.getLogger("underpaint.service")


def open_queue(home: Home) -> Database:
    """The queue; a damaged, emptied or lost one is restored from its last copy and what was told since.

    Raises UnusableDatabase for one of a newer version, DiskFull, QueueLocked.
    """
    told = Journal(home.journal)
    try:
        if _was_emptied(home, told):
            raise DamagedDatabase(f"The queue {home.database} was emptied or removed.")
        database = Database(home.database, told)
        try:
            if home.unclean_mark.exists():  # it was not closed: whatever ended its service may have done more
                database.check()
        except BaseException:
            database.close()
            raise
    except DamagedDatabase as error:
        log.warning("%s", error)
        database = _restore(home, told)
    home.unclean_mark.touch()
    return database


def close_queue(home: Home, database: Database) -> None:
    """Close a queue that is whole."""
    database.close()
    home.unclean_mark.unlink(missing_ok=True)


async def keep_copy(home: Home, database: Database) -> None:
    """Copy the queue whenever enough has happened since the last time, for ever.

    Raises DamagedDatabase: the copy that is there, and what was told since, are what the next service restores from.
    """
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        told = database.journal
        if told is None or (told.size < _COPY_AFTER_BYTES and home.database_copy.exists()):
            continue
        try:
            turned = told.turn()  # what happens while the copy is made may be told twice, which does no harm
            await run_in_threadpool(copy, home.database, home.database_copy, revision=database.revision())
            told.drop(turned)
        except DamagedDatabase:
            raise
        except (UnusableDatabase, DiskFull, QueueLocked, OSError) as error:
            log.warning("%s It is tried again.", error)


def _was_emptied(home: Home, told: Journal) -> bool:
    """Whether there was a queue, and its file is gone or has no byte; SQLite would begin a new one."""
    existed = home.database_copy.exists() or home.unclean_mark.exists() or told.size > 0
    return existed and not (home.database.exists() and home.database.stat().st_size)


def _restore(home: Home, told: Journal) -> Database:
    """The last copy, with everything that was told since; what is left of the damaged file is kept beside it.

    It takes the queue's place when it is complete, and not before: a service that is killed meanwhile leaves a queue
    that is damaged or not there, which the next one restores, and never one that is sound and lacks jobs.
    """
    home.unclean_mark.touch()
    aside = home.database.with_name(f"{home.database.name}.restored")
    for path in _with_companions(aside):
        path.unlink(missing_ok=True)
    if _is_whole(home.database_copy):
        shutil.copyfile(home.database_copy, aside)
    database = Database(aside)  # the journal is not told what it tells
    again = 0
    try:
        for entry in journal.entries(home.journal):
            if isinstance(entry, Transition):
                again += database.transition(entry) is not None
            else:
                with contextlib.suppress(JobConflict):
                    again += database.submit(*entry)[1]
    finally:
        database.close()  # the last to close takes in what lies beside the file
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for path in _with_companions(home.database):
        if path.exists():
            path.replace(path.with_name(f"damaged-{stamp}-{path.name}"))
    aside.replace(home.database)
    log.warning("The queue was restored from its last copy and %d changes since; the damaged file is kept", again)
    return Database(home.database, told)


def _with_companions(database: Path) -> tuple[Path, ...]:
    """A queue's file, and those that SQLite keeps beside it; the file first."""
    return (database, *(database.with_name(database.name + end) for end in ("-wal", "-shm")))


def _is_whole(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        copied = Database(path)
        try:
            copied.check()
        finally:
            copied.close()
    except DamagedDatabase as error:
        log.warning("The copy can't be used either: %s", error)
        return False
    return True
