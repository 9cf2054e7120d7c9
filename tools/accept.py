"""Run the acceptance tests of docs/conventions.md and print a line for each figure; 1 when any is missed.

Columns: number, what was measured, its threshold, the figure, the Blenders that gave it: the worst of theirs. The
tests are those in tests/backend/acceptance (main environment) and tests/addon/acceptance (each Blender).
"""

import itertools
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import figures
from run_suites import BLENDERS, Suite

NUMBERS = (*range(1, 21), 31, 32, 33)
"""The acceptance tests of control maps and poses; docs/conventions.md numbers them."""

_BACKEND = Suite(name="accept-backend", environment="main", paths=("tests/backend/acceptance",))
_BLENDERS = tuple(
    Suite(name=suite.name.replace("addon", "accept"), environment=suite.environment, paths=("tests/addon/acceptance",))
    for suite in BLENDERS
)
IN_BLENDER = frozenset({1, 2, 3, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 19, 31})
"""Those that every Blender has to give a figure for."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One figure."""

    number: int
    what: str
    measured: float
    threshold: float
    better: str  # "less" or "more"
    unit: str
    blender: str  # its version; empty for a figure that needs none
    passed: bool

    @property
    def badness(self) -> float:
        """Grows as the figure gets worse."""
        return self.measured if self.better == "less" else -self.measured


def row(lines: Sequence[Line]) -> str:
    """The printed line of one figure, as every Blender gave it."""
    worst = max(lines, key=lambda line: (not line.passed, line.badness))
    sign = "<=" if worst.better == "less" else ">="
    figures = f"{sign} {worst.threshold:<8g} {worst.measured:<10.4g} {worst.unit:<4}"
    blenders = " ".join(line.blender.removesuffix(" LTS") for line in lines if line.blender)
    return f"{'ok  ' if worst.passed else 'MISS'} {worst.number:>2}  {worst.what:<76} {figures} {blenders or '-'}"


def main() -> int:
    """Run every suite, print its figures and what is lacking; the exit status."""
    suites = (_BACKEND, *_BLENDERS)
    with ThreadPoolExecutor(max_workers=2) as pool:
        ended = list(pool.map(_run, suites))
    lines = [line for _, _, found in ended for line in found]
    lines.sort(key=lambda line: (line.number, line.what, line.blender))
    for _, same in itertools.groupby(lines, key=lambda line: (line.number, line.what)):
        print(row(list(same)))
    lacking = _lacking(lines)
    for words in lacking:
        print(f"MISS {words}")
    broken = [suite.name for suite, passed, _ in ended if not passed]
    for suite, passed, _ in ended:
        if not passed:
            print(f"== {suite.name}\n{figures.log(suite).read_text()}")
    missed = sum(not line.passed for line in lines)
    print(f"{len(lines) - missed} figures hold, {missed} are missed, {len(lacking)} are lacking", flush=True)
    return 1 if missed or lacking or broken else 0


def _run(suite: Suite) -> tuple[Suite, bool, list[Line]]:
    passed, found = figures.measure(suite)
    return suite, passed, [Line(**entry) for entry in found]


def _lacking(lines: Sequence[Line]) -> list[str]:
    """The acceptance tests that gave no figure where they have to."""
    seen = {(line.number, line.blender) for line in lines}
    blenders = sorted({line.blender for line in lines if line.blender})
    found = [f"{number}: no figure" for number in NUMBERS if not any(number == line.number for line in lines)]
    if len(blenders) < len(_BLENDERS):
        found.append(f"figures from {len(blenders)} Blender versions, expected {len(_BLENDERS)}")
    return found + [
        f"{number}: no figure from Blender {blender}"
        for number in NUMBERS
        for blender in blenders
        if number in IN_BLENDER and (number, blender) not in seen
    ]


if __name__ == "__main__":
    sys.exit(main())
