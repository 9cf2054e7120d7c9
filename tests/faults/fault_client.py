"""A client that submits, waits, cancels and looks, and writes down what it was promised. To be killed at any point.

Every job is noted before it is submitted and once the service has it. Started again with the same ledger, it
submits what was noted and not confirmed under the same id: that must be one job, however often it is done. Nor does
it forget what it waits for when the service or itself is killed: it waits on, and so the queue grows no longer than
people make it.
"""

import argparse
import json
import random
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from underpaint.protocol.client import Connection, ensure_running
from underpaint.protocol.errors import BackendError, BlobMissing, JobError, JobUnknown, UnderpaintError
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobState
from underpaint.protocol.request import GenerateRequest

SIZE = Extent(width=32, height=16)


class Ledger:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[dict[str, Any]] = []
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    self.notes.append(json.loads(line))
                except ValueError:
                    continue  # cut off by a kill
        self.file = path.open("a", buffering=1)
        self.file.write("\n")  # whatever was cut off ends here

    def note(self, **what: Any) -> None:
        self.file.write(json.dumps(what) + "\n")

    def unconfirmed(self) -> list[dict[str, Any]]:
        confirmed = {note["accepted"] for note in self.notes if "accepted" in note}
        return [note for note in self.notes if "intent" in note and note["intent"] not in confirmed]

    def awaited(self) -> tuple[str, int] | None:
        """The id and the seed of the job that was waited for last, if nobody saw its end."""
        waits = [note for note in self.notes if "waits" in note or "saw" in note]
        return (waits[-1]["waits"], waits[-1]["seed"]) if waits and "waits" in waits[-1] else None


def request(seed: int, prompt: str) -> GenerateRequest:
    return GenerateRequest(prompt=prompt, size=SIZE, seed=seed)


FAULTS = ("oom", "full", "fail", "crash-once", "crash", "leave", "hang", "deaf", "silent", "garbage", "huge", "lie")


def prompt(random_: random.Random, faulty: float) -> str:
    pause = random_.choice(("0.0", "0.01", "0.05", "0.2"))
    then = random_.choice(FAULTS) if random_.random() < faulty else "succeed"
    return f"steps={random_.randint(1, 4)} pause={pause} then={then}"


def submit(connection: Connection, ledger: Ledger, job_id: str, seed: int, said: str) -> None:
    connection.submit(request(seed, said), job_id=job_id, client="faults")
    ledger.note(accepted=job_id)


def work(connection: Connection, ledger: Ledger, random_: random.Random, options: argparse.Namespace) -> None:
    """One thing that clients do."""
    for _ in range(random_.randint(1, options.at_once)):
        job_id, seed, said = uuid.uuid4().hex, random_.randrange(1 << 30), prompt(random_, options.faulty)
        ledger.note(intent=job_id, seed=seed, prompt=said)
        submit(connection, ledger, job_id, seed, said)
    if options.submit_only:
        return
    what = random_.random()
    if "hang" in said or "deaf" in said:  # these end by a cancel, or never
        time.sleep(random_.uniform(0.0, 0.5))
        what = 0.0
    if what < 0.1:
        connection.cancel(job_id)
    elif what < 0.7:
        ledger.note(waits=job_id, seed=seed)
        see_the_end(connection, ledger, job_id, seed)
    elif what < 0.8:
        connection.jobs(limit=50)
    elif what < 0.9:
        array = np.random.default_rng(seed).random((16, 32), dtype=np.float32)
        ref = connection.upload(array)
        if not np.array_equal(connection.download(ref), array):
            ledger.note(wrong=ref.sha256)


def see_the_end(connection: Connection, ledger: Ledger, job_id: str, seed: int) -> None:
    """Wait for a job; one that is not known any more, or whose picture is gone, is for the audit to count."""
    try:
        follow(connection, ledger, job_id, seed)
    except (JobUnknown, BlobMissing) as error:
        print(f"{type(error).__name__}: {error}", flush=True)
    ledger.note(saw=job_id)


def follow(connection: Connection, ledger: Ledger, job_id: str, seed: int) -> None:
    """Listen until the job has ended, as people who wait do; what was promised must be there."""
    since = 0
    while not (job := connection.job(job_id)).state.ended:
        for event in connection.events(max(since, job.revision)):
            revision = getattr(event, "revision", None)
            since = revision or since
            if revision is not None and connection.job(job_id).state.ended:
                break
    if job.state is JobState.SUCCEEDED and job.result is not None and job.result.image is not None:
        picture = connection.download(job.result.image)
        right = np.random.default_rng(seed).integers(0, 256, (SIZE.height, SIZE.width, 3), dtype=np.uint8)
        if not np.array_equal(picture, right):
            ledger.note(wrong=job_id)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--rest-s", type=float, default=0.0, help="between one thing and the next")
    parser.add_argument("--submit-only", action="store_true", help="and wait for nothing")
    parser.add_argument("--faulty", type=float, default=0.0, help="share of the jobs that the worker breaks on")
    parser.add_argument("--jobs", type=int, help="submit so many and leave; otherwise go on until told")
    options = parser.parse_args()
    ledger = Ledger(options.ledger)
    # Another life, another sequence; the same lives in the same order.
    random_ = random.Random(f"{options.seed} {sum('life' in note for note in ledger.notes)}")
    ledger.note(life=True)
    owed, awaited = ledger.unconfirmed(), ledger.awaited()
    done = 0
    enough = options.ledger.parent / "enough"
    while owed or awaited or not (enough.exists() if options.jobs is None else done >= options.jobs):
        try:
            with ensure_running() as connection:
                while owed:
                    submit(connection, ledger, owed[0]["intent"], owed[0]["seed"], owed[0]["prompt"])
                    del owed[0]
                if awaited is not None:
                    see_the_end(connection, ledger, *awaited)
                    awaited = None
                while not (enough.exists() if options.jobs is None else done >= options.jobs):
                    work(connection, ledger, random_, options)
                    done += 1
                    time.sleep(options.rest_s)
        except (BackendError, JobError) as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            written = Ledger(options.ledger)
            owed, awaited = written.unconfirmed(), written.awaited()
            time.sleep(0.05)
        except UnderpaintError as error:
            print(f"refused: {error!r}", file=sys.stderr)
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
