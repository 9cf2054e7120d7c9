"""What a job tells of its evaluations while they run: which pass and picture, how far, and what can be seen of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ....protocol.arrays import UInt8Array
from ....protocol.errors import JobCancelled
from ....protocol.geometry import Extent
from ....protocol.jobs import Phase, Timing
from .denoise import Pace
from .guidance import ControlInput
from .networks import ImageKeys
from .previews import Previewer
from .second_pass import TileNet
from .solvers import Solver
from .tiles import Tiling


@dataclass(frozen=True, kw_only=True)
class Step:
    """An evaluation of the models that is done."""

    done: int  # 1 for the first
    total: int  # of a picture, in all passes; Heun and PNDM take more than were asked for
    picture: int  # 1 for the first; of several at once the first of them
    share: float  # of the work of all steps of the job, 0 to 1
    preview: UInt8Array | None  # (height / 8, width / 8, 3), or larger; None where there is no newer one


@dataclass(frozen=True, kw_only=True, eq=False)
class Pass:
    """One way from noise, or from a picture under noise, to latents."""

    size: Extent
    solver: Solver
    controls: Sequence[ControlInput]  # of the size
    images: Sequence[ImageKeys]  # for a batch of one picture
    tiling: Tiling | None = None
    tile_net: TileNet | None = None

    @property
    def work(self) -> float:
        """About how long it takes, by evaluations and pixels."""
        return len(self.solver.timesteps) * self.size.width * self.size.height


class Clock:
    """Splits the time since it was made into phases."""

    def __init__(self) -> None:
        self.timings: list[Timing] = []
        self._last = time.perf_counter()

    def lap(self, phase: Phase) -> None:
        """What has passed since the last lap was this phase."""
        now = time.perf_counter()
        self.timings.append(Timing(phase=phase, ms=1000 * (now - self._last)))
        self._last = now


class Steps:
    """Tells of the evaluations as they end, and ends the job with one when it is cancelled."""

    def __init__(
        self,
        passes: Sequence[Pass],
        pictures: int,
        device: Any,
        previewer: Previewer,
        clock: Clock,
        report: Callable[[Phase, Step | None], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Of a job of so many pictures, each painted in these passes one after the other."""
        self._passes = passes
        self._total = sum(len(way.solver.timesteps) for way in passes)
        self._work = sum(way.work for way in passes)
        self._device = device
        self._pictures = pictures
        self._previewer = previewer
        self._preview: UInt8Array | None = None
        self._clock, self._report, self._cancelled = clock, report, cancelled
        self._way = passes[0]
        self._first = self._count = self._before = 0
        self._tiles = 1
        self._pace = Pace(self._device, self._tile_finished)

    def begin(self, way: Pass, first: int, count: int) -> None:
        """The evaluations to come are a pass's of `count` pictures from the one with index `first` on."""
        self._way, self._first, self._count = way, first, count
        self._before = sum(len(other.solver.timesteps) for other in self._passes[: self._passes.index(way)])
        self._tiles = 1 if way.tiling is None else len(way.tiling.corners)
        self._pace = Pace(self._device, self._tile_finished)

    def queued(self, index: int, estimate: Callable[[], Any]) -> None:
        """An evaluation is on its way."""
        newest = self._previewer.show(estimate(), index)
        self._preview = self._preview if newest is None else newest

    def tile_queued(self, index: int, number: int) -> None:
        """A tile of an evaluation is on its way; a GPU is kept two of them busy, and no more."""
        self._pace.queued(index * self._tiles + number)

    def finished(self, index: int) -> None:
        """An evaluation is done."""
        self._clock.lap(Phase.STEP)
        preview, self._preview = self._preview, None
        self._tell(index + 1, index + 1, preview)
        stop_if(self._cancelled)

    def _tile_finished(self, count: int) -> None:
        index, number = divmod(count, self._tiles)
        if number + 1 < self._tiles:  # the last one is the evaluation's
            self._tell(index, index + (number + 1) / self._tiles, None)
        stop_if(self._cancelled)

    def _tell(self, done: int, progress: float, preview: UInt8Array | None) -> None:
        """`progress` counts this pass's evaluations, and parts of the one underway."""
        earlier = self._passes[: self._passes.index(self._way)]
        of_pass = (self._first + self._count * progress / len(self._way.solver.timesteps)) / self._pictures
        share = sum(way.work for way in earlier) / self._work + self._way.work / self._work * of_pass
        step = Step(done=self._before + done, total=self._total, picture=self._first + 1, share=share, preview=preview)
        self._report(Phase.STEP, step)


def stop_if(cancelled: Callable[[], bool]) -> None:
    """Raise JobCancelled where the job's end was asked for."""
    if cancelled():
        raise JobCancelled
