"""A job that fetches a model from the hub, and nothing else: its submission is the user's word. No torch."""

import time
from collections.abc import Callable

from ...protocol.checks import check
from ...protocol.errors import ModelMissing
from ...protocol.events import Progress
from ...protocol.jobs import JobResult, Phase, Timing
from ...protocol.request import DownloadRequest
from .hub import choosing
from .hub.choosing import Choose
from .hub.fetching import Fetched, Standing, fetch
from .hub.refusals import gigabytes
from .maps import OnProgress, stop_if
from .third_party import hub_is_offline

_WAITS_TOLD_EVERY_S = 30.0


def download(
    job_id: str, request: DownloadRequest, *, on_progress: OnProgress, cancelled: Callable[[], bool]
) -> JobResult:
    """Do a job that fetches a model. Raises JobCancelled, ModelMissing, ModelGated, DownloadFailed."""
    check(request)
    stop_if(cancelled)
    if hub_is_offline():
        raise ModelMissing(
            model=request.reference,
            reason="HF_HUB_OFFLINE is set, which forbids to ask the hub for it. Unset it, and restart the backend",
        )
    told: list[Progress] = []
    told_at = [time.monotonic()]

    def tell(standing: Standing) -> None:
        stop_if(cancelled)
        progress = Progress(
            job_id=job_id,
            phase=Phase.FETCH,
            fraction=standing.done_bytes / standing.total_bytes if standing.total_bytes else 0.0,
            note=f"{request.reference}: {standing.words}",
        )
        # The service takes an end of the news for a hang; what waits for good reason says so now and then.
        now = time.monotonic()
        if told != [progress] or (standing.note and now - told_at[0] >= _WAITS_TOLD_EVERY_S):
            told[:], told_at[:] = [progress], [now]
            on_progress(progress)

    choose: Choose = choosing.one_file(request.file) if request.file else choosing.needed
    began = time.perf_counter()
    fetched = fetch(request.reference, choose, revision=request.revision, whole=not request.file, tell=tell)
    return JobResult(
        images=(),
        control_maps=(),
        timings=(Timing(phase=Phase.FETCH, ms=1000 * (time.perf_counter() - began)),),
        checkpoint=str(fetched.folder / request.file if request.file else fetched.folder),
        plan="no model was loaded",
        notes=(_what_came(fetched),),
        versions={},
    )


def _what_came(fetched: Fetched) -> str:
    standing, files = fetched.standing, len(fetched.files)
    if not standing.files:
        return f"All of its {files} files were there" if files > 1 else "It was there"
    came = standing.total_bytes - standing.resumed_bytes
    words = f"{gigabytes(came)} in {standing.files} of {files} files" if files > 1 else gigabytes(came)
    return f"Fetched {words}" + (f", {gigabytes(standing.resumed_bytes)} were there" if standing.resumed_bytes else "")
