"""Control maps to look at, made anew while their options change."""

import dataclasses

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QImage

from ..protocol.jobs import Job, JobState
from .form import Form
from .messages import Want
from .presenter import Presenter

DEBOUNCE_MS = 150


class MapPreviews(QObject):
    """Asks for the maps of a form, shows them when they are here, and follows the form from then on.

    What is shown stays until its successor is complete, so that nothing flickers. It ends when the user
    looks at something else.
    """

    made = Signal(int, object)  # a row's number, and the QImage of its map

    def __init__(self, presenter: Presenter, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._presenter = presenter
        self._only: int | None = None  # the row whose map is wanted; None for all
        self._asked: Form | None = None  # of the newest maps that were asked for
        self._follows = False  # whether what is looked at follows the form
        self._pending = ""  # the job that makes them
        self._newest = ""  # the job that was asked for last, over or not
        self._rows: tuple[int, ...] = ()  # of its maps
        self._came: dict[str, QImage] = {}  # of its maps, by address; there may be more than the gallery keeps
        self._shown = ""  # the job whose maps are looked at
        self._next: Form | None = None
        self._soon = QTimer(self, singleShot=True, interval=DEBOUNCE_MS)
        self._soon.timeout.connect(self._ask_next)
        presenter.table_changed.connect(self._check)
        presenter.gallery.came.connect(self._check)
        presenter.view_changed.connect(self._notice_other)

    def look(self, form: Form, only: int | None = None) -> None:
        """Make the maps of a form, or of one of its rows, and show them."""
        self._ask(form, only, quietly=False)

    def look_again(self, form: Form, job_id: str) -> None:
        """Make the maps that were asked for last once more; `form` may allow more than it did then."""
        if self._asked is not None and job_id == self._newest:
            again = dataclasses.replace(self._asked, allow_download=form.allow_download)
            self._ask(again, self._only, quietly=False)

    def follow(self, form: Form) -> None:
        """The form has changed: make its maps anew if they are being looked at and would be others."""
        if self._asked is None or not self._follows:
            return
        if _of_maps(form) == _of_maps(self._asked):
            self._soon.stop()
        else:
            self._next = form
            self._soon.start()

    def _ask_next(self) -> None:
        form, asked, only = self._next, self._asked, self._only
        if form is None or asked is None:
            return
        if only is not None and len(form.controls) != len(asked.controls):  # where rows have come or gone
            kept = [row.image is asked.controls[only].image for row in form.controls]
            if True not in kept:
                return  # the row itself has gone; its map stays
            only = kept.index(True)
        self._ask(form, only, quietly=True)

    def _ask(self, form: Form, only: int | None, *, quietly: bool) -> None:
        self._soon.stop()
        rows = tuple(
            number
            for number, control in enumerate(form.controls)
            if (control.enabled if only is None else number == only)
        )
        controls = tuple(dataclasses.replace(form.controls[number], enabled=True) for number in rows)
        wanted = dataclasses.replace(form, controls=controls)
        job_id = self._presenter.ask_look(wanted, Want.MAPS, quietly=quietly)
        if not job_id:
            return
        self._drop_pending()
        self._asked, self._only, self._follows = form, only, True
        self._pending = self._newest = job_id
        self._rows = rows

    def _drop_pending(self) -> None:
        if self._pending:
            self._presenter.cancel_job(self._pending)  # nobody will look at it
        self._pending, self._came = "", {}

    def _check(self) -> None:
        job = self._job(self._pending)
        if job is None and not self._presenter.is_sending(self._pending):
            self._pending = ""  # it was refused
        if job is None or not job.state.ended:
            return
        if job.state is not JobState.SUCCEEDED or job.result is None:
            self._pending = ""
            return
        for ref in job.result.control_maps:
            if ref.sha256 not in self._came and (image := self._presenter.gallery.image(ref)) is not None:
                self._came[ref.sha256] = image
        if any(ref.sha256 not in self._came for ref in job.result.control_maps):
            return  # they have been asked for now
        images = [self._came[ref.sha256] for ref in job.result.control_maps]
        before = self._presenter.plate_number() if self._shown else 0
        self._shown, self._pending, self._came = job.id, "", {}
        self._presenter.look_at(job.id)
        maps = job.result.control_maps
        self._presenter.choose_plate(maps[before if before < len(maps) else 0])
        for number, image in zip(self._rows, images, strict=True):
            if self._is_there_still(number):
                self.made.emit(number, image)

    def _is_there_still(self, number: int) -> bool:
        """Whether a row is the one whose map was asked for: it may have been removed in the meantime."""
        asked = self._asked
        now = self._next if self._soon.isActive() else asked
        if asked is None or now is None or number >= len(now.controls):
            return False
        one, other = asked.controls[number], now.controls[number]
        return one.kind is other.kind and one.image is other.image

    def _job(self, job_id: str) -> Job | None:
        row = self._presenter.table.row(job_id) if job_id else None
        return None if row is None else row.job

    def _notice_other(self) -> None:
        if self._shown and self._presenter.looked_at != self._shown:
            self._follows, self._shown = False, ""
            self._soon.stop()
            self._drop_pending()


def _of_maps(form: Form) -> tuple[object, ...]:
    """What of a form its maps depend on."""
    rows = tuple(
        (row.kind, row.image, row.use, row.detector, row.mask, row.options, row.controlnet, row.enabled)
        for row in form.controls
    )
    return (rows, form.size, form.checkpoint)
