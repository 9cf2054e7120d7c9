"""Schedulers as host numbers: a handful of multiply-adds a step, and no value that travels to or from the device."""

import copy
import json
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ....protocol.errors import InvalidRequest
from ....protocol.request import Scheduler, Sigmas
from ..third_party import torch
from .linear import NOISE, Evaluation, Mix, combined, drawing, read
from .schedulers import TITLES, make_scheduler, step_options

_KEPT_SOLVERS = 32
_LINEAR = 1e-4  # how far the numbers may lie from the scheduler itself, of the largest latent
_TRIAL_SHAPE = (1, 1, 8, 8)


@dataclass(frozen=True, kw_only=True, eq=False)
class Solver:
    """How a picture comes out of noise in a number of steps. Holds numbers only, and serves any number of runs."""

    timesteps: tuple[float, ...]
    """One for each evaluation of the model, in order, as the UNet gets them; `strength` has cut the head off."""
    noise_scale: float
    """The deviation of the noise that a picture of text alone begins with."""
    needs_noise: tuple[bool, ...]
    """The evaluations that draw fresh noise."""

    evaluations: tuple[Evaluation, ...]
    levels: tuple[Mix, ...]  # (picture, noise) before the first evaluation and after each but the last
    stock: "_Stock | None"  # for a config that isn't linear

    def noised(self, clean: Any, noise: Any) -> Any:
        """What an image to image run begins with; `clean` itself where no step is left to do."""
        return _mixed(clean, noise, self.levels[0]) if self.levels else clean

    def kept(self, clean: Any, noise: Any, index: int) -> Any:
        """What latents that nothing changes look like after evaluation `index`: `clean` after the last."""
        last = index + 1 >= len(self.timesteps)
        return clean if last else _mixed(clean, noise, self.levels[index + 1])

    def run(self, latents: Any) -> "SolverRun":
        """Begin with latents (batch, channels, height, width) float32 on any device."""
        return LinearRun(self, latents) if self.stock is None else StockRun(self, latents, self.stock)


class SolverRun(ABC):
    """One batch of pictures on their way. Nothing here waits for the device or copies to it."""

    def __init__(self, solver: Solver, latents: Any) -> None:
        self.latents = latents
        """(batch, channels, height, width) float32; may be replaced between evaluations, never written into."""
        self.index = 0
        """The evaluation to come."""
        self._solver = solver
        self._before: tuple[Any, Any] | None = None

    def model_input(self) -> Any:
        """The latents as the model wants them."""
        scale = self._solver.evaluations[self.index].input_scale
        return self.latents if scale == 1 else self.latents * scale

    def advance(self, prediction: Any, noise: Any = None) -> None:
        """Go on by one evaluation, whose prediction (batch, channels, height, width) float32 this is.

        `noise` of the same shape, of unit variance, where the solver needs it. Both are kept as they are and not
        to be written into: schedulers look back.
        """
        self._before = self.latents, prediction
        self.latents = self._next(prediction, noise)
        self.index += 1

    def estimate(self) -> Any:
        """The finished latents as far as they are known; right after `advance`, whose tensors it uses."""
        solver = self._solver
        if self.index == len(solver.timesteps):
            return self.latents
        if self._before is None:
            picture, noise = solver.levels[0]
            return self.latents * (picture / (picture * picture + noise * noise))
        latents, prediction = self._before
        return _mixed(latents, prediction, solver.evaluations[self.index - 1].estimate)

    @abstractmethod
    def _next(self, prediction: Any, noise: Any) -> Any:
        """The latents after this evaluation."""


class LinearRun(SolverRun):
    """By numbers."""

    def __init__(self, solver: Solver, latents: Any) -> None:
        super().__init__(solver, latents)
        self._kept: list[Any] = []

    def _next(self, prediction: Any, noise: Any) -> Any:
        evaluation = self._solver.evaluations[self.index]
        values = [self.latents, prediction, noise, *self._kept]
        for terms in evaluation.sums:
            values.append(combined(values, terms))
        self._kept = [values[place] for place in evaluation.kept]
        return values[evaluation.latents]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stock:
    """A diffusers scheduler at the beginning of a run, to be copied for each."""

    scheduler: Any
    timesteps: Any  # those left after `strength`
    options: dict[str, Any]  # of each step


class StockRun(SolverRun):
    """By the diffusers scheduler itself: slower, for it waits for the device, but it can clip."""

    def __init__(self, solver: Solver, latents: Any, stock: _Stock) -> None:
        super().__init__(solver, latents)
        self._scheduler = copy.deepcopy(stock.scheduler)
        self._stock = stock

    def _next(self, prediction: Any, noise: Any) -> Any:
        timestep = self._stock.timesteps[self.index]
        self._scheduler.scale_model_input(self.latents, timestep)  # some want to have been asked
        with drawing(self._scheduler, lambda *_args, **_options: noise):
            return self._scheduler.step(prediction, timestep, self.latents, **self._stock.options).prev_sample


def make_solver(
    scheduler: Scheduler, sigmas: Sigmas, checkpoint_config: dict[str, Any], steps: int, strength: float = 1.0
) -> Solver:
    """The solver for a checkpoint's scheduler config; the last ones are remembered.

    `strength` below 1 leaves the first steps out, as the image to image pipelines do. Raises InvalidRequest for
    what the scheduler can't do.
    """
    return _solver(scheduler, sigmas, json.dumps(checkpoint_config, sort_keys=True), steps, strength)


@lru_cache(maxsize=_KEPT_SOLVERS)
def _solver(scheduler: Scheduler, sigmas: Sigmas, config: str, steps: int, strength: float) -> Solver:
    made = make_scheduler(scheduler, json.loads(config), sigmas)
    most = made.config.get("original_inference_steps", math.inf)  # of LCM and TCD, which know these steps only
    if steps > most:
        raise InvalidRequest(reason=f"{TITLES[scheduler]} takes {most} steps at most, and {steps} are asked for")
    refusal = InvalidRequest(
        reason=f"{TITLES[scheduler]} can't make a picture in {steps} steps with this checkpoint and these sigmas; "
        "take another number of steps or another scheduler"
    )
    with torch().inference_mode():
        try:
            stock = _Stock(scheduler=made, timesteps=_timesteps(made, steps, strength), options=step_options(scheduler))
            solver = _linear(stock)
        except (ValueError, IndexError, NotImplementedError, torch().linalg.LinAlgError) as error:
            raise refusal from error  # that is what schedulers raise, half-way as often as at once
        if _agrees(solver, stock):
            return solver
        draws = tuple(entry.draws for entry in solver.evaluations)
        return replace(solver, stock=stock, needs_noise=draws)  # it wants its noise, used or not


def _timesteps(scheduler: Any, steps: int, strength: float) -> Any:
    """Set the scheduler's timesteps; those that are left after `strength`, by the image to image pipelines' rule."""
    scheduler.set_timesteps(steps, device="cpu")
    begin = max(steps - min(int(steps * strength), steps), 0) * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    return scheduler.timesteps[begin:]


def _linear(stock: _Stock) -> Solver:
    """The solver of a scheduler that is taken to be linear."""
    noise_scale = float(stock.scheduler.init_noise_sigma)
    timesteps = stock.timesteps
    reading = read(copy.deepcopy(stock.scheduler), timesteps, stock.options) if len(timesteps) else None
    evaluations = reading.evaluations if reading else ()
    used = [
        NOISE in entry.kept or any(place == NOISE for terms in entry.sums for place, _ in terms)
        for entry in evaluations
    ]
    return Solver(
        timesteps=tuple(float(timestep) for timestep in timesteps),
        noise_scale=noise_scale,
        # A draw that isn't used still moves the ones after it, as long as there are any.
        needs_noise=tuple(entry.draws and any(used[index:]) for index, entry in enumerate(evaluations)),
        evaluations=evaluations,
        levels=reading.levels if reading else (),
        stock=None,
    )


def _agrees(solver: Solver, stock: _Stock) -> bool:
    """Whether the numbers do to a picture what the scheduler does to it."""
    generator = torch().Generator("cpu").manual_seed(0)

    def draw() -> Any:
        return torch().randn(_TRIAL_SHAPE, generator=generator, dtype=torch().float64)

    start = draw() * solver.noise_scale
    ours, theirs = LinearRun(solver, start), StockRun(solver, start, stock)
    for _ in solver.timesteps:
        prediction, noise = draw(), draw()
        ours.advance(prediction, noise)
        theirs.advance(prediction, noise)
        size = float(theirs.latents.abs().max())
        if not float((ours.latents - theirs.latents).abs().max()) <= _LINEAR * max(size, 1):
            return False
    return True


def _mixed(first: Any, second: Any, mix: Mix) -> Any:
    return combined((first, second), ((0, mix[0]), (1, mix[1])))
