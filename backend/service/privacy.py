"""The home is its owner's alone: what others could read or write is closed to them, and its owner is told."""

import logging
import os
import stat
import sys
from pathlib import Path

from ...protocol.client.home import Home

_OTHERS = stat.S_IRWXG | stat.S_IRWXO

log = logging.getLogger("underpaint.service")


class ForeignHome(Exception):
    """The data folder belongs to somebody else, who could read every prompt and change every file."""


def make_private(home: Home) -> None:
    """Close the home's folders to everybody else. Raises ForeignHome.

    Windows keeps a user's profile private by itself, and has no modes to look at.
    """
    if sys.platform == "win32":
        return
    for folder in (home.folder, home.blobs, home.logs):
        owner = folder.stat().st_uid
        if os.geteuid() not in (owner, 0):
            raise ForeignHome(f"{folder} belongs to another user (number {owner}). Choose another data folder.")
        close_to_others(folder)


def keep_token_private(home: Home) -> bool:
    """Close the token file to everybody else, where somebody has opened it; False where that can't be done."""
    try:
        return sys.platform == "win32" or close_to_others(home.token_file)
    except FileNotFoundError:  # it is written anew in a moment
        return True


def close_to_others(path: Path) -> bool:
    """Take a file or folder from everybody but its owner, with a warning; False where that can't be done."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & _OTHERS:
        return True
    try:
        path.chmod(mode & ~_OTHERS)
    except PermissionError as error:  # a disk without modes, say
        log.warning("%s can be used by other users of this computer, and can't be closed to them: %s", path, error)
        return False
    log.warning("%s could be used by other users of this computer (mode %03o); it is closed to them now", path, mode)
    return True
