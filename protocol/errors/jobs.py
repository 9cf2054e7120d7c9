"""How a job ends otherwise than in success."""

from .base import UnderpaintError


class JobError(UnderpaintError):
    code = "job"


class JobUnknown(JobError):
    code = "job_unknown"
    sentence = "The backend has no job {job_id}."


class JobConflict(JobError):
    code = "job_conflict"
    sentence = "The job {job_id} exists already with another request."


class JobNotQueued(JobError):
    code = "job_not_queued"
    sentence = "The job {job_id} does not wait in the queue (it is {state}), so it has no place there."


class JobCancelled(JobError):
    code = "job_cancelled"
    sentence = "Cancelled."


class JobInterrupted(JobError):
    code = "job_interrupted"
    sentence = "The backend stopped in the middle of the job ({reason}). Nothing is lost: render again."


class OutOfMemory(JobError):
    code = "out_of_memory"
    sentence = "Not enough memory on {device} for this picture. Make it smaller, or use fewer controls."


class DoesNotFit(JobError):
    """Said before anything is loaded; OutOfMemory is what happens when an estimate was wrong."""

    code = "does_not_fit"
    sentence = (
        "{title} at {size} takes {needed} GB at least, and {device} has {available} GB for it; {advice}. "
        "A larger memory budget helps too, where one is set."
    )


class DiskFull(JobError):
    code = "disk_full"
    sentence = "The disk that holds {path} is full. Free some space, then render again."


class QueueLocked(JobError):
    code = "queue_locked"
    sentence = "Another program has the queue {path} locked. Close it, then try again; no job is lost."


class BlobMissing(JobError):
    code = "blob_missing"
    sentence = "The backend no longer has the image {sha256}. Render again, or choose the file again."


class WorkerFailed(JobError):
    code = "worker_failed"
    sentence = "The backend hit an unexpected error: {reason}. Its log is {log}."
