"""Checks of the data folder: space, permissions, models, queue, logs."""

import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ..protocol.client import logs
from ..protocol.client.logs import Program
from .findings import Computer, Finding, ok, problem, warning
from .plan import gigabytes

_FULL_BYTES, _TIGHT_BYTES = 1_000_000_000, 10_000_000_000
_DAY_S = 86400.0
_OLDEST_CLOCK = 1767225600.0  # 2026-01-01: no computer that runs this can be earlier
_SQLITE = b"SQLite format 3\x00"


def check_disk(computer: Computer) -> Finding:
    """Whether there is room for results, models and an installation."""
    check, folder = "Disk", computer.home.folder
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    words = f"{gigabytes(free)} are free where the data folder is, {folder}."
    if free < _FULL_BYTES:
        return problem(check, words, "Free some space: pictures can't be kept.")
    if free < _TIGHT_BYTES:
        return warning(check, words, "An installation or a model takes more than that: free some space before.")
    return ok(check, words)


def check_permissions(computer: Computer) -> Finding:
    """Whether the folder can be written to, and nobody else can read the token."""
    check, home = "Permissions", computer.home
    if not home.folder.exists():
        return ok(check, "There is no data folder yet; it will be its owner's alone.")
    if not os.access(home.folder, os.R_OK | os.W_OK | os.X_OK):
        return problem(
            check, f"The data folder {home.folder} can't be written to.", "Make it yours, or set UNDERPAINT_HOME."
        )
    if sys.platform == "win32":
        return ok(check, "The data folder can be written to; who else may read it is as for all your files.")
    if home.token_file.exists():
        mode = stat.S_IMODE(home.token_file.stat().st_mode)
        if mode & 0o077:
            return problem(
                check,
                f"Others on this computer can read the backend's token ({mode:03o} where 600 is right): they could see "
                "your pictures and use your graphics card.",
                f"chmod 600 {home.token_file}, then stop the backend: the next start makes another token.",
            )
    open_to_others = [path for path in (home.folder, home.blobs, home.logs) if _is_open(path)]
    if open_to_others:
        named = " ".join(str(path) for path in open_to_others)
        return warning(check, f"Others on this computer can look into {named}.", f"chmod 700 {named}")
    return ok(check, "The data folder is its owner's alone.")


def check_models(computer: Computer) -> Finding:
    """What lies in the folder of models."""
    check, folder = "Models", computer.home.models
    found = sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    if not found:
        return ok(
            check,
            f"None in {folder}. Others are found elsewhere, too: underpaint models lists them, underpaint download "
            "fetches one. Without any, a small built-in model paints.",
        )
    sizes = {path.name: sum(file.stat().st_size for file in _files(path)) for path in found}
    named = ", ".join(f"{name} ({gigabytes(size)})" for name, size in list(sizes.items())[:12])
    more = f" and {len(sizes) - 12} more" if len(sizes) > 12 else ""
    empty = [name for name, size in sizes.items() if not size]
    if empty:
        return warning(check, f"Empty: {', '.join(empty)}.", f"Copy the model's files again into {folder}.")
    return ok(check, f"{named}{more}, in {folder}.")


def check_queue(computer: Computer) -> Finding:
    """Whether the queue's file can be read and is all there."""
    check, path = "Queue", computer.home.database
    if not path.exists():
        return ok(check, "There is none yet.")
    damaged = "Nothing to do: the next start of the backend restores it from its copy. Keep the damaged file."
    try:
        with path.open("rb") as stream:
            header = stream.read(100)
    except OSError as error:
        return problem(
            check, f"{path} can't be read: {error.strerror}.", "Make the data folder and what is in it yours."
        )
    size = path.stat().st_size
    if size and not header.startswith(_SQLITE):
        return problem(check, f"{path} is damaged: it is no database.", damaged)
    # https://www.sqlite.org/fileformat.html, 1.3: page size at 16 (1 means 65536), number of pages at 28
    page = int.from_bytes(header[16:18], "big")
    expected = (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
    if header[24:28] == header[92:96] and size < expected:
        return problem(check, f"{path} is damaged: {size} of {expected} bytes are there.", damaged)
    kept = list(_files(computer.home.blobs)) if computer.home.blobs.is_dir() else []
    pictures = sum(file.stat().st_size for file in kept)
    return ok(check, f"It can be read ({gigabytes(size)}); it keeps {len(kept)} arrays ({gigabytes(pictures)}).")


def check_logs(computer: Computer) -> Finding:
    """Whether the programs complained in the last day."""
    check, folder = "Logs", computer.home.logs
    if not folder.is_dir():
        return ok(check, "There are none yet.")
    errors: list[str] = []
    for program in Program:
        errors += _errors(logs.log_file(computer.home, program))
    size = sum(file.stat().st_size for file in _files(folder))
    if errors:
        return warning(
            check,
            f"{len(errors)} error{'s' * (len(errors) > 1)} in the last day, the last one: {errors[-1].rstrip('.')}.",
            f'The logs are in {folder}. "Copy Diagnostics" gathers what to show to others.',
        )
    return ok(check, f"No errors in the last day; {gigabytes(size)} in {folder}.")


def check_clock(computer: Computer) -> Finding:
    """Whether the clock can be right: downloads are refused by one that is not, and jobs look years old."""
    check, now = "Clock", time.time()
    remedy = "Set the computer's date and time."
    if now < _OLDEST_CLOCK:
        return problem(check, f"It says {time.strftime('%Y-%m-%d')}, which is long ago.", remedy)
    newest = max((path.stat().st_mtime for path in _of_home(computer)), default=0.0)
    if newest > now + _DAY_S:
        return warning(check, "Files of the backend are from the future: the clock was set back.", remedy)
    return ok(check, f"It says {time.strftime('%Y-%m-%d %H:%M')}.")


def _is_open(path: Path) -> bool:
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    else:
        yield from (file for file in path.rglob("*") if file.is_file())


def _of_home(computer: Computer) -> list[Path]:
    home = computer.home
    return [path for path in (home.database, home.endpoint_file, home.service_log) if path.exists()]


def _errors(log: Path) -> list[str]:
    """What was said in the last day with level error or worse."""
    if not log.exists() or log.stat().st_mtime < time.time() - _DAY_S:
        return []
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - _DAY_S))
    found: list[str] = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            said: dict[str, object] = json.loads(line)
        except ValueError:
            continue
        if said.get("level") in ("error", "critical") and str(said.get("time")) > since:
            found.append(f"{said.get('process')}: {str(said.get('text'))[:500]}")
    return found
