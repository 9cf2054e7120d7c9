"""Suites that measure: run them, and read the figures that their tests reported, whether they passed or not."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import run_suites
from run_suites import REPORTS, ROOT, Suite


def measure(suite: Suite) -> tuple[bool, list[dict[str, Any]]]:
    """Run a suite: whether pytest passed, and the figures in the order of their measurement."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    report = REPORTS / f"{suite.name}.jsonl"
    report.unlink(missing_ok=True)
    with log(suite).open("w") as output:
        result = subprocess.run(
            [*suite.command(), f"--figures-report={report}"],
            cwd=ROOT,
            env=run_suites.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=run_suites.SUITE_LIMIT_S,
        )
    return result.returncode == 0, list(read(report))


def read(report: Path) -> Iterable[dict[str, Any]]:
    """The figures in a report; none where there is no report."""
    if not report.exists():
        return
    for text in report.read_text().splitlines():
        yield json.loads(text)


def log(suite: Suite) -> Path:
    """What pytest said of the suite that ran last."""
    return REPORTS / f"{suite.name}.log"
