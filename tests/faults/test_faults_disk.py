"""The disk and the queue's file: full, locked, truncated; and a clock that steps."""

import os
import random
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_house import SEED, SERVICE, House
from fault_ledger import Tally, audit


@pytest.fixture
def small_house(tmp_path: Path) -> Iterator[House]:
    """A house on a file system of 24 MiB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(folder)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small file system can't be mounted here: {error}")
    house = House(tmp_path, home=folder / "home")
    try:
        yield house
    finally:
        house.close()
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_the_disk_fills_up_again_and_again(small_house: House, report):
    random_ = random.Random(SEED)
    house = small_house
    tally = Tally("disk full")
    ballast = house.home.folder.parent / "ballast"
    house.start_scripts(3)
    for _ in range(12):
        time.sleep(random_.uniform(0.5, 1.5))
        with ballast.open("wb", buffering=0) as stream:
            for size in (1 << 20, 1 << 14, 1 << 10, 1):
                try:
                    while stream.write(b"\0" * size):
                        pass
                except OSError:
                    continue
        tally.faults += 1
        time.sleep(random_.uniform(0.2, 1.5))
        if random_.random() < 0.3:
            tally.faults += house.kill(SERVICE)
        ballast.unlink()
    house.clients_end()
    report(audit(house, tally))


def test_another_program_locks_the_queue(house: House, report):
    random_ = random.Random(SEED)
    tally = Tally("queue locked by another program")
    house.start_scripts(3)
    house.settled()
    for _ in range(12):
        time.sleep(random_.uniform(0.2, 1.0))
        other = sqlite3.connect(house.home.database, isolation_level=None, timeout=10)
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(random_.uniform(0.1, 2.0))
        other.execute("ROLLBACK")
        other.close()
        tally.faults += 1
    house.clients_end()
    report(audit(house, tally))


def test_the_queue_is_truncated(house: House, report):
    random_ = random.Random(SEED)
    tally = Tally("queue truncated or overwritten")
    house.start_scripts(3)
    house.settled()
    while tally.faults < 15:
        time.sleep(random_.uniform(0.5, 2.0))
        if not house.home.database.exists():
            continue
        first = random_.random() < 0.7
        if first:
            house.kill(SERVICE)
        size = house.home.database.stat().st_size
        if random_.random() < 0.5:
            os.truncate(house.home.database, int(size * random_.random()))
        else:
            with house.home.database.open("r+b") as stream:
                stream.seek(int(size * random_.random()))
                stream.write(random_.randbytes(1 << 14))
        if not first:
            house.kill(SERVICE)
        tally.faults += 1
    house.clients_end()
    assert "The queue was restored" in house.home.service_log.read_text()
    report(audit(house, tally))


def test_the_clock_steps(house: House, report):
    random_ = random.Random(SEED)
    tally = Tally("clock stepping back and forth")
    house.start_scripts(3)
    for _ in range(15):
        time.sleep(random_.uniform(0.1, 0.8))
        house.clock.write_text(str(random_.choice((-1, 1)) * random_.uniform(1, 40 * 86400)))
        tally.faults += 1
    house.clients_end()
    report(audit(house, tally))
