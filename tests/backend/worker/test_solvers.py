"""Schedulers as host numbers, against diffusers' own schedulers stepped as its pipelines step them."""

import inspect
import math
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from underpaint.backend.worker.sampling.linear import drawing
from underpaint.backend.worker.sampling.schedulers import make_scheduler, step_options, takes
from underpaint.backend.worker.sampling.solvers import Solver, make_solver
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.request import Scheduler, Sigmas

SD15: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}
SDXL = {**SD15, "_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading", "interpolation_type": "linear"}
V_PREDICTION = {**SD15, "_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}
ZERO_SNR = {**V_PREDICTION, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
CONFIGS = {"sd15": SD15, "sdxl": SDXL, "v": V_PREDICTION, "zero_snr": ZERO_SNR}

SHAPE = (2, 4, 4, 4)
CLEAN = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3)) * 0.8
WEIGHTS = torch.randn(64, 64, generator=torch.Generator().manual_seed(5)) / 8
PHASE = torch.randn(64, generator=torch.Generator().manual_seed(6))
PAIRS = [(scheduler, sigmas) for scheduler in Scheduler for sigmas in Sigmas if takes(scheduler, sigmas)]

# Where diffusers' own float32 strays by up to 1.6e-4 from what the same scheduler does in float64, which then is the
# measure: a sigma of 4096 that cancels, and a DPM2 step that divides by a sigma of next to nothing.
FLOAT32_LOSES = {
    (Scheduler.EULER, "zero_snr"),
    (Scheduler.EULER_ANCESTRAL, "zero_snr"),
    (Scheduler.DPM2_ANCESTRAL, "sd15"),
}

each_pair = pytest.mark.parametrize(("scheduler", "sigmas"), PAIRS, ids=lambda value: value.name.lower())
each_scheduler = pytest.mark.parametrize("scheduler", list(Scheduler), ids=lambda value: value.name.lower())


def predict(sample: torch.Tensor, timestep: float) -> torch.Tensor:
    """A fixed nonlinear function of latents and time: errors spread in it as they do in a UNet."""
    weights, phase = WEIGHTS.to(sample.dtype), PHASE.to(sample.dtype)
    return torch.tanh(sample.flatten(1) @ weights + phase * math.cos(timestep / 300)).view(sample.shape)


@dataclass
class Path:
    """A run from noise to picture."""

    timesteps: list[float]
    latents: list[torch.Tensor]  # before the first evaluation and after each
    inputs: list[torch.Tensor] = field(default_factory=list)
    estimates: list[Any] = field(default_factory=list)


def noises() -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    while True:
        yield torch.randn(SHAPE, generator=generator)


def stock_path(
    scheduler: Any, steps: int, strength: float, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch | None = None
) -> Path:
    """As diffusers' pipelines go: text to image at strength 1, else image to image.

    In float32; with `monkeypatch` in float64, with the noise that float32 draws.
    """
    dtype = torch.float32 if monkeypatch is None else torch.float64
    generator = torch.Generator().manual_seed(11)
    noise = torch.randn(SHAPE, generator=generator).to(dtype)
    module = sys.modules[type(scheduler).__module__]
    if monkeypatch is not None and hasattr(module, "randn_tensor"):
        monkeypatch.setattr(
            module, "randn_tensor", lambda shape, generator, **_: torch.randn(shape, generator=generator).double()
        )
    scheduler.set_timesteps(steps)
    begin = (steps - min(int(steps * strength), steps)) * scheduler.order
    timesteps = scheduler.timesteps[begin:]
    # Text to image pipelines leave this to the scheduler, which comes to the same unless the first two timesteps
    # round to one number; it then begins with the second and runs off the end.
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    if not len(timesteps):
        return Path([], [CLEAN])
    if strength < 1:
        latents = scheduler.add_noise(CLEAN.to(dtype), noise, timesteps[:1].repeat(len(noise)))
    else:
        latents = noise * scheduler.init_noise_sigma
    if "generator" in inspect.signature(scheduler.step).parameters:
        options = {**options, "generator": generator}
    path = Path([float(timestep) for timestep in timesteps], [latents])
    for timestep in timesteps:
        path.inputs.append(scheduler.scale_model_input(latents, timestep))
        result = scheduler.step(predict(path.inputs[-1], float(timestep)), timestep, latents, **options)
        latents = result.prev_sample
        path.latents.append(latents)
        path.estimates.append(getattr(result, "pred_original_sample", None))
    return path


def our_path(solver: Solver, strength: float) -> Path:
    """By a solver, with the noise that a generator of the same seed gives."""
    draws = noises()
    noise = next(draws)
    run = solver.run(solver.noised(CLEAN, noise) if strength < 1 else noise * solver.noise_scale)
    path = Path(list(solver.timesteps), [run.latents])
    for timestep, needs_noise in zip(solver.timesteps, solver.needs_noise, strict=True):
        path.inputs.append(run.model_input())
        run.advance(predict(path.inputs[-1], timestep), next(draws) if needs_noise else None)
        path.latents.append(run.latents)
        path.estimates.append(run.estimate())
    return path


def distance(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Relative to the size of what is right."""
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


def apart(ours: Path, theirs: Path) -> float:
    """The largest distance between two paths. The last estimate is the picture itself, whatever a scheduler says."""
    pairs = [*zip(ours.latents, theirs.latents, strict=True), *zip(ours.inputs, theirs.inputs, strict=True)]
    told = zip(ours.estimates[:-1], theirs.estimates[:-1], strict=True)
    pairs += [(mine, right) for mine, right in told if mine is not None and right is not None]
    return max(distance(mine, right) for mine, right in pairs)


def compare(
    scheduler: Scheduler, sigmas: Sigmas, config: str, steps: int, strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    solver = make_solver(scheduler, sigmas, CONFIGS[config], steps, strength)
    assert solver.stock is None
    with monkeypatch.context() as patch:
        theirs = stock_path(
            make_scheduler(scheduler, CONFIGS[config], sigmas),
            steps,
            strength,
            step_options(scheduler),
            patch if (scheduler, config) in FLOAT32_LOSES else None,
        )
    ours = our_path(solver, strength)
    assert ours.timesteps == theirs.timesteps
    assert apart(ours, theirs) <= 1e-5, (steps, strength)


@pytest.mark.parametrize("config", ["sd15", "zero_snr"])
@each_pair
def test_a_run_is_the_schedulers_own(
    scheduler: Scheduler, sigmas: Sigmas, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for steps in (1, 2, 3, 8, 20):
        for strength in (1, 0.6, 0.25):
            compare(scheduler, sigmas, config, steps, strength, monkeypatch)


@pytest.mark.parametrize("config", ["sdxl", "v"])
@each_scheduler
def test_other_checkpoints(scheduler: Scheduler, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for steps, strength in [(7, 1), (12, 0.6)]:
        compare(scheduler, Sigmas.DEFAULT, config, steps, strength, monkeypatch)


@pytest.mark.parametrize("scheduler", [Scheduler.UNIPC, Scheduler.DPMPP_2M, Scheduler.EULER, Scheduler.DDIM])
def test_a_hundred_steps(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(scheduler, Sigmas.DEFAULT, "sd15", 100, 1, monkeypatch)


def test_pndm_with_its_runge_kutta_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, "runge_kutta", {**SD15, "skip_prk_steps": False})
    compare(Scheduler.PNDM, Sigmas.DEFAULT, "runge_kutta", 10, 1, monkeypatch)


@each_scheduler
def test_inpainting_blends_what_the_pipeline_blends(scheduler: Scheduler) -> None:
    """diffusers' inpainting: after each step the kept part is put back as the next timestep has it."""
    steps, strength = 5, 0.8
    options, mask = step_options(scheduler), torch.tensor([0.0, 0.0, 1.0, 0.3])
    stock = make_scheduler(scheduler, SD15)
    stock.set_timesteps(steps)
    timesteps = stock.timesteps[stock.order :]
    if hasattr(stock, "set_begin_index"):
        stock.set_begin_index(stock.order)
    solver = make_solver(scheduler, Sigmas.DEFAULT, SD15, steps, strength)
    draws, generator = noises(), torch.Generator().manual_seed(11)
    noise, _ = next(draws), torch.randn(SHAPE, generator=generator)
    theirs = stock.add_noise(CLEAN, noise, timesteps[:1])
    run = solver.run(solver.noised(CLEAN, noise))
    if "generator" in inspect.signature(stock.step).parameters:
        options["generator"] = generator
    for index, timestep in enumerate(timesteps):
        prediction = predict(stock.scale_model_input(theirs, timestep), float(timestep))
        theirs = stock.step(prediction, timestep, theirs, **options).prev_sample
        last = index == len(timesteps) - 1
        kept = CLEAN if last else stock.add_noise(CLEAN, noise, timesteps[index + 1 : index + 2])
        theirs = (1 - mask) * kept + mask * theirs
        run.advance(predict(run.model_input(), float(timestep)), next(draws) if solver.needs_noise[index] else None)
        run.latents = (1 - mask) * solver.kept(CLEAN, noise, index) + mask * run.latents
        assert distance(run.latents, theirs) <= 1e-5
    assert solver.kept(CLEAN, noise, run.index - 1) is CLEAN


@pytest.mark.parametrize("config", ["sd15", "v"])
@each_scheduler
def test_a_model_that_knows_the_picture_is_understood(scheduler: Scheduler, config: str) -> None:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - betas, 0)
    log_sigmas = ((1 - kept) / kept).log() / 2
    solver = make_solver(scheduler, Sigmas.DEFAULT, CONFIGS[config], 12)
    draws = noises()
    run = solver.run(next(draws) * solver.noise_scale)
    for index, (timestep, needs_noise) in enumerate(zip(solver.timesteps, solver.needs_noise, strict=True)):
        low, part = int(timestep), timestep % 1
        sigma = math.exp(torch.lerp(log_sigmas[low], log_sigmas[min(low + 1, 999)], part).item())
        alpha = 1 / math.hypot(1, sigma)
        noise = (run.model_input() - alpha * CLEAN) / (alpha * sigma)
        prediction = noise if config == "sd15" else alpha * noise - alpha * sigma * CLEAN
        run.advance(prediction, next(draws) if needs_noise else None)
        # After the last it is the picture that comes out, in which some schedulers leave a little noise.
        last = index == len(solver.timesteps) - 1
        assert distance(run.estimate(), CLEAN) <= (0.05 if last else 1e-5), timestep


@each_scheduler
def test_no_value_travels_between_host_and_device(scheduler: Scheduler) -> None:
    """Tensors of the meta device have no values, so that asking for one is an error."""
    solver = make_solver(scheduler, Sigmas.DEFAULT, SD15, 6, 0.7)
    noise = torch.empty(SHAPE, device="meta")
    run = solver.run(solver.noised(noise, noise))
    for index, needs_noise in enumerate(solver.needs_noise):
        run.estimate()
        run.advance(run.model_input(), noise if needs_noise else None)
        run.latents = run.latents + solver.kept(noise, noise, index)
        assert run.estimate().is_meta
    assert run.latents.is_meta
    assert run.latents.dtype == torch.float32


@pytest.mark.parametrize(
    ("scheduler", "setting"),
    [
        (Scheduler.DDIM, {"clip_sample": True}),
        (Scheduler.DDPM, {"clip_sample": True}),
        (Scheduler.HEUN, {"clip_sample": True}),
        (Scheduler.UNIPC, {"thresholding": True}),
        (Scheduler.DPMPP_2M_SDE, {"thresholding": True}),
        (Scheduler.LCM, {"thresholding": True}),
    ],
)
def test_what_is_not_linear_goes_by_the_scheduler_itself(scheduler: Scheduler, setting: dict[str, Any]) -> None:
    config = {**SD15, **setting}
    solver = make_solver(scheduler, Sigmas.DEFAULT, config, 5, 0.8)
    assert solver.stock is not None
    for _ in range(2):  # a second run begins anew
        theirs = stock_path(make_scheduler(scheduler, config), 5, 0.8, {})
        ours = our_path(solver, 0.8)
        ours.estimates = theirs.estimates  # those are made without clipping
        assert apart(ours, theirs) <= 1e-6


def test_runs_of_a_solver_know_nothing_of_each_other() -> None:
    solver = make_solver(Scheduler.UNIPC, Sigmas.DEFAULT, SD15, 6)
    starts = [torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    apart_runs, together = [solver.run(start) for start in starts], [solver.run(start) for start in starts]
    for run in apart_runs:
        for timestep in solver.timesteps:
            run.advance(predict(run.model_input(), timestep))
    for timestep in solver.timesteps:
        for run in together:
            run.advance(predict(run.model_input(), timestep))
    for one, other in zip(apart_runs, together, strict=True):
        assert torch.equal(one.latents, other.latents)


def test_a_plan_that_is_told_meanwhile_does_not_draw_a_job_s_noise() -> None:
    """Jobs and plans have threads of their own, and schedulers draw by a name in their module."""
    scheduler = make_scheduler(Scheduler.EULER_ANCESTRAL, SD15)
    module, entered = sys.modules[type(scheduler).__module__], threading.Event()

    def ours(*_args: object, **_options: object) -> None: ...

    def beside() -> None:
        with drawing(scheduler, lambda *_args, **_options: None):
            entered.set()

    thread = threading.Thread(target=beside)
    with drawing(scheduler, ours):
        thread.start()
        assert not entered.wait(0.1)
        assert module.randn_tensor is ours
    thread.join(10)
    assert entered.is_set()


def test_latents_that_were_handed_out_stay_as_they_are() -> None:
    for scheduler in Scheduler:
        solver = make_solver(scheduler, Sigmas.DEFAULT, SD15, 5)
        path = our_path(solver, 1)
        run = solver.run(path.latents[0])
        before = [latents.clone() for latents in path.latents]
        draws = noises()
        for latents, timestep, needs_noise in zip(path.latents[:-1], solver.timesteps, solver.needs_noise, strict=True):
            run.latents = latents
            run.advance(predict(latents, timestep), next(draws) if needs_noise else None)
        assert all(torch.equal(one, other) for one, other in zip(before, path.latents, strict=True))


def test_strength_that_leaves_no_step_leaves_the_picture() -> None:
    solver = make_solver(Scheduler.UNIPC, Sigmas.DEFAULT, SD15, 20, 0.04)
    assert solver.timesteps == ()
    assert solver.noised(CLEAN, next(noises())) is CLEAN
    run = solver.run(CLEAN)
    assert run.estimate() is CLEAN


def test_a_solver_is_made_once() -> None:
    assert make_solver(Scheduler.EULER, Sigmas.KARRAS, SD15, 9) is make_solver(
        Scheduler.EULER, Sigmas.KARRAS, dict(reversed(SD15.items())), 9
    )
    assert make_solver(Scheduler.EULER, Sigmas.KARRAS, SD15, 9) is not make_solver(
        Scheduler.EULER, Sigmas.KARRAS, SDXL, 9
    )


@pytest.mark.parametrize(
    ("scheduler", "most"),
    [
        (Scheduler.EULER, 1),
        (Scheduler.DDIM, 2),
        (Scheduler.EULER_ANCESTRAL, 2),
        (Scheduler.DPMPP_2M, 5),
        (Scheduler.UNIPC, 9),
    ],
)
def test_a_step_is_a_few_multiply_adds(scheduler: Scheduler, most: int) -> None:
    solver = make_solver(scheduler, Sigmas.DEFAULT, SD15, 20)
    counts = [sum(len(terms) - (terms[0][1] == 1) for terms in entry.sums) for entry in solver.evaluations]
    assert max(counts) == most


@pytest.mark.parametrize("scheduler", [Scheduler.LCM, Scheduler.TCD])
def test_more_steps_than_a_distilled_model_knows_are_refused(scheduler: Scheduler) -> None:
    assert len(make_solver(scheduler, Sigmas.DEFAULT, SD15, 50).timesteps) == 50
    with pytest.raises(InvalidRequest, match=f"{scheduler.name} takes 50 steps at most, and 51 are asked for"):
        make_solver(scheduler, Sigmas.DEFAULT, SD15, 51)


def test_what_comes_to_no_picture_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="DDPM can't make a picture in 1001 steps"):
        make_solver(Scheduler.DDPM, Sigmas.DEFAULT, SD15, 1001)
    # Noise alone tells a model that predicts the noise nothing: diffusers makes pictures of not-a-number of it.
    with pytest.raises(InvalidRequest, match="DDIM can't make a picture in 8 steps with this checkpoint"):
        make_solver(Scheduler.DDIM, Sigmas.DEFAULT, {**ZERO_SNR, "prediction_type": "epsilon"}, 8)
    with pytest.raises(InvalidRequest, match="Euler a can't make a picture in 8 steps with this checkpoint"):
        make_solver(Scheduler.EULER_ANCESTRAL, Sigmas.DEFAULT, {**SD15, "prediction_type": "sample"}, 8)
    third_order = {**SD15, "solver_order": 3, "lower_order_final": False}
    with pytest.raises(InvalidRequest, match="UniPC can't make a picture in 8 steps with this checkpoint"):
        make_solver(Scheduler.UNIPC, Sigmas.DEFAULT, third_order, 8)
