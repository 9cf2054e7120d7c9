"""Memory that runs out: one way further down, told to the user, and the same picture."""

import dataclasses
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.memory import devices, planner
from underpaint.backend.worker.memory.plan import Backend, Rung
from underpaint.backend.worker.sampling import generation
from underpaint.protocol.errors import JobCancelled, OutOfMemory
from underpaint.protocol.jobs import Phase
from underpaint.protocol.request import GenerateRequest
from worker_runner import Job, make_runner

Asked = Callable[..., GenerateRequest]


class Shortage:
    """Memory runs out in the second evaluation of any job by one of the rungs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *rungs: Rung) -> None:
        self.tried: list[Rung] = []
        self._rungs = set(rungs)
        denoise = generation.denoise

        def short(model: Any, *arguments: Any, **named: Any) -> Any:
            rung = self.plan.rung
            self.tried.append(rung)

            def called(sample: Any, index: int) -> Any:
                if rung in self._rungs and index == 1:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
                return model(sample, index)

            return denoise(called, *arguments, **named)

        monkeypatch.setattr(generation, "denoise", short)
        placed = generation._denoised

        def denoised(brief: Any, *arguments: Any) -> Any:
            self.plan = brief.models.placement.plan
            return placed(brief, *arguments)

        monkeypatch.setattr(generation, "_denoised", denoised)
        # What torch takes for itself is more than all of a tiny model, and no way down would be any smaller.
        monkeypatch.setitem(planner._WORKSPACE, Backend.CPU, 0)

    def end(self) -> None:
        """There is enough from here on."""
        self._rungs.clear()


@pytest.fixture
def fresh(blobs: BlobStore, models: Path) -> JobRunner:
    return make_runner(blobs, models)


def test_it_steps_down_once_tells_the_user_and_finishes(
    fresh: JobRunner, runner: JobRunner, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Job(runner, asked()).run()
    shortage = Shortage(monkeypatch, Rung.RESIDENT)
    job = Job(fresh, asked())
    result = job.run()
    assert shortage.tried == [Rung.RESIDENT, Rung.PHASED]
    assert result.images == expected.images  # every way gives the same numbers
    (note,) = result.notes
    assert "Memory ran out" in note
    assert result.plan in note
    assert "loaded in turn" in result.plan
    assert note in {entry.note for entry in job.progress if entry.phase is Phase.LOAD}
    assert job.steps == [1, 1, 2, 3]
    assert [timing.phase for timing in result.timings].count(Phase.LOAD) == 1

    # and the next job doesn't run into the same wall
    again = Job(fresh, asked()).run()
    assert shortage.tried == [Rung.RESIDENT, Rung.PHASED, Rung.PHASED]
    assert again.images == expected.images
    assert again.notes == ()


def test_when_nothing_helps_the_error_says_what_to_do(
    fresh: JobRunner, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortage = Shortage(monkeypatch, *Rung)
    with pytest.raises(OutOfMemory, match="Not enough memory on cpu for this picture"):
        Job(fresh, asked()).run()
    assert shortage.tried == [Rung.RESIDENT, Rung.PHASED]
    assert fresh.residents.held_bytes == 0
    monkeypatch.undo()
    assert Job(fresh, asked()).run().images  # once there is memory again


@pytest.mark.parametrize("cancel_at", [None, 1])
def test_a_job_that_ended_leaves_nothing_where_its_models_take_turns(
    fresh: JobRunner, asked: Asked, monkeypatch: pytest.MonkeyPatch, cancel_at: int | None
) -> None:
    Shortage(monkeypatch, Rung.RESIDENT)
    Job(fresh, asked(controls=())).run()
    with pytest.raises(JobCancelled) if cancel_at else nullcontext():
        Job(fresh, asked(controls=()), cancel_at=cancel_at).run()
    modules = [held.keeper.module for held in fresh.residents._held.values()]
    assert len(modules) == 3
    assert all(tensor.is_meta for module in modules for tensor in module.parameters())


def test_learnt_room_is_forgotten_once_there_is_twice_as_much(
    fresh: JobRunner, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = devices.machine()

    def have(times: float) -> None:
        now = dataclasses.replace(machine, free_bytes=int(times * machine.free_bytes))
        monkeypatch.setattr(devices, "machine", lambda **_: now)

    have(1)
    shortage = Shortage(monkeypatch, Rung.RESIDENT)
    Job(fresh, asked(controls=())).run()
    shortage.end()
    for times, rung in ((1.5, Rung.PHASED), (2.5, Rung.RESIDENT), (1, Rung.RESIDENT)):
        have(times)
        Job(fresh, asked(controls=())).run()
        assert shortage.tried[-1] is rung


def test_what_memory_ran_out_with_is_no_reason_for_another_number_format(
    fresh: JobRunner, runner: JobRunner, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less room than the last rung takes in float32 would do for bfloat16, and another picture."""
    request = asked(controls=())
    expected = Job(runner, request).run()
    shortage = Shortage(monkeypatch, *Rung)
    with pytest.raises(OutOfMemory):
        Job(fresh, request).run()
    shortage.end()
    again = Job(fresh, request).run()
    assert "float32" in again.plan
    assert again.images == expected.images


def test_nothing_of_the_picture_that_failed_is_held(
    fresh: JobRunner, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exception's traceback holds every tensor on the way, so it must be gone before the next try."""
    Shortage(monkeypatch, Rung.RESIDENT)
    latents: list[Any] = []
    clear = fresh.clear
    begin = generation.begin

    def begun(*arguments: Any, **named: Any) -> Any:
        found = begin(*arguments, **named)
        latents.append(weakref.ref(found.latents))
        return found

    def cleared() -> None:
        clear()
        assert latents[0]() is None

    monkeypatch.setattr(generation, "begin", begun)
    monkeypatch.setattr(fresh, "clear", cleared)
    Job(fresh, dataclasses.replace(asked(), controls=())).run()
    assert len(latents) == 2


def test_other_errors_are_no_shortage(fresh: JobRunner, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("expected all tensors on one device")

    monkeypatch.setattr(generation, "denoise", broken)
    with pytest.raises(RuntimeError, match="one device"):
        Job(fresh, asked()).run()
