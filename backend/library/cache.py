"""The list of models, kept for the next start: whole or not at all, and made anew when it is damaged."""

import dataclasses
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...protocol.models import Advice, FamilyId, Layout, ModelEntry, ModelKind, Origin
from .entries import Record

log = logging.getLogger("underpaint.library")

FILE = "models.json"  # in the data folder
_VERSION = 1  # raised whenever something else is found out about the same file
_MAX_BYTES = 256 << 20
_FIELDS = tuple(field.name for field in dataclasses.fields(ModelEntry))


def load(file: Path, software: str) -> list[Record]:
    """What was kept; nothing where there is none, it is damaged, or another version of the software kept it."""
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError("it is too long")
        first, _, body = file.read_bytes().partition(b"\n")
        if first.decode("ascii") != _first_line(body, software):
            raise ValueError("it is of another version, or damaged")
        return [_record(row) for row in json.loads(body)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        log.info("the list of models is made anew: %s", error)
        return []


def save(file: Path, software: str, records: Iterable[Record]) -> None:
    """Keep a list, in place of the one before. Raises OSError, and leaves that one as it was."""
    body = json.dumps([_row(record) for record in records], separators=(",", ":")).encode()
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(_first_line(body, software).encode("ascii") + b"\n" + body)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _first_line(body: bytes, software: str) -> str:
    return f"underpaint models {_VERSION} {software} {hashlib.blake2b(body, digest_size=16).hexdigest()}"


def _row(record: Record) -> list[Any]:
    entry = record.entry
    values = [getattr(entry, name) for name in _FIELDS]
    advice = entry.advice
    values[_FIELDS.index("advice")] = None if advice is None else dataclasses.asdict(advice)
    return [str(record.path), record.stamp, record.picture, values]


def _record(row: list[Any]) -> Record:
    path, stamp, picture, values = row
    told = dict(zip(_FIELDS, values, strict=True))
    told["kind"] = ModelKind(told["kind"])
    told["family"] = None if told["family"] is None else FamilyId(told["family"])
    told["layout"] = Layout(told["layout"])
    told["origin"] = Origin(told["origin"])
    told["advice"] = None if told["advice"] is None else Advice(**told["advice"])
    for name in ("traits", "control_kinds", "words"):
        told[name] = tuple(told[name])
    size, changed, files, thumbnail, notes = stamp
    return Record(
        entry=ModelEntry(**told), path=Path(path), stamp=(size, changed, files, thumbnail, notes), picture=picture
    )
