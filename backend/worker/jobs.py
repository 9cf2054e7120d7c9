"""One job from request to result: conditioning, models, sampling, storing."""

import importlib
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import assert_never

from ...protocol.arrays import ArrayRef, UInt8Array
from ...protocol.checks import check
from ...protocol.errors import JobCancelled
from ...protocol.events import Progress
from ...protocol.geometry import Extent
from ...protocol.jobs import JobResult, Phase, Timing
from ...protocol.request import Control, ControlMapsRequest, GenerateRequest, Request
from ...protocol.sources import Photo
from ..blobstore import BlobStore
from .conditioning import control_map
from .conditioning.detectors import Detectors
from .conditioning.table import EdgeConvention
from .families import Family
from .memory import Plan
from .models import references
from .models.inspection import (
    CheckpointInfo,
    ControlNetInfo,
    check_match,
    inspect_checkpoint,
    inspect_controlnet,
    inspect_family,
)
from .models.residents import Residents
from .sampling.generation import Step, generate
from .sampling.prompts import PromptCache
from .sampling.schedulers import TITLES

_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "controlnet-aux", "numpy")
# Where in the whole job a phase begins, for the progress bar.
_BEGINS = {Phase.CONDITIONING: 0.0, Phase.LOAD: 0.02, Phase.ENCODE: 0.1, Phase.STEP: 0.12, Phase.DECODE: 0.93}

OnProgress = Callable[[Progress], None]
OnPreview = Callable[[int, UInt8Array], None]


class JobRunner:
    """Runs jobs, one at a time, and keeps the models between them."""

    def __init__(self, *, blobs: BlobStore, models: Path, plan: Plan) -> None:
        self.plan = plan
        """Where jobs run."""
        self.residents = Residents(plan)
        """The models in memory."""
        self.prompts = PromptCache()
        """The prompts encoded last."""
        self._blobs = blobs
        self._models = models
        self._detectors = Detectors(models / "annotators", plan.device)

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
        _stop_if(cancelled)
        check(request)
        match request:
            case GenerateRequest():
                return self._generate(job_id, request, on_progress, on_preview, cancelled, waited_ms)
            case ControlMapsRequest():
                return self._control_maps(job_id, request, on_progress, cancelled)
            case _:
                assert_never(request)

    def _control_maps(
        self, job_id: str, request: ControlMapsRequest, on_progress: OnProgress, cancelled: Callable[[], bool]
    ) -> JobResult:
        folder = references.checkpoint_folder(
            request.checkpoint, models=self._models, allow_download=request.allow_download
        )
        family = inspect_family(folder, request.checkpoint)
        on_progress(Progress(job_id=job_id, phase=Phase.CONDITIONING))
        maps, timings = self._condition(request, request.controls, family, cancelled)
        refs, stored = self._store(maps)
        return self._result(None, refs, [*timings, stored], folder)

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
            _stop_if(cancelled)
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
        maps, timings = self._condition(request, request.controls, checkpoint.family, cancelled)
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
        refs, stored = self._store([*maps, generated.image])
        every = [*timings, loading, *generated.timings, stored]
        return self._result(refs[-1], refs[:-1], every, checkpoint.folder)

    def _inspect(
        self, request: GenerateRequest, announce: Callable[[str], None]
    ) -> tuple[CheckpointInfo, list[ControlNetInfo]]:
        """Find and check every model before anything is loaded."""
        folder = references.checkpoint_folder(
            request.checkpoint,
            models=self._models,
            allow_download=request.allow_download,
            announce=announce,
        )
        checkpoint = inspect_checkpoint(folder, request.checkpoint)
        nets: list[ControlNetInfo] = []
        for control in request.controls:
            net_folder = references.controlnet_folder(
                control.controlnet,
                kind=control.kind,
                checkpoint=request.checkpoint,
                models=self._models,
                allow_download=request.allow_download,
                announce=announce,
            )
            net = inspect_controlnet(net_folder, control.controlnet or str(control.kind))
            check_match(checkpoint, net)
            nets.append(net)
        return checkpoint, nets

    def _condition(
        self,
        request: GenerateRequest | ControlMapsRequest,
        controls: tuple[Control, ...],
        family: Family,
        cancelled: Callable[[], bool],
    ) -> tuple[list[UInt8Array], list[Timing]]:
        def detect(photo: Photo, image: UInt8Array, extent: Extent, edges: EdgeConvention | None) -> UInt8Array:
            return self._detectors.detect(photo, image, extent, edges, allow_download=request.allow_download)

        started = time.perf_counter()
        maps: list[UInt8Array] = []
        for control in controls:
            _stop_if(cancelled)
            maps.append(
                control_map(control, family=family.id, extent=request.size, read=self._blobs.read_array, detect=detect)
            )
        return maps, [Timing(phase=Phase.CONDITIONING, ms=1000 * (time.perf_counter() - started))]

    def _store(self, images: list[UInt8Array]) -> tuple[list[ArrayRef], Timing]:
        started = time.perf_counter()
        refs = [self._blobs.write_array(image) for image in images]
        return refs, Timing(phase=Phase.STORE, ms=1000 * (time.perf_counter() - started))

    def _result(self, image: ArrayRef | None, maps: list[ArrayRef], timings: list[Timing], folder: Path) -> JobResult:
        return JobResult(
            image=image,
            control_maps=tuple(maps),
            timings=tuple(timings),
            checkpoint=str(folder),
            plan=self.plan.words,
            versions=versions(),
        )


def versions() -> dict[str, str]:
    """What computes here."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        found[package] = metadata.version(package)
    return found


def preload() -> None:
    """Import what the first job would wait for."""
    library = importlib.import_module("diffusers")
    for name in ("StableDiffusionControlNetPipeline", "AutoencoderKL", "ControlNetModel", "UNet2DConditionModel"):
        getattr(library, name)


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise JobCancelled
