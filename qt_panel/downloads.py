"""Downloads that were asked for here: each a job in the list, with its progress and its end."""

import uuid

from PySide6.QtCore import QObject, Signal

from ..protocol.events import JobChanged
from ..protocol.jobs import Job, JobState
from ..protocol.request import DownloadRequest
from . import messages as m
from . import notices, words
from .notices import Notice, Severity, Topic
from .session import Session


class Downloads(QObject):
    """Asks for them, and tells how they ended."""

    noticed = Signal(object)  # a Notice
    ended = Signal()  # one is over, well or not

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._asked: dict[str, DownloadRequest] = {}
        session.reported.connect(self.hear)

    def ask(self, reference: str, file: str = "") -> str:
        """Fetch a model, because the user said so; the job's id. One that is on its way is not asked for twice."""
        request = DownloadRequest(reference=reference, file=file)
        for job_id, asked in self._asked.items():
            if asked == request:
                return job_id
        job_id = uuid.uuid4().hex
        self._asked[job_id] = request
        self._session.send(m.Ask(job_id=job_id, request=request))
        return job_id

    def is_on_its_way(self, reference: str, file: str = "") -> bool:
        """Whether this model is being fetched."""
        return DownloadRequest(reference=reference, file=file) in self._asked.values()

    def hear(self, report: m.Report) -> None:
        """Take in a report."""
        match report:
            case m.Happened(event=JobChanged(job=job)) if job.id in self._asked and job.state.ended:
                self._end(job)
            case m.Refused(command=m.Ask(job_id=job_id), error=error) if job_id in self._asked:
                del self._asked[job_id]
                self.noticed.emit(Notice(topic=Topic.MODELS, text=str(error)))
                self.ended.emit()
            case _:
                pass

    def _end(self, job: Job) -> None:
        del self._asked[job.id]
        if job.state is JobState.SUCCEEDED:
            text = f"{words.title(job).removeprefix('Download: ')} is on this computer now."
            self.noticed.emit(Notice(topic=Topic.MODELS, text=text, severity=Severity.INFO))
        else:
            notice = notices.of_end(job)
            if notice is not None:
                self.noticed.emit(Notice(topic=Topic.MODELS, text=notice.text))
        self.ended.emit()
