"""One job's pictures: prompts, start, denoising batch by batch, decoding.

The models are called in what is called from here, never through a diffusers pipeline's call.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....protocol.arrays import UInt8Array
from ....protocol.geometry import Extent
from ....protocol.jobs import Phase, Timing
from ....protocol.request import GenerateRequest, Seamless
from ..models.embeddings import EmbeddingChoice, lexicons
from ..models.residents import Models
from ..third_party import torch
from . import seamless
from .clip_text import Stage
from .decoding import decode
from .denoise import denoise
from .guidance import ControlInput, GuidedModel
from .hints import HintCache
from .image_prompts import ImagePairs, ImagePromptCache, ImagePromptInput, image_keys
from .networks import ImageKeys
from .previews import Previewer
from .prompts import EncodedPicture, PromptCache, TextEncoders, evenly, stacked
from .safety import blackened, objected
from .second_pass import SecondPassInput, first_start, second_start, stacked_starts
from .solvers import Solver
from .start import LATENT_PIXELS, EncodedStart, StartPicture, begin, draw, encode_start, kept_put_back
from .steps import Clock, Pass, Step, Steps, stop_if
from .tiles import TiledModel, first_tile


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
    images: ImagePromptCache = field(default_factory=ImagePromptCache)


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
    image_prompts: Sequence[ImagePromptInput] = ()
    second: SecondPassInput | None = None
    safety: Any | None = None  # the safety checker, where one is asked for


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
    clock = Clock()
    _be_reproducible()
    with torch().inference_mode():
        report(Phase.ENCODE, None)
        prompts = _encoded_prompts(brief, caches.prompts, cancelled)
        stop_if(cancelled)
        images = _encoded_images(brief, caches.images, cancelled)
        stop_if(cancelled)
        passes = _passes(brief, images)
        start = _encoded_start(brief, passes[0].size)
        clock.lap(Phase.ENCODE)
        stop_if(cancelled)
        place = brief.models.placement
        previewer = Previewer(
            brief.models.checkpoint.family, device=str(place.device), models=brief.previews, dtype=place.dtype
        )
        count = len(brief.request.pictures)
        steps = Steps(passes, count, place.device, previewer, clock, report, cancelled)
        # on the CPU and in float32, whatever the device: a seed means the same picture everywhere
        generators = [torch().Generator("cpu").manual_seed(picture.seed) for picture in brief.request.pictures]
        latents: list[Any] = []
        if passes[0].solver.timesteps:
            starts = [start] * len(generators)
            latents = _denoised(brief, passes[0], caches.hints, prompts, generators, starts, steps)
        if brief.second is not None:
            again = _enlarged(brief, brief.second, latents, clock, cancelled)
            latents = _denoised(brief, passes[1], caches.hints, prompts, generators, again, steps)
        pictures, notes = _decoded(brief, latents, clock, report, cancelled)
    lengths = _uneven(prompts, brief.request.batch_size)
    return Generated(images=pictures, timings=tuple(clock.timings), notes=(*previewer.notes, *notes, *lengths))


def _encoded_prompts(brief: Brief, cache: PromptCache, cancelled: Callable[[], bool]) -> list[EncodedPicture]:
    request, models = brief.request, brief.models
    encoders = _text_encoders(brief)
    guided = _guided(brief)
    known = cache.knows(encoders, request.pictures, guided=guided)
    with nullcontext() if known else models.placement.using("text"):
        # of the largest job it is minutes' work on a CPU
        return cache.encode(encoders, request.pictures, guided=guided, before_each=lambda: stop_if(cancelled))


def _uneven(prompts: Sequence[EncodedPicture], at_once: int) -> tuple[str, ...]:
    """What to tell where prompts are of lengths that don't go together."""
    batches = [prompts[first : first + at_once] for first in range(0, len(prompts), at_once)]
    if all(map(evenly, batches)):
        return ()
    return ("Prompts of very different lengths were brought to one length by repeating parts of the shorter ones.",)


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


def _encoded_images(brief: Brief, cache: ImagePromptCache, cancelled: Callable[[], bool]) -> list[ImagePairs]:
    """Of each image prompt that counts at any step, what the UNet looks up; of the others nothing."""
    place = brief.models.placement
    guided = _guided(brief)
    options: dict[str, Any] = {"guided": guided, "dtype": place.dtype}
    known = all(cache.knows(prompt, **options) for prompt in brief.image_prompts)
    found: list[ImagePairs] = []
    with nullcontext() if known else place.using("text"):
        for prompt in brief.image_prompts:
            stop_if(cancelled)
            found.append(cache.pairs(prompt, device=place.device, **options))
    return found


def _guided(brief: Brief) -> bool:
    return brief.request.guidance_scale > 1 and not brief.models.checkpoint.knows_guidance


def _passes(brief: Brief, images: Sequence[ImagePairs]) -> list[Pass]:
    device = brief.models.placement.device

    def keys(weights: Sequence[Sequence[float]]) -> list[ImageKeys]:
        return [image_keys(pairs, each, device=device) for pairs, each in zip(images, weights, strict=True)]

    first = Pass(
        size=brief.request.size if brief.second is None else brief.second.first_size,
        solver=brief.solver,
        controls=brief.controls,
        images=keys([prompt.weights for prompt in brief.image_prompts]),
    )
    second = brief.second
    if second is None:
        return [first]
    return [
        first,
        Pass(
            size=brief.request.size,
            solver=second.solver,
            controls=second.controls,
            images=keys(second.image_weights),
            tiling=second.tiling,
            tile_net=second.tile_net,
        ),
    ]


def _encoded_start(brief: Brief, size: Extent) -> EncodedStart | None:
    """The start of the first pass, where there is a start picture and anything to paint over it."""
    if brief.start is None or not brief.solver.timesteps:
        return None
    start = brief.start if size == brief.request.size else first_start(brief.start, size)
    with brief.models.placement.using("vae"):
        return _encoded(brief, start)


def _encoded(brief: Brief, start: StartPicture) -> EncodedStart:
    models = brief.models
    return encode_start(
        models.vae,
        start,
        fills_holes=models.checkpoint.fills_holes,
        device=models.placement.device,
        dtype=models.placement.vae_dtype,
        tiled=models.placement.plan.tiled_vae,
        surround=brief.request.seamless,
    )


def _enlarged(
    brief: Brief, second: SecondPassInput, latents: Sequence[Any], clock: Clock, cancelled: Callable[[], bool]
) -> list[EncodedStart]:
    """What the second pass of each picture begins with."""
    options: dict[str, Any] = {"strength": second.strength, "surround": brief.request.seamless}
    size = brief.request.size
    with brief.models.placement.using("vae"):
        if not latents:
            same = _encoded(brief, second_start(None, brief.start, size, **options))
            return [same] * len(brief.request.pictures)
        starts: list[EncodedStart] = []
        for each in latents:
            start = second_start(_picture(brief, each), brief.start, size, **options)
            clock.lap(Phase.DECODE)
            stop_if(cancelled)
            starts.append(_encoded(brief, start))
            clock.lap(Phase.ENCODE)
            stop_if(cancelled)
        return starts


def _picture(brief: Brief, latents: Any) -> UInt8Array:
    place = brief.models.placement
    return decode(
        brief.models.vae,
        latents,
        dtype=place.vae_dtype,
        tiled=place.plan.tiled_vae,
        surround=brief.request.seamless,
    )


def _decoded(
    brief: Brief,
    latents: Sequence[Any],
    clock: Clock,
    report: Callable[[Phase, Step | None], None],
    cancelled: Callable[[], bool],
) -> tuple[tuple[UInt8Array, ...], tuple[str, ...]]:
    """The pictures, and what the safety checker says of them."""
    images: list[UInt8Array] = []
    objections: list[bool] = []
    place = brief.models.placement
    with place.using("vae"):
        for each in latents:
            report(Phase.DECODE, None)
            image = _picture(brief, each)
            images.append(image if brief.start is None else kept_put_back(brief.start, image))
            if brief.safety is not None:
                objections.append(objected(brief.safety, images[-1], device=place.device, dtype=place.vae_dtype))
            clock.lap(Phase.DECODE)
            stop_if(cancelled)
    return blackened(images, objections) if objections else (tuple(images), ())


def _denoised(
    brief: Brief,
    way: Pass,
    hints: HintCache,
    prompts: Sequence[EncodedPicture],
    generators: Sequence[Any],
    starts: Sequence[EncodedStart | None],
    steps: Steps,
) -> list[Any]:
    """The latents (1, 4, height / 8, width / 8) float32 of each picture."""
    finished: list[Any] = []
    models, surround = brief.models, brief.request.seamless
    # each picture has a tile net's image of its own, and the rows of a batch share theirs
    at_once = 1 if way.tile_net is not None else brief.request.batch_size
    nets = [control.use.net for control in way.controls]
    if way.tile_net is not None:
        nets.append(way.tile_net.use.net)
    with models.placement.using("denoiser"):
        inside = surround if way.tiling is None else way.tiling.inside
        with seamless.around([models.unet, *nets], inside):
            for first in range(0, len(prompts), at_once):
                batch = slice(first, first + at_once)
                steps.begin(way, first, len(prompts[batch]))
                start = None if starts[first] is None else stacked_starts([each for each in starts[batch] if each])
                latents = _denoised_batch(brief, way, hints, prompts[batch], generators[batch], start, inside, steps)
                finished.extend(latents.split(1))
    return finished


def _denoised_batch(
    brief: Brief,
    way: Pass,
    hints: HintCache,
    prompts: Sequence[EncodedPicture],
    generators: Sequence[Any],
    start: EncodedStart | None,
    surround: Seamless,
    steps: Steps,
) -> Any:
    models = brief.models
    device = models.placement.device
    beginning = begin(way.solver, generators, way.size, start, device=device)
    controls = list(way.controls)
    if way.tile_net is not None and start is not None:
        controls.append(way.tile_net.control(start.image, len(way.solver.timesteps)))
    layout, extra = way.tiling, beginning.extra
    shown, size = controls, way.size
    if layout is not None:
        size = layout.tile
        shown = first_tile(controls, layout)
        extra = None if extra is None else extra[..., : size.height // LATENT_PIXELS, : size.width // LATENT_PIXELS]
    model: Callable[[Any, int], Any] = GuidedModel(
        models.unet,
        shown,
        stacked(prompts, device=device),
        timesteps=way.solver.timesteps,
        guidance_scale=brief.request.guidance_scale,
        size=size,
        pictures=len(prompts),
        extra_channels=extra,
        images=[images.of(len(prompts)) for images in way.images],
        passing=layout is not None,
        surround=surround,
        hints=hints,
        device=device,
        dtype=models.placement.dtype,
    )
    if layout is not None:
        model = TiledModel(model, controls, layout, extra_channels=beginning.extra, tile_done=steps.tile_queued)
    return denoise(
        model,
        way.solver,
        beginning,
        fresh_noise=lambda: draw(generators, way.size, device=device),
        queued=steps.queued,
        finished=steps.finished,
    )


def _be_reproducible() -> None:
    """Have cuDNN choose by the shapes alone, and not by what was quickest this once."""
    cudnn = torch().backends.cudnn
    cudnn.benchmark, cudnn.deterministic = False, True
