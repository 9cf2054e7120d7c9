"""Kill, starve, mislead and crowd the backend, print a line for each scenario; 1 when anything at all was lost.

UNDERPAINT_FAULT_SEED repeats or varies what happens, UNDERPAINT_KILLS makes the first scenario longer.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import figures
from run_suites import FAULTS

SCENARIOS = 13
FAULTS_AT_LEAST = 200  # kills alone
_COLUMNS = ("faults", "jobs", "lost", "duplicated", "wrong", "left", "corrupted")


@dataclass(frozen=True, kw_only=True)
class Line:
    """What one scenario found."""

    scenario: str
    faults: int
    jobs: int  # that the service had confirmed
    unfinished: dict[str, int]  # jobs that ended otherwise than in success, by state: the queue's rules have it so
    lost: int
    duplicated: int
    wrong: int
    left: int  # processes
    corrupted: int  # blobs

    @property
    def sound(self) -> bool:
        """Whether nothing is missing that was promised."""
        return not (self.lost or self.duplicated or self.wrong or self.left or self.corrupted)


def row(line: Line) -> str:
    """The printed line of a scenario."""
    counts = " ".join(f"{getattr(line, column):>10}" for column in _COLUMNS)
    ended = ", ".join(f"{count} {state}" for state, count in sorted(line.unfinished.items()))
    return f"{'ok  ' if line.sound else 'LOST'} {line.scenario:<70} {counts}  {ended}"


def main() -> int:
    """Run the campaign; the exit status."""
    passed, entries = figures.measure(FAULTS)
    lines = [Line(**entry) for entry in entries]
    print(f"{'':<75} {' '.join(f'{column:>10}' for column in _COLUMNS)}")
    for line in lines:
        print(row(line))
    if not passed:
        print(figures.log(FAULTS).read_text())
    lacking = _lacking(lines)
    for words in lacking:
        print(f"LOST {words}")
    sound = sum(line.sound for line in lines)
    print(f"{sound} scenarios hold, {len(lines) - sound} lost something, {len(lacking)} are lacking", flush=True)
    return 0 if passed and sound == len(lines) and not lacking else 1


def _lacking(lines: Sequence[Line]) -> list[str]:
    """What makes the campaign less than it claims to be."""
    lacking: list[str] = []
    if len(lines) != SCENARIOS:
        lacking.append(f"{len(lines)} scenarios told of themselves, expected {SCENARIOS}")
    kills = sum(line.faults for line in lines if "killed" in line.scenario)
    if kills < FAULTS_AT_LEAST:
        lacking.append(f"{kills} processes were killed, expected at least {FAULTS_AT_LEAST}")
    return lacking


if __name__ == "__main__":
    sys.exit(main())
