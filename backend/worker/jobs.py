"""One job from request to result: conditioning, models, sampling, storing."""

import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from ...protocol.arrays import UInt8Array
from ...protocol.checks import check
from ...protocol.events import Progress
from ...protocol.jobs import JobResult, Phase, Timing
from ...protocol.request import ControlMapsRequest, GenerateRequest, Request
from .maps import MapMaker, OnProgress, stop_if, versions
from .memory import Plan
from .models import references
from .models.choice import NetChoice, choose
from .models.inspection import CheckpointInfo, inspect_checkpoint
from .models.residents import Residents
from .sampling.generation import Step, generate
from .sampling.prompts import PromptCache
from .sampling.schedulers import TITLES

# Where in the whole job a phase begins, for the progress bar.
_BEGINS = {Phase.CONDITIONING: 0.0, Phase.LOAD: 0.02, Phase.ENCODE: 0.1, Phase.STEP: 0.12, Phase.DECODE: 0.93}

OnPreview = Callable[[int, UInt8Array], None]


class JobRunner:
    """Runs jobs, one at a time, and keeps the models between them."""

    def __init__(self, *, maps: MapMaker, models: Path, plan: Plan) -> None:
        self.plan = plan
        """Where jobs run."""
        self.residents = Residents(plan)
        """The models in memory."""
        self.prompts = PromptCache()
        """The prompts encoded last."""
        self._maps = maps
        self._models = models

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
                return self._generate(job_id, request, on_progress, on_preview, cancelled, waited_ms)
            case ControlMapsRequest():
                return self._maps.run(job_id, request, on_progress=on_progress, cancelled=cancelled)
            case _:
                assert_never(request)

    def clear(self) -> None:
        """Let go of every model; what running out of memory calls for."""
        self._maps.clear()
        self.residents.clear()

    def _generate(
        self,
        job_id: str,
        request: GenerateRequest,
        on_progress: OnProgress,
        on_preview: OnPreview,
        cancelled: Callable[[], bool],
        waited_ms: float,
    ) -> JobResult:
        note = f"{TITLES[request.scheduler]}, {request.steps} steps, {self.plan.words}"

        def tell(phase: Phase, *, fraction: float | None = None, text: str = note) -> None:
            part = _BEGINS[phase] if fraction is None else fraction
            on_progress(Progress(job_id=job_id, phase=phase, fraction=part, note=text))

        def announce(text: str) -> None:
            stop_if(cancelled)
            tell(Phase.LOAD, text=text)

        def on_step(phase: Phase, step: Step | None) -> None:
            if step is None:
                tell(phase)
                return
            begin, end = _BEGINS[Phase.STEP], _BEGINS[Phase.DECODE]
            fraction = begin + (end - begin) * step.done / step.total
            on_progress(
                Progress(job_id=job_id, phase=phase, step=step.done, steps=step.total, fraction=fraction, note=note)
            )
            on_preview(step.done, step.preview)

        started = time.perf_counter()
        checkpoint, nets = self._inspect(request, announce)
        waited_ms += 1000 * (time.perf_counter() - started)
        tell(Phase.CONDITIONING)
        maps, conditioning = self._maps.make(
            request,
            checkpoint.family.id,
            [choice.info.traits for choice in nets],
            announce=announce,
            cancelled=cancelled,
        )
        # A control that counts nothing costs nothing; its map is still made, to be looked at.
        used = [
            (control, image, net)
            for control, image, net in zip(request.controls, maps, nets, strict=True)
            if control.conditioning_scale != 0
        ]
        started = time.perf_counter()
        pipeline = self.residents.pipeline(checkpoint, [net for _, _, net in used], announce)
        loading = Timing(phase=Phase.LOAD, ms=waited_ms + 1000 * (time.perf_counter() - started))
        generated = generate(
            pipeline,
            checkpoint,
            request,
            [(control, image) for control, image, _ in used],
            self.prompts,
            report=on_step,
            cancelled=cancelled,
        )
        refs, stored = self._maps.store([*maps, generated.image])
        return JobResult(
            images=(refs[-1],),
            control_maps=tuple(refs[:-1]),
            timings=(conditioning, loading, *generated.timings, stored),
            checkpoint=str(checkpoint.folder),
            plan=self.plan.words,
            versions=versions(),
        )

    def _inspect(
        self, request: GenerateRequest, announce: Callable[[str], None]
    ) -> tuple[CheckpointInfo, list[NetChoice]]:
        """Find and check every model before anything is loaded."""
        folder = references.checkpoint_folder(
            request.checkpoint,
            models=self._models,
            allow_download=request.allow_download,
            announce=announce,
        )
        checkpoint = inspect_checkpoint(folder, request.checkpoint)
        nets = [
            choose(control, checkpoint, models=self._models, allow_download=request.allow_download, announce=announce)
            for control in request.controls
        ]
        return checkpoint, nets


def preload() -> None:
    """Import what the first job would wait for."""
    library = importlib.import_module("diffusers")
    for name in ("StableDiffusionControlNetPipeline", "AutoencoderKL", "ControlNetModel", "UNet2DConditionModel"):
        getattr(library, name)
