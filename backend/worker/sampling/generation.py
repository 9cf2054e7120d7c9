"""One job's pictures: prompts, start, denoising batch by batch, decoding.

The models are called in what is called from here, never through a diffusers pipeline's call.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....protocol.arrays import UInt8Array
from ....protocol.errors import JobCancelled
from ....protocol.jobs import Phase, Timing
from ....protocol.request import GenerateRequest
from ..models.embeddings import EmbeddingChoice, lexicons
from ..models.residents import Models
from ..third_party import torch
from .clip_text import Stage
from .decoding import decode
from .denoise import denoise
from .guidance import ControlInput, GuidedModel
from .hints import HintCache
from .previews import Previewer
from .prompts import EncodedPicture, PromptCache, TextEncoders, stacked
from .solvers import Solver
from .start import EncodedStart, StartPicture, begin, draw, encode_start, kept_put_back


@dataclass(frozen=True, kw_only=True)
class Step:
    """An evaluation of the models that is done."""

    done: int  # 1 for the first
    total: int  # of a picture; Heun and PNDM take more than were asked for
    picture: int  # 1 for the first; of several at once the first of them
    share: float  # of all steps of the job, 0 to 1
    preview: UInt8Array | None  # (height / 8, width / 8, 3), or larger; None where there is no newer one


@dataclass(frozen=True, kw_only=True)
class Generated:
    """The pictures and what they took."""

    images: tuple[UInt8Array, ...]  # (height, width, 3) sRGB, row 0 at the top
    timings: tuple[Timing, ...]
    notes: tuple[str, ...]  # what the user should hear of


@dataclass(frozen=True, kw_only=True, eq=False)
class Caches:
    """What is kept from job to job."""

    prompts: PromptCache
    hints: HintCache


@dataclass(frozen=True, kw_only=True, eq=False)
class Brief:
    """A job whose models are in memory, and whose every question is answered."""

    request: GenerateRequest
    models: Models
    solver: Solver
    controls: Sequence[ControlInput]  # those that count at any step
    start: StartPicture | None
    previews: Path  # where a TAESD may lie
    embeddings: Sequence[EmbeddingChoice] = ()  # that the prompts call up


def generate(
    brief: Brief,
    caches: Caches,
    *,
    report: Callable[[Phase, Step | None], None],
    cancelled: Callable[[], bool],
) -> Generated:
    """Make the pictures; the same arguments give the same bytes, on every run and in every process.

    So much for one machine, one version of torch and one number format. Another device, another number of CPU
    threads, tiles in the VAE and more pictures at once may round differently.

    `report` hears of each phase as it begins and of each step as it ends. Raises JobCancelled within two steps of
    `cancelled()` turning true, on a CPU within one, and leaves the models fit for the next job.
    """
    clock = _Clock()
    _be_reproducible()
    with torch().inference_mode():
        report(Phase.ENCODE, None)
        prompts = _encoded_prompts(brief, caches.prompts, cancelled)
        _stop_if(cancelled)
        start = _encoded_start(brief)
        clock.lap(Phase.ENCODE)
        _stop_if(cancelled)
        place = brief.models.placement
        previewer = Previewer(
            brief.models.checkpoint.family, device=str(place.device), models=brief.previews, dtype=place.dtype
        )
        steps = _Steps(brief, previewer, clock, report, cancelled)
        latents = _denoised(brief, caches.hints, prompts, start, steps)
        images: list[UInt8Array] = []
        with place.using("vae"):
            for each in latents:
                report(Phase.DECODE, None)
                image = decode(brief.models.vae, each, dtype=place.vae_dtype, tiled=place.plan.tiled_vae)
                images.append(image if brief.start is None else kept_put_back(brief.start, image))
                clock.lap(Phase.DECODE)
                _stop_if(cancelled)
    return Generated(images=tuple(images), timings=tuple(clock.timings), notes=previewer.notes)


def _encoded_prompts(brief: Brief, cache: PromptCache, cancelled: Callable[[], bool]) -> list[EncodedPicture]:
    request, models = brief.request, brief.models
    encoders = _text_encoders(brief)
    guided = request.guidance_scale > 1 and not models.checkpoint.knows_guidance
    known = cache.knows(encoders, request.pictures, guided=guided)
    with nullcontext() if known else models.placement.using("text"):
        # of the largest job it is minutes' work on a CPU
        return cache.encode(encoders, request.pictures, guided=guided, before_each=lambda: _stop_if(cancelled))


def _text_encoders(brief: Brief) -> TextEncoders:
    models, pipeline = brief.models, brief.models.pipeline
    places = models.checkpoint.family.text_encoders
    words = lexicons(brief.embeddings, [encoder for encoder, _, _ in places])
    loras = (lora.key for lora in models.loras if any(lora.layers.get(encoder) for encoder, _, _ in places))
    return TextEncoders(
        stages=tuple(
            Stage(tokenizer=getattr(pipeline, tokenizer), encoder=getattr(pipeline, encoder), words=words[encoder])
            for encoder, _, tokenizer in places
        ),
        device=models.placement.device,
        key=(
            *models.checkpoint.key,
            str(models.placement.dtype),
            *loras,
            *(embedding.key for embedding in brief.embeddings),
        ),
        pooled=models.checkpoint.family.pooled_text,
        zeros_for_empty=models.checkpoint.zeros_for_empty,
        clip_skip=brief.request.clip_skip,
        plain=brief.request.plain_prompt,
    )


def _encoded_start(brief: Brief) -> EncodedStart | None:
    if brief.start is None:
        return None
    models = brief.models
    with models.placement.using("vae"):
        return encode_start(
            models.vae,
            brief.start,
            fills_holes=models.checkpoint.fills_holes,
            device=models.placement.device,
            dtype=models.placement.vae_dtype,
            tiled=models.placement.plan.tiled_vae,
        )


def _denoised(
    brief: Brief, hints: HintCache, prompts: Sequence[EncodedPicture], start: EncodedStart | None, steps: "_Steps"
) -> list[Any]:
    """The latents (1, 4, height / 8, width / 8) float32 of each picture."""
    finished: list[Any] = []
    with brief.models.placement.using("denoiser"):
        for first in range(0, len(prompts), brief.request.batch_size):
            batch = slice(first, first + brief.request.batch_size)
            steps.begin(first, len(prompts[batch]))
            latents = _denoised_batch(brief, hints, batch, prompts[batch], start, steps)
            finished.extend(latents.split(1))
    return finished


def _denoised_batch(
    brief: Brief,
    hints: HintCache,
    batch: slice,
    prompts: Sequence[EncodedPicture],
    start: EncodedStart | None,
    steps: "_Steps",
) -> Any:
    models, request = brief.models, brief.request
    device, dtype = models.placement.device, models.placement.dtype
    # on the CPU and in float32, whatever the device: a seed means the same picture everywhere
    generators = [torch().Generator("cpu").manual_seed(picture.seed) for picture in request.pictures[batch]]
    beginning = begin(brief.solver, generators, request.size, start, device=device)
    model = GuidedModel(
        models.unet,
        brief.controls,
        stacked(prompts, device=device),
        timesteps=brief.solver.timesteps,
        guidance_scale=request.guidance_scale,
        size=request.size,
        pictures=len(prompts),
        extra_channels=beginning.extra,
        hints=hints,
        device=device,
        dtype=dtype,
    )
    return denoise(
        model,
        brief.solver,
        beginning,
        fresh_noise=lambda: draw(generators, request.size, device=device),
        queued=steps.queued,
        finished=steps.finished,
    )


class _Steps:
    """Tells of the evaluations as they end, and ends the job with one when it is cancelled."""

    def __init__(
        self,
        brief: Brief,
        previewer: Previewer,
        clock: "_Clock",
        report: Callable[[Phase, Step | None], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._total = len(brief.solver.timesteps)
        self._pictures = len(brief.request.pictures)
        self._previewer = previewer
        self._preview: UInt8Array | None = None
        self._clock, self._report, self._cancelled = clock, report, cancelled
        self._first = self._count = 0

    def begin(self, first: int, count: int) -> None:
        """The evaluations to come are those of `count` pictures from the one with index `first` on."""
        self._first, self._count = first, count

    def queued(self, index: int, estimate: Callable[[], Any]) -> None:
        """An evaluation is on its way."""
        newest = self._previewer.show(estimate(), index)
        self._preview = self._preview if newest is None else newest

    def finished(self, index: int) -> None:
        """An evaluation is done."""
        self._clock.lap(Phase.STEP)
        share = (self._first + self._count * (index + 1) / self._total) / self._pictures
        preview, self._preview = self._preview, None
        step = Step(done=index + 1, total=self._total, picture=self._first + 1, share=share, preview=preview)
        self._report(Phase.STEP, step)
        _stop_if(self._cancelled)


def _be_reproducible() -> None:
    """Have cuDNN choose by the shapes alone, and not by what was quickest this once."""
    cudnn = torch().backends.cudnn
    cudnn.benchmark, cudnn.deterministic = False, True


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
