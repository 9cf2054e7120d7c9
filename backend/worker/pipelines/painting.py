"""One job's pictures by diffusers' own pipelines: one call each, and what they can't do by themselves around it."""

import inspect
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ....protocol.arrays import UInt8Array
from ....protocol.errors import JobCancelled
from ....protocol.jobs import Phase, Timing
from ....protocol.request import GenerateRequest, Scheduler, Sigmas
from ..families import Guidance, Way
from ..models.residents import Models
from ..sampling import Generated, Step
from ..sampling.guidance import ControlInput
from ..sampling.previews import Previewer
from ..sampling.start import StartPicture, kept_put_back
from ..third_party import diffusers, torch
from . import attending
from .limits import SIGMAS, stock_of, way
from .texts import TextCache, TextTask

SCHEDULER_TITLE = "flow-match Euler"


@dataclass(frozen=True, kw_only=True, eq=False)
class StockBrief:
    """A job whose models are in memory, and whose every question is answered."""

    request: GenerateRequest
    models: Models
    evaluations: int  # of the transformer for each picture
    controls: Sequence[ControlInput]  # those that count at any step
    start: StartPicture | None
    previews: Path  # where a TAESD may lie


def generate(
    brief: StockBrief,
    texts: TextCache,
    *,
    report: Callable[[Phase, Step | None], None],
    cancelled: Callable[[], bool],
) -> Generated:
    """Make the pictures one by one; the same arguments give the same bytes on one machine and in one number format.

    `report` hears of each phase as it begins and of each step as it ends. Raises JobCancelled within one step of
    `cancelled()` turning true, and leaves the models fit for the next job.
    """
    cudnn = torch().backends.cudnn
    cudnn.benchmark, cudnn.deterministic = False, True
    job = _Job(brief, report, cancelled)
    with torch().inference_mode():
        report(Phase.ENCODE, None)
        encoded = job.encoded(texts)
        job.lap(Phase.ENCODE)
        images = [job.painted(index, arguments) for index, arguments in enumerate(encoded)]
    return Generated(images=tuple(images), timings=tuple(job.timings), notes=(*job.notes(), *job.previewer.notes))


class _Job:
    """One job on its way."""

    def __init__(
        self, brief: StockBrief, report: Callable[[Phase, Step | None], None], cancelled: Callable[[], bool]
    ) -> None:
        self.timings: list[Timing] = []
        self._brief, self._report, self._cancelled = brief, report, cancelled
        self._last = time.perf_counter()
        models = brief.models
        self._family = models.checkpoint.family
        self._stock = stock_of(self._family)
        self._place = models.placement
        self._told = bool(models.checkpoint.unet_config.get("guidance_embeds"))
        self._guided = brief.request.guidance_scale > 1 and self._stock.guidance is not Guidance.DISTILLED
        self.previewer = Previewer(
            self._family, device=str(self._place.device), models=brief.previews, dtype=self._place.dtype
        )
        self._index = 0

    def lap(self, phase: Phase) -> None:
        """What was done since the last lap was of this phase."""
        now = time.perf_counter()
        self.timings.append(Timing(phase=phase, ms=1000 * (now - self._last)))
        self._last = now

    def notes(self) -> list[str]:
        """What the user should hear of, because it was not as asked for."""
        request, title = self._brief.request, self._family.title
        found: list[str] = []
        if request.scheduler is not Scheduler.EULER:
            found.append(f"{title} was painted with {SCHEDULER_TITLE}, which it is trained for.")
        if self._stock.guidance is Guidance.DISTILLED:
            if any(picture.negative_prompt for picture in request.pictures):
                found.append(f"{title} doesn't listen to a negative prompt.")
            if request.guidance_scale > 1 and not self._told:
                found.append("This checkpoint paints without guidance, so the guidance scale counted for nothing.")
        if request.batch_size > 1 and len(request.pictures) > 1:
            found.append(f"{title} paints its pictures one by one, whatever the batch size.")
        return found

    def encoded(self, texts: TextCache) -> list[dict[str, Any]]:
        """Of each picture the arguments that stand for its prompts; all at once, so that encoders come once."""
        models = self._brief.models
        task = TextTask(
            family=self._family.id,
            pipeline=self._pipeline(Way.TEXT),
            placement=self._place,
            guided=self._guided,
            told_guidance=self._told,
        )
        fused = tuple((lora.stamp, lora.text_weight) for lora in models.loras)
        key = (*models.checkpoint.key, *fused, str(self._place.dtype), str(self._place.device))
        found: list[dict[str, Any]] = []
        for picture in self._brief.request.pictures:
            self._stop_if_cancelled()
            found.append(texts.encoded(task, picture, key))
        return found

    def painted(self, picture: int, texts: dict[str, Any]) -> UInt8Array:
        """One picture."""
        brief, request = self._brief, self._brief.request
        seed = request.pictures[picture].seed
        asked = way(request, controlled=bool(brief.controls))
        controlnet = self._controlnet()
        scheduler = self._scheduler()
        pipeline = self._pipeline(asked, scheduler=scheduler, controlnet=controlnet)
        self._index = 0
        preview: list[UInt8Array] = []

        def seen(estimate: Callable[[], Any]) -> None:
            shown = self.previewer.show(self._spatial(estimate()), self._index) if self._family.latent_rgb else None
            preview[:] = [] if shown is None else [shown]

        def ended(_pipeline: Any, index: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            self._index = index + 1
            self.lap(Phase.STEP)
            share = (picture + self._index / brief.evaluations) / len(request.pictures)
            step = Step(
                done=self._index,
                total=brief.evaluations,
                picture=picture + 1,
                share=share,
                preview=preview[0] if preview else None,
            )
            self._report(Phase.STEP, step)
            self._stop_if_cancelled()
            if self._index == brief.evaluations and picture == len(request.pictures) - 1:
                self._report(Phase.DECODE, None)
            return tensors

        attending.watch(scheduler, seen)
        with ExitStack() as stack:
            # Some encode control images with noise from torch's own generator, which must be as ever, too.
            stack.enter_context(torch().random.fork_rng(devices=self._cuda_devices()))
            torch().manual_seed(seed)
            stack.enter_context(attending.turns(pipeline, self._place))
            stack.enter_context(self._tiles(pipeline.vae))
            if controlnet is not None:
                stack.enter_context(attending.linked(controlnet, pipeline.transformer))
                rows = [control.weights for control in brief.controls]
                stack.enter_context(attending.weighted(controlnet, rows, lambda: min(self._index, len(rows[0]) - 1)))
            result = pipeline(
                **texts,
                **self._common(seed),
                **self._starting(asked),
                **self._controlling(),
                callback_on_step_end=ended,
            )
        image: UInt8Array = np.asarray(result.images[0], np.uint8)
        self.lap(Phase.DECODE)
        self._stop_if_cancelled()
        return image if brief.start is None else kept_put_back(brief.start, image)

    # ------------------------------------------------------------------------------------------ arguments

    def _common(self, seed: int) -> dict[str, Any]:
        request = self._brief.request
        arguments: dict[str, Any] = {
            "width": request.size.width,
            "height": request.size.height,
            "num_inference_steps": request.steps,
            # on the CPU, whatever the device: a seed means the same picture everywhere
            "generator": torch().Generator("cpu").manual_seed(seed),
            "output_type": "pil",
        }
        if self._stock.guidance is Guidance.DISTILLED:
            return {**arguments, "guidance_scale": request.guidance_scale}
        scale = request.guidance_scale if self._guided else self._stock.unguided
        return {**arguments, self._stock.guidance.value: scale}

    def _starting(self, asked: Way) -> dict[str, Any]:
        start = self._brief.start
        if start is None:
            return {}
        image = Image.fromarray(start.image)
        if asked in (Way.IMAGE, Way.CONTROL_IMAGE):
            return {"image": image, "strength": start.strength}
        assert start.painted is not None
        mask = Image.fromarray(start.painted.astype(np.uint8) * 255)
        if asked is Way.CONTROL_INPAINT and self._stock.fills_key:  # the net is shown the hole, and paints from noise
            return {"control_mask": mask} if self._stock.fills_only else {"image": image, "mask_image": mask}
        return {"image": image, "mask_image": mask, "strength": start.strength}

    def _controlling(self) -> dict[str, Any]:
        controls = self._brief.controls
        if not controls:
            return {}
        images = [Image.fromarray(np.asarray(control.image, np.uint8)) for control in controls]
        modes = [control.use.mode for control in controls]
        several = len(controls) > 1
        arguments: dict[str, Any] = {"control_image": images if several else images[0]}
        arguments["controlnet_conditioning_scale"] = [1.0] * len(controls) if several else 1.0  # see `weighted`
        if any(mode is not None for mode in modes) or (several and self._stock.guidance is Guidance.DISTILLED):
            arguments["control_mode"] = modes if several else modes[0]
        return arguments

    # ------------------------------------------------------------------------------------------ what is called

    def _pipeline(self, asked: Way, *, controlnet: Any = None, **others: Any) -> Any:
        """diffusers' pipeline over the modules that are in memory; it says itself where it computes."""
        chosen = getattr(diffusers(), self._stock.ways[asked])
        takes = inspect.signature(chosen.__init__).parameters
        parts = {**self._brief.models.pipeline.components, **others}
        parts = {name: part for name, part in parts.items() if name in takes}
        # by what its modules say it would compute where their weights wait
        placed = type(chosen.__name__, (chosen,), {"_execution_device": self._place.device})
        if controlnet is None:
            pipeline = placed(**parts)
        elif self._stock.builds_with_net:
            pipeline = placed(**parts, controlnet=controlnet)
        else:  # afterwards, for a constructor may look into weights that are not there yet (see `linked`)
            pipeline = placed(**parts, controlnet=None)
            pipeline.register_modules(controlnet=controlnet)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _controlnet(self) -> Any:
        """The control's net, or what diffusers puts several into; None without controls."""
        nets = [control.use.net for control in self._brief.controls]
        if len(nets) <= 1:
            return nets[0] if nets else None
        if len({id(net) for net in nets}) == 1 and self._stock.shares_net:
            nets = nets[:1]  # a union net, which is called once for each picture that it is shown
        return getattr(diffusers(), self._stock.several_class)(nets)

    def _scheduler(self) -> Any:
        config = self._brief.models.checkpoint.scheduler_config
        asked = self._brief.request.sigmas
        changed = {} if asked is Sigmas.DEFAULT else {key: asked is sigmas for sigmas, key in SIGMAS.items()}
        return diffusers().FlowMatchEulerDiscreteScheduler.from_config(config, **changed)

    @contextmanager
    def _tiles(self, vae: Any) -> Generator[None]:
        """Within it the VAE works tile by tile where the plan says so."""
        if self._place.plan.tiled_vae:
            vae.enable_tiling()
        try:
            yield
        finally:
            if self._place.plan.tiled_vae:
                vae.disable_tiling()

    def _spatial(self, latents: Any) -> Any:
        """(1, 16, height / 8, width / 8) of latents as the transformer takes them."""
        if not self._stock.packed:
            return latents
        rows, columns = self._brief.request.size.height // 16, self._brief.request.size.width // 16
        patches = latents.view(1, rows, columns, -1, 2, 2)
        return patches.permute(0, 3, 1, 4, 2, 5).reshape(1, -1, 2 * rows, 2 * columns)

    def _cuda_devices(self) -> list[Any]:
        return [self._place.device] if self._place.device.type == "cuda" else []

    def _stop_if_cancelled(self) -> None:
        if self._cancelled():
            raise JobCancelled
