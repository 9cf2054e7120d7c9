"""Each scenario leaves a line for the table that `make faults` prints, and fails when anything was lost."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_house import House
from fault_ledger import Tally


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A data folder with the fake worker behind the real service."""
    house = House(tmp_path)
    yield house
    house.close()


@pytest.fixture
def report(figure: Callable[[dict[str, object]], None]) -> Callable[[Tally], None]:
    """Write a scenario's line, and hold it to zero."""

    def tell(tally: Tally) -> None:
        line = {
            "scenario": tally.scenario,
            "faults": tally.faults,
            "jobs": tally.jobs,
            "unfinished": dict(tally.unfinished),
            "lost": tally.lost,
            "duplicated": tally.duplicated,
            "wrong": tally.wrong,
            "left": tally.left,
            "corrupted": tally.corrupted,
        }
        figure(line)
        assert tally.jobs, "nobody got a job in"
        assert tally.sound, tally

    return tell
