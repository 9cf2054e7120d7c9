"""A job runner as a worker makes it."""

from pathlib import Path

from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.maps import MapMaker
from underpaint.backend.worker.memory import make_plan


def make_runner(blobs: BlobStore, models: Path) -> JobRunner:
    """A runner without any model in memory yet."""
    plan = make_plan()
    return JobRunner(maps=MapMaker(blobs=blobs, models=models, device=lambda: plan.device), models=models, plan=plan)
