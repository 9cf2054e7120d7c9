"""What each model family does, from real runs: a table, and 1 where one claims what it doesn't do.

A cell says what a run did ("yes", or how many controls), "FAILS" where it didn't, "no run" where nobody tried what
the family's row in backend/worker/families.py claims, and "-" where nothing is claimed. The runs are those of
tests/backend/families, with small random models in their real layouts, and a socket that lets nobody out; `--measured`
takes them from the suite's last run.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import figures
from run_suites import FAMILIES as SUITE

HEADINGS = (
    "folder", "single file", "text to image", "image to image", "inpaint", "controls", "LoRA", "previews", "replay",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a family's row says that it does."""

    family: str
    title: str
    claims: list[str]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run did."""

    family: str
    feature: str
    done: bool
    words: str  # what its cell says
    attempts: list[str]  # to reach another computer


def main(arguments: Sequence[str]) -> int:
    """Run, print the table and what is wrong; the exit status."""
    passed = True
    if "--measured" in arguments:
        entries = list(figures.read(SUITE.figures_report))
    else:
        passed, entries = figures.measure(SUITE)
    claims, runs = read(entries)
    print_table(claims, runs)
    wrong = misses(claims, runs)
    for words in wrong:
        print(f"MISS {words}")
    attempts = [attempt for run in runs for attempt in run.attempts]
    print(f"{len(attempts)} network attempts in {len(runs)} runs")
    if not passed:
        print(f"== {SUITE.name}\n{figures.log(SUITE).read_text()}")
    print(f"{sum(len(claim.claims) for claim in claims)} claims, {len(wrong)} don't hold", flush=True)
    return 1 if wrong or attempts or not passed else 0


def read(entries: Sequence[dict[str, Any]]) -> tuple[list[Claim], list[Run]]:
    """The lines of a report."""
    claims = [Claim(**entry) for entry in entries if "claims" in entry]
    return claims, [Run(**entry) for entry in entries if "claims" not in entry]


def print_table(claims: Sequence[Claim], runs: Sequence[Run]) -> None:
    """A line for each family."""
    rows = [["", *HEADINGS]]
    rows += [[claim.title, *(cell(claim, feature, runs) for feature in HEADINGS)] for claim in claims]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def cell(claim: Claim, feature: str, runs: Sequence[Run]) -> str:
    """What the table says of a family and a feature."""
    tried = [run for run in runs if (run.family, run.feature) == (claim.family, feature)]
    if feature not in claim.claims:
        return "-"
    if not tried:
        return "no run"
    return tried[0].words if all(run.done for run in tried) else "FAILS"


def misses(claims: Sequence[Claim], runs: Sequence[Run]) -> list[str]:
    """The claims that no run bears out."""
    found = [] if claims else ["no family told what it claims"]
    for claim in claims:
        found += [f"{claim.title}: {name!r} has no column" for name in claim.claims if name not in HEADINGS]
        for feature in HEADINGS:
            shown = cell(claim, feature, runs)
            if shown == "no run":
                found.append(f"{claim.title}: {feature} is claimed, and nobody tried it")
            elif shown == "FAILS":
                found.append(f"{claim.title}: {feature} is claimed, and it fails")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
