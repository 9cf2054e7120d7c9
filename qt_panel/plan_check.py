"""Where and how the form's pictures would be painted, asked for before they are."""

from PySide6.QtCore import QObject, QTimer, Signal

from ..protocol.events import WorkerState
from ..protocol.jobs import JobState
from . import words
from .form import Form
from .messages import Want
from .presenter import Presenter
from .start_form import is_masked

DEBOUNCE_MS = 400
_OUTDATED = "The settings have changed since the check."


class PlanCheck(QObject):
    """Asks when the user does, and from then on whenever the form becomes another for the plan.

    On its own it never starts a worker: without one, it says that the plan is out of date.
    """

    told = Signal(str)  # the plan in words; empty for nothing to say

    def __init__(self, presenter: Presenter, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._presenter = presenter
        self._asked: Form | None = None  # the newest form that was asked about
        self._job_id = ""  # the job that tells of it
        self._pending = False
        self._next: Form | None = None
        self._soon = QTimer(self, singleShot=True, interval=DEBOUNCE_MS)
        self._soon.timeout.connect(self._ask_next)
        presenter.table_changed.connect(self._look)

    def ask(self, form: Form) -> None:
        """Ask about a form, because the user said so."""
        self._ask(form, quietly=False)

    def ask_again(self, form: Form, job_id: str) -> None:
        """Ask once more, if that job was about the plan; `form` may allow more than it did then."""
        if job_id == self._job_id:
            self.ask(form)

    def follow(self, form: Form) -> None:
        """The form has changed."""
        if self._asked is None:
            return
        if _of_plan(form) == _of_plan(self._asked):
            self._soon.stop()
        elif self._worker_is_there():
            self._next = form
            self._soon.start()
        else:
            self._forget(_OUTDATED)

    def _ask_next(self) -> None:
        if self._next is not None:
            self._ask(self._next, quietly=True)

    def _ask(self, form: Form, *, quietly: bool) -> None:
        self._soon.stop()
        job_id = self._presenter.ask_look(form, Want.PLAN, quietly=quietly)
        if not job_id:
            self._forget("")
            return
        if self._pending:
            self._presenter.cancel_job(self._job_id)  # its answer is of no use any more
        self._asked, self._job_id, self._pending = form, job_id, True
        self.told.emit("Checking…")

    def _forget(self, text: str) -> None:
        if self._pending:
            self._presenter.cancel_job(self._job_id)
        self._asked, self._pending = None, False
        self.told.emit(text)

    def _look(self) -> None:
        row = self._presenter.table.row(self._job_id) if self._pending else None
        if row is None:
            if self._pending and not self._presenter.is_sending(self._job_id):
                self._forget("")  # it was refused
            return
        if row.job.state.ended:
            self._pending = False
            told = words.how(row.job) if row.job.state is JobState.SUCCEEDED else ()
            self.told.emit("\n".join(told))

    def _worker_is_there(self) -> bool:
        worker = self._presenter.table.worker
        return worker is not None and worker.state in (WorkerState.READY, WorkerState.BUSY)


def _of_plan(form: Form) -> tuple[object, ...]:
    """What of a form its plan depends on."""
    rows = tuple((row.kind, row.controlnet) for row in form.controls if row.enabled)
    started = (form.start.image is not None, is_masked(form.start))
    pictures = form.pictures + len(form.variants)
    guided = form.guidance_scale > 1
    device = (form.precision, form.memory_budget_gb, min(form.batch_size, pictures))
    return (form.checkpoint, form.allow_download, form.size, form.steps, guided, rows, started, device)
