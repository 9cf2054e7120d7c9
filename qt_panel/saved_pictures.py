"""Pictures out of the window and back: saving with a record, and taking the settings that a picture carries."""

import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import QMimeData, QObject, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QWidget

from ..protocol import record
from ..protocol.errors import UnderpaintError
from ..protocol.events import JobChanged
from ..protocol.jobs import Job, JobState
from ..protocol.request import PlanRequest
from . import form as forms
from . import messages as m
from . import pictures, words
from .form import Form
from .model_book import ModelBook
from .notices import Action, Notice, Severity, Topic
from .presenter import Presenter
from .session import Session
from .settings import Memory
from .taken_settings import Taken, taken

_SAVED_AS = ("PNG (*.png)", "OpenEXR (*.exr)")


class SavedPictures(QObject):
    """Between files and the form."""

    noticed = Signal(object)  # a Notice
    settled = Signal(object)  # a Topic of which nothing is to be said any more
    said = Signal(str)  # for the status bar

    def __init__(
        self,
        session: Session,
        presenter: Presenter,
        book: ModelBook,
        memory: Memory,
        *,
        form: Callable[[], Form],
        fill: Callable[[Form], None],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._session, self._presenter, self._book, self._memory = session, presenter, book, memory
        self._form, self._fill = form, fill
        self._window = parent
        self._taken: Taken | None = None  # the newest settings that came out of a file
        self._told: tuple[str, ...] = ()
        self._check_id = ""  # the job that tells whether its models are what they were
        session.reported.connect(self.hear)

    # ---- out

    def ask_save(self) -> None:
        """Ask where to save what is looked at."""
        picture = self._presenter.picture()
        if picture is None:
            return
        in_bytes = picture[0].dtype == np.uint8
        kinds = _SAVED_AS if in_bytes else _SAVED_AS[::-1]
        name = Path(self.file_name(picture[2])).with_suffix(".png" if in_bytes else ".exr")
        start = str(Path(self._memory.folder()) / name)
        name, _ = QFileDialog.getSaveFileName(self._window, "Save Picture", start, ";;".join(kinds))
        if name:
            self.save(Path(name))

    def save(self, path: Path) -> None:
        """Save what is looked at: as PNG, a picture with its record, or as OpenEXR where the name ends in .exr."""
        picture = self._presenter.picture()
        if picture is None:
            return
        path = path if path.suffix.lower() in (".png", ".exr") else path.with_name(f"{path.name}.png")
        try:
            pictures.save(path, picture[0], picture[1])
        except UnderpaintError as error:
            self._refuse(error)
            return
        self._memory.save_folder(path.parent)
        self.settled.emit(Topic.FILE)
        self.said.emit(f"Saved as {path.name}")

    def copy(self) -> None:
        """Put what is looked at on the clipboard."""
        picture = self._presenter.picture()
        if picture is not None:
            QGuiApplication.clipboard().setImage(pictures.to_qimage(pictures.displayed(picture[0])))
            self.said.emit("Copied to the clipboard")

    def file_name(self, job: Job) -> str:
        """What to call what is looked at."""
        plate = self._presenter.plate()
        if plate is None:
            return words.file_name(job)
        return words.file_name(job, f"{plate.label} map" if plate.picture is None else "", plate.picture)

    # ---- back

    def ask_settings(self) -> None:
        """Ask for a picture whose settings to take."""
        name, _ = QFileDialog.getOpenFileName(self._window, "Saved Picture", self._memory.folder(), "PNG (*.png)")
        if name:
            self.take_settings(Path(name))

    def take_settings(self, path: Path) -> None:
        """Fill the form with what a saved picture was made by; say so where it carries nothing."""
        if not self.take_if_any(path):
            text = f"{path.name} carries no settings. Pictures saved here do, and those of A1111 and its kin."
            self.noticed.emit(Notice(topic=Topic.FILE, text=text, severity=Severity.INFO))

    def take_dropped(self, mime: QMimeData) -> bool:
        """Fill the form with what a dropped picture was made by; False where it carries nothing."""
        paths = [Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()]
        return any(self.take_if_any(path) for path in paths if path.suffix.lower() == ".png")

    def take_if_any(self, path: Path) -> bool:
        """Fill the form with what a saved picture was made by; False where it carries nothing."""
        try:
            found = pictures.record_in(path)
        except UnderpaintError as error:
            self._refuse(error)
            return True
        if found is None:
            return False
        known = self._book.page.models if self._book.loaded else None
        self._taken = taken(self._form(), found, known, origin=path.name, is_file=_is_file)
        self._told = (f"The settings of {path.name} are filled in.", *self._taken.told)
        self._check_id = ""
        self._fill(self._taken.form)
        self._tell()
        if self._taken.images:
            self._session.send(m.FindGone(refs=self._taken.images))
        if found.models and not self._taken.missing and any(record.named_models(self._taken.request)):
            self._check_id = uuid.uuid4().hex
            plan = PlanRequest(picture=self._taken.request, hashes=True)
            self._session.send(m.Ask(job_id=self._check_id, request=plan, transient=True))
        return True

    def hear(self, report: m.Report) -> None:
        """Take in a report."""
        match report:
            case m.GoneFound(refs=refs, gone=gone) if self._taken is not None and refs == self._taken.images and gone:
                _, sentences = record.without(self._taken.request, gone)
                self._told += sentences
                self._fill(forms.without_gone(self._form(), set(gone)))
                self._tell()
            case m.Happened(event=JobChanged(job=job)) if job.id == self._check_id and job.state.ended:
                self._check_id = ""
                if self._taken is not None and job.state is JobState.SUCCEEDED and job.result is not None:
                    changed = record.changed(self._taken.found, job.result.models)
                    if changed:
                        self._told += changed
                        self._tell()
            case _:
                pass

    def _tell(self) -> None:
        assert self._taken is not None
        severity = Severity.WARNING if len(self._told) > 1 else Severity.INFO
        text = " ".join(self._told)
        self.noticed.emit(Notice(topic=Topic.FILE, text=text, severity=severity, action=Action.UNDO))

    def _refuse(self, error: UnderpaintError) -> None:
        self.noticed.emit(Notice(topic=Topic.FILE, text=str(error), severity=Severity.WARNING))


def _is_file(reference: str) -> bool:
    path = Path(reference).expanduser()
    return path.is_absolute() and path.exists()
