"""Taking out of a text what is nobody else's business, before it is shown to others."""

import getpass
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from ..protocol.client import Home, logs, remote
from ..protocol.errors import RemoteInvalid

_SECRETS = re.compile(r"\b(hf_|sk-|ghp_|github_pat_)[A-Za-z0-9_-]{16,}")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@'\"]{1,256}@")
# Other users' homes, and this one's in a spelling that we don't know; Windows' names may have spaces
_NAME = r"""[^\\/:*?"<>|\r\n']+"""
_HOMES = (
    re.compile(r"(?i)(?<![\w.-])[a-z]:(?:\\\\|\\|/)(?:users|documents and settings)(?:\\\\|\\|/)" + _NAME),
    re.compile(r"(?i)(?:\\\\|\\)users(?:\\\\|\\)" + _NAME),
    re.compile(r"(?i)(?<![\w.-])/{1,2}(?:home|users|var/home|export/home)/[^/\s:'\",;)\]}>]+"),
)
_QUOTED = re.compile(r"""(?<![\w\\])(?:"(?:[^"\\\n]|\\.){1,4000}"|'(?:[^'\\\n]|\\.){1,4000}')(?!\w)""")
_WORDS_OF_A_SENTENCE = 3
_COMMON_NAMES = {"admin", "administrator", "blender", "default", "guest", "root", "ubuntu", "user", "users"}


def scrub(text: str, *, home: Home, prompts: Iterable[str] = ()) -> str:
    """A text without tokens, credentials, prompts, and the paths, the name and the computer of its user."""
    for prompt in sorted(_spellings_of(prompts), key=len, reverse=True):
        text = re.sub(re.escape(prompt), "[prompt]", text, flags=re.IGNORECASE)
    text = _CREDENTIALS.sub("[credentials]@", text)
    text = _SECRETS.sub("[token]", logs.without_secrets(text))
    for path, instead in ((home.folder, "[data folder]"), *((folder, "~") for folder in _home_folders())):
        for spelling in _spellings(path):
            text = re.sub(re.escape(spelling) + r"(?![\w-])", instead, text, flags=re.IGNORECASE)
    for pattern in _HOMES:
        text = pattern.sub("~", text)
    names = ((_user(), "[user]"), (platform.node(), "[computer]"), (_other_computer(home), "[other computer]"))
    for name, instead in names:
        if len(name) > 2 and name.lower() not in _COMMON_NAMES:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", instead, text, flags=re.IGNORECASE)
    return text


def without_quotations(line: str) -> str:
    """A line of a log without quoted sentences: what an error quotes may be somebody's prompt."""

    def replaced(match: re.Match[str]) -> str:
        inside = match[0][1:-1]
        return match[0] if len(inside.split()) < _WORDS_OF_A_SENTENCE else f"{match[0][0]}[text]{match[0][-1]}"

    return _QUOTED.sub(replaced, line)


def _home_folders() -> list[Path]:
    """The user's folder as the system names it, longest first."""
    named = [os.environ.get(name, "") for name in ("HOME", "USERPROFILE")]
    found = {Path.home(), *(Path(name) for name in named if name)}
    found |= {path.resolve() for path in found}
    return sorted((path for path in found if len(path.parts) > 1), key=lambda path: len(str(path)), reverse=True)


def _spellings(path: Path) -> list[str]:
    """A path as it is written in texts, in JSON and in addresses, with either slash; longest first."""
    plain = str(path).rstrip("/\\")
    slashes, backslashes = plain.replace("\\", "/"), plain.replace("/", "\\")
    found = {plain, slashes, backslashes, backslashes.replace("\\", "\\\\"), quote(slashes), quote(slashes, safe="/:")}
    return sorted((spelling for spelling in found if len(spelling) > 2), key=len, reverse=True)


def _spellings_of(prompts: Iterable[str]) -> set[str]:
    """Prompts, and their lines, as texts and tracebacks have them; too short ones are words like any other."""
    found: set[str] = set()
    for prompt in prompts:
        parts = {prompt, *prompt.splitlines()}
        found |= parts | {repr(part)[1:-1] for part in parts} | {part.replace('"', '\\"') for part in parts}
    return {part.strip() for part in found if len(part.strip()) > 3}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no name for this user, as in some containers
        return ""


def _other_computer(home: Home) -> str:
    """The name of the one whose backend is used; none where that is this one's, or can't be read and so wasn't said."""
    try:
        chosen = remote.load(home)
    except RemoteInvalid:
        return ""
    return "" if chosen is None else chosen.endpoint.host
