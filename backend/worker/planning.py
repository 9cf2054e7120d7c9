"""How a picture would be painted on this machine: found before anything is loaded, and told where it is asked for."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...protocol.checks import check
from ...protocol.jobs import JobResult, Phase, Timing
from ...protocol.request import GenerateRequest, PlanRequest
from ..library.hashes import Hashes
from .inspecting import Inspected, inspect
from .maps import stop_if, versions
from .memory import devices, planner, sizes
from .memory.needs import Needs
from .memory.plan import Plan
from .models.hashing import Hashing, known_models
from .used import loaded_models


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A picture's plan, and what it was made from."""

    needs: Needs
    plan: Plan

    def step_down(self) -> "Planned | None":
        """The next way after memory ran out; None where there is none."""
        lower = planner.step_down(self.plan, self.needs)
        return None if lower is None else Planned(needs=self.needs, plan=lower)


def plan_picture(
    request: GenerateRequest, inspected: Inspected, *, held_bytes: int, room_gb: float | None = None
) -> Planned:
    """The plan for a picture job.

    `held_bytes` are of models in main memory that can be let go of, and `room_gb` is what an earlier job found
    to be there when memory ran out. Raises InvalidRequest for a precision that the device can't do, and DoesNotFit.
    """
    further = inspected.further
    evaluations = inspected.evaluations
    if further.second is not None:
        evaluations = further.second.cost(request.size, evaluations)
    needs = sizes.needs(
        inspected.checkpoint,
        inspected.used_nets,
        request,
        evaluations=max(1, evaluations),
        more=further.parts,
        at_once=further.at_once,
        image_tokens=further.image_tokens,
    )
    machine = devices.machine(held_bytes=held_bytes)
    plan = planner.make_plan(
        needs, machine, budget_gb=request.memory_budget_gb, precision=request.precision, room_gb=room_gb
    )
    return Planned(needs=needs, plan=plan)


def answer(
    request: PlanRequest,
    *,
    models: Path,
    hashes: Hashes,
    planned: Callable[[GenerateRequest, Inspected], Planned],
    cancelled: Callable[[], bool],
) -> JobResult:
    """Tell the plan that `planned` makes. Nothing is downloaded; of weights only headers are read, but for hashes.

    Raises what painting the picture would raise before it begins.
    """
    started = time.perf_counter()
    stop_if(cancelled)
    check(request)

    def announce(_: str) -> None:
        stop_if(cancelled)

    picture = dataclasses.replace(request.picture, allow_download=False)
    inspected = inspect(picture, models=models, announce=announce)
    loaded = loaded_models(picture, inspected)
    if request.hashes:
        with Hashing(loaded, hashes) as hashing:
            used = hashing.models(lambda: stop_if(cancelled))
    else:
        used = known_models(loaded, hashes)
    return JobResult(
        images=(),
        control_maps=(),
        timings=(Timing(phase=Phase.LOAD, ms=1000 * (time.perf_counter() - started)),),
        checkpoint=str(inspected.checkpoint.folder),
        plan=planned(picture, inspected).plan.words,
        versions=versions(),
        models=used,
    )
