"""Who listens, and the newest of everything that is told latest-only."""

import asyncio
from dataclasses import dataclass

from ...protocol.events import PreviewReady, Progress, WorkerChanged, WorkerState


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The newest picture of a job in the making."""

    ready: PreviewReady
    data: bytes  # the .npy file


class Subscription:
    """One listener: woken when there is something new, and told only the newest of it."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._woken = asyncio.Event()
        self._told: list[WorkerChanged | Progress | PreviewReady | None] = [None, None, None, None]

    async def wait(self, timeout_s: float) -> bool:
        """Whether something is new, at the latest after `timeout_s`."""
        try:
            await asyncio.wait_for(self._woken.wait(), timeout_s)
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def wake(self) -> None:
        """Have `wait` return."""
        self._woken.set()

    def news(self) -> list[WorkerChanged | Progress | PreviewReady]:
        """What changed since the last call, apart from jobs, which the database tells."""
        preview = self._hub.preview
        # Once the job has ended its preview is history: still there to be fetched, no news.
        ready = None if preview is None or not self._hub.job_runs else preview.ready
        now = [self._hub.worker, self._hub.progress, self._hub.download, ready]
        news = [new for new, told in zip(now, self._told, strict=True) if new is not None and new is not told]
        self._told = list(now)
        return news


class Hub:
    """The service's news. Belongs to the event loop."""

    def __init__(self) -> None:
        self.worker = WorkerChanged(state=WorkerState.STOPPED)
        """What the worker is doing."""
        self.progress: Progress | None = None
        """Of the running job."""
        self.download: Progress | None = None
        """Of the download that runs."""
        self.preview: Preview | None = None
        """Of the job that runs or ran last."""
        self.job_runs = False
        """Whether a job runs."""
        self.closed = False
        """Whether the service is leaving; listeners hang up then."""
        self._subscriptions: set[Subscription] = set()

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._subscriptions)

    def subscribe(self) -> Subscription:
        """A new listener."""
        subscription = Subscription(self)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a listener."""
        self._subscriptions.discard(subscription)

    def wake(self) -> None:
        """Tell everybody that something is new; called after each change of a job."""
        for subscription in self._subscriptions:
            subscription.wake()

    def tell_worker(self, state: WorkerState, *, device: str = "", reason: str = "") -> None:
        """The worker came, went, or has other things to do."""
        self.worker = WorkerChanged(state=state, device=device, reason=reason)
        self.wake()

    def tell_progress(self, progress: Progress) -> None:
        """The running job moved on."""
        self.progress = progress
        self.wake()

    def tell_download(self, progress: Progress | None) -> None:
        """The download moved on, or there is none any more."""
        self.download = progress
        self.wake()

    def tell_preview(self, preview: Preview) -> None:
        """The running job has a newer picture."""
        self.preview = preview
        self.wake()

    def begin_job(self) -> None:
        """Another job runs: what is known of the last one is no longer news."""
        self.progress = self.preview = None
        self.job_runs = True

    def end_job(self) -> None:
        """The job has ended; its preview may still be fetched."""
        self.progress = None
        self.job_runs = False

    def close(self) -> None:
        """Have all listeners hang up."""
        self.closed = True
        self.wake()
