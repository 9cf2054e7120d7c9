"""A download asked for beside Blender's interface: a thread that talks to the backend and never touches bpy."""

import threading
import traceback

from ..protocol import client
from ..protocol.errors import UnderpaintError
from ..protocol.events import Event, Progress
from ..protocol.request import DownloadRequest
from .generation import of_job


class DownloadJob:
    """Owns the thread. Once `ended`, it has either a `folder` or an `error`."""

    def __init__(self, request: DownloadRequest) -> None:
        self.request = request
        self.folder = ""
        """Where the model lies now."""
        self.error: Exception | None = None
        """JobCancelled when that was asked for."""
        self.fraction = 0.0
        self.note = ""
        self._cancel = threading.Event()
        self._thread = threading.Thread(target=self._run, name="underpaint-download", daemon=True)

    @property
    def ended(self) -> bool:
        """Whether the thread is done."""
        return self._thread.ident is not None and not self._thread.is_alive()

    @property
    def cancelling(self) -> bool:
        """Whether the end was asked for."""
        return self._cancel.is_set()

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        """Ask for the end; what was fetched stays, and another download goes on from there."""
        self._cancel.set()

    def join(self, timeout_s: float | None) -> None:
        """Wait for the thread, for so long at most."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            with client.ensure_running() as connection:
                job = connection.submit(self.request, client="blender")
                job = client.wait(
                    connection, job, on_event=of_job(job.id, self._on_event), cancelled=self._cancel.is_set
                )
                assert job.result is not None
                self.folder = job.result.checkpoint
        except Exception as error:
            if not isinstance(error, UnderpaintError):
                traceback.print_exception(error)
            self.error = error

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.fraction, self.note = event.fraction, event.note
