"""The models on the backend's computer, as it lists them, for every field that offers some."""

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QImage

from ..protocol.events import Event, JobChanged
from ..protocol.jobs import JobState
from ..protocol.models import FamilyId, ModelEntry, ModelKind, ModelPage
from ..protocol.request import ControlKind, DownloadRequest
from . import messages as m
from .session import Session

_EMPTY = ModelPage(models=(), folders=(), scanning=False, revision=0)
_LOOK_AGAIN_MS = 700  # while folders are being looked through
_SIDE_PX = 96  # of a kept picture


class ModelBook(QObject):
    """Holds the newest list, and the pictures that lie beside models as far as somebody looked at them."""

    changed = Signal()
    pictured = Signal(str)  # the id of a model whose picture has come
    folders_asked = Signal()  # the user wants to say where models are
    catalogue_asked = Signal()  # the user wants to download one

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.page = _EMPTY
        """The newest list."""
        self.loaded = False
        """Whether there is one."""
        self._session = session
        self._connected = False
        self._pictures: dict[str, QImage | None] = {}  # None: asked for, or none there
        self._again = QTimer(self, singleShot=True, interval=_LOOK_AGAIN_MS)
        self._again.timeout.connect(lambda: session.send(m.LoadModels()))
        session.reported.connect(self.hear)

    def ask(self) -> None:
        """Ask for the list as the backend has it now; before there is a connection, it comes with that."""
        if self._connected:
            self._session.send(m.LoadModels())

    def refresh(self) -> None:
        """Have the folders looked through anew."""
        self._session.send(m.LoadModels(rescan=True))

    def entries(self, kind: ModelKind) -> tuple[ModelEntry, ...]:
        """The models of a kind, by family and title."""
        return tuple(entry for entry in self.page.models if entry.kind is kind)

    def entry(self, kind: ModelKind, reference: str) -> ModelEntry | None:
        """A model by what a request calls it."""
        return next((entry for entry in self.entries(kind) if entry.reference == reference), None)

    def picture(self, entry: ModelEntry) -> QImage | None:
        """The picture beside a model; it is fetched at the first call, and `pictured` says when it is there."""
        if entry.has_thumbnail and entry.id not in self._pictures:
            self._pictures[entry.id] = None
            self._session.send(m.LoadModelPicture(model_id=entry.id))
        return self._pictures.get(entry.id)

    def hear(self, report: m.Report) -> None:
        """Take in a report."""
        match report:
            case m.Connected():
                self._connected = True
                self.ask()
            case m.Lost():
                self._connected = False
            case m.ModelsLoaded(page=page):
                if page.scanning:
                    self._again.start()
                self.loaded = self.loaded or not page.scanning
                if page != self.page:
                    self.page = page
                    self.changed.emit()
            case m.ModelPictureLoaded(model_id=model_id, file=file) if file is not None:
                image = QImage.fromData(file)
                if not image.isNull():
                    keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
                    self._pictures[model_id] = image.scaled(_SIDE_PX, _SIDE_PX, keep, smooth)
                    self.pictured.emit(model_id)
            case m.Happened(event=event) if _downloaded(event):
                self.refresh()
            case _:
                pass


def fits(entry: ModelEntry, family: FamilyId | None, kind: ControlKind | None = None) -> bool:
    """Whether a model goes with a checkpoint of a family and, a ControlNet, with a kind of control; what isn't known
    of it may fit."""
    right_family = family is None or entry.family is None or entry.family is family
    right_kind = kind is None or not entry.control_kinds or kind.value in entry.control_kinds
    return right_family and right_kind


def _downloaded(event: Event) -> bool:
    return (
        isinstance(event, JobChanged)
        and isinstance(event.job.request, DownloadRequest)
        and event.job.state is JobState.SUCCEEDED
    )
