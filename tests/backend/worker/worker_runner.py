"""A job runner as a worker makes it, and its jobs."""

from pathlib import Path

from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.maps import MapMaker
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.events import Progress
from underpaint.protocol.jobs import JobResult, Phase
from underpaint.protocol.request import Request


def make_runner(blobs: BlobStore, models: Path) -> JobRunner:
    """A runner without any model in memory yet."""
    return JobRunner(maps=MapMaker(blobs=blobs, models=models, device=lambda: "cpu"), models=models)


class Job:
    """One run of a job, and everything it told on the way."""

    def __init__(self, runner: JobRunner, request: Request, *, cancel_at: int | None = None) -> None:
        self.progress: list[Progress] = []
        self.previews: list[UInt8Array] = []
        self.cancel_at = cancel_at
        self.result: JobResult | None = None
        self._runner, self._request = runner, request

    def run(self) -> JobResult:
        self.result = self._runner.run(
            "0" * 32,
            self._request,
            on_progress=self.progress.append,
            on_preview=lambda step, preview: self.previews.append(preview),
            cancelled=self._cancelled,
        )
        return self.result

    @property
    def steps(self) -> list[int]:
        return [entry.step for entry in self.progress if entry.phase is Phase.STEP]

    def _cancelled(self) -> bool:
        return self.cancel_at is not None and len(self.steps) >= self.cancel_at
