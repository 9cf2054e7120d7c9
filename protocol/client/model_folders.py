"""The folders of other programs and of the user's that are looked through for models: `<home>/models/folders.json`.

Editing them needs no service; one that runs notices the change by itself.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from ..errors import ModelFolderRefused
from .endpoint import replace_file
from .file_lock import FileLock

FILE = "folders.json"
MAX_FOLDERS = 100
_MAX_BYTES = 1 << 20
_PATIENCE_S = 5.0


def model_folders(models: Path) -> tuple[str, ...]:
    """The folders that were added, in that order. Raises ModelFolderRefused where the file can't be understood."""
    file = models / FILE
    try:
        with file.open("rb") as stream:
            text = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ModelFolderRefused(folder=file, reason=f"it can't be read ({error.strerror})") from error
    try:
        if len(text) > _MAX_BYTES:
            raise ValueError("it is too long")
        folders: object = json.loads(text)["folders"]
        if not isinstance(folders, list):
            raise ValueError("its folders are no list")
        paths = [Path(folder) for folder in cast("list[str]", folders)]
        if len(paths) > MAX_FOLDERS or not all(path.is_absolute() and "\0" not in str(path) for path in paths):
            raise ValueError(f"it has to name absolute paths, {MAX_FOLDERS} at most")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelFolderRefused(
            folder=file, reason=f'it is not {{"folders": ["...", ...]}} ({error}). Mend it, or delete it and add anew'
        ) from error
    return tuple(map(str, paths))


def add_model_folder(models: Path, folder: str | Path) -> Path:
    """Have a folder looked through, too: one of ComfyUI's or A1111's, or any other. The path that was added.

    Nothing is copied, and nothing is ever written there. One that is there already stays where it is. Raises
    ModelFolderRefused.
    """
    path = Path(folder).expanduser().absolute()
    path = Path(os.path.normpath(path))
    if not path.is_dir():
        raise ModelFolderRefused(folder=path, reason="there is no such folder, or it can't be looked into")
    if _same(path, models):
        raise ModelFolderRefused(folder=path, reason="it is Underpaint's own, and is looked through anyway")
    with _locked(models):
        folders = model_folders(models)
        if not any(_same(path, Path(known)) for known in folders):
            if len(folders) == MAX_FOLDERS:
                raise ModelFolderRefused(folder=path, reason=f"{MAX_FOLDERS} are the most; remove another first")
            _write(models, (*folders, str(path)))
    return path


def remove_model_folder(models: Path, folder: str | Path) -> Path:
    """No longer look through a folder, which stays as it is. The path that was removed.

    Raises ModelFolderRefused for one that was never added.
    """
    path = Path(os.path.normpath(Path(folder).expanduser().absolute()))
    with _locked(models):
        folders = model_folders(models)
        rest = tuple(known for known in folders if not _same(path, Path(known)))
        if len(rest) == len(folders):
            raise ModelFolderRefused(folder=path, reason=f"it was never added; {_listed(folders)}")
        _write(models, rest)
    return path


def _locked(models: Path) -> FileLock:
    models.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(models / f".{FILE}.lock")
    if not lock.acquire(_PATIENCE_S):
        raise ModelFolderRefused(folder=models / FILE, reason="another program is changing it; try again")
    return lock


def _write(models: Path, folders: Sequence[str]) -> None:
    try:
        replace_file(models / FILE, json.dumps({"folders": list(folders)}, indent=2) + "\n")
    except OSError as error:
        raise ModelFolderRefused(folder=models / FILE, reason=f"it can't be written ({error.strerror})") from error


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one folder, as far as can be told of one that may be gone."""
    if os.path.normcase(one) == os.path.normcase(other):
        return True
    try:
        return one.samefile(other)
    except OSError:
        return False


def _listed(folders: Sequence[str]) -> str:
    return f"added are {', '.join(folders)}" if folders else "none was"
