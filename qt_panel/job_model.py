"""The job list for Qt's views."""

import time
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QAbstractListModel, QMimeData, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QImage

from ..protocol.arrays import ArrayRef
from ..protocol.jobs import Job
from . import words
from .job_table import JobRow, JobTable
from .queue_order import can_move, waiting

_MIME = "application/x-underpaint-job"
Index = QModelIndex | QPersistentModelIndex


class JobRole(IntEnum):
    """What the delegate asks for beside Qt's own roles."""

    ROW = Qt.ItemDataRole.UserRole + 1  # the job_table.JobRow
    SUMMARY = Qt.ItemDataRole.UserRole + 2
    THUMBNAIL = Qt.ItemDataRole.UserRole + 3  # a QImage, or None while there is none


class JobModel(QAbstractListModel):
    """One row a job, as the table has them. Jobs that wait can be dragged to another place in the queue."""

    wanted = Signal(object)  # the ArrayRef of a picture that a visible row lacks
    dropped = Signal(str, int)  # a job's id, and the place among those that wait before which it was dropped

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[JobRow, ...] = ()
        self._thumbnails: dict[str, QImage] = {}

    def show_table(self, table: JobTable) -> None:
        """Show the table's rows; those that stay keep their selection."""
        old, new = self._rows, table.rows
        old_ids, new_ids = _ids(old), _ids(new)
        if old_ids == new_ids:
            self._rows = new
            for index, (before, after) in enumerate(zip(old, new, strict=True)):
                if before is not after:
                    changed = self.index(index)
                    self.dataChanged.emit(changed, changed)
            return
        kept = len(new_ids) - len(old_ids)
        if kept > 0 and new_ids[kept:] == old_ids:
            self.beginInsertRows(QModelIndex(), 0, kept - 1)
            self._rows = new
            self.endInsertRows()
        elif kept > 0 and new_ids[: len(old_ids)] == old_ids:
            self.beginInsertRows(QModelIndex(), len(old_ids), len(new_ids) - 1)
            self._rows = new
            self.endInsertRows()
        else:
            self.layoutAboutToBeChanged.emit()
            places = {job_id: index for index, job_id in enumerate(new_ids)}
            before = self.persistentIndexList()
            after = [
                self.createIndex(places[old_ids[index.row()]], 0) if old_ids[index.row()] in places else QModelIndex()
                for index in before
            ]
            self._rows = new
            self.changePersistentIndexList(before, after)
            self.layoutChanged.emit()

    def show_thumbnail(self, ref: ArrayRef, image: QImage) -> None:
        """A wanted picture has come."""
        small = image.scaled(96, 96, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
        self._thumbnails[ref.sha256] = small
        for index, row in enumerate(self._rows):
            if _picture_of(row) == ref:
                changed = self.index(index)
                self.dataChanged.emit(changed, changed)

    def tick(self) -> None:
        """Time has passed: "just now" may have become "1 min ago"."""
        if self._rows:
            self.dataChanged.emit(self.index(0), self.index(len(self._rows) - 1), [JobRole.SUMMARY])

    def waiting(self) -> tuple[Job, ...]:
        """The jobs that wait, next one first."""
        return waiting(row.job for row in self._rows)

    def flags(self, index: Index) -> Qt.ItemFlag:
        plain = super().flags(index)
        if not index.isValid():
            return plain | Qt.ItemFlag.ItemIsDropEnabled
        movable = can_move(self._rows[index.row()].job)
        return plain | Qt.ItemFlag.ItemIsDragEnabled if movable else plain

    def supportedDropActions(self) -> Qt.DropAction:
        return Qt.DropAction.MoveAction

    def mimeTypes(self) -> list[str]:
        return [_MIME]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        data = QMimeData()
        for index in indexes:
            data.setData(_MIME, self._rows[index.row()].job.id.encode())
        return data

    def dropMimeData(self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: Index) -> bool:
        if data.hasFormat(_MIME) and row >= 0:
            before = sum(1 for each in self._rows[:row] if can_move(each.job))
            self.dropped.emit(bytes(data.data(_MIME).data()).decode(), before)
        return False  # the rows follow when the service has moved the job

    def row_of(self, job_id: str) -> int:
        """Where a job stands; -1 where it doesn't."""
        return next((index for index, row in enumerate(self._rows) if row.job.id == job_id), -1)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008  (Qt's own default)
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return words.title(row.job)
        if role == JobRole.ROW:
            return row
        if role == JobRole.SUMMARY:
            return words.summary(row, time.time())
        if role == JobRole.THUMBNAIL:
            return self._thumbnail(row)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{words.title(row.job)}. {words.summary(row, time.time())}"
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tooltip(row)
        return None

    def _thumbnail(self, row: JobRow) -> QImage | None:
        ref = _picture_of(row)
        if ref is None:
            return None
        if ref.sha256 not in self._thumbnails:
            self.wanted.emit(ref)
        return self._thumbnails.get(ref.sha256)


def _picture_of(row: JobRow) -> ArrayRef | None:
    result = row.job.result
    if result is None:
        return None
    return result.image or next(iter(result.control_maps), None)


def _ids(rows: Sequence[JobRow]) -> list[str]:
    return [row.job.id for row in rows]


def _tooltip(row: JobRow) -> str:
    lines = [words.title(row.job), words.details(row.job), *words.how(row.job)]
    if row.job.error is not None:
        lines.append(str(row.job.error.error()))
    return "\n".join(lines)
