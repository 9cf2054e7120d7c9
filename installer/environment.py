"""What state the backend's environment is in: asked of its own Python, in a process that may fail or hang."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from .install import PINS, read_made
from .plan import Plan, pins

INSIDE = Path(__file__).with_name("inside.py")
"""What an environment's Python runs to tell of itself."""
_SURVEY_S = 120.0
_TORCH_S = 180.0  # a first import from a slow disk takes a minute


class Unanswered(Exception):
    """The environment's Python did not say what it was asked; the message tells why."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was found in an environment."""

    python: str  # its version
    pip: bool = True  # whether there is one, to install with
    wrong: dict[str, str]  # by package: what is wrong with it
    versions: dict[str, str]  # by package


def ask(python: Path, *arguments: str, timeout_s: float) -> dict[str, Any]:
    """What inside.py answers there. Raises Unanswered."""
    misleading = {"PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP"}
    try:
        done = subprocess.run(
            [str(python), "-I", str(INSIDE), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env={name: value for name, value in os.environ.items() if name not in misleading} | {"PYTHONUTF8": "1"},
            creationflags=subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0,
        )
    except subprocess.TimeoutExpired:
        raise Unanswered(f"it did not answer within {timeout_s:.0f} s") from None
    except OSError as error:
        raise Unanswered(f"it can't be run: {error.strerror or error}") from error
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode != 0 or not lines:
        told = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise Unanswered(told[-1] if told else f"it ended with code {done.returncode}")
    try:
        return cast("dict[str, Any]", json.loads(lines[-1]))
    except ValueError as error:
        raise Unanswered(f"it printed {lines[-1][:80]!r}") from error


def survey(python: Path, pinned: Path) -> Survey:
    """Look at the packages: versions, and whether their files are there. A second or two. Raises Unanswered."""
    said = ask(python, "packages", str(pinned), timeout_s=_SURVEY_S)
    return Survey(python=said["python"], pip=said["pip"], wrong=said["wrong"], versions=said["versions"])


def torch(python: Path) -> dict[str, Any]:
    """Where torch would paint: version, cuda, rocm, device, name, total and free bytes. Raises Unanswered."""
    return ask(python, "torch", timeout_s=_TORCH_S)


def failing_imports(python: Path, modules: tuple[str, ...]) -> dict[str, str]:
    """What can't be imported, and why. Raises Unanswered."""
    return ask(python, "imports", *modules, timeout_s=_TORCH_S)["failed"]


def is_outdated(plan: Plan) -> bool:
    """Whether this version of Underpaint wants other packages than the environment was made with."""
    made = read_made(plan.home.environment)
    leaves_out = tuple(str(name) for name in cast("list[object]", made.get("leaves_out", [])))
    try:
        return pins(plan.home.environment / PINS) != pins(plan.requirements, leaves_out)
    except OSError:
        return True
