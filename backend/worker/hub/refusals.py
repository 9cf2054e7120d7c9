"""What goes wrong between here and the hub, in sentences with a way out. No sentence holds a token."""

import asyncio
import errno
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ....protocol.errors import DownloadFailed, ModelGated, ModelMissing, UnderpaintError

LONGEST_PAUSE_S = 120.0  # that a hub may ask for before another try; it is told to the user where it is more
_DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_AT_REST = (408, 429)  # and everything from 500 on: it may go better in a moment


class NoHub(Exception):
    """What answered is no hub, or not the one that was asked."""


class Wanting(Exception):
    """Something came that is not what the hub promised."""


def pause_s(error: Exception) -> float | None:
    """How long to wait at least before trying again; None where that wouldn't help."""
    status = _status(error)
    if status is not None:
        asked = _asked_pause_s(error)
        return asked if (status in _AT_REST or status >= 500) and asked <= LONGEST_PAUSE_S else None
    if isinstance(error, Wanting):
        return 0.0
    if _is_transport(error) and not _is_unknown_host(error) and not _is_distrusted(error):
        return 0.0
    return None


def refusal(error: Exception, hub_id: str, *, endpoint: str, revision: str = "") -> UnderpaintError | None:
    """The error to raise in place of one of the client's; None where it is another's business."""
    if isinstance(error, UnderpaintError):
        return error
    host = urlsplit(endpoint).netloc
    errors: Any = importlib.import_module("huggingface_hub.errors")
    if isinstance(error, errors.GatedRepoError):
        return ModelGated(model=hub_id, url=f"{endpoint}/{hub_id}")
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelMissing(
            model=hub_id, reason=f'{host} has no branch, tag or commit "{revision}" of it. Leave the revision out'
        )
    if isinstance(error, errors.DisabledRepoError):
        return ModelMissing(model=hub_id, reason=f"{host} has closed its repository. Choose another model")
    if _status(error) == 401 and "invalid credentials" in str(error).lower():
        return ModelMissing(
            model=hub_id,
            reason=f'{host} does not accept your token. Log in again with "hf auth login", or correct HF_TOKEN',
        )
    if isinstance(error, errors.RepositoryNotFoundError) or _status(error) in (401, 404):
        return ModelMissing(
            model=hub_id,
            reason=f"{host} has no such repository, or a private one. Look whether its name is written right; for a "
            'private one log in with "hf auth login" or set HF_TOKEN',
        )
    reason = _reason(error, host)
    return None if reason is None else DownloadFailed(model=hub_id, reason=reason)


def in_short(error: Exception) -> str:
    """What happened, in a few words."""
    status = _status(error)
    if status is not None:
        return f"it answered {status}"
    return "it fell silent" if "Timeout" in type(error).__name__ else "the connection broke"


def disk_full(needed: int, free: int, folder: Path) -> str:
    """The reason where there isn't room enough; sizes in bytes."""
    return f"{gigabytes(needed)} are needed in {folder}, and {gigabytes(free)} are free there. Free some space"


def gigabytes(size: int) -> str:
    """A number of bytes as people read it."""
    return f"{size / 1e9:.2f} GB" if size >= 5e7 else f"{size / 1e6:.1f} MB"


def _reason(error: Exception, host: str) -> str | None:
    status = _status(error)
    if status == 403:
        return (
            f"{host} refuses it (403). A token that may read only some repositories has to be allowed this one, on the "
            "hub's page of your tokens; or something on the way, such as a company's filter, refuses"
        )
    if status == 429:
        wait = _asked_pause_s(error)
        when = f" to wait {wait / 60:.0f} minutes" if wait >= 90 else f" to wait {wait:.0f} s" if wait else " to wait"
        return f"{host} asks{when}, for it was asked too often (429). Logging in raises its limit"
    if status is not None and status >= 500:
        return f"{host} has trouble of its own ({status}). Wait a few minutes"
    if status is not None:
        return f"{host} answered {status}: {_words(error)}"
    if isinstance(error, (NoHub, Wanting)):
        return str(error)
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return "the disk is full. Free some space"
    if isinstance(error, OSError) and not _is_transport(error):
        return (
            f"{error.filename or 'the cache'} can't be written ({error.strerror}). See whose it is, and if it is full"
        )
    if _is_distrusted(error):
        return (
            f"the certificate of {host} is not trusted: a virus scanner or a company's proxy may be reading along. "
            "Set SSL_CERT_FILE to the certificates that your network uses"
        )
    if _is_unknown_host(error):
        return f"{host} can't be found. Look whether this computer is online, and whether HF_ENDPOINT is right"
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)) or "Timeout" in type(error).__name__:
        return f"{host} fell silent, again and again"
    if _is_transport(error):
        return f"the connection to {host} broke, again and again ({_words(error)})"
    return None


def _status(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def _asked_pause_s(error: Exception) -> float:
    """What Retry-After says, or the hub's own header; 0 where nothing is said."""
    headers = getattr(error, "response").headers  # noqa: B009 (the errors of several libraries)
    after = headers.get("retry-after", "").strip()
    if after.isdigit():
        return float(after)
    limit = importlib.import_module("huggingface_hub.utils").parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit is not None and limit.remaining == 0 else 0.0


def _is_transport(error: Exception) -> bool:
    return isinstance(error, importlib.import_module("httpx2").TransportError)


def _is_unknown_host(error: Exception) -> bool:
    return any(type(one).__name__ == "gaierror" for one in _chain(error))  # no module of ours imports `socket` here


def _is_distrusted(error: Exception) -> bool:
    return any("CERTIFICATE_VERIFY_FAILED" in str(one) for one in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__ or at.__context__


def _words(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
