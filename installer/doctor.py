"""`underpaint doctor`: what is right and wrong with this computer's backend, in plain words."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from ..protocol.client import Home
from ..protocol.errors import UnderpaintError
from . import check_backend, check_home, check_service
from .findings import Computer, Finding, Verdict, problem

Check = Callable[[Computer], Finding]

CHECKS: tuple[Check, ...] = (
    check_backend.check_system,
    check_backend.check_installed,
    check_backend.check_packages,
    check_backend.check_imports,
    check_backend.check_device,
    check_home.check_disk,
    check_home.check_permissions,
    check_home.check_models,
    check_service.check_loopback,
    check_service.check_remote,
    check_service.check_service,
    check_home.check_queue,
    check_home.check_logs,
    check_home.check_clock,
)
_OF_THE_ENVIRONMENT = (check_backend.check_packages, check_backend.check_imports, check_backend.check_device)
QUICK: tuple[Check, ...] = tuple(check for check in CHECKS if check is not check_backend.check_imports)
"""Without loading every library, which takes the longest."""


def examine(home: Home, checks: Sequence[Check] = CHECKS) -> Iterator[Finding]:
    """One finding after the other; loading PyTorch among them takes some seconds."""
    computer = Computer(home=home, environ=dict(os.environ))
    usable = True
    for check in checks:
        if check in _OF_THE_ENVIRONMENT and not usable:
            continue  # the one thing that is wrong has been said
        try:
            finding = check(computer)
            if check is check_backend.check_installed and finding.verdict is Verdict.PROBLEM:
                usable = False
                if home.remote_file.exists():
                    continue  # another computer does the work
            yield finding
        except (OSError, UnderpaintError) as error:
            name = check.__name__.removeprefix("check_").capitalize()
            yield problem(
                name, f"It can't be looked at: {error}.", "Look who owns the data folder, and whether it is whole."
            )


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Whether nothing keeps the backend from working."""
    return all(finding.verdict is not Verdict.PROBLEM for finding in findings)


def as_text(finding: Finding) -> str:
    """A finding for a person; a second line says what to do."""
    line = f"{finding.verdict:<8} {finding.check}: {finding.sentence}"
    return f"{line}\n{'':<8} -> {finding.remedy}" if finding.remedy else line


def as_json(findings: Sequence[Finding]) -> str:
    """The findings for a program."""
    return json.dumps(
        {"healthy": is_healthy(findings), "findings": [asdict(finding) for finding in findings]}, indent=2
    )


def summary(findings: Sequence[Finding]) -> str:
    """One sentence for all."""
    problems = sum(finding.verdict is Verdict.PROBLEM for finding in findings)
    warnings = sum(finding.verdict is Verdict.WARNING for finding in findings)
    counted = [
        f"{number} {word}{'s' * (number > 1)}"
        for number, word in ((problems, "problem"), (warnings, "warning"))
        if number
    ]
    return f"{' and '.join(counted)}." if counted else "Everything is as it should be."
