"""The programs' logs: one for each program, a JSON object a line, of a bounded size, readable by their owner alone.

    {"time": "2026-03-01T12:00:00.123Z", "level": "info", "process": "service", "pid": 4711,
     "event": "supervisor.start", "text": "started the worker 4712"}

`event` is where in the code it was said, unless the call gives one (`extra={"event": ...}`); a `trace` follows where
there was an exception. Tokens and prompts never get in: `without_secrets` takes them out of every line.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import cast

from .file_lock import FileLock
from .home import Home

MAX_BYTES = 1 << 20
KEPT_FILES = 2  # beside the one that is written to

_TOKEN = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{64}(?![0-9A-Za-z])")
_BEARER = re.compile(r"(?i)\b(bearer)\s+[^\s'\",;]+")
# What CLIP's pipelines print of a prompt that is too long, to the end of the line.
_CUT_OFF = re.compile(r"(?i)(truncated because .{0,40}can only handle sequences up to \d+ tokens:?).*")
_NAMED = re.compile(r"(?i)prompts?[a-z0-9_]{0,20}[\"']?\s{0,4}[:=]\s{0,4}")  # prompt=, "negative_prompt":
_CLOSING = {"[": "]", "(": ")", "{": "}"}


class Program(StrEnum):
    """Who writes a log."""

    SERVICE = "service"
    WORKER = "worker"  # through the service, which reads what it prints
    BLENDER = "blender"
    PANEL = "panel"
    INSTALLER = "installer"


def log_file(home: Home, program: Program) -> Path:
    """Where a program's log is; older parts lie beside it, with .1 and .2 behind the name."""
    return home.logs / f"{program}.log"


def logger(program: Program) -> logging.Logger:
    """What a program says things to."""
    return logging.getLogger(f"underpaint.{program}")


def write_to_home(program: Program, home: Home | Callable[[], Home], *, also: Sequence[str] = ()) -> logging.Handler:
    """Have a program's log written, and those of other libraries' loggers with it, until the handler is taken back.

    Where there is no folder for logs nothing is written: a program that has only looked leaves nothing behind.
    """
    handler = BoundedFile(home, program)
    ours = logger(program)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    for name in (ours.name, *also):
        logging.getLogger(name).addHandler(handler)
    return handler


def take_back(handler: logging.Handler, program: Program, *, also: Sequence[str] = ()) -> None:
    """Undo `write_to_home`."""
    for name in (logger(program).name, *also):
        logging.getLogger(name).removeHandler(handler)
    handler.close()


def without_secrets(text: str) -> str:
    """A text without tokens, nor prompts where it says that they are some."""
    text = _BEARER.sub(r"\1 [token]", text)
    text = _TOKEN.sub("[64 hex digits]", text)
    text = _CUT_OFF.sub(r"\1 [prompt]", text)
    kept: list[str] = []
    at = 0
    while named := _NAMED.search(text, at):
        kept += [text[at : named.end()], "[prompt]"]
        at = _end_of_value(text, named.end())
    return "".join(kept) + text[at:]


def _end_of_value(text: str, at: int) -> int:
    """Where a quoted text or a bracket that begins there ends; the end of the line for any other."""
    first = text[at : at + 1]
    if first in ("'", '"'):
        return _end_of_quoted(text, at)
    if first not in _CLOSING:
        return (text + "\n").index("\n", at)
    at += 1
    while at < len(text) and text[at] != _CLOSING[first]:
        at = _end_of_quoted(text, at) if text[at] in "'\"" else at + 1
    return min(at + 1, len(text))


def _end_of_quoted(text: str, at: int) -> int:
    quote = text[at]
    at += 1
    while at < len(text) and text[at] != quote:
        at += 2 if text[at] == "\\" else 1
    return min(at + 1, len(text))


class Line(logging.Formatter):
    """A record as one line of JSON."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "process": str(self._program),
            "pid": getattr(record, "speaker", record.process),
            "event": getattr(record, "event", f"{record.module}.{record.funcName}"),
            "text": without_secrets(record.getMessage()),
        }
        if record.exc_info:
            said["trace"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(said, ensure_ascii=False)


class BoundedFile(logging.Handler):
    """Appends whole lines to a log, and begins a new one when it is full.

    The file is opened for each line: several Blenders may write one log, and Windows renames none that is open.
    """

    def __init__(
        self,
        home: Home | Callable[[], Home],
        program: Program,
        *,
        max_bytes: int = MAX_BYTES,
        kept: int = KEPT_FILES,
    ) -> None:
        super().__init__()
        self._home = home
        self._program = program
        self._max_bytes = max_bytes
        self._kept = kept
        self.setFormatter(Line(program))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line. A disk that is full, or a folder that is gone, must not end a program for its log."""
        try:
            path = log_file(self._home() if callable(self._home) else self._home, self._program)
            if path.parent.is_dir():
                self._append(path, (self.format(record) + "\n").encode("utf-8", "backslashreplace"))
        except Exception:  # logging's own way: told on stderr, where logging.raiseExceptions is on
            self.handleError(record)

    def _append(self, path: Path, line: bytes) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line)  # one call, so that lines of several processes don't mix
            size = os.fstat(handle).st_size
        finally:
            os.close(handle)
        if size > self._max_bytes:
            self._begin_anew(path)

    def _begin_anew(self, path: Path) -> None:
        with FileLock(path.with_suffix(".lock")) as lock:
            if not lock.try_acquire() or path.stat().st_size <= self._max_bytes:
                return  # another process is at it, or was
            for number in range(self._kept, 0, -1):
                older = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
                if older.exists():
                    older.replace(path.with_name(f"{path.name}.{number}"))


def last_lines(path: Path, count: int, *, max_bytes: int = 64 * 1024) -> list[str]:
    """The end of a log as a person reads it: time, level, event and text; lines that aren't JSON as they are."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            start = max(0, stream.tell() - max_bytes)
            stream.seek(start)
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    lines = text.splitlines()[1 if start else 0 :]
    return [_readable(line) for line in lines[-count:]]


def _readable(line: str) -> str:
    try:
        said: object = json.loads(line)
    except ValueError:
        return line
    if not isinstance(said, dict):
        return line
    fields = cast("dict[str, object]", said)
    words = " ".join(str(fields.get(name, "")) for name in ("time", "level", "event", "text"))
    return f"{words}\n{fields['trace']}" if "trace" in fields else words
