"""One job from request to result: inspecting, planning, conditioning, loading, sampling, storing."""

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from ...protocol.checks import check
from ...protocol.errors import DoesNotFit, OutOfMemory
from ...protocol.jobs import JobResult, Phase, Timing
from ...protocol.models import UsedModel
from ...protocol.request import ControlMapsRequest, DownloadRequest, GenerateRequest, PlanRequest, Request
from ..library.hashes import Hashes
from .briefing import with_further
from .conditioning import ControlMap
from .downloading import download
from .failures import is_out_of_memory
from .inspecting import Inspected, inspect
from .maps import MapMaker, OnProgress, stop_if, versions
from .memory import devices, words
from .memory.plan import Plan
from .models.hashing import Hashing
from .models.residents import Residents
from .pipelines.painting import SCHEDULER_TITLE, StockBrief
from .pipelines.painting import generate as paint_stock
from .pipelines.texts import TextCache
from .planning import Planned, answer, plan_picture
from .sampling import Brief, Caches, Generated, HintCache, PromptCache, generate
from .sampling.guidance import ControlInput
from .sampling.schedulers import TITLES
from .sampling.start import StartPicture, start_picture
from .telling import OnPreview, Telling
from .used import loaded_models

_GIB = 1 << 30
_NOT_AGAIN = 0.95  # of what a plan was to take that memory ran out with
_ROOM_AGAIN = 2.0  # times as much free memory as then, and it may be tried again


class JobRunner:
    """Runs jobs, one at a time, and keeps the models between them."""

    def __init__(self, *, maps: MapMaker, models: Path) -> None:
        self.machine = devices.machine()
        """What there was to compute with at the beginning; each job looks again at what is free."""
        self.residents = Residents()
        """The models in memory."""
        self.caches = Caches(prompts=PromptCache(), hints=HintCache())
        """What was encoded last."""
        self.texts = TextCache()
        """The same for the families that diffusers' own pipelines paint."""
        self._maps = maps
        self._models = models
        self._hashes = Hashes(models)
        self._ran_out: Plan | None = None  # the last plan that memory ran out with; no other may take as much

    def run(
        self,
        job_id: str,
        request: Request,
        *,
        on_progress: OnProgress,
        on_preview: OnPreview,
        cancelled: Callable[[], bool],
        waited_ms: float = 0.0,
    ) -> JobResult:
        """Do the job. Raises an UnderpaintError that says what is wrong, or whatever torch raises.

        `waited_ms` is how long the job waited for this process to finish its imports; it counts as loading.
        """
        stop_if(cancelled)
        check(request)
        match request:
            case GenerateRequest():
                telling = Telling(
                    job_id,
                    pictures=len(request.pictures),
                    on_progress=on_progress,
                    on_preview=on_preview,
                    cancelled=cancelled,
                )
                return self._generate(request, telling, waited_ms)
            case ControlMapsRequest():
                return self._maps.run(job_id, request, on_progress=on_progress, cancelled=cancelled)
            case PlanRequest():
                return answer(
                    request, models=self._models, hashes=self._hashes, planned=self.planned, cancelled=cancelled
                )
            case DownloadRequest():
                return download(job_id, request, on_progress=on_progress, cancelled=cancelled)
            case _:
                assert_never(request)

    def planned(self, request: GenerateRequest, inspected: Inspected) -> Planned:
        """How a picture would be painted now. Raises DoesNotFit, and InvalidRequest for a precision."""
        held = self.residents.held_bytes
        planned = plan_picture(request, inspected, held_bytes=held)
        failed, machine = self._ran_out, planned.plan.machine  # read once, for plans are told from another thread
        if failed is None:
            return planned
        if machine.free_bytes > _ROOM_AGAIN * failed.machine.free_bytes:
            self._ran_out = None
            return planned
        if planned.plan.peak_bytes < _NOT_AGAIN * failed.peak_bytes:
            return planned
        try:
            return plan_picture(request, inspected, held_bytes=held, room_gb=_NOT_AGAIN * failed.peak_bytes / _GIB)
        except DoesNotFit:
            return planned  # the estimates that were too low once may be too high here

    def clear(self) -> None:
        """Let go of every model; what running out of memory calls for."""
        self._maps.clear()
        self.caches.hints.clear()
        self.texts.clear()
        self.residents.clear()

    def _generate(self, request: GenerateRequest, telling: Telling, waited_ms: float) -> JobResult:
        started = time.perf_counter()
        self._maps.check_arrays(request)
        inspected = inspect(request, models=self._models, announce=telling.announce)
        start = None if request.start is None else start_picture(request.start, request.size, self._maps.read)
        planned = self.planned(request, inspected)
        waited_ms += 1000 * (time.perf_counter() - started)
        telling.phase(Phase.CONDITIONING, planned.plan.words)
        maps, conditioning = self._maps.make(
            request,
            inspected.checkpoint.family.id,
            [choice.info.traits for choice in inspected.nets],
            announce=telling.announce,
            cancelled=telling.cancelled,
        )
        if start is not None and not inspected.evaluations and inspected.further.second is None:
            # strength 0: nothing is left to paint, so nothing is loaded, and the picture is not even encoded
            generated = Generated(images=(start.image,) * len(request.pictures), timings=(), notes=())
            used: tuple[UsedModel, ...] = ()
        else:
            with Hashing(loaded_models(request, inspected), self._hashes) as hashing:
                generated, planned = self._paint(request, inspected, maps, start, planned, telling, waited_ms, hashing)
                used = hashing.models(lambda: stop_if(telling.cancelled))
        refs, stored = self._maps.store([*maps, *generated.images])
        return JobResult(
            images=tuple(refs[len(maps) :]),
            control_maps=tuple(refs[: len(maps)]),
            timings=(conditioning, *generated.timings, stored),
            checkpoint=str(inspected.checkpoint.folder),
            plan=planned.plan.words,
            notes=(*inspected.notes, *generated.notes),
            versions=versions(),
            models=used,
        )

    def _paint(
        self,
        request: GenerateRequest,
        inspected: Inspected,
        maps: Sequence[ControlMap],
        start: StartPicture | None,
        planned: Planned,
        telling: Telling,
        waited_ms: float,
        hashing: Hashing,
    ) -> tuple[Generated, Planned]:
        """The pictures, and the plan by which they were made: the first, or where memory ran out one further down."""
        notes: list[str] = []
        began = time.perf_counter()
        while True:
            scheduler = TITLES[request.scheduler] if inspected.solver else SCHEDULER_TITLE
            telling.note = f"{scheduler}, {request.steps} steps, {planned.plan.where}"
            try:
                generated, loaded = self._painted(request, inspected, maps, start, planned.plan, telling, hashing)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            else:
                # what came to nothing for want of memory counts as loading, too
                loading = Timing(phase=Phase.LOAD, ms=waited_ms + 1000 * (loaded - began))
                timings, notes = (loading, *generated.timings), [*notes, *generated.notes]
                return replace(generated, timings=timings, notes=tuple(notes)), planned
            # only here: until it was dropped, the exception kept the tensors
            self.clear()
            self._ran_out = planned.plan
            lower = planned.step_down()
            if lower is None:
                raise OutOfMemory(device=planned.plan.device_name)
            notes.append(words.step_down_note(planned.plan, lower.plan))
            telling.announce(notes[-1])
            planned = lower

    def _painted(
        self,
        request: GenerateRequest,
        inspected: Inspected,
        maps: Sequence[ControlMap],
        start: StartPicture | None,
        plan: Plan,
        telling: Telling,
        hashing: Hashing,
    ) -> tuple[Generated, float]:
        """The pictures by one plan, and when the models were there (time.perf_counter())."""
        models = self.residents.models(
            inspected.checkpoint,
            inspected.used_nets,
            plan,
            telling.announce,
            loras=inspected.loras,
            more=inspected.further.sources,
        )
        shown = self._first_maps(request, inspected, maps)
        loaded = time.perf_counter()
        hashing.begin()
        controls = [
            ControlInput(
                use=use,
                image=shown[index],
                weights=inspected.weights[index],
                guess_mode=request.controls[index].guess_mode,
            )
            for index, use in zip(inspected.used, models.nets[: len(inspected.used)], strict=True)
        ]
        try:
            if inspected.solver is None:
                stock = StockBrief(
                    request=request,
                    models=models,
                    evaluations=inspected.evaluations,
                    controls=controls,
                    start=start,
                    previews=self._models,
                )
                return paint_stock(stock, self.texts, report=telling.step, cancelled=telling.cancelled), loaded
            brief = Brief(
                request=request,
                models=models,
                solver=inspected.solver,
                controls=controls,
                start=start,
                previews=self._models,
                embeddings=inspected.embeddings,
            )
            brief = with_further(brief, inspected, maps, self._maps.read)
            return generate(brief, self.caches, report=telling.step, cancelled=telling.cancelled), loaded
        finally:
            models.placement.rest()  # a job that ended must not keep what others on the device could use

    def _first_maps(
        self, request: GenerateRequest, inspected: Inspected, maps: Sequence[ControlMap]
    ) -> Sequence[ControlMap]:
        """The control images of the first pass, or the only one."""
        second = inspected.further.second
        if second is None or second.first_size == request.size:
            return maps
        nets = [choice.info.traits for choice in inspected.nets]
        return self._maps.reduced(request, maps, second.first_size, inspected.checkpoint.family.id, nets)


def preload() -> None:
    """Import what the first job would wait for."""
    library = importlib.import_module("diffusers")
    for name in ("StableDiffusionPipeline", "AutoencoderKL", "ControlNetModel", "UNet2DConditionModel"):
        getattr(library, name)
