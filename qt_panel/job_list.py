"""The right side of the window: every job of the service, whoever asked for it."""

import dataclasses

from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAction,
    QColor,
    QFont,
    QImage,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QPalette,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QListView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from ..protocol.jobs import JobState
from .fields import heading, tool_button
from .icons import icon
from .job_model import Index, JobModel, JobRole
from .job_table import JobRow, JobTable
from .pictures import fitted

_PAD, _PICTURE, _BAR = 6, 48, 3
_TICK_MS = 20_000
_COLOURS = {
    JobState.QUEUED: QColor("#8a8f98"),
    JobState.RUNNING: QColor("#3b82c4"),
    JobState.SUCCEEDED: QColor("#3f9b5f"),
    JobState.FAILED: QColor("#cf4436"),
    JobState.CANCELLED: QColor("#8a8f98"),
    JobState.INTERRUPTED: QColor("#c98a12"),
}


class JobList(QWidget):
    """A list with a selection: the job that is looked at."""

    looked_at = Signal(str)  # job id
    restored = Signal(str)  # job id, whose settings are wanted back too
    cancelled = Signal(str)  # job id
    more_wanted = Signal()  # the end of the list came into view

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = JobModel(self)
        self._view = _View(self.model)
        self._view.clicked.connect(self._look)
        self._view.activated.connect(self._restore)
        self._view.cancel_asked.connect(self._cancel)
        self._view.customContextMenuRequested.connect(self._open_menu)
        self._view.verticalScrollBar().valueChanged.connect(self._scrolled)
        self._view.selectionModel().currentChanged.connect(self._look)
        self._restore_button = tool_button("settings", "Bring this job's settings back (Enter or double click)")
        self._restore_button.clicked.connect(lambda: self._restore(self._view.currentIndex()))
        self._cancel_button = tool_button("stop", "Cancel this job (Delete)")
        self._cancel_button.clicked.connect(self._cancel)
        top = QHBoxLayout()
        top.setContentsMargins(12, 8, 8, 0)
        top.setSpacing(2)
        top.addWidget(heading("Jobs"))
        top.addStretch(1)
        top.addWidget(self._restore_button)
        top.addWidget(self._cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self._view, 1)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.model.tick)
        self._timer.start(_TICK_MS)
        self._show_buttons()

    def show_table(self, table: JobTable) -> None:
        """Show the jobs, without looks at control maps."""
        rows = tuple(row for row in table.rows if not row.job.transient)
        self.model.show_table(dataclasses.replace(table, rows=rows))
        self._view.viewport().update()
        self._show_buttons()

    def select(self, job_id: str) -> None:
        """Make a job the one that is looked at, without saying so."""
        row = self.model.row_of(job_id)
        selection = self._view.selectionModel()
        selection.blockSignals(True)
        if row < 0:
            self._view.setCurrentIndex(self.model.index(-1))
        else:
            self._view.setCurrentIndex(self.model.index(row))
        selection.blockSignals(False)
        self._view.viewport().update()
        self._show_buttons()

    def _current(self) -> JobRow | None:
        return self._view.currentIndex().data(JobRole.ROW)

    def _look(self, index: Index, _before: Index | None = None) -> None:
        row = index.data(JobRole.ROW)
        if isinstance(row, JobRow):
            self.looked_at.emit(row.job.id)
        self._show_buttons()

    def _restore(self, index: Index) -> None:
        row = index.data(JobRole.ROW)
        if isinstance(row, JobRow):
            self.restored.emit(row.job.id)

    def _cancel(self) -> None:
        row = self._current()
        if row is not None and not row.job.state.ended:
            self.cancelled.emit(row.job.id)

    def _show_buttons(self) -> None:
        row = self._current()
        self._restore_button.setEnabled(row is not None)
        self._cancel_button.setEnabled(row is not None and not row.job.state.ended)

    def _scrolled(self, value: int) -> None:
        if value == self._view.verticalScrollBar().maximum():
            self.more_wanted.emit()

    def _open_menu(self, position: QPoint) -> None:
        index = self._view.indexAt(position)
        if not index.isValid():
            return
        row = index.data(JobRole.ROW)
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        restore = QAction(icon("settings"), "Bring Settings Back", menu)
        restore.triggered.connect(lambda: self._restore(index))
        cancel = QAction(icon("stop"), "Cancel", menu)
        cancel.setEnabled(not row.job.state.ended)
        cancel.triggered.connect(self._cancel)
        menu.addActions([restore, cancel])
        menu.popup(self._view.viewport().mapToGlobal(position))


class _View(QListView):
    cancel_asked = Signal()

    def __init__(self, model: JobModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setItemDelegate(_Delegate(self))
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setUniformItemSizes(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setMinimumSize(180, 120)
        self.setAccessibleName("Jobs")
        self.setMouseTracking(True)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Delete:
            self.cancel_asked.emit()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, e: QPaintEvent) -> None:
        super().paintEvent(e)
        if self.model().rowCount():
            return
        painter = QPainter(self.viewport())
        painter.setPen(self.palette().color(QPalette.ColorRole.PlaceholderText))
        room = self.viewport().rect().adjusted(16, 24, -16, -16)
        flags = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
        painter.drawText(room, flags, "Pictures asked for here, in Blender or by a script will be listed here.")
        painter.end()


class _Delegate(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(160, _PICTURE + 2 * _PAD)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row = index.data(JobRole.ROW)
        if not isinstance(row, JobRow):
            return
        rect, palette, state = _parts(option)
        selected = bool(state & QStyle.StateFlag.State_Selected)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if selected:
            painter.fillRect(rect, palette.color(QPalette.ColorRole.Highlight))
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, palette.color(QPalette.ColorRole.AlternateBase))
        square = QRect(rect.left() + _PAD, rect.top() + _PAD, _PICTURE, _PICTURE)
        self._paint_picture(painter, square, palette, index.data(JobRole.THUMBNAIL))
        self._paint_dot(painter, square, row.job.state, palette, selected)
        self._paint_text(painter, rect, square, palette, index, selected)
        if row.job.state is JobState.RUNNING:
            fraction = row.progress.fraction if row.progress is not None else 0.0
            bar = QRectF(square.right() + 9, rect.bottom() - _BAR - 2, rect.right() - square.right() - 17, _BAR)
            role = QPalette.ColorRole.HighlightedText if selected else QPalette.ColorRole.Text
            track = palette.color(role)
            track.setAlphaF(0.25)
            painter.fillRect(bar, track)
            bar.setWidth(bar.width() * fraction)
            painter.fillRect(bar, palette.color(role) if selected else _COLOURS[JobState.RUNNING])
        painter.restore()

    def _paint_picture(self, painter: QPainter, square: QRect, palette: QPalette, image: QImage | None) -> None:
        if image is None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(palette.color(QPalette.ColorRole.AlternateBase))
            painter.drawRoundedRect(square, 3, 3)
            middle = square.adjusted(14, 14, -14, -14)
            icon("image", palette.color(QPalette.ColorRole.PlaceholderText)).paint(painter, middle)
            return
        target = QRect(QPoint(0, 0), fitted(image.size(), square.width(), square.height()))
        target.moveCenter(square.center())
        painter.drawImage(target, image)

    def _paint_dot(self, painter: QPainter, square: QRect, state: JobState, palette: QPalette, selected: bool) -> None:
        edge = QPalette.ColorRole.Highlight if selected else QPalette.ColorRole.Base
        painter.setPen(palette.color(edge))
        painter.setBrush(_COLOURS[state])
        painter.drawEllipse(QRectF(square.right() - 7, square.bottom() - 7, 10, 10))

    def _paint_text(
        self, painter: QPainter, rect: QRect, square: QRect, palette: QPalette, index: Index, selected: bool
    ) -> None:
        left, width = square.right() + 9, rect.right() - square.right() - 17
        metrics = painter.fontMetrics()
        height = metrics.height()
        top = rect.top() + (rect.height() - 2 * height - 2) // 2
        strong = QPalette.ColorRole.HighlightedText if selected else QPalette.ColorRole.Text
        weak = QPalette.ColorRole.HighlightedText if selected else QPalette.ColorRole.PlaceholderText
        font = QFont(painter.font())
        elide = Qt.TextElideMode.ElideRight
        painter.setPen(palette.color(strong))
        title = str(index.data(Qt.ItemDataRole.DisplayRole))
        painter.drawText(QRect(left, top, width, height), 0, metrics.elidedText(title, elide, width))
        font.setPointSizeF(font.pointSizeF() * 0.9)
        painter.setFont(font)
        painter.setPen(palette.color(weak))
        summary = painter.fontMetrics().elidedText(str(index.data(JobRole.SUMMARY)), elide, width)
        painter.drawText(QRect(left, top + height + 2, width, height), 0, summary)


def _parts(option: QStyleOptionViewItem) -> tuple[QRect, QPalette, QStyle.StateFlag]:
    """The option's fields, which PySide's stubs don't know."""
    return option.rect, option.palette, option.state  # type: ignore[attr-defined]
