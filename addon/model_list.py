"""The models on this computer, as the backend found them, for fields to offer: panels ask nobody themselves.

The list comes in a thread, which starts the service where it is installed: that takes a moment and loads no model.
"""

import threading
import time

import bpy

from ..protocol import client
from ..protocol.errors import BackendError, UnderpaintError
from ..protocol.models import ModelEntry, ModelKind, ModelPage
from . import main_thread

_FRESH_S = 10.0
_SCAN_LIMIT_S = 120.0
_SCAN_PAUSE_S = 0.5
_EMPTY = ModelPage(models=(), folders=(), scanning=False, revision=0)

_page = _EMPTY
_problem = ""
_asked_at = float("-inf")
_asking = threading.Lock()


def offered(kind: ModelKind) -> tuple[ModelEntry, ...]:
    """The models of a kind that were found; an old list is refreshed in the background."""
    if time.monotonic() - _asked_at > _FRESH_S:
        refresh()
    return tuple(entry for entry in _page.models if entry.kind is kind)


def known(reference: str, kind: ModelKind) -> ModelEntry | None:
    """The entry of a model that a setting names; None where it isn't in the list."""
    return next((entry for entry in _page.models if entry.kind is kind and entry.reference == reference), None)


def page() -> ModelPage:
    """The newest list, without asking for a newer one."""
    return _page


def asked() -> ModelPage:
    """The newest list; where there is none yet the backend is asked for it, which blocks. Raises BackendError."""
    if not _page.revision:
        take(look())
    return _page


def problem() -> str:
    """Why there is no newer list; "" where nothing is wrong."""
    return _problem


def refresh() -> None:
    """Ask for the list, beside the interface."""
    if bpy.app.background:  # nobody picks from a list
        return
    if _asking.acquire(blocking=False):
        threading.Thread(target=_ask_and_tell, name="underpaint-models", daemon=True).start()


def take(found: ModelPage) -> None:
    """Make a list the one that is offered."""
    global _page, _problem, _asked_at
    _page, _problem, _asked_at = found, "", time.monotonic()


def look() -> ModelPage:
    """Ask for the list now; blocks until the backend answers. Raises BackendError."""
    with client.ensure_running() as connection:
        return connection.models()


def described(entry: ModelEntry) -> str:
    """What tells a model from others, in a few words."""
    size_gb = entry.size_bytes / 1e9
    size = f"{size_gb:.1f} GB" if size_gb >= 1 else f"{entry.size_bytes / 1e6:.0f} MB"
    family = "" if entry.family is None else FAMILIES.get(entry.family, entry.family)
    return ", ".join(filter(None, (family, *entry.traits, entry.precision, size, entry.licence)))


FAMILIES = {
    "sd15": "SD 1.5",
    "sd2": "SD 2",
    "sdxl": "SDXL",
    "sd3": "SD 3.5",
    "flux": "Flux.1",
    "qwen_image": "Qwen-Image",
    "z_image": "Z-Image",
}
"""What families are called where there is little room."""


def _ask_and_tell() -> None:
    try:
        began = time.monotonic()
        while True:
            found = look()
            main_thread.post(lambda found=found: take(found))
            if not found.scanning or time.monotonic() - began > _SCAN_LIMIT_S:
                return
            time.sleep(_SCAN_PAUSE_S)
    except UnderpaintError as error:
        reason = str(error) if not isinstance(error, BackendError) else "The backend does not answer"
        main_thread.post(lambda: _fail(reason))
    finally:
        _asking.release()


def _fail(reason: str) -> None:
    global _problem, _asked_at
    _problem, _asked_at = reason, time.monotonic()
