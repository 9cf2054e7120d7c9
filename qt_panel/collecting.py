"""Says to the service that the pictures of the panel's jobs are here, so that it gives others up later."""

from PySide6.QtCore import QObject

from ..protocol.events import JobChanged
from ..protocol.jobs import Job, JobState
from . import messages as m
from .session import Session

_CLIENT = "panel"


class Collector(QObject):
    """Hears which pictures came, and tells of each job of the panel's once all of its pictures did."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._missing: dict[str, set[str]] = {}  # by job, the addresses of pictures that have not come
        self._told: set[str] = set()
        session.reported.connect(self._hear)

    def _hear(self, report: m.Report) -> None:
        match report:
            case m.Connected(page=page) | m.JobsLoaded(page=page):
                for job in page.jobs:
                    self._see(job)
            case m.Happened(event=JobChanged(job=job)) | m.Submitted(job=job):
                self._see(job)
            case m.PictureLoaded(ref=ref):
                for missing in self._missing.values():
                    missing.discard(ref.sha256)
                self._tell()
            case _:
                pass

    def _see(self, job: Job) -> None:
        ours = job.client == _CLIENT and job.state is JobState.SUCCEEDED and not job.transient
        if ours and job.result is not None and job.result.images and job.id not in self._told:
            self._missing.setdefault(job.id, {ref.sha256 for ref in job.result.images})

    def _tell(self) -> None:
        for job_id in [job_id for job_id, missing in self._missing.items() if not missing]:
            del self._missing[job_id]
            self._told.add(job_id)
            self._session.send(m.CollectJob(job_id=job_id))
