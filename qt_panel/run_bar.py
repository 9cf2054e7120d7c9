"""Generate, cancel, and how far it is."""

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ..protocol.events import WorkerChanged
from ..protocol.jobs import JobState
from . import words
from .fields import ElidedLabel
from .icons import icon
from .job_table import JobRow


class RunBar(QWidget):
    """The two buttons that begin and end a job, and the progress of the job that runs."""

    generate_asked = Signal()
    cancel_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.generate = QAction(icon("play"), "Generate")
        self.generate.setShortcuts([QKeySequence("Ctrl+Return"), QKeySequence("Ctrl+Enter")])
        self.generate.triggered.connect(lambda: self.generate_asked.emit())
        self.cancel = QAction(icon("stop"), "Cancel")
        self.cancel.setShortcut(QKeySequence(Qt.Key.Key_Escape))
        self.cancel.triggered.connect(lambda: self.cancel_asked.emit())
        self._go = QPushButton(icon("play"), "Generate")
        self._go.setDefault(True)
        self._go.setToolTip("Make a picture (Ctrl+Return)")
        self._go.clicked.connect(self.generate.trigger)
        self._stop = QPushButton(icon("stop"), "Cancel")
        self._stop.setToolTip("Stop the picture that is being made (Esc)")
        self._stop.clicked.connect(self.cancel.trigger)
        for button in (self._go, self._stop):
            button.setMinimumHeight(button.fontMetrics().height() + 16)
            button.setIconSize(QSize(16, 16))
        self._go.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._progress = QProgressBar()
        self._progress.setTextVisible(False)
        self._progress.setFixedHeight(6)
        self._progress.setRange(0, 1000)
        self._progress.setAccessibleName("Progress")
        policy = self._progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self._progress.setSizePolicy(policy)
        self._words = ElidedLabel()
        self._words.setAccessibleName("Progress in words")
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        buttons.addWidget(self._go, 2)
        buttons.addWidget(self._stop, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.setSpacing(6)
        layout.addLayout(buttons)
        layout.addWidget(self._progress)
        layout.addWidget(self._words)
        self.addActions([self.generate, self.cancel])
        self.show_progress(None)

    @property
    def progress_words(self) -> str:
        """The line under the bar."""
        return self._words.full_text

    def show_progress(
        self, row: JobRow | None, *, waiting: int = 0, sending: bool = False, worker: WorkerChanged | None = None
    ) -> None:
        """Show the job that runs (or waits first), and how many wait behind it."""
        busy = row is not None or sending
        self.cancel.setEnabled(busy)
        self._stop.setEnabled(busy)
        fraction, text = 0.0, ""
        if row is None:
            text = "Sending the request" if sending else ""
        elif row.progress is not None:
            fraction = row.progress.fraction
            text = words.phase(row.progress)
            if row.progress.note:
                text += f" · {row.progress.note}"
        else:
            text = "Starting" if row.job.state is JobState.RUNNING else words.queued(worker)
        if waiting:
            text += f" · {waiting} more waiting"
        self._progress.setVisible(busy)
        unknown = busy and fraction <= 0
        self._progress.setRange(0, 0 if unknown else 1000)
        self._progress.setValue(round(fraction * 1000))
        self._words.show_text(text)
