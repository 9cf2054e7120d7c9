"""The panel's conversation with the service: two threads that own the connections, behind signals.

The caller's thread does one command after another; the listener's thread follows the event stream.
Nothing here knows a widget, and the window's thread never waits for the network.
"""

import logging
import threading
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QObject, Qt, QThread, Signal, Slot

from ..protocol import client
from ..protocol.arrays import AnyArray, DType
from ..protocol.errors import BackendUnreachable, InvalidArray, UnderpaintError
from ..protocol.jobs import Job, JobPage, JobState
from . import form as forms
from . import messages as m
from .link import BackendStopped
from .words import RENDER_CLIENTS

_log = logging.getLogger(__name__)
_MAKERS = {
    m.Want.PICTURES: forms.generate_request,
    m.Want.MAPS: forms.maps_request,
    m.Want.PLAN: forms.plan_request,
}


class Session(QObject):
    """Sends commands and hears reports; owns the two threads from `start` to `stop`."""

    reported = Signal(object)  # a messages.Report, in the window's thread

    _commanded = Signal(object)
    _followed = Signal(object)

    def __init__(self, home: client.Home | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.home = home or client.default_home()
        """The data folder whose service it talks with."""
        self._threads = (QThread(self), QThread(self))
        self._threads[0].setObjectName("underpaint-caller")
        self._threads[1].setObjectName("underpaint-listener")
        self._stopping = threading.Event()
        self._caller = _Caller(self.home, self._stopping)
        self._listener = _Listener(self._stopping)
        queued = Qt.ConnectionType.QueuedConnection
        for worker, thread in ((self._caller, self._threads[0]), (self._listener, self._threads[1])):
            worker.moveToThread(thread)
            worker.reported.connect(self.reported, queued)
            thread.finished.connect(worker.close, Qt.ConnectionType.DirectConnection)
        self._commanded.connect(self._caller.do, queued)
        self._followed.connect(self._listener.follow, queued)
        self._caller.connected.connect(self._followed, queued)

    def start(self) -> None:
        """Start both threads and look for the service."""
        for thread in self._threads:
            thread.start()
        self.send(m.Connect())

    def send(self, command: m.Command) -> None:
        """Have a command done after those sent before."""
        self._commanded.emit(command)

    def stop(self) -> None:
        """End both threads and wait for them: a moment, or as long as a starting service takes."""
        self._stopping.set()
        for thread in self._threads:
            thread.quit()
        for thread in self._threads:
            thread.wait()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Subscription:
    """One stream of events for the listener to follow."""

    connection: client.Connection  # the listener's own, to be closed by it
    since: int  # revision
    serial: int
    superseded: threading.Event  # set when the caller has made a newer one


class _Caller(QObject):
    reported = Signal(object)
    connected = Signal(object)  # a _Subscription

    def __init__(self, home: client.Home, stopping: threading.Event) -> None:
        super().__init__()
        self._home = home
        self._stopping = stopping
        self._connection: client.Connection | None = None
        self._subscription: _Subscription | None = None

    @Slot(object)
    def do(self, command: m.Command) -> None:
        """Do one command, and report what came of it."""
        if self._stopping.is_set():
            return
        try:
            self._do(command)
        except UnderpaintError as error:
            if isinstance(error, BackendUnreachable):
                self._drop()
            self.reported.emit(m.Refused(command=command, error=error))
        except Exception as error:  # a defect: whoever waits for this command must hear of it all the same
            _log.exception("%s", command)
            self.reported.emit(m.Refused(command=command, error=UnderpaintError(reason=f"Unexpected error: {error}")))

    def _do(self, command: m.Command) -> None:
        match command:
            case m.Connect(since=since, wanted=wanted):
                here = not self._home.remote_file.exists()
                if here and not wanted and not self._home.endpoint_file.exists():
                    raise BackendStopped  # a service removes this file when it is told to leave, and only then
                self._connect(since)
            case m.Submit():
                self.reported.emit(m.Submitted(job=self._submit(command)))
            case m.CancelJob(job_id=job_id):
                self._open().cancel(job_id)  # the event stream tells what became of it
            case m.MoveJob(job_id=job_id, before=before, priority=priority):
                self._open().move(job_id, before=before, priority=priority)  # as above
            case m.RetryJob(job_id=job_id):
                self.reported.emit(m.Submitted(job=self._open().retry(job_id, client="panel")))
            case m.CollectJob(job_id=job_id):
                self._open().collected(job_id)
            case m.LoadJobs(before=before):
                self.reported.emit(m.JobsLoaded(page=self._open().jobs(before=before)))
            case m.FindRender():
                self.reported.emit(m.RenderFound(job=self._find_render()))
            case m.LoadPicture(ref=ref):
                self.reported.emit(m.PictureLoaded(ref=ref, pixels=_picture(self._open().download(ref))))
            case m.Ask(job_id=job_id, request=request, transient=transient):
                job = self._open().submit(request, job_id=job_id, client="panel", transient=transient)
                self.reported.emit(m.Submitted(job=job))
            case m.LoadModels(rescan=rescan):
                if rescan:
                    self._open().rescan_models()
                self.reported.emit(m.ModelsLoaded(page=self._open().models()))
            case m.LoadModelPicture(model_id=model_id):
                file = self._open().thumbnail(model_id)
                self.reported.emit(m.ModelPictureLoaded(model_id=model_id, file=file))
            case m.LoadCatalogue():
                self.reported.emit(m.CatalogueLoaded(catalogue=self._open().catalogue()))
            case m.FindGone(refs=refs):
                connection = self._open()
                gone = frozenset(ref.sha256 for ref in refs if not connection.holds(ref))
                self.reported.emit(m.GoneFound(refs=refs, gone=gone))
            case m.LoadPreview(job_id=job_id):
                self.reported.emit(m.PreviewLoaded(job_id=job_id, pixels=self._open().preview(job_id)))

    def _open(self) -> client.Connection:
        if self._connection is None:
            self._connect()
        assert self._connection is not None
        return self._connection

    def _connect(self, since: int | None = None) -> None:
        self._drop()
        self.reported.emit(m.Connecting())
        connection = client.ensure_running(self._home)
        try:
            hello = connection.hello()
            page = connection.jobs()
            if "queue" in hello.capabilities:  # what has waited for long may be on no newer page
                page = JobPage(jobs=(*connection.queue().jobs, *page.jobs), next_before=page.next_before)
        except UnderpaintError:
            connection.close()
            raise
        self._connection = connection
        old = self._subscription
        serial = old.serial + 1 if old is not None else 1
        self._subscription = _Subscription(
            connection=client.Connection.to(self._home),
            since=hello.revision if since is None else min(since, hello.revision),
            serial=serial,
            superseded=threading.Event(),
        )
        self.reported.emit(m.Connected(software_version=hello.software_version, page=page, serial=serial))
        if old is not None:
            old.superseded.set()
        self.connected.emit(self._subscription)

    def _submit(self, command: m.Submit) -> Job:
        connection = self._open()
        make = _MAKERS[command.want]
        request = make(command.form, connection.upload)
        looked = command.want is not m.Want.PICTURES
        return connection.submit(request, job_id=command.job_id, client="panel", transient=looked)

    def _find_render(self) -> Job | None:
        before: int | None = None
        while not self._stopping.is_set():
            page = self._open().jobs(before=before)
            for job in page.jobs:
                picture = forms.pictured(job.request)
                usable = job.state is JobState.SUCCEEDED and picture is not None and bool(picture.controls)
                if usable and job.client in RENDER_CLIENTS:
                    return job
            if page.next_before is None:
                return None
            before = page.next_before
        return None

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @Slot()
    def close(self) -> None:
        """Called in this thread, at its end."""
        self._drop()


class _Listener(QObject):
    reported = Signal(object)

    def __init__(self, stopping: threading.Event) -> None:
        super().__init__()
        self._stopping = stopping

    @Slot(object)
    def follow(self, subscription: _Subscription) -> None:
        """Report events until the stream breaks or the session ends."""
        connection = subscription.connection
        try:
            for event in connection.events(subscription.since):
                if self._stopping.is_set() or subscription.superseded.is_set():
                    return
                if event is not None:
                    self.reported.emit(m.Happened(event=event))
        except UnderpaintError as error:
            self.reported.emit(m.Lost(error=error, serial=subscription.serial))
        else:
            self.reported.emit(m.Lost(error=BackendUnreachable(reason="it was stopped"), serial=subscription.serial))
        finally:
            connection.close()

    @Slot()
    def close(self) -> None:
        """Nothing is left open: `follow` closes what it was given."""


def _picture(array: AnyArray) -> AnyArray:
    if array.dtype.name == DType.UINT8 and array.ndim == 2:  # a mask
        array = np.stack([array] * 3, axis=-1)
    if array.dtype.name not in (DType.UINT8, DType.FLOAT32) or array.ndim != 3 or array.shape[2] != 3:
        raise InvalidArray(reason=f"{array.dtype} {array.shape}, expected a picture")
    return array
