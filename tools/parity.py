"""Compare our sampling with diffusers' own pipelines, print a line for each combination of options; 1 on any miss.

A line names the combination (its group, the checkpoint, what is painted, the nets with their scales and windows, and
every option that isn't the usual one) and then what was compared: the threshold ("bit-equal", or a number), and what
was measured. "matters" is how far stock's own picture moves when an option is taken away, the least of the line's
options: what doesn't matter can't be compared. The tests are in tests/backend/parity.
"""

import itertools
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import figures
from run_suites import PARITY

EXPECTED = {
    "pictures": 84,
    "schedulers": 54,
    "together": 3,
    "savings": 7,
    "bfloat16": 5,
    "counts": 8,
    "sync": 30,
    "oracle": 6,
}
"""How many lines each group has, so that one that went missing is noticed."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One thing compared, in one combination."""

    group: str
    what: str  # the combination
    compared: str
    measured: float
    threshold: float
    better: str  # "less", "more", "equal", or "bits" for a difference of 0
    passed: bool

    @property
    def words(self) -> str:
        """The figure in its line."""
        sign = {"less": "<= ", "more": ">= ", "equal": "= ", "bits": ""}[self.better]
        threshold = "bit-equal" if self.better == "bits" else f"{sign}{self.threshold:.3g}"
        return f"{'' if self.passed else 'MISS '}{self.compared} {threshold}: {self.measured:.3g}"


def row(found: Sequence[Figure]) -> str:
    """The printed line of one combination."""
    mark = "ok  " if all(figure.passed for figure in found) else "MISS"
    return f"{mark} {found[0].group:<10} {found[0].what:<76} {' | '.join(figure.words for figure in found)}"


def main() -> int:
    """Run every part, print its lines and what is lacking; the exit status."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        ended = list(pool.map(figures.measure, PARITY))
    found = [Figure(**entry) for _, entries in ended for entry in entries]
    found.sort(key=lambda figure: (list(EXPECTED).index(figure.group), figure.what))
    lines = [list(same) for _, same in itertools.groupby(found, key=lambda figure: (figure.group, figure.what))]
    for line in lines:
        print(row(line))
    lacking = _lacking(lines)
    for words in lacking:
        print(f"MISS {words}")
    broken = [suite for suite, (passed, _) in zip(PARITY, ended, strict=True) if not passed]
    for suite in broken:
        print(f"== {suite.name}\n{figures.log(suite).read_text()}")
    missed = sum(not all(figure.passed for figure in line) for line in lines)
    print(f"{len(lines) - missed} lines hold, {missed} are missed, {len(lacking)} are lacking", flush=True)
    return 1 if missed or lacking or broken else 0


def _lacking(lines: Sequence[Sequence[Figure]]) -> list[str]:
    """The groups that have fewer or more lines than they should."""
    groups = [line[0].group for line in lines]
    return [
        f"{group}: {groups.count(group)} lines, expected {expected}"
        for group, expected in EXPECTED.items()
        if groups.count(group) != expected
    ]


if __name__ == "__main__":
    sys.exit(main())
