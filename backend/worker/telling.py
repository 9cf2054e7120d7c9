"""What a picture job tells of itself while it runs."""

from collections.abc import Callable

from ...protocol.arrays import UInt8Array
from ...protocol.events import Progress
from ...protocol.jobs import Phase
from .maps import OnProgress, stop_if
from .sampling import Step

# Where in the whole job a phase begins, for the progress bar.
_BEGINS = {Phase.CONDITIONING: 0.0, Phase.LOAD: 0.02, Phase.ENCODE: 0.1, Phase.STEP: 0.12, Phase.DECODE: 0.93}

OnPreview = Callable[[int, UInt8Array], None]


class Telling:
    """Turns what happens into progress and previews."""

    def __init__(
        self,
        job_id: str,
        *,
        pictures: int,
        on_progress: OnProgress,
        on_preview: OnPreview,
        cancelled: Callable[[], bool],
    ) -> None:
        self.note = ""
        """What is said where there is nothing else to say."""
        self.cancelled = cancelled
        """Whether the job's end was asked for."""
        self._job_id = job_id
        self._pictures = pictures
        self._on_progress, self._on_preview = on_progress, on_preview

    def announce(self, text: str) -> None:
        """Say what is about to be loaded. Raises JobCancelled instead where the job's end was asked for."""
        stop_if(self.cancelled)
        self.phase(Phase.LOAD, text)

    def phase(self, phase: Phase, text: str = "") -> None:
        """A phase begins, or goes on with something else."""
        self._say(phase, fraction=_BEGINS[phase], note=text or self.note)

    def step(self, phase: Phase, step: Step | None) -> None:
        """A phase begins, or an evaluation of the models is done."""
        if step is None:
            self.phase(phase)
            return
        begin, end = _BEGINS[Phase.STEP], _BEGINS[Phase.DECODE]
        self._on_progress(
            Progress(
                job_id=self._job_id,
                phase=phase,
                step=step.done,
                steps=step.total,
                picture=step.picture,
                pictures=self._pictures,
                fraction=begin + (end - begin) * step.share,
                note=self.note,
            )
        )
        if step.preview is not None:
            self._on_preview(step.done, step.preview)

    def _say(self, phase: Phase, *, fraction: float, note: str) -> None:
        self._on_progress(
            Progress(job_id=self._job_id, phase=phase, pictures=self._pictures, fraction=fraction, note=note)
        )
