"""Underpaint as a contestant: what a worker's job runs once its models are loaded, over the same modules."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from sampling_contestants import AVOIDED, GUIDANCE, PROMPT, SEED, Job, Run
from sampling_models import Models
from sampling_record import Recorder
from underpaint.backend.worker.families import FAMILIES, FamilyId
from underpaint.backend.worker.memory.placement import Placement
from underpaint.backend.worker.memory.plan import Backend, Group, Machine, Plan, Rung
from underpaint.backend.worker.models.inspection import CheckpointInfo
from underpaint.backend.worker.models.nets import NetUse
from underpaint.backend.worker.models.residents import Models as Resident
from underpaint.backend.worker.sampling.generation import Brief, Caches, generate
from underpaint.backend.worker.sampling.guidance import ControlInput
from underpaint.backend.worker.sampling.hints import HintCache
from underpaint.backend.worker.sampling.prompts import PromptCache
from underpaint.backend.worker.sampling.solvers import make_solver
from underpaint.backend.worker.sampling.weights import step_weights
from underpaint.protocol.arrays import ArrayRef, DType, UInt8Array
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import Control, ControlKind, GenerateRequest
from underpaint.protocol.sources import PicturePass

_NOWHERE = Path("/nonexistent")  # no TAESD, no files


class Worker:
    """A worker with everything resident, and what it keeps between jobs."""

    def __init__(self) -> None:
        self._caches = _caches()

    @contextlib.contextmanager
    def cold(self, models: Models, job: Job, device: str) -> Iterator[Run]:
        """It has never seen the prompt and the control images."""
        self._caches = _caches()
        yield self._running(models, device)

    @contextlib.contextmanager
    def again(self, models: Models, job: Job, device: str) -> Iterator[Run]:
        """Its last job had the same prompt and control images."""
        yield self._running(models, device)

    def _running(self, models: Models, device: str) -> Run:
        resident = _resident(models, device)

        def run(job: Job, recorder: Recorder) -> UInt8Array:
            handle = models.unet.conv_out.register_forward_hook(lambda *_: recorder.step())
            cudnn = torch.backends.cudnn
            chosen = cudnn.benchmark, cudnn.deterministic
            try:
                brief = _brief(resident, job)
                return generate(brief, self._caches, report=lambda *_: None, cancelled=lambda: False).images[0]
            finally:
                handle.remove()
                cudnn.benchmark, cudnn.deterministic = chosen  # the worker asks for the same bytes each time

        return run


def _caches() -> Caches:
    return Caches(prompts=PromptCache(), hints=HintCache())


def _brief(models: Resident, job: Job) -> Brief:
    """What JobRunner makes of a request, for models that are no files."""
    nothing = ArrayRef(sha256="", shape=(1, 1, 3), dtype=DType.UINT8)
    controls = tuple(
        Control(kind=ControlKind.TILE, source=PicturePass(image=nothing), controlnet="bench", end=end)
        for end in job.ends
    )
    request = GenerateRequest(
        prompt=PROMPT,
        negative_prompt=AVOIDED,
        size=Extent(width=job.size, height=job.size),
        controls=controls,
        steps=job.evaluations,
        guidance_scale=GUIDANCE,
        seed=SEED,
    )
    solver = make_solver(request.scheduler, request.sigmas, models.checkpoint.scheduler_config, request.steps)
    shown = zip(models.nets, job.hints, step_weights(controls, len(solver.timesteps)), strict=False)
    return Brief(
        request=request,
        models=models,
        solver=solver,
        controls=[ControlInput(use=use, image=image, weights=weights) for use, image, weights in shown],
        start=None,
        previews=_NOWHERE,
    )


def _resident(models: Models, device: str) -> Resident:
    name = str(models.unet.dtype).removeprefix("torch.")
    machine = Machine(
        device=device,
        name="",
        backend=Backend.CUDA if device.startswith("cuda") else Backend(device if device == "cpu" else "MPS"),
        total_bytes=0,
        free_bytes=0,
        host_free_bytes=0,
        formats=(name,),
        flops=1.0,
        flops_float32=1.0,
    )
    plan = Plan(machine=machine, dtype_name=name, vae_dtype_name=name, rung=Rung.RESIDENT, peak_bytes=0, limit_bytes=0)
    checkpoint = CheckpointInfo(
        folder=_NOWHERE,
        name="bench",
        family=FAMILIES[FamilyId.SD15],
        unet_config=dict(models.unet.config),
        scheduler_config=models.scheduler_config,
        zeros_for_empty=False,
        weights={},
    )
    return Resident(
        checkpoint=checkpoint,
        pipeline=models.pipeline(),
        unet=models.unet,
        vae=models.vae,
        nets=tuple(NetUse(net=net, mode=None) for net in models.nets),
        placement=Placement(plan, dict.fromkeys(Group, ())),
    )
