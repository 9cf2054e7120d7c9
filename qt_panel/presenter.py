"""What the window shows and why: hears the session's reports, and knows what the user is looking at."""

import dataclasses
import uuid

from PySide6.QtCore import QObject, QSize, QTimer, Signal
from PySide6.QtGui import QImage

from ..protocol import record
from ..protocol.arrays import AnyArray, ArrayRef, UInt8Array
from ..protocol.errors import BackendError, UnderpaintError
from ..protocol.events import Event, JobChanged, PreviewReady
from ..protocol.jobs import Job
from ..protocol.request import GenerateRequest
from . import link as links
from . import messages as m
from . import notices
from .form import Form, misfit, pictured, problems, restored
from .gallery import Gallery
from .job_table import JobRow, JobTable, unended, with_event, with_jobs, without_old_looks, without_worker
from .link import Link, LinkState
from .notices import Notice, Topic
from .pictures import to_qimage
from .plates import NOTHING_YET, STARTING, Plate, next_looked_at, no_picture_words, plates
from .session import Session


class Presenter(QObject):
    """Between the session and the widgets. Holds the job table, the link, and which job is looked at."""

    table_changed = Signal()
    link_changed = Signal()
    view_changed = Signal()  # another job or plate is looked at, or its picture has come
    noticed = Signal(object)  # a Notice
    settled = Signal(object)  # a Topic of which nothing is to be said any more
    render_found = Signal(object)  # a Job from Blender
    look_again = Signal(object, str)  # the Form whose maps or plan are asked for once more, and the job's id

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.table = JobTable()
        self.link = Link()
        self.gallery = Gallery(session, self)
        self.looked_at = ""
        """The id of the job whose picture is shown; empty for none."""
        self._session = session
        self._plate: ArrayRef | None = None  # the chosen plate; None for the job's first
        self._preview: tuple[str, QImage] | None = None  # of the job with this id
        self._preview_asked = False
        self._preview_newer = False
        self._forms: dict[str, Form] = {}  # of the jobs asked for here
        self._looks: set[str] = set()  # those of them that are control maps or plans to look at
        self._sending: set[str] = set()
        self._next_before: int | None = None
        self._loading_jobs = False
        self._serial = 0
        self._retry = QTimer(self, singleShot=True)
        self._retry.timeout.connect(lambda: session.send(m.Connect(since=self._since(), wanted=False)))
        self.gallery.came.connect(self._picture_came)
        session.reported.connect(self.hear)

    # ---- what the user does

    def generate(self, form: Form) -> bool:
        """Ask for a picture; False, with a notice, when the form won't do."""
        if not self._will_do(form):
            return False
        job_id = self._send(form, m.Want.PICTURES)
        if not any(self._is_live(own) for own in self._pictures() if own != job_id):
            self._look_at(job_id)  # else it waits behind one that is being watched
        self.table_changed.emit()
        return True

    def ask_look(self, form: Form, want: m.Want, *, quietly: bool = False) -> str:
        """Ask for something to look at; the job's id, or "" when the form won't do, with a notice unless quietly."""
        if not self._will_do(form, maps_only=want is m.Want.MAPS, quietly=quietly):
            return ""
        job_id = self._send(form, want)
        self.table_changed.emit()
        return job_id

    def _will_do(self, form: Form, *, maps_only: bool = False, quietly: bool = False) -> bool:
        found = problems(form, maps_only=maps_only)
        if found and not quietly:
            self.noticed.emit(notices.of_form(found[0], fits=misfit(form) is None))
        return not found

    def _send(self, form: Form, want: m.Want) -> str:
        self.settled.emit(Topic.FORM)
        if want is not m.Want.PLAN:  # what the last picture had to say still holds
            self.settled.emit(Topic.JOB)
        job_id = uuid.uuid4().hex
        self._forms[job_id] = form
        if want is not m.Want.PICTURES:
            self._forget(self._looks - self._sending - {row.job.id for row in self.table.rows})  # they were refused
            self._looks.add(job_id)
        self._sending.add(job_id)
        self._session.send(m.Submit(job_id=job_id, form=form, want=want))
        return job_id

    def _pictures(self) -> set[str]:
        """The jobs that were asked for here, without looks."""
        return set(self._forms) - self._looks

    def retry(self, notice: Notice, *, allow_download: bool = False) -> None:
        """Ask again for what a notice says has failed."""
        form = self._forms.get(notice.job_id)
        if form is not None:
            form = dataclasses.replace(form, allow_download=form.allow_download or allow_download)
            if notice.job_id in self._looks:
                self.look_again.emit(form, notice.job_id)
            else:
                self.generate(form)

    def connect_backend(self) -> None:
        """Find or start the backend, because the user said so."""
        self.link = links.connecting(Link())
        self.link_changed.emit()
        self._session.send(m.Connect(since=self._since()))

    def cancel(self) -> None:
        """Cancel the job that runs, or waits first."""
        row = self.progressing()
        if row is not None:
            self.cancel_job(row.job.id)
        elif self._sending:
            self.cancel_job(next(iter(self._sending)))  # commands are done in order: it is known by then

    def cancel_job(self, job_id: str) -> None:
        """Cancel one job."""
        self._session.send(m.CancelJob(job_id=job_id))

    def cancel_own(self) -> None:
        """Cancel every job that was asked for here."""
        for row in self.unended():
            self.cancel_job(row.job.id)

    def look_at(self, job_id: str) -> None:
        """Show a job's picture."""
        if job_id != self.looked_at:
            self._look_at(job_id)

    def choose_plate(self, ref: ArrayRef) -> None:
        """Show another of the job's pictures."""
        self._plate = ref
        self.view_changed.emit()

    def restored(self, form: Form, job_id: str) -> Form:
        """The form with a job's settings."""
        row = self.table.row(job_id)
        if row is None:
            return form
        job = row.job
        shown = job.result.control_maps if job.result is not None else ()
        return restored(form, job.request, shown, origin="Earlier job")

    def find_render(self) -> None:
        """Look for the last Blender render; `render_found` follows, or a notice."""
        self._session.send(m.FindRender())

    def load_more(self) -> None:
        """Fetch older jobs, if there are any."""
        if self._next_before is not None and not self._loading_jobs:
            self._loading_jobs = True
            self._session.send(m.LoadJobs(before=self._next_before))

    # ---- what is to be shown

    def unended(self) -> tuple[JobRow, ...]:
        """The jobs asked for here that are not over."""
        return unended(self.table, self._forms.keys())

    def progressing(self) -> JobRow | None:
        """The job whose progress is shown and which Esc cancels."""
        return next(iter(self.unended()), None)

    def painting(self) -> bool:
        """Whether a picture that was asked for here is not over."""
        return bool(unended(self.table, self._pictures()))

    def is_sending(self, job_id: str) -> bool:
        """Whether this request is on its way to the service."""
        return job_id in self._sending

    @property
    def sending(self) -> bool:
        """Whether a request is on its way to the service."""
        return bool(self._sending)

    def job(self) -> Job | None:
        """The job that is looked at."""
        row = self.table.row(self.looked_at)
        return None if row is None else row.job

    def plate(self) -> Plate | None:
        """What of the job is looked at, where it has something."""
        return next((plate for plate in self._plates() if plate.ref == self._plate), next(iter(self._plates()), None))

    def plate_number(self) -> int:
        """Which of the job's plates is looked at."""
        refs = [plate.ref for plate in self._plates()]
        return refs.index(self._plate) if self._plate in refs else 0

    def _plates(self) -> tuple[Plate, ...]:
        job = self.job()
        return plates(job) if job is not None else ()

    def image(self) -> tuple[QImage, QSize] | None:
        """What to show large, and how large it is meant to be; None for nothing."""
        plate = self.plate()
        if plate is not None and (image := self.gallery.image(plate.ref)) is not None:
            return image, image.size()
        if self._preview is not None and self._preview[0] == self.looked_at:
            form, job = self._forms.get(self.looked_at), self.job()
            asked = form if job is None else pictured(job.request)
            size = None if asked is None else asked.size
            if size is not None:
                return self._preview[1], QSize(size.width, size.height)
        return None

    def picture(self) -> tuple[AnyArray, dict[str, str], Job] | None:
        """What saving and copying take: pixels, the texts of a result's record, and the job.

        Control maps for inpainting are float32, everything else is uint8.
        """
        plate, job = self.plate(), self.job()
        pixels = None if plate is None else self.gallery.pixels(plate.ref)
        if pixels is None or job is None or plate is None:
            return None
        if plate.picture is None or not isinstance(job.request, GenerateRequest):
            return pixels, {}, job
        number = job.request.pictures.index(plate.picture)
        return pixels, record.texts(job.request, job.result, job_id=job.id, picture=number), job

    def empty_words(self) -> tuple[str, str]:
        """What to say where there is no picture."""
        job = self.job()
        if job is not None:
            return no_picture_words(job, self.table.worker)
        return STARTING if self.looked_at in self._sending else NOTHING_YET

    # ---- what the session reports

    def hear(self, report: m.Report) -> None:
        """Take in a report."""
        match report:
            case m.Connecting():
                self._set_link(links.connecting(self.link))
            case m.Connected(software_version=version, page=page, serial=serial):
                self._serial = serial
                self._retry.stop()
                self._take_page(page.jobs, page.next_before)
                self._set_link(links.connected(version))
                self.settled.emit(Topic.BACKEND)
            case m.Lost(error=error, serial=serial):
                if serial == self._serial:
                    self._lose(error)
            case m.Happened(event=event):
                self._take_event(event)
            case m.Submitted(job=job):
                self._sending.discard(job.id)
                self._take_jobs((job,))
            case m.JobsLoaded(page=page):
                self._loading_jobs = False
                self._take_page(page.jobs, page.next_before)
            case m.RenderFound(job=None):
                text = "The backend knows no Blender render yet. Render with Underpaint in Blender, then try again."
                self.noticed.emit(Notice(topic=Topic.FORM, text=text, severity=notices.Severity.INFO))
            case m.RenderFound(job=job):
                self.render_found.emit(job)
            case m.PreviewLoaded(job_id=job_id, pixels=pixels):
                self._take_preview(job_id, pixels)
            case m.Refused(command=command, error=error):
                self._take_refusal(command, error)
            case _:
                pass  # the gallery's, and the models'

    def _take_event(self, event: Event) -> None:
        before = self.table
        self.table = with_event(self.table, event)
        if isinstance(event, JobChanged):
            self._after_jobs((event.job,), before)
        elif isinstance(event, PreviewReady) and event.job_id == self.looked_at:
            self._ask_preview()
        if self.table is not before:
            self.table_changed.emit()
            if self.table.worker != before.worker:
                self.link_changed.emit()
                self.view_changed.emit()

    def _take_page(self, jobs: tuple[Job, ...], next_before: int | None) -> None:
        self._next_before = next_before
        self._take_jobs(jobs)

    def _take_jobs(self, jobs: tuple[Job, ...]) -> None:
        before = self.table
        self.table = with_jobs(self.table, jobs)
        self._after_jobs(jobs, before)
        self.table_changed.emit()

    def _after_jobs(self, jobs: tuple[Job, ...], before: JobTable) -> None:
        for job in jobs:
            known = before.row(job.id)
            fresh = known is None or not known.job.state.ended
            if fresh and job.id in self._forms and (notice := notices.of_end(job)) is not None:
                self.noticed.emit(notice)
        following = next_looked_at(self.table, self._pictures(), self.looked_at)
        if following != self.looked_at:
            self._look_at(following)
        elif any(job.id == self.looked_at for job in jobs):
            self.view_changed.emit()
        self._forget_old_looks()

    def _forget_old_looks(self) -> None:
        before, self.table = self.table, without_old_looks(self.table, {self.looked_at})
        if self.table is not before:
            self._forget({row.job.id for row in before.rows} - {row.job.id for row in self.table.rows})

    def _forget(self, looks: set[str]) -> None:
        self._looks -= looks
        self._forms = {job_id: form for job_id, form in self._forms.items() if job_id not in looks}  # with pictures

    def _take_preview(self, job_id: str, pixels: UInt8Array | None) -> None:
        self._preview_asked = False
        if pixels is not None and job_id == self.looked_at:
            self._preview = (job_id, to_qimage(pixels))
            self.view_changed.emit()
        if self._preview_newer:
            self._ask_preview()

    def _ask_preview(self) -> None:
        self._preview_newer = self._preview_asked
        if not self._preview_asked and self._is_live(self.looked_at):
            self._preview_asked = True
            self._session.send(m.LoadPreview(job_id=self.looked_at))

    def _take_refusal(self, command: m.Command, error: UnderpaintError) -> None:
        match command:
            case m.Connect():
                self._lose(error)
                return
            case m.Submit(job_id=job_id):
                self._sending.discard(job_id)
                notice = notices.of_job(error, job_id)
                if notice is not None:
                    self.noticed.emit(notice)
                self.table_changed.emit()
                self.view_changed.emit()
            case m.LoadPreview():
                self._preview_asked = False  # a preview may be gone by the time it is asked for
            case m.LoadJobs():
                self._loading_jobs = False
            case m.LoadPicture(ref=ref) if not self._is_shown(ref):
                pass  # of a thumbnail; the sign for "no picture" stays in its place
            case m.LoadPicture() | m.CancelJob() | m.MoveJob() | m.RetryJob() | m.FindRender():
                if not isinstance(error, BackendError):
                    self.noticed.emit(Notice(topic=Topic.FILE, text=str(error)))
            case _:
                pass  # whoever asked tells of it, or nobody misses it
        if isinstance(error, BackendError) and self.link.state is LinkState.CONNECTED:
            self._lose(error)

    def _lose(self, error: UnderpaintError) -> None:
        self.table = without_worker(self.table)
        self.table_changed.emit()
        self._preview_asked = False
        before = self.link
        self._set_link(links.lost(before, error))
        if self.link.retry_s is not None:
            self._retry.start(round(self.link.retry_s * 1000))
        if self.link.state in (LinkState.DOWN, LinkState.STOPPED) and self.link.state is not before.state:
            self.noticed.emit(notices.of_backend(error))

    def _since(self) -> int | None:
        return self.table.revision or None

    def _set_link(self, link: Link) -> None:
        self.link = link
        self.link_changed.emit()

    def _look_at(self, job_id: str) -> None:
        self.looked_at = job_id
        self._plate = None
        self._preview = None
        self.view_changed.emit()
        if self._is_live(job_id):
            self._ask_preview()

    def _is_live(self, job_id: str) -> bool:
        row = self.table.row(job_id)
        return row is not None and not row.job.state.ended

    def _picture_came(self, ref: ArrayRef, _image: QImage) -> None:
        if self._is_shown(ref):
            self.view_changed.emit()

    def _is_shown(self, ref: ArrayRef) -> bool:
        plate = self.plate()
        return plate is not None and plate.ref == ref
