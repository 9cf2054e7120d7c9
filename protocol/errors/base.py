"""The root of the tree of errors, and the form in which errors cross the wire."""

from dataclasses import dataclass, field
from typing import ClassVar


class UnderpaintError(Exception):
    """Base of the tree. `details` fill the class's `sentence` and cross the wire with its `code`."""

    code: ClassVar[str] = "error"
    sentence: ClassVar[str] = "{reason}"

    def __init__(self, **details: object) -> None:
        self.details = {name: str(value) for name, value in details.items()}
        super().__init__(str(self))

    def __str__(self) -> str:
        return self.sentence.format_map(_Missing(self.details))

    def info(self) -> "ErrorInfo":
        """The form that crosses the wire."""
        return ErrorInfo(code=self.code, details=self.details)


class _Missing(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


@dataclass(frozen=True, kw_only=True)
class ErrorInfo:
    """An error on the wire."""

    code: str
    details: dict[str, str] = field(default_factory=dict[str, str])

    def error(self) -> UnderpaintError:
        """The exception that this describes; a code from a newer peer becomes UnderpaintError."""
        known = _by_code().get(self.code)
        if known is None:
            return UnderpaintError(reason=f"{self.code}: {self.details}")
        return known(**self.details)


def _by_code() -> dict[str, type[UnderpaintError]]:
    found: dict[str, type[UnderpaintError]] = {}
    pending: list[type[UnderpaintError]] = [UnderpaintError]
    while pending:
        kind = pending.pop()
        found[kind.code] = kind
        pending.extend(kind.__subclasses__())
    return found
