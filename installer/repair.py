"""Mending an environment: what is wrong with it is found out, and only that is installed again."""

from collections.abc import Iterator

from ..protocol.errors import InstallFailed
from . import environment
from .environment import Unanswered
from .install import PINS, PIP, Installation
from .plan import Plan, pins
from .work import Progress, Stage, Step, Work

BEYOND_REPAIR = "underpaint-beyond-repair"
"""In an environment that a repair did not help."""


class Repair(Work):
    """Installs some packages once more, in the environment that is there; checks that all of it works then."""

    def __init__(self, plan: Plan, packages: tuple[str, ...]) -> None:
        """Begin. Raises InstallFailed when another installation is at work."""
        super().__init__(plan, _steps(plan, packages), expected=len(packages))

    def poll(self) -> Progress:
        """As Work's. An environment that is broken all the same is made anew the next time."""
        try:
            return super().poll()
        except InstallFailed:
            if self.stage is Stage.CHECK:
                (self.plan.home.environment / BEYOND_REPAIR).touch()
            raise


def begin(plan: Plan) -> Work | None:
    """Begin whatever this environment needs; None where nothing is wrong.

    Blocks for as long as it takes to look, which is seconds. Raises InstallNeedsSpace, InstallFailed.
    """
    wrong = diagnose(plan)
    if wrong is None:
        return Installation(plan)
    return Repair(plan, tuple(wrong)) if wrong else None


def diagnose(plan: Plan) -> dict[str, str] | None:
    """What is wrong with the environment's packages, by name; None where it has to be made anew."""
    python, pinned = plan.home.python, plan.home.environment / PINS
    if not python.is_file() or not pinned.is_file() or environment.is_outdated(plan):
        return None
    if (plan.home.environment / BEYOND_REPAIR).exists():
        return None
    try:
        found = environment.survey(python, pinned)
        if not found.pip:
            return None
        # With every file in its place an import may still fail, where something else is broken: Python, or the system.
        return found.wrong if found.wrong or not environment.failing_imports(python, plan.modules) else None
    except Unanswered:
        return None


def _steps(plan: Plan, packages: tuple[str, ...]) -> Iterator[Step]:
    python = plan.home.python
    listed = [line for line in pins(plan.home.environment / PINS) if line.split("==")[0].strip() in packages]
    if len(listed) != len(packages):
        raise InstallFailed(reason=f"the pins of {', '.join(packages)} are not all there", log=plan.log)
    wanted = plan.downloads / "wanted.txt"

    def write() -> None:
        wanted.write_text("".join(f"{line}\n" for line in listed), encoding="utf-8")

    index = ("--index-url", plan.torch_index) if plan.torch_index and set(packages) <= {"torch", "torchvision"} else ()
    yield Step(
        stage=Stage.PACKAGES,
        python=python,
        arguments=(
            *PIP, *plan.pip_options, *index, "--no-deps", "--force-reinstall", "--requirement", str(wanted),
        ),
        before=write,
    )  # fmt: skip
    pinned = str(plan.home.environment / PINS)
    yield Step(stage=Stage.CHECK, python=python, arguments=(str(environment.INSIDE), "whole", pinned))
    yield Step(stage=Stage.CHECK, python=python, arguments=("-c", f"import {', '.join(plan.modules)}"))
