"""Making the backend's own Python environment, with nothing installed into Blender's. No bpy in here.

A new environment is built beside the old one and takes its place once it has been seen to work, so a
failed, cancelled or crashed installation leaves what was there, and trying again begins anew. What was
downloaded stays in pip's own cache. (A virtual environment survives being renamed, but for the
console scripts in it, which nothing of ours uses.)
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from ..protocol.errors import InstallFailed, InstallNeedsSpace
from .plan import Plan, pins
from .variants import Build
from .work import Stage, Step, Work

PINS = "underpaint-pins.txt"
"""In the environment: what was asked for when it was made."""
MADE = "underpaint.json"
"""In the environment: how it was made."""

PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off")
TORCH = ("torch", "torchvision")


class Installation(Work):
    """Makes the environment anew. `poll` it until the stage is READY; it never blocks for long."""

    def __init__(self, plan: Plan) -> None:
        """Begin. Raises InstallNeedsSpace, or InstallFailed when another one is at work."""
        plan.home.create()
        if plan.free_bytes < plan.needed_bytes:
            raise InstallNeedsSpace(
                needed_gb=f"{plan.needed_bytes / 1e9:.1f}",
                free_gb=f"{plan.free_bytes / 1e9:.1f}",
                folder=plan.home.folder,
            )
        super().__init__(plan, _steps(plan), expected=_expected(plan))

    def _finish(self) -> None:
        """Put the new environment where the old one was."""
        plan = self.plan
        try:
            if plan.replaced.exists():  # left by a crash
                shutil.rmtree(plan.replaced)
            if plan.home.environment.exists():
                plan.home.environment.rename(plan.replaced)
            plan.building.rename(plan.home.environment)
        except OSError as error:  # on Windows: a backend that runs holds the old one's files
            if plan.replaced.exists() and not plan.home.environment.exists():
                plan.replaced.rename(plan.home.environment)
            raise InstallFailed(reason=f"{error}. Stop the backend first", log=plan.log) from error
        shutil.rmtree(plan.replaced, ignore_errors=True)  # what is left of it is deleted next time


def _steps(plan: Plan) -> Iterator[Step]:
    python = plan.building_python
    yield Step(
        stage=Stage.ENVIRONMENT,
        python=plan.base_python,
        arguments=("-m", "venv", "--clear", str(plan.building)),
        before=lambda: shutil.rmtree(plan.building, ignore_errors=True),
    )
    (plan.building / PINS).write_text("".join(f"{line}\n" for line in pins(plan.requirements, plan.leaves_out)))
    made = {"build": str(plan.build), "leaves_out": plan.leaves_out, "own_torch": bool(plan.torch_index)}
    (plan.building / MADE).write_text(json.dumps(made))
    if plan.torch_index:
        # ROCm's compiler is another package, which only that index knows and no pin names
        with_needs = () if plan.build is Build.CPU else ("--extra-index-url", plan.torch_index)
        yield Step(
            stage=Stage.PACKAGES,
            python=python,
            arguments=(
                *PIP, *plan.pip_options, "--index-url", plan.torch_index, *(with_needs or ("--no-deps",)),
                *(pin.split(";")[0].strip() for pin in pins(plan.requirements) if pin.startswith(_pinned(TORCH))),
            ),
        )  # fmt: skip
    yield Step(
        stage=Stage.PACKAGES,
        python=python,
        arguments=(*PIP, *plan.pip_options, "--no-deps", "--requirement", str(plan.building / PINS)),
    )
    yield Step(stage=Stage.CHECK, python=python, arguments=("-c", f"import {', '.join(plan.modules)}"))


def _pinned(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}==" for name in names)


def _expected(plan: Plan) -> int:
    """About how many packages the list brings to this platform."""
    listed = pins(plan.requirements, plan.leaves_out)
    return sum(";" not in line or f"'{sys.platform}'" in line for line in listed)


def read_made(environment: Path) -> dict[str, object]:
    """How an environment was made; empty where it doesn't say."""
    try:
        said: dict[str, object] = json.loads((environment / MADE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said
