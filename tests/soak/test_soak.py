"""Hours of work in minutes: memory and file handles of service and worker must not grow. UNDERPAINT_SOAK_MINUTES."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

from fault_house import SERVICE, WORKER, House
from fault_ledger import Tally, audit

MINUTES = float(os.environ.get("UNDERPAINT_SOAK_MINUTES", "10"))
WARM_UP = 0.3  # of the time: caches fill, allocators settle
SAMPLE_S = 2.0
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def houses(tmp_path: Path) -> Iterator[dict[str, House]]:
    """One with the worker that does nothing, whose service is busy; and one with the real worker at work."""
    found: dict[str, House] = {}
    for name in ("busy", "painting"):
        (tmp_path / name).mkdir()
        found[name] = House(tmp_path / name, real_worker=name == "painting")
    yield found
    for house in found.values():
        house.close()


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20


def handles(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def slope_per_hour(seconds: list[float], values: list[float]) -> float:
    """Of the straight line through the samples."""
    return float(np.polyfit(seconds, values, 1)[0] * 3600)


def test_nothing_grows(houses: dict[str, House], figure) -> None:
    busy, painting = houses["busy"], houses["painting"]
    busy.start_scripts(2, "--rest-s", "0.25")
    painting.start_client("painter", script="soak_painter.py")
    painting.client_is_up("painter")
    busy.settled()
    samples: dict[tuple[str, str, int], list[tuple[float, float, float]]] = {}
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < MINUTES * 60:
        for name, house in houses.items():
            for role in (SERVICE, WORKER):
                for pid in house.processes(role):
                    sample = (elapsed, resident_mib(pid), float(handles(pid)))
                    samples.setdefault((name, role, pid), []).append(sample)
        time.sleep(SAMPLE_S)
    jobs = 0
    for name, house in houses.items():
        house.clients_end()
        tally = audit(house, Tally(name), pictures=None) if name == "busy" else None
        if tally is not None:
            assert tally.sound, tally
            jobs = tally.jobs
    assert len(samples) == 4, f"a process was replaced: {list(samples)}"
    assert jobs > 30 * MINUTES
    for (name, role, _), taken in samples.items():
        settled = [sample for sample in taken if sample[0] > WARM_UP * MINUTES * 60]
        seconds, mib, count = ([sample[column] for sample in settled] for column in range(3))
        growth, more = slope_per_hour(seconds, mib), slope_per_hour(seconds, count)
        half = len(mib) // 2
        rise = float(np.median(mib[half:]) - np.median(mib[:half]))
        figure({"what": f"{role} ({name})", "mib_per_hour": growth, "rise_mib": rise, "handles_per_hour": more,
                "mib": mib[-1], "handles": count[-1], "minutes": MINUTES, "jobs": jobs})  # fmt: skip
        print(f"{role} ({name}): {mib[-1]:.0f} MiB, {growth:+.1f} MiB an hour; {count[-1]:.0f} handles, {more:+.1f}")
        # Noise of allocators is a few MiB; a leak of a picture a job would be a hundred times that.
        assert rise < max(4.0, 0.02 * mib[-1]), f"{role} ({name}) grew by {rise:.1f} MiB"
        assert np.median(count[half:]) - np.median(count[:half]) < 3, f"{role} ({name}) keeps files open"
