"""The denoising loop: a solver, a guided model, and what inpainting keeps. It waits for the device at its pace only."""

from collections import deque
from collections.abc import Callable
from typing import Any

from ..third_party import torch
from .solvers import Solver
from .start import Beginning

_AHEAD = 2  # evaluations that may wait on the device: none idles, and a cancel is obeyed within two


def denoise(
    model: Callable[[Any, int], Any],
    solver: Solver,
    beginning: Beginning,
    *,
    fresh_noise: Callable[[], Any],
    queued: Callable[[int, Any], None],
    finished: Callable[[int], None],
) -> Any:
    """The finished latents (pictures, 4, height / 8, width / 8) float32.

    `model` gives the guided prediction of an evaluation by its index. `queued` hears of each evaluation once it is
    on its way, with a function that gives the picture as far as it is known; `finished` hears of each in order once
    it is done. On a CPU that is the same moment. What either raises ends the loop, within two evaluations.
    """
    run = solver.run(beginning.latents)
    pace = Pace(beginning.latents.device, finished)
    for index, needs_noise in enumerate(solver.needs_noise):
        prediction = model(run.model_input(), index)
        run.advance(prediction, fresh_noise() if needs_noise else None)
        if beginning.mask is not None:
            kept = solver.kept(beginning.clean, beginning.noise, index)
            run.latents = (1 - beginning.mask) * kept + beginning.mask * run.latents
        queued(index, run.estimate)
        pace.queued(index)
    pace.drain()
    return run.latents


class Pace:
    """Keeps the host a few evaluations ahead of a GPU, and no further."""

    def __init__(self, device: Any, finished: Callable[[int], None]) -> None:
        """`finished` hears of what is done, in order, and may raise."""
        self._finished = finished
        self._device = device
        self._underway: deque[tuple[int, Any]] = deque()

    def queued(self, index: int) -> None:
        """Something with this number is on its way; `finished` hears of it once it is done."""
        if self._device.type not in ("cuda", "mps"):
            self._finished(index)
            return
        self._underway.append((index, self._now()))
        if len(self._underway) > _AHEAD:
            self._wait()

    def drain(self) -> None:
        """Wait for all that is on its way."""
        while self._underway:
            self._wait()

    def _now(self) -> Any:
        """An event that is over once the device has done what it was given so far."""
        library = torch()
        if self._device.type == "mps":
            event = library.mps.Event()
            event.record()
        else:
            event = library.cuda.Event()
            event.record(library.cuda.current_stream(self._device))
        return event

    def _wait(self) -> None:
        index, event = self._underway.popleft()
        event.synchronize()
        self._finished(index)
