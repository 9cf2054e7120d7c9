"""The main window: puts the widgets together and wires them to the presenter."""

from typing import TypeVar

import numpy as np
from PySide6.QtCore import QEvent, Qt, QTimer
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QResizeEvent
from PySide6.QtWidgets import QDialog, QMainWindow, QSplitter, QVBoxLayout, QWidget

from ..protocol.errors import UnderpaintError
from ..protocol.jobs import Job
from ..protocol.models import ModelEntry
from . import drops, menus, pictures, words
from . import form as forms
from .advised import advised
from .catalogue_dialog import CatalogueDialog
from .closing import ClosingQuestion
from .diagnoses import Diagnoses
from .downloads import Downloads
from .folders_dialog import FoldersDialog
from .form import Form
from .form_panel import FormPanel
from .icons import icon
from .job_list import JobList
from .map_previews import MapPreviews
from .message_bar import MessageBar
from .model_book import ModelBook
from .notices import Action, Notice, Severity, Topic
from .plan_check import PlanCheck
from .plates import expects_several, plates
from .presenter import Presenter
from .result_view import ResultView
from .run_bar import RunBar
from .saved_pictures import SavedPictures
from .session import Session
from .settings import Memory
from .status import BackendStatus

D = TypeVar("D", bound=QDialog)
_NARROW_PX = 1000  # below this width the jobs go under the picture
_FORM_PX = 400
_SAVE_AFTER_MS = 1000


class Window(QMainWindow):
    """Owns the session from its making to its closing."""

    def __init__(self, session: Session, memory: Memory) -> None:
        super().__init__()
        self._session = session
        self._memory = memory
        self._closing = False
        self.presenter = Presenter(session, self)
        self.book = ModelBook(session, self)
        self.downloads = Downloads(session, self)
        self.previews = MapPreviews(self.presenter, self)
        self.plan = PlanCheck(self.presenter, self)
        self.messages = MessageBar()
        self.form_panel = FormPanel()
        self.run_bar = RunBar()
        self.result = ResultView()
        self.jobs = JobList()
        self.backend = BackendStatus()
        self.diagnoses = Diagnoses(session.home, self._own_prompts, self)
        self.diagnoses.said.connect(self._say)
        self.saved = SavedPictures(
            session, self.presenter, self.book, memory, form=lambda: self.form_panel.form, fill=self._fill, parent=self
        )
        self._before: Form | None = None  # what was filled in before something else filled it in
        self.question: ClosingQuestion | None = None
        """What is asked before closing while a picture is being made."""
        self._save_soon = QTimer(self, singleShot=True, interval=_SAVE_AFTER_MS)
        self._save_soon.timeout.connect(lambda: self._memory.save_form(self.form_panel.form))
        self.setWindowTitle("Underpaint")
        self.setWindowIcon(icon("maps"))
        self.setAcceptDrops(True)
        self.setMinimumSize(640, 480)
        self._lay_out()
        self._make_menus()
        self._wire()
        self._recall()
        self._show_link()
        self._show_table()
        self._show_view()

    # ---- building

    def _lay_out(self) -> None:
        left = QWidget()
        left_layout = QVBoxLayout(left)
        left_layout.setContentsMargins(0, 0, 0, 0)
        left_layout.setSpacing(0)
        left_layout.addWidget(self.form_panel, 1)
        left_layout.addWidget(self.run_bar)
        self._right = QSplitter(Qt.Orientation.Horizontal)
        self._right.addWidget(self.result)
        self._right.addWidget(self.jobs)
        self._right.setStretchFactor(0, 1)
        self._right.setChildrenCollapsible(False)
        self._right.setSizes([620, 280])
        self._splitter = QSplitter(Qt.Orientation.Horizontal)
        self._splitter.addWidget(left)
        self._splitter.addWidget(self._right)
        self._splitter.setStretchFactor(1, 1)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.setSizes([_FORM_PX, 900])
        middle = QWidget()
        layout = QVBoxLayout(middle)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.messages)
        layout.addWidget(self._splitter, 1)
        self.setCentralWidget(middle)
        self.statusBar().setSizeGripEnabled(False)
        self.statusBar().addPermanentWidget(self.backend)

    def _make_menus(self) -> None:
        def form() -> Form:
            return self.form_panel.form

        deeds = menus.Deeds(
            take_settings=self.saved.ask_settings,
            quit=self.close,
            find_render=self.presenter.find_render,
            show_maps=lambda: self.previews.look(form()),
            new_seed=self.form_panel.roll_seed,
            check_memory=lambda: self.plan.ask(form()),
            refresh_models=self.book.refresh,
            models_folders=self.show_folders,
            catalogue=self.show_catalogue,
            diagnose=self.diagnoses.begin,
        )
        menus.fill(self.menuBar(), self.result, self.run_bar, deeds)

    def _wire(self) -> None:
        presenter = self.presenter
        presenter.table_changed.connect(self._show_table)
        presenter.link_changed.connect(self._show_link)
        presenter.view_changed.connect(self._show_view)
        presenter.noticed.connect(self.messages.show_notice)
        presenter.settled.connect(self.messages.dismiss)
        presenter.render_found.connect(self._take_render)
        gallery = presenter.gallery
        gallery.came.connect(self.result.show_thumbnail)
        gallery.came.connect(self.jobs.model.show_thumbnail)
        gallery.came.connect(self.form_panel.controls.show_picture)
        gallery.came.connect(self.form_panel.start.show_picture)
        self.jobs.model.wanted.connect(gallery.want)
        self.form_panel.controls.wanted.connect(gallery.want)
        self.form_panel.start.wanted.connect(gallery.want)
        self.form_panel.controls.refused.connect(self._refuse)
        self.form_panel.start.refused.connect(self._refuse)
        self.form_panel.extras.refused.connect(self._refuse)
        self.form_panel.extras.wanted.connect(gallery.want)
        gallery.came.connect(self.form_panel.extras.show_picture)
        self.form_panel.picked.connect(self._take_advice)
        self.form_panel.offer(self.book)
        self.book.folders_asked.connect(self.show_folders)
        self.book.catalogue_asked.connect(self.show_catalogue)
        for teller in (self.downloads, self.saved):
            teller.noticed.connect(self.messages.show_notice)
        self.saved.settled.connect(self.messages.dismiss)
        self.saved.said.connect(self._say)
        self.form_panel.machine.plan_asked.connect(lambda: self.plan.ask(self.form_panel.form))
        self.plan.told.connect(self.form_panel.machine.show_plan)
        self.form_panel.controls.passes_asked.connect(presenter.find_render)
        self.form_panel.controls.maps_asked.connect(lambda: self.previews.look(self.form_panel.form))
        self.form_panel.controls.map_asked.connect(self._look_at_row)
        self.previews.made.connect(self.form_panel.controls.show_map)
        presenter.look_again.connect(self.previews.look_again)
        presenter.look_again.connect(self.plan.ask_again)
        self.form_panel.changed.connect(self._form_changed)
        self.run_bar.generate_asked.connect(self._generate)
        self.run_bar.cancel_asked.connect(presenter.cancel)
        self.messages.acted.connect(self._act)
        self.result.chosen.connect(presenter.choose_plate)
        self.result.save.triggered.connect(self.saved.ask_save)
        self.result.copy.triggered.connect(self.saved.copy)
        self.result.begin.triggered.connect(self._start_from_this)
        self.jobs.looked_at.connect(presenter.look_at)
        self.jobs.restored.connect(self._restore)
        self.jobs.asked.connect(self._session.send)
        self.jobs.more_wanted.connect(presenter.load_more)

    def _recall(self) -> None:
        self.form_panel.set_recent(self._memory.checkpoints(), self._memory.controlnets())
        self.form_panel.fill(self._memory.load_form())
        self.resize(1320, 860)
        geometry = self._memory.window("geometry")
        if geometry is not None:
            self.restoreGeometry(geometry)
        state = self._memory.window("splitter")
        if state is not None:
            self._splitter.restoreState(state)
        self.form_panel.focus_prompt()

    # ---- what the user does

    def _generate(self) -> None:
        if self.form_panel.form.random_seed:
            self.form_panel.roll_seed()
        form = self.form_panel.form
        if self.presenter.generate(form):
            self._memory.remember_models(form)
            self.form_panel.set_recent(self._memory.checkpoints(), self._memory.controlnets())

    def _look_at_row(self, row: int) -> None:
        self.previews.look(self.form_panel.form, row)

    def _act(self, notice: Notice) -> None:
        match notice.action:
            case Action.CONNECT:
                self.presenter.connect_backend()
            case Action.RETRY if notice.topic is Topic.BACKEND:
                self.presenter.connect_backend()
            case Action.RETRY:
                self.presenter.retry(notice)
            case Action.ALLOW_DOWNLOAD:
                self.presenter.retry(notice, allow_download=True)
            case Action.ROUND_SIZE | Action.FIT_SIZE:
                self.form_panel.mend_size()
            case Action.UNDO:
                self._undo()
            case None:
                pass

    def _restore(self, job_id: str) -> None:
        self.presenter.look_at(job_id)
        self.form_panel.fill(self.presenter.restored(self.form_panel.form, job_id))
        self.statusBar().showMessage("The job's settings are back", 4000)

    def _take_render(self, job: Job) -> None:
        shown = job.result.control_maps if job.result is not None else ()
        origin = f"{words.client(job)} render"
        self.form_panel.fill(forms.with_passes(self.form_panel.form, job.request, shown, origin=origin))
        count = len(self.form_panel.form.controls)
        self.statusBar().showMessage(f"{count} controls from the last render; nothing was sent again", 6000)

    def show_folders(self) -> FoldersDialog:
        """Let the user say where models are."""
        return _opened(FoldersDialog(self._session.home, self.book, self))

    def show_catalogue(self) -> CatalogueDialog:
        """Offer models to download."""
        return _opened(CatalogueDialog(self._session, self.book, self.downloads, self))

    def _fill(self, form: Form) -> None:
        """Fill in what the user did not; the notice that tells of it has a way back."""
        self._before = self.form_panel.form
        self.form_panel.fill(form)

    def _undo(self) -> None:
        if self._before is not None:
            form, self._before = self._before, None
            self.form_panel.fill(form)

    def _take_advice(self, entry: ModelEntry) -> None:
        found = advised(self.form_panel.form, entry)
        if found is not None:
            self._fill(found[0])
            text = found[1]
            notice = Notice(topic=Topic.FORM, text=text, severity=Severity.INFO, action=Action.UNDO)
            self.messages.show_notice(notice)

    def _say(self, words: str) -> None:
        self.statusBar().showMessage(words, 8000)

    def _own_prompts(self) -> list[str]:
        form = self.form_panel.form
        return [text for text in (form.prompt, form.negative_prompt) if text]

    def _start_from_this(self) -> None:
        plate = self.presenter.plate()
        if plate is not None and plate.picture is not None:
            self.form_panel.start.take(plate.ref)

    def _refuse(self, error: UnderpaintError) -> None:
        self.messages.show_notice(Notice(topic=Topic.FILE, text=str(error), severity=Severity.WARNING))

    # ---- what there is to show

    def _form_changed(self) -> None:
        self.messages.dismiss(Topic.FORM)
        self._save_soon.start()
        form = self.form_panel.form
        self.previews.follow(form)
        self.plan.follow(form)

    def _show_table(self) -> None:
        self.jobs.show_table(self.presenter.table)
        waiting = max(0, len(self.presenter.unended()) - 1)
        self.run_bar.show_progress(
            self.presenter.progressing(),
            waiting=waiting,
            sending=self.presenter.sending,
            worker=self.presenter.table.worker,
        )

    def _show_link(self) -> None:
        self.backend.show_link(self.presenter.link, self.presenter.table.worker)

    def _show_view(self) -> None:
        presenter = self.presenter
        job, plate = presenter.job(), presenter.plate()
        shown = presenter.image()
        title, hint = presenter.empty_words()
        self.result.canvas.set_empty_words(title, hint)
        found = plates(job) if job is not None else ()
        self.result.reserve_strip(job is not None and expects_several(job))
        self.result.show_plates(found, plate.ref if plate is not None else None)
        for each in found:
            image = presenter.gallery.image(each.ref)
            if image is not None:
                self.result.show_thumbnail(each.ref, image)
        several = plate is not None and job is not None and job.result is not None and len(job.result.images) > 1
        shown_picture = plate.picture if plate is not None and several else None
        details = words.details(job, shown_picture) if job is not None else ""
        self.result.show_words(details, words.how(job) if job is not None else ())
        if shown is None:
            self.result.show_image(None)
        else:
            self.result.show_image(shown[0], size=shown[1])
        picture = presenter.picture()
        self.result.set_usable(picture is not None, painted=plate is not None and plate.picture is not None)
        if picture is None or picture[0].dtype != np.uint8:
            self.result.canvas.set_drag_file("", None)
        else:
            pixels, texts, made_by = picture
            self.result.canvas.set_drag_file(self.saved.file_name(made_by), lambda: pictures.png_bytes(pixels, texts))
        self.jobs.select(presenter.looked_at)

    # ---- events

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.source() is not self.result.canvas and pictures.holds_picture(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        event.acceptProposedAction()
        if self.saved.take_dropped(event.mimeData()):
            return
        try:
            dropped = drops.from_mime(event.mimeData())
        except UnderpaintError as error:
            self._refuse(error)
            return
        if dropped is not None:
            self.form_panel.fill(forms.with_dropped(self.form_panel.form, dropped))

    def changeEvent(self, event: QEvent) -> None:
        if event.type() is QEvent.Type.ActivationChange and self.isActiveWindow():
            self.book.ask()  # models may have come meanwhile
        super().changeEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        narrow = event.size().width() < _NARROW_PX
        wanted = Qt.Orientation.Vertical if narrow else Qt.Orientation.Horizontal
        if self._right.orientation() is not wanted:
            self._right.setOrientation(wanted)
            self._right.setSizes([520, 220] if narrow else [620, 280])
        super().resizeEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:
        if self.presenter.painting() and not self._closing:
            event.ignore()
            self._ask_before_closing()
            return
        self._memory.save_form(self.form_panel.form)
        self._memory.save_window(self.saveGeometry(), {"splitter": self._splitter.saveState()})
        self._memory.flush()
        self.hide()
        self.diagnoses.stop()
        self._session.stop()
        event.accept()

    def _ask_before_closing(self) -> None:
        question = ClosingQuestion(self)
        question.kept.connect(self._close_now)
        question.stopped.connect(self.presenter.cancel_own)
        question.stopped.connect(self._close_now)
        question.finished.connect(self._forget_question)
        self.question = question
        question.open()

    def _close_now(self) -> None:
        self._closing = True
        self.close()

    def _forget_question(self) -> None:
        self.question = None


def _opened(dialog: D) -> D:
    """The dialog, open above the window; it goes when it is closed."""
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.open()
    return dialog
