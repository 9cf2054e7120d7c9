"""What `doctor` finds: one result for each check, in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from ..protocol.client import Home, backend_python
from . import environment
from .environment import Survey
from .install import PINS
from .plan import REQUIREMENTS
from .variants import Hardware, find_hardware


class Verdict(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check."""

    check: str  # what was looked at
    verdict: Verdict
    sentence: str
    remedy: str = ""  # what to do; "" where there is nothing to do


def ok(check: str, sentence: str) -> Finding:
    """All is well."""
    return Finding(check=check, verdict=Verdict.OK, sentence=sentence)


def warning(check: str, sentence: str, remedy: str = "") -> Finding:
    """It works, and not as well as it could."""
    return Finding(check=check, verdict=Verdict.WARNING, sentence=sentence, remedy=remedy)


def problem(check: str, sentence: str, remedy: str) -> Finding:
    """It can't work."""
    return Finding(check=check, verdict=Verdict.PROBLEM, sentence=sentence, remedy=remedy)


@dataclass(kw_only=True)
class Computer:
    """What the checks look at; what takes time is looked at once."""

    home: Home
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    requirements: Path = REQUIREMENTS

    @cached_property
    def python(self) -> Path:
        """The backend's interpreter. Raises BackendNotInstalled."""
        return backend_python(self.home)

    @cached_property
    def pinned(self) -> Path:
        """What should be installed: what the environment was made with, or what this version wants."""
        made_with = self.home.environment / PINS
        return made_with if made_with.is_file() and self.python == self.home.python else self.requirements

    @cached_property
    def survey(self) -> Survey:
        """The packages. Raises BackendNotInstalled, Unanswered."""
        return environment.survey(self.python, self.pinned)

    @cached_property
    def torch(self) -> dict[str, Any]:
        """Where torch would paint. Raises BackendNotInstalled, Unanswered."""
        return environment.torch(self.python)

    @cached_property
    def hardware(self) -> Hardware:
        """The graphics cards whose drivers are there."""
        return find_hardware()
