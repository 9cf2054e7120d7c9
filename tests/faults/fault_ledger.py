"""What clients have written down, held against what the queue and the blob store say in the end."""

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fault_house import House, until
from underpaint.protocol import arrays
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.client import Connection
from underpaint.protocol.errors import UnderpaintError
from underpaint.protocol.jobs import Job, JobState

QUEUE_S = 300.0  # in which a queue of a thousand jobs runs dry, on a machine that does other things as well


@dataclass
class Tally:
    """What a scenario found; every count but the first three has to be 0."""

    scenario: str
    faults: int = 0
    jobs: int = 0
    unfinished: Counter[str] = field(default_factory=Counter[str])
    """Jobs that ended otherwise than in success, as the rules of the queue have it, by state."""
    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    left: int = 0
    corrupted: int = 0
    notes: list[str] = field(default_factory=list[str])

    @property
    def sound(self) -> bool:
        """Whether nothing was lost."""
        return not (self.lost or self.duplicated or self.wrong or self.left or self.corrupted)


def expected(seed: int, width: int, height: int) -> UInt8Array:
    """What the fake worker paints."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def entries(ledger: Path) -> list[dict[str, Any]]:
    """A client's notes; a line that a kill cut off is none."""
    found: list[dict[str, Any]] = []
    for line in ledger.read_text().splitlines() if ledger.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def audit(
    house: House, tally: Tally, pictures: dict[int, UInt8Array] | None = None, *, patience_s: float = QUEUE_S
) -> Tally:
    """Let the queue run dry, and count what is missing. `pictures` are the right ones where they aren't the fake's."""
    with house.connect() as connection:
        accepted = {
            note["accepted"] for path in house.folder.glob("*.ledger") for note in entries(path) if "accepted" in note
        }
        tally.jobs += len(accepted)
        for job_id in sorted(accepted):
            job = _ended(connection, job_id, patience_s)
            if job is None:
                tally.lost += 1
                tally.notes.append(f"{job_id} is not known any more, or never ended")
            elif job.state is JobState.SUCCEEDED:
                tally.wrong += not _right(connection, job, pictures, tally)
            else:
                tally.unfinished[job.state.value] += 1
    for path in house.folder.glob("*.ledger"):
        tally.wrong += sum("wrong" in note for note in entries(path))
    tally.left += len(house.close())
    tally.duplicated += _twice(house.home.database)
    tally.corrupted += _damaged(house.home.blobs)
    return tally


def _ended(connection: Connection, job_id: str, patience_s: float) -> Job | None:
    try:
        until(lambda: connection.job(job_id).state.ended, f"the end of {job_id}", patience_s)
        return connection.job(job_id)
    except (UnderpaintError, AssertionError):
        return None


def _right(connection: Connection, job: Job, pictures: dict[int, UInt8Array] | None, tally: Tally) -> bool:
    request, result = job.request, job.result
    if result is None or result.image is None:
        tally.notes.append(f"{job.id} succeeded without a picture")
        return False
    try:
        picture = connection.download(result.image)
    except UnderpaintError as error:
        tally.notes.append(f"{job.id}: {error}")
        return False
    seed = request.seed  # type: ignore[union-attr]
    wanted = expected(seed, request.size.width, request.size.height) if pictures is None else pictures[seed]  # type: ignore[union-attr]
    if not np.array_equal(picture, wanted):
        tally.notes.append(f"{job.id} has another picture than seed {seed} gives")
        return False
    return True


def _twice(database: Path) -> int:
    """Jobs that succeeded more than once, or changed after their end."""
    with sqlite3.connect(database) as raw:
        again = raw.execute(
            "SELECT count(*) FROM"
            " (SELECT number FROM changes WHERE state = 'succeeded' GROUP BY number HAVING count(*) > 1)"
        ).fetchone()[0]
        after = raw.execute(
            "SELECT count(DISTINCT a.number) FROM changes a JOIN changes b ON a.number = b.number"
            " AND b.revision > a.revision WHERE a.state IN ('succeeded', 'failed', 'cancelled', 'interrupted')"
        ).fetchone()[0]
    raw.close()
    return int(again + after)


def _damaged(blobs: Path) -> int:
    """Blobs whose bytes aren't those of their address."""
    return sum(
        arrays.digest(path.read_bytes()) != path.name
        for path in blobs.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )
