"""One picture: prompt encoding, denoising with several ControlNets, decoding.

`_denoise` is the only place that calls a diffusers pipeline; a denoising loop of our own replaces that function.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....protocol.arrays import Float32Array, UInt8Array
from ....protocol.errors import JobCancelled
from ....protocol.jobs import Phase, Timing
from ....protocol.request import Control, GenerateRequest
from ..models.inspection import CheckpointInfo
from ..models.together import networks
from ..third_party import torch
from .decoding import decode
from .hints import encoded_once
from .previews import latent_preview
from .prompts import Embeddings, PromptCache, TextEncoders, stacked
from .schedulers import make_scheduler

ControlImage = UInt8Array | Float32Array  # (height, width, 3), row 0 at the top

LATENT_PIXELS = 8  # a latent's side in pixels, for every family so far


@dataclass(frozen=True, kw_only=True)
class Step:
    """A denoising step that is done."""

    done: int  # 1 for the first
    total: int  # Heun and PNDM take more than were asked for
    preview: UInt8Array  # (height / 8, width / 8, 3)


@dataclass(frozen=True, kw_only=True)
class Generated:
    """The picture and what it took."""

    image: UInt8Array  # (height, width, 3) sRGB, row 0 at the top
    timings: tuple[Timing, ...]


def generate(
    pipeline: Any,
    checkpoint: CheckpointInfo,
    request: GenerateRequest,
    controls: Sequence[tuple[Control, ControlImage]],
    prompts: PromptCache,
    *,
    report: Callable[[Phase, Step | None], None],
    cancelled: Callable[[], bool],
) -> Generated:
    """Make the picture; the same arguments give the same bytes on the same device.

    `pipeline` has one ControlNet for each of `controls`, in their order, whose images have the picture's size.
    `report` hears of each phase as it begins and of each step as it ends. Raises JobCancelled within one
    step of `cancelled()` turning true, and leaves the pipeline fit for the next job.
    """
    clock = _Clock()
    report(Phase.ENCODE, None)
    encoders = TextEncoders(
        pipeline=pipeline,
        device=pipeline._execution_device,
        key=(*checkpoint.key, str(pipeline.unet.dtype)),
        zeros_for_empty=checkpoint.zeros_for_empty,
    )
    encoded = prompts.encode(encoders, request.pictures[:1], guided=request.guidance_scale > 1)
    embeddings = stacked(encoded, device=pipeline._execution_device)
    clock.lap(Phase.ENCODE)
    pipeline.scheduler = make_scheduler(request.scheduler, checkpoint.scheduler_config)

    def on_step(latents: Any, done: int, total: int) -> None:
        clock.lap(Phase.STEP)
        preview = latent_preview(latents, pipeline.scheduler, checkpoint.family)
        report(Phase.STEP, Step(done=done, total=total, preview=preview))
        _stop_if(cancelled)

    _stop_if(cancelled)
    latents = _denoise(pipeline, request, embeddings, controls, on_step)
    report(Phase.DECODE, None)
    image = decode(pipeline.vae, latents)
    clock.lap(Phase.DECODE)
    _stop_if(cancelled)
    return Generated(image=image, timings=tuple(clock.timings))


def _denoise(
    pipeline: Any,
    request: GenerateRequest,
    embeddings: Embeddings,
    controls: Sequence[tuple[Control, ControlImage]],
    on_step: Callable[[Any, int, int], None],
) -> Any:
    """Latents (1, 4, height / 8, width / 8). What `on_step` raises ends it."""
    library = torch()

    def callback(running: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(tensors["latents"], index + 1, len(running.scheduler.timesteps))
        return tensors

    # Noise is made on the CPU, in float32, whatever the device: a seed means the same picture everywhere.
    generator = library.Generator("cpu").manual_seed(request.seed)
    shape = (1, 4, request.size.height // LATENT_PIXELS, request.size.width // LATENT_PIXELS)
    noise = library.randn(shape, generator=generator, dtype=library.float32)
    arguments: dict[str, Any] = {
        **_texts(embeddings),
        "width": request.size.width,
        "height": request.size.height,
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance_scale,
        "latents": noise.to(pipeline.unet.dtype),
        "generator": generator,  # for the schedulers that add noise at each step
        "output_type": "latent",
        "return_dict": False,
        "callback_on_step_end": callback,
        "callback_on_step_end_tensor_inputs": ["latents"],
    }
    if controls:
        arguments |= {
            "image": [_control_tensor(image) for _, image in controls],
            "controlnet_conditioning_scale": [control.conditioning_scale for control, _ in controls],
            "control_guidance_start": [control.start for control, _ in controls],
            "control_guidance_end": [control.end for control, _ in controls],
        }
    nets = networks(pipeline.controlnet) if controls else ()
    try:
        with library.inference_mode(), encoded_once(nets):
            return pipeline(**arguments)[0]
    except BaseException:
        pipeline.maybe_free_model_hooks()  # a job that is stopped half-way must not keep the GPU's memory
        raise


def _texts(embeddings: Embeddings) -> dict[str, Any]:
    rows = {"prompt_embeds": embeddings.text, "pooled_prompt_embeds": embeddings.pooled}
    given = {name: tensor for name, tensor in rows.items() if tensor is not None}
    positive = {name: tensor[-1:] for name, tensor in given.items()}
    negative = {f"negative_{name}": tensor[:1] for name, tensor in given.items() if len(tensor) > 1}
    return {**positive, **negative}


def _control_tensor(image: ControlImage) -> Any:
    """(1, 3, height, width) float32: a byte map in 0..1, a float map as it is (-1 is what inpainting paints anew)."""
    planes = torch().from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
    return planes.float() / 255 if image.dtype == np.uint8 else planes


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise JobCancelled


class _Clock:
    """Splits the time since it was made into phases."""

    def __init__(self) -> None:
        self.timings: list[Timing] = []
        self._last = time.perf_counter()

    def lap(self, phase: Phase) -> None:
        now = time.perf_counter()
        self.timings.append(Timing(phase=phase, ms=1000 * (now - self._last)))
        self._last = now
