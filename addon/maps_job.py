"""Control maps made beside Blender's interface: a thread that talks to the backend and never touches bpy."""

import threading
import traceback

from ..protocol import client
from ..protocol.errors import UnderpaintError
from ..protocol.events import Event, Progress
from . import control_maps, words
from .control_maps import ControlMap, Sent
from .generation import Settings
from .words import PHASES


class MapsJob:
    """Owns the thread. Once `ended`, it has either `maps` or an `error`."""

    def __init__(self, settings: Settings, sent: Sent) -> None:
        self.settings = settings
        """What the maps are made with."""
        self.maps: tuple[ControlMap, ...] = ()
        self.error: Exception | None = None
        """JobCancelled when that was asked for."""
        self.status = ""
        """What is being done, for a person."""
        self._sent = sent
        self._cancel = threading.Event()
        self._thread = threading.Thread(target=self._run, name="underpaint-maps", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        """Ask for the end; it is heard within 50 ms of the backend's answering."""
        self._cancel.set()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            with client.ensure_running() as connection:
                self.maps = control_maps.make(
                    connection, self.settings, self._sent, on_event=self._on_event, cancelled=self._cancel.is_set
                )
        except Exception as error:
            if not isinstance(error, UnderpaintError):
                traceback.print_exception(error)
            self.error = error

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.status = words.of(event) if event.note == "" else f"{PHASES[event.phase]}: {event.note}"
