"""Who is measured: diffusers' own pipelines, as they come and as their guides tune them, and Underpaint's worker."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image
from sampling_models import Models
from sampling_record import Recorder
from underpaint.protocol.arrays import UInt8Array

GUIDANCE = 7.5
PROMPT, AVOIDED, SEED = "a cosy room with a bookshelf, a lamp and a cat", "blurry, low quality", 7


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture; every contestant is asked for the same."""

    size: int  # pixels each side
    evaluations: int  # of the UNet
    hints: tuple[UInt8Array, ...]  # the control images, (size, size, 3)
    ends: tuple[float, ...]  # of each control's window, which begins at 0


Run = Callable[[Job, Recorder], UInt8Array]  # makes the picture, (size, size, 3)


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A way to make the picture."""

    name: str
    words: str  # what it is, for the legend
    entered: Callable[[Models, Job, str], contextlib.AbstractContextManager[Run]]
    """With the models, the job that is to come and the device: what does it while the block runs. Beginning and
    ending it may take long and isn't measured."""


def job(size: int, evaluations: int, ends: tuple[float, ...]) -> Job:
    """With smooth random control images, for random pixels are like no map."""
    random = np.random.default_rng(SEED)
    hints: list[UInt8Array] = []
    for _ in ends:
        coarse = Image.fromarray(random.integers(0, 256, (9, 9, 3), np.uint8))
        hints.append(np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.uint8))
    return Job(size=size, evaluations=evaluations, hints=tuple(hints), ends=ends)


# ---------------------------------------------------------------------------------------------- diffusers


@contextlib.contextmanager
def stock(models: Models, job: Job, device: str) -> Iterator[Run]:
    """As a plain user has it: `from_pretrained`, `.to(device)`, call."""
    # The checkpoint's PNDM evaluates once more than it has steps.
    yield _running(_pipeline(models, len(job.ends), diffusers.PNDMScheduler), extra=1)


@contextlib.contextmanager
def blog(models: Models, job: Job, device: str) -> Iterator[Run]:
    """https://huggingface.co/blog/controlnet: half precision, UniPC, model offload."""
    pipeline = _pipeline(models, len(job.ends), diffusers.UniPCMultistepScheduler)
    if device == "cpu":
        yield _running(pipeline)
        return
    models.to("cpu")  # the nets that aren't asked for, too
    pipeline.enable_model_cpu_offload(device=device)
    try:
        yield _running(pipeline)
    finally:
        pipeline.remove_all_hooks()
        models.to(device)


@contextlib.contextmanager
def tuned(models: Models, job: Job, device: str) -> Iterator[Run]:
    """What diffusers' guides to speed advise beyond that, without an approximation."""
    with _tuned_modules(models, len(job.ends)):
        yield _running(_pipeline(models, len(job.ends), diffusers.UniPCMultistepScheduler))


@contextlib.contextmanager
def compiled(models: Models, job: Job, device: str) -> Iterator[Run]:
    """And compiled."""
    mode = "reduce-overhead" if device.startswith("cuda") else "default"
    with _tuned_modules(models, len(job.ends)):
        pipeline = _pipeline(models, len(job.ends), diffusers.UniPCMultistepScheduler)
        pipeline.unet = torch.compile(models.unet, mode=mode, fullgraph=True)
        if len(job.ends) == 1:
            pipeline.controlnet = torch.compile(models.nets[0], mode=mode, fullgraph=True)
        else:
            pipeline.controlnet.nets = torch.nn.ModuleList(
                torch.compile(net, mode=mode, fullgraph=True) for net in pipeline.controlnet.nets
            )
        yield _running(pipeline)
        torch.compiler.reset()


@contextlib.contextmanager
def _tuned_modules(models: Models, nets: int) -> Iterator[None]:
    modules = (models.unet, *models.nets[:nets], models.vae)
    for module in modules:
        module.to(memory_format=torch.channels_last)
    models.unet.fuse_qkv_projections()  # a ControlNet's does nothing in diffusers 0.42
    try:
        yield
    finally:
        models.unet.unfuse_qkv_projections()
        for module in models.unet.modules():
            if getattr(module, "fused_projections", False):
                module.fused_projections = False
                for name in ("to_qkv", "to_kv"):
                    if hasattr(module, name):
                        delattr(module, name)
        for module in modules:
            module.to(memory_format=torch.contiguous_format)


def _pipeline(models: Models, nets: int, scheduler: Any) -> Any:
    pipeline = diffusers.StableDiffusionControlNetPipeline(
        unet=models.unet,
        vae=models.vae,
        text_encoder=models.text_encoder,
        tokenizer=models.tokenizer,
        scheduler=scheduler.from_config(models.scheduler_config),
        controlnet=models.nets[0] if nets == 1 else list(models.nets[:nets]),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _running(pipeline: Any, *, extra: int = 0) -> Run:
    def run(job: Job, recorder: Recorder) -> UInt8Array:
        def evaluated(_: Any, __: int, ___: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            recorder.step()
            return tensors

        one = len(job.ends) == 1
        hints = [Image.fromarray(hint) for hint in job.hints]
        made = pipeline(
            PROMPT,
            image=hints[0] if one else hints,
            negative_prompt=AVOIDED,
            width=job.size,
            height=job.size,
            num_inference_steps=job.evaluations - extra,
            guidance_scale=GUIDANCE,
            generator=torch.Generator("cpu").manual_seed(SEED),
            controlnet_conditioning_scale=1.0 if one else [1.0] * len(job.ends),
            control_guidance_end=job.ends[0] if one else list(job.ends),
            callback_on_step_end=evaluated,
        )
        return np.asarray(made.images[0], np.uint8)

    return run
