"""The loop itself: what it calls when, and how far ahead of a GPU it runs."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from underpaint.backend.worker.sampling import denoise as loop
from underpaint.backend.worker.sampling.denoise import denoise
from underpaint.backend.worker.sampling.solvers import Solver, make_solver
from underpaint.backend.worker.sampling.start import Beginning
from underpaint.protocol.request import Scheduler, Sigmas

CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def solver(scheduler: Scheduler = Scheduler.UNIPC, steps: int = 5) -> Solver:
    return make_solver(scheduler, Sigmas.DEFAULT, CONFIG, steps)


def noise(seed: int = 0, device: str = "cpu") -> torch.Tensor:
    return torch.randn((1, 4, 4, 4), generator=torch.Generator().manual_seed(seed)).to(device)


def run(solver: Solver, beginning: Beginning, **hooks: Callable[..., Any]) -> Any:
    given: dict[str, Any] = {
        "fresh_noise": noise, "queued": lambda index, estimate: None, "finished": lambda index: None, **hooks,
    }  # fmt: skip
    return denoise(lambda sample, index: 0.1 * sample, solver, beginning, **given)


@pytest.mark.parametrize("scheduler", [Scheduler.UNIPC, Scheduler.EULER_ANCESTRAL, Scheduler.HEUN])
def test_each_evaluation_is_told_and_noise_is_drawn_where_it_is_needed(scheduler: Scheduler) -> None:
    ours = solver(scheduler)
    told: list[tuple[str, int]] = []
    drawn: list[int] = []
    estimates: list[torch.Tensor] = []

    def queued(index: int, estimate: Callable[[], torch.Tensor]) -> None:
        told.append(("queued", index))
        estimates.append(estimate())

    def fresh_noise() -> torch.Tensor:
        drawn.append(len(told) // 2)
        return noise(1)

    start = Beginning(latents=noise() * ours.noise_scale, noise=noise())
    latents = run(
        ours, start, queued=queued, fresh_noise=fresh_noise, finished=lambda index: told.append(("finished", index))
    )
    evaluations = range(len(ours.timesteps))
    assert told == [(what, index) for index in evaluations for what in ("queued", "finished")]
    assert drawn == [index for index in evaluations if ours.needs_noise[index]]
    assert torch.equal(estimates[-1], latents)


def test_what_the_mask_keeps_is_the_clean_picture_in_the_end() -> None:
    ours = solver()
    mask = torch.zeros((1, 1, 4, 4))
    mask[..., :2] = 1
    clean = noise(7)
    start = Beginning(latents=noise() * ours.noise_scale, noise=noise(), clean=clean, mask=mask)
    seen: list[torch.Tensor] = []
    latents = run(ours, start)
    assert torch.equal(latents[..., 2:], clean[..., 2:])
    assert not torch.isclose(latents[..., :2], clean[..., :2]).any()

    def model(sample: torch.Tensor, index: int) -> torch.Tensor:
        seen.append(sample)
        return 0.1 * sample

    denoise(model, ours, start, fresh_noise=noise, queued=lambda *_: None, finished=lambda _: None)
    for index, sample in enumerate(seen[1:]):  # on the way it is as noisy as the rest
        assert torch.allclose(sample[..., 2:], ours.kept(clean, noise(), index)[..., 2:])


@pytest.mark.parametrize("hook", ["queued", "finished"])
def test_what_a_listener_raises_ends_the_loop(hook: str) -> None:
    calls: list[int] = []

    def listener(index: int, *_: Any) -> None:
        calls.append(index)
        if index == 2:
            raise InterruptedError

    start = Beginning(latents=noise(), noise=noise())
    with pytest.raises(InterruptedError):
        run(solver(), start, **{hook: listener})
    assert calls == [0, 1, 2]


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_the_host_is_at_most_two_evaluations_ahead_of_a_gpu(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """There is no GPU here: "meta" stands for its tensors, which compute nothing, and these for its events."""
    journal: list[tuple[str, int]] = []

    class Event:
        made = 0

        def __init__(self) -> None:
            self.index = Event.made
            Event.made += 1

        def record(self, stream: object = None) -> None:
            journal.append(("queued", self.index))

        def synchronize(self) -> None:
            journal.append(("done", self.index))

    gpu = SimpleNamespace(Event=Event, current_stream=lambda device: device)
    pace = loop.Pace(torch.device(kind), lambda index: journal.append(("told", index)))
    monkeypatch.setattr(loop, "torch", lambda: SimpleNamespace(cuda=gpu, mps=gpu))
    for index in range(4):
        pace.queued(index)
    pace.drain()
    ahead = 0
    for what, _ in journal:
        ahead += {"queued": 1, "done": -1, "told": 0}[what]
        assert ahead <= 3  # one that is just being queued, and two
    assert [index for what, index in journal if what == "told"] == [0, 1, 2, 3]
    assert [index for what, index in journal if what == "done"] == [0, 1, 2, 3]
    assert journal[:5] == [("queued", 0), ("queued", 1), ("queued", 2), ("done", 0), ("told", 0)]
