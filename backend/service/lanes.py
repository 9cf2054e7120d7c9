"""What runs on a worker: one job in each lane, and what may be done about one that doesn't end."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from ...protocol.jobs import Job, Phase
from ...protocol.request import DownloadRequest, Request
from .limits import Limits


class Lane(Enum):
    """Where jobs go one after the other, while those of other lanes are under way."""

    PICTURES = auto()
    LOOKS = auto()  # transient jobs, which need no model and don't wait for pictures
    DOWNLOADS = auto()


def lane_of(request: Request, *, transient: bool) -> Lane:
    """The lane of a job."""
    if isinstance(request, DownloadRequest):
        return Lane.DOWNLOADS
    return Lane.LOOKS if transient else Lane.PICTURES


@dataclass(kw_only=True)
class Slot:
    """A lane's running job."""

    job_id: str | None = None
    cancelled_at: float | None = None  # monotonic, as the others; None while its end wasn't asked for
    told_at: float = 0.0  # when it last told of progress
    phase: Phase = Phase.LOAD  # which it told of

    def begin(self, job: Job, now: float) -> None:
        """A job runs from now on."""
        self.job_id, self.cancelled_at, self.told_at, self.phase = job.id, None, now, Phase.LOAD

    def end(self) -> None:
        """Nothing runs."""
        self.job_id = self.cancelled_at = None


def fatal(slots: Mapping[Lane, Slot], limits: Limits, now: float, *, painting: bool) -> str | None:
    """Why the worker has to be killed for what runs on it; None where it hasn't.

    A look or a download that doesn't end is in nobody's way but that of its own kind, so no picture that is being
    painted ever dies for one. `painting` says whether one has come so far as to tell of it.
    """
    picture, look, download = slots[Lane.PICTURES], slots[Lane.LOOKS], slots[Lane.DOWNLOADS]
    if _ignored_s(picture, now) > limits.cancel_s:
        return f"it ignored a cancel for {limits.cancel_s:.0f} s"
    if _ignored_s(look, now) > limits.look_cancel_s and not painting:
        return f"a look ignored a cancel for {limits.look_cancel_s:.0f} s"
    if _silent_s(picture, now) > limits.stuck_s.get(picture.phase, math.inf):
        return f"it made no progress for {_silent_s(picture, now):.0f} s ({picture.phase})"
    if picture.job_id is not None or look.job_id is not None:
        return None
    if _ignored_s(download, now) > limits.download_cancel_s:
        return f"a download ignored a cancel for {limits.download_cancel_s:.0f} s"
    if _silent_s(download, now) > limits.stuck_s.get(Phase.FETCH, math.inf):
        return f"a download told nothing for {_silent_s(download, now):.0f} s"
    return None


def _ignored_s(slot: Slot, now: float) -> float:
    return 0.0 if slot.cancelled_at is None else now - slot.cancelled_at


def _silent_s(slot: Slot, now: float) -> float:
    return 0.0 if slot.job_id is None else now - slot.told_at
