"""The right side of the window: every job of the service, whoever asked for it."""

import dataclasses
from enum import Enum, auto
from functools import partial

from PySide6.QtCore import QKeyCombination, QPoint, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAction,
    QColor,
    QFont,
    QImage,
    QKeyEvent,
    QKeySequence,
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

from ..protocol.jobs import Job, JobState, Priority
from . import messages as m
from . import queue_order
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


class Order(Enum):
    """What can be done with the chosen job."""

    RESTORE = auto()
    RETRY = auto()
    FRONT = auto()
    UP = auto()
    DOWN = auto()
    CANCEL = auto()


_ALT = Qt.KeyboardModifier.AltModifier
_NONE = Qt.KeyboardModifier.NoModifier
_KEYS = {
    Order.RETRY: QKeyCombination(_NONE, Qt.Key.Key_F5),
    Order.FRONT: QKeyCombination(_ALT, Qt.Key.Key_Home),
    Order.UP: QKeyCombination(_ALT, Qt.Key.Key_Up),
    Order.DOWN: QKeyCombination(_ALT, Qt.Key.Key_Down),
    Order.CANCEL: QKeyCombination(_NONE, Qt.Key.Key_Delete),
}
_BUTTONS = {
    Order.RETRY: ("again", "Try this job again, as a new one (F5)"),
    Order.UP: ("up", "Let this job run earlier (Alt+Up; Alt+Home lets it run next)"),
    Order.DOWN: ("down", "Let this job run later (Alt+Down)"),
    Order.CANCEL: ("stop", "Cancel this job (Delete)"),
}
_MENU = {
    Order.RESTORE: ("settings", "Bring Settings Back"),
    Order.RETRY: ("again", "Retry"),
    Order.FRONT: ("front", "Move to Front"),
    Order.UP: ("up", "Move Up"),
    Order.DOWN: ("down", "Move Down"),
    Order.CANCEL: ("stop", "Cancel"),
}


class JobList(QWidget):
    """A list with a selection: the job that is looked at."""

    looked_at = Signal(str)  # job id
    restored = Signal(str)  # job id, whose settings are wanted back too
    asked = Signal(object)  # a messages.Command about a job
    more_wanted = Signal()  # the end of the list came into view

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = JobModel(self)
        self._view = _View(self.model)
        self._view.clicked.connect(self._look)
        self._view.activated.connect(self._restore)
        self._view.pressed_keys.connect(self._press)
        self.model.dropped.connect(self._drop)
        self._view.customContextMenuRequested.connect(self._open_menu)
        self._view.verticalScrollBar().valueChanged.connect(self._scrolled)
        self._view.selectionModel().currentChanged.connect(self._look)
        self._restore_button = tool_button("settings", "Bring this job's settings back (Enter or double click)")
        self._restore_button.clicked.connect(lambda: self._restore(self._view.currentIndex()))
        self._buttons = {Order.RESTORE: self._restore_button}
        for order, (name, tooltip) in _BUTTONS.items():
            self._buttons[order] = tool_button(name, tooltip)
            self._buttons[order].clicked.connect(partial(self._order, order))
        top = QHBoxLayout()
        top.setContentsMargins(12, 8, 8, 0)
        top.setSpacing(2)
        top.addWidget(heading("Jobs"))
        top.addStretch(1)
        for button in self._buttons.values():
            top.addWidget(button)
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

    def _order(self, order: "Order", _checked: bool = False) -> None:
        """Have done with the chosen job what was asked for, where that is possible."""
        row = self._current()
        if row is None:
            return
        if order is Order.RESTORE:
            self.restored.emit(row.job.id)
        elif (command := self._command(order, row.job)) is not None:
            self.asked.emit(command)

    def _command(self, order: "Order", job: Job) -> m.Command | None:
        queue = self.model.waiting()
        match order:
            case Order.RESTORE:
                return None
            case Order.RETRY:
                return m.RetryJob(job_id=job.id) if queue_order.can_retry(job) else None
            case Order.FRONT:
                return queue_order.moved(queue, job.id, 0)
            case Order.UP:
                return queue_order.step(queue, job.id, -1)
            case Order.DOWN:
                return queue_order.step(queue, job.id, 1)
            case Order.CANCEL:
                return None if job.state.ended else m.CancelJob(job_id=job.id)

    def _press(self, keys: QKeyCombination) -> None:
        for order, key in _KEYS.items():
            if keys == key:
                self._order(order)

    def _drop(self, job_id: str, place: int) -> None:
        command = queue_order.moved(self.model.waiting(), job_id, place)
        if command is not None:
            self.asked.emit(command)

    def _show_buttons(self) -> None:
        row = self._current()
        for order, button in self._buttons.items():
            possible = row is not None and (order is Order.RESTORE or self._command(order, row.job) is not None)
            button.setEnabled(possible)

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
        self._fill_menu(menu, row.job)
        menu.popup(self._view.viewport().mapToGlobal(position))

    def _fill_menu(self, menu: QMenu, job: Job) -> None:
        """What can be done with a job, with the keys that do it."""
        for order, (name, text) in _MENU.items():
            action = QAction(icon(name), text, menu)
            if order in _KEYS:
                action.setShortcut(QKeySequence(_KEYS[order]))
            action.setEnabled(order is Order.RESTORE or self._command(order, job) is not None)
            action.triggered.connect(partial(self._order, order))
            menu.addAction(action)
        priorities = menu.addMenu("Priority")
        priorities.setEnabled(queue_order.can_move(job))
        for priority, text in queue_order.PRIORITIES.items():
            action = QAction(text, priorities, checkable=True, checked=job.priority is priority)
            action.triggered.connect(partial(self._prioritise, job.id, priority))
            priorities.addAction(action)

    def _prioritise(self, job_id: str, priority: Priority, _checked: bool = False) -> None:
        self.asked.emit(m.MoveJob(job_id=job_id, priority=priority))


class _View(QListView):
    pressed_keys = Signal(object)  # a QKeyCombination that does something to the chosen job

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
        self.setDragEnabled(True)
        self.setAcceptDrops(True)
        self.setDropIndicatorShown(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        # A keypad's keys are the same keys, whatever it adds to say so.
        plain = QKeyCombination(event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier, Qt.Key(event.key()))
        if plain in _KEYS.values():
            self.pressed_keys.emit(plain)
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
