"""What is forgotten, and when: old jobs, blobs that no job speaks of, the oldest pictures when space runs out."""

import asyncio
import logging
import time
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from ...protocol.errors import DiskFull, QueueLocked
from ..blobstore import BlobStore, Stored
from .database import Database

log = logging.getLogger("underpaint.service")

_BATCH = 50  # blobs that are looked at before whoever waits for an answer gets it


@dataclass(frozen=True, kw_only=True)
class Keep:
    """How much is kept, and how long."""

    max_bytes: int = 20 << 30  # of blobs; the oldest jobs give way
    max_age_s: float = 90 * 86400.0  # of a job that has ended
    uncollected_s: float = 7 * 86400.0  # of one whose pictures nobody has fetched, whatever space it takes
    transient_s: float = 600.0  # of a transient job that has ended
    unused_s: float = 3600.0  # of a blob that no job speaks of: its job may be on the way
    every_s: float = 600.0


async def keep_tidy(database: Database, blobs: BlobStore, keep: Keep) -> None:
    """Tidy up from time to time, for ever; on the event loop, so that no job is submitted in between."""
    while True:
        await asyncio.sleep(keep.every_s)
        try:
            freed = await tidy(database, blobs, keep)
        except OSError as error:  # a folder that is away, a file that is held open; the queue goes on without it
            log.warning("Tidying up stopped half-way and is tried again: %s", error)
        else:
            if freed:
                log.info("%.1f MB that nothing needs any more are gone", freed / 1e6)


async def tidy(database: Database, blobs: BlobStore, keep: Keep) -> int:
    """Forget what has to be forgotten now; the bytes of the blobs that went."""
    now = time.time()
    await _forget_all(database, ended_before=now - keep.transient_s, transient_only=True)
    await _forget_all(database, ended_before=now - keep.max_age_s)
    stored = await run_in_threadpool(blobs.stored)
    freed = await _discard_unused(database, blobs, stored, before=now - keep.unused_s)
    held = sum(blob.size for blob in stored)
    for age_s, settled_only in ((keep.unused_s, True), (keep.uncollected_s, False)):
        while held - freed > keep.max_bytes and _forget(
            database, ended_before=now - age_s, settled_only=settled_only, limit=10
        ):
            freed += await _discard_unused(database, blobs, stored, before=now - keep.unused_s)
    return freed


async def _forget_all(database: Database, *, ended_before: float, transient_only: bool = False) -> None:
    while _forget(database, ended_before=ended_before, transient_only=transient_only):
        await asyncio.sleep(0)


def _forget(
    database: Database,
    *,
    ended_before: float,
    transient_only: bool = False,
    settled_only: bool = False,
    limit: int = 100,
) -> int:
    try:
        return database.forget(
            ended_before=ended_before, transient_only=transient_only, settled_only=settled_only, limit=limit
        )
    except (
        DiskFull,
        QueueLocked,
    ) as error:  # forgetting writes, too; blobs can go all the same, and make room for the next time
        log.warning("Old jobs can't be forgotten yet: %s", error)
        return 0


async def _discard_unused(database: Database, blobs: BlobStore, stored: list[Stored], *, before: float) -> int:
    freed = 0
    for number, blob in enumerate(stored):
        if number % _BATCH == 0:
            await asyncio.sleep(0)
        # Looked at again: the list is older than whatever was uploaded since.
        if not database.uses(blob.sha256) and blobs.discard_untouched(blob.sha256, since=before):
            freed += blob.size
    return freed
