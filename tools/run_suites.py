"""Run the project's checks: `check` is the quick part, `all` adds every suite, a suite's name runs that one.

Each suite is pytest in the environment that it needs. What they say is printed suite by suite, their JUnit
files are summed up at the end, and the exit status is 0 only when every one of them passed.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENVS = ROOT / ".venvs"
MAIN_PYTHON = VENVS / "main" / "bin" / "python"
REPORTS = ROOT / "build" / "reports"

SUITE_LIMIT_S = 1500.0


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Some of the tests, and the environment that they run in."""

    name: str
    environment: str
    paths: tuple[str, ...]  # those that don't exist are left out
    apart: tuple[str, ...] = ()  # what lies in them and is another suite's
    measures: bool = False  # its tests report figures, which are looked at afterwards

    @property
    def report(self) -> Path:
        """Its JUnit file."""
        return REPORTS / f"{self.name}.xml"

    @property
    def figures_report(self) -> Path:
        """A line for each figure that its tests measured."""
        return REPORTS / f"{self.name}.jsonl"

    def command(self) -> list[str]:
        """What runs it."""
        paths = [path for path in self.paths if (ROOT / path).is_dir()]
        python = VENVS / self.environment / "bin" / "python"
        apart = [f"--ignore={path}" for path in self.apart]
        reports = [f"--junitxml={self.report}"]
        reports += [f"--figures-report={self.figures_report}"] if self.measures else []
        return [str(python), "-m", "pytest", "-p", "no:cacheprovider", *reports, *apart, *paths]


UNIT = Suite(
    name="unit",
    environment="main",
    paths=("tests/protocol", "tests/backend/service", "tests/tools"),
    apart=tuple(  # many processes, and so many seconds; the backend's suite has them
        f"tests/backend/service/test_service_{part}.py" for part in ("crashes", "openapi", "remote", "start")
    ),
)
BACKEND = Suite(
    name="backend",
    environment="main",
    paths=("tests/protocol", "tests/backend", "tests/tools", "tests/bench"),
    apart=("tests/backend/parity", "tests/backend/families", "tests/backend/worker"),
)
WORKER = Suite(
    name="worker",
    environment="main",
    paths=("tests/backend/worker",),
    apart=("tests/backend/worker/models",),
)
MODELS = Suite(name="models", environment="main", paths=("tests/backend/worker/models",))
PARITY = tuple(
    Suite(name=f"parity-{part}", environment="main", paths=(f"tests/backend/parity/{part}",))
    for part in ("pictures", "parts")
)
FAMILIES = Suite(name="families", environment="main", paths=("tests/backend/families",), measures=True)
PANEL = Suite(name="panel", environment="main", paths=("tests/qt_panel",))
BLENDERS = tuple(
    Suite(name=f"addon-{version}", environment=f"bpy-{version}", paths=("tests/addon",))
    for version in ("4.2", "4.5", "5.0")
)
DEMO = Suite(name="demo", environment="bpy-5.0", paths=("tests/demo",))
INSTALLER = Suite(name="installer", environment="main", paths=("tests/installer",))
INSTALLED = Suite(name="installed", environment="main", paths=("tests/installed",))
FULL_INSTALL = Suite(name="fullinstall", environment="bpy-5.0", paths=("tests/fullinstall",))
FAULTS = Suite(name="faults", environment="main", paths=("tests/faults",))
SOAK = Suite(name="soak", environment="main", paths=("tests/soak",))
WINDOW = Suite(name="window", environment="main", paths=("tests/window",))

TOGETHER = (  # two at a time; SOAK and FAULTS wait more than they work
    WORKER, SOAK, MODELS, FAULTS, BACKEND, *PARITY, FAMILIES, PANEL, INSTALLER, *BLENDERS, DEMO, INSTALLED,
)  # fmt: skip
ALONE = (WINDOW,)  # it measures how alive the window stays
ON_DEMAND = (FULL_INSTALL,)  # not in `all`: it fetches gigabytes and takes seven minutes
SUITES = {suite.name: suite for suite in (UNIT, *TOGETHER, *ALONE, *ON_DEMAND)}

LINTS = (
    ("ruff format", ("ruff", "format", "--check", ".")),
    ("ruff check", ("ruff", "check", ".")),
    ("pyright", ("pyright", "--project", "pyproject.toml")),  # else one that lies in a folder above would count
    ("import contracts", ("lint-imports", "--no-cache")),
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one step ended."""

    name: str
    passed: bool
    seconds: float
    counts: Counter[str]  # passed, failed, skipped; empty for a step without tests


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; 0 when all of it passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", choices=["check", "all", *SUITES])
    what: list[str] = parser.parse_args(arguments).what
    REPORTS.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    if "check" in what or "all" in what:
        outcomes += [lint(name, command) for name, command in LINTS]
    wanted = [UNIT] if "check" in what else []
    wanted += [suite for suite in (*TOGETHER, *ALONE) if "all" in what or suite.name in what]
    with ThreadPoolExecutor(max_workers=2) as pool:
        outcomes += pool.map(run_suite, (suite for suite in wanted if suite not in ALONE and _exists(suite)))
    if FAMILIES in wanted:
        outcomes.append(lint("families' claims", ("python", "tools/families.py", "--measured")))
    wanted += [suite for suite in ON_DEMAND if suite.name in what]
    outcomes += [run_suite(suite) for suite in wanted if suite in (*ALONE, *ON_DEMAND) and _exists(suite)]
    return report(outcomes)


def lint(name: str, command: tuple[str, ...]) -> Outcome:
    """Run one of the tools of `check`."""
    started = time.monotonic()
    tool = MAIN_PYTHON.with_name(command[0])
    result = subprocess.run(
        [tool, *command[1:]], cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if result.returncode:
        print(f"== {name}\n{result.stdout}{result.stderr}", flush=True)
    seconds = time.monotonic() - started
    return Outcome(name=name, passed=result.returncode == 0, seconds=seconds, counts=Counter())


def run_suite(suite: Suite) -> Outcome:
    """Run one suite in a process group of its own, which goes when its time is up."""
    started = time.monotonic()
    for report in (suite.report, suite.figures_report):
        report.unlink(missing_ok=True)
    process = subprocess.Popen(
        suite.command(),
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=SUITE_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        output += f"\n{suite.name} took more than {SUITE_LIMIT_S:.0f} s and was ended\n"
    seconds = time.monotonic() - started
    print(f"== suite {suite.name} (.venvs/{suite.environment}, {seconds:.0f} s)\n{output}", flush=True)
    counts = read_counts(suite.report)
    passed = process.returncode == 0 and counts["passed"] + counts["skipped"] > 0
    if not passed:
        print(f"== suite {suite.name} left with {process.returncode}", flush=True)
    return Outcome(name=suite.name, passed=passed, seconds=seconds, counts=counts)


def read_counts(report_file: Path) -> Counter[str]:
    """How many tests passed, failed and were skipped; nothing at all where pytest left no report."""
    counts: Counter[str] = Counter()
    if not report_file.exists():
        return counts
    for suite in ElementTree.parse(report_file).getroot().iter("testsuite"):
        tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        counts.update(passed=tests - failed - skipped, failed=failed, skipped=skipped)
    return counts


def report(outcomes: Sequence[Outcome]) -> int:
    """Print a line for each step and one for all; the exit status."""
    total: Counter[str] = Counter()
    for outcome in outcomes:
        total.update(outcome.counts)
        tests = ", ".join(f"{outcome.counts[kind]} {kind}" for kind in ("passed", "failed", "skipped"))
        detail = tests if outcome.counts else ""
        print(f"{'ok  ' if outcome.passed else 'FAIL'} {outcome.name:<16} {outcome.seconds:6.1f} s  {detail}")
    broken = [outcome.name for outcome in outcomes if not outcome.passed]
    if broken:
        print(f"not passed: {', '.join(broken)}")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped", flush=True)
    return 1 if broken or not outcomes else 0


def _exists(suite: Suite) -> bool:
    return any((ROOT / path).is_dir() for path in suite.paths)


def environment() -> dict[str, str]:
    """The environment of every step: this project's backend, nothing from the network, no user's settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("UNDERPAINT_", "BLENDER_USER", "PYTEST_")) and name != "PYTHONPATH"
    }
    return {
        **kept,
        "HF_HUB_OFFLINE": "1",
        "PYTHONUTF8": "1",
        "UNDERPAINT_BACKEND_PYTHON": str(MAIN_PYTHON),
    }


if __name__ == "__main__":
    sys.exit(main())
