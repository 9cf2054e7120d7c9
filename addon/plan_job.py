"""A plan asked for beside Blender's interface: a thread that talks to the backend and never touches bpy."""

import threading
import traceback

from ..protocol import client
from ..protocol.errors import UnderpaintError
from ..protocol.geometry import Extent
from . import plans
from .generation import Settings


class PlanJob:
    """Owns the thread. Once `ended`, it has either a `plan` or an `error`."""

    def __init__(self, settings: Settings, extent: Extent) -> None:
        self.plan = ""
        self.error: Exception | None = None
        """JobCancelled when that was asked for."""
        self._settings = settings
        self._extent = extent
        self._cancel = threading.Event()
        self._thread = threading.Thread(target=self._run, name="underpaint-plan", daemon=True)

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
                self.plan = plans.ask(connection, self._settings, self._extent, cancelled=self._cancel.is_set)
        except Exception as error:
            if not isinstance(error, UnderpaintError):
                traceback.print_exception(error)
            self.error = error
