"""Whether there is a backend, and what to do when there is none, as a table. Knows no Qt."""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum

from ..protocol.errors import (
    BackendNotInstalled,
    BackendNotStarted,
    BackendUnreachable,
    TokenRefused,
    UnderpaintError,
    VersionMismatch,
)
from ..protocol.events import WorkerChanged, WorkerState

RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""How long to wait before each attempt to get a lost backend back; after the last one, the user is asked."""
STOPPED_RETRY_S = 2.0
"""How often to look whether a backend that was stopped on purpose is back."""


class BackendStopped(BackendUnreachable):
    code = "backend_stopped"
    sentence = "The Underpaint backend was stopped. It starts again when a picture is asked for."


class LinkState(StrEnum):
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"  # lost, and to be tried again
    STOPPED = "stopped"  # by somebody who meant it: looked for, and not started
    DOWN = "down"  # not to be tried again before the user says so


@dataclass(frozen=True, kw_only=True)
class Link:
    """The conversation with the service."""

    state: LinkState = LinkState.CONNECTING
    attempt: int = 0  # of those in RETRY_S
    error: UnderpaintError | None = None  # why there is none
    software_version: str = ""

    @property
    def retry_s(self) -> float | None:
        """How long to wait before trying again; None where nothing is to be tried."""
        if self.state is LinkState.STOPPED:
            return STOPPED_RETRY_S
        return RETRY_S[self.attempt] if self.state is LinkState.WAITING else None


def connecting(link: Link) -> Link:
    """An attempt begins."""
    return dataclasses.replace(link, state=LinkState.CONNECTING)


def connected(software_version: str) -> Link:
    """The service answered."""
    return Link(state=LinkState.CONNECTED, software_version=software_version)


def lost(link: Link, error: UnderpaintError) -> Link:
    """The conversation broke off, or an attempt failed."""
    if isinstance(error, BackendStopped):
        return Link(state=LinkState.STOPPED, error=error)
    hopeless = isinstance(error, BackendNotInstalled | BackendNotStarted | VersionMismatch | TokenRefused)
    attempt = 0 if link.state is LinkState.CONNECTED else link.attempt + 1
    if hopeless or attempt >= len(RETRY_S):
        return Link(state=LinkState.DOWN, error=error)
    return Link(state=LinkState.WAITING, attempt=attempt, error=error)


def words(link: Link, worker: WorkerChanged | None) -> str:
    """The status bar's line."""
    match link.state:
        case LinkState.CONNECTING:
            return "Starting the backend…" if link.error is None else "Reconnecting to the backend…"
        case LinkState.WAITING:
            return "Backend lost, reconnecting…"
        case LinkState.STOPPED:
            return "Backend stopped"
        case LinkState.DOWN:
            return "Backend not installed" if isinstance(link.error, BackendNotInstalled) else "No backend"
        case LinkState.CONNECTED:
            return f"Backend {link.software_version}: {_worker(worker)}"


def _worker(worker: WorkerChanged | None) -> str:
    if worker is None or worker.state is WorkerState.STOPPED:
        return "ready"
    on = f" on {worker.device}" if worker.device else ""
    return {
        WorkerState.STARTING: "loading PyTorch",
        WorkerState.READY: f"ready{on}",
        WorkerState.BUSY: f"painting{on}",
    }[worker.state]
