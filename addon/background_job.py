"""A job that runs beside Blender's interface: a thread that talks to the backend and posts messages.

The thread never touches bpy. Whoever owns a `BackgroundJob` drains its messages on the main thread.
"""

import queue
import threading
import traceback
from dataclasses import dataclass

from ..protocol import client
from ..protocol.arrays import UInt8Array
from ..protocol.client import Connection
from ..protocol.errors import UnderpaintError
from ..protocol.events import Event, PreviewReady, Progress, WorkerChanged
from . import generation, records
from .capture import Capture
from .generation import Outcome, Settings
from .live_preview import enlarged


@dataclass(frozen=True, kw_only=True)
class Advanced:
    """The job is further than before."""

    progress: Progress


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The picture so far."""

    picture: UInt8Array  # (height, width, 3) sRGB, row 0 at the top, as large as the frame


@dataclass(frozen=True, kw_only=True)
class OnDevice:
    """Where the model runs."""

    device: str


@dataclass(frozen=True, kw_only=True)
class Done:
    """The pictures are there."""

    outcome: Outcome
    packed: tuple[bytes, ...]  # their PNGs


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The job ended in this error; JobCancelled when that was asked for."""

    error: Exception


Message = Advanced | Preview | OnDevice | Done | Failed


class BackgroundJob:
    """Owns the thread. Exactly one Done or Failed comes, as the last message."""

    def __init__(self, settings: Settings, capture: Capture) -> None:
        self._settings = settings
        self._capture = capture
        self._cancel = threading.Event()
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="underpaint-job", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        """Ask for the end; it is heard within 50 ms of the backend's answering."""
        self._cancel.set()

    def messages(self) -> list[Message]:
        """What has happened since the last call; of several previews only the newest."""
        found: list[Message] = []
        while True:
            try:
                found.append(self._messages.get_nowait())
            except queue.Empty:
                break
        newest = max((i for i, message in enumerate(found) if isinstance(message, Preview)), default=-1)
        return [message for i, message in enumerate(found) if not isinstance(message, Preview) or i == newest]

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; whether it ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with client.ensure_running() as connection:
                outcome = generation.generate(
                    connection,
                    self._settings,
                    self._capture,
                    on_event=lambda event: self._on_event(connection, event),
                    cancelled=self._cancel.is_set,
                )
            self._messages.put(Done(outcome=outcome, packed=records.packed(outcome)))
        except Exception as error:
            if not isinstance(error, UnderpaintError):
                traceback.print_exception(error)
            self._messages.put(Failed(error=error))

    def _on_event(self, connection: Connection, event: Event) -> None:
        if isinstance(event, Progress):
            self._messages.put(Advanced(progress=event))
        elif isinstance(event, PreviewReady) and self._settings.use_preview:
            picture = connection.preview(event.job_id)
            if picture is not None:
                self._messages.put(Preview(picture=enlarged(picture, self._capture.extent)))
        elif isinstance(event, WorkerChanged) and event.device:
            self._messages.put(OnDevice(device=event.device))
