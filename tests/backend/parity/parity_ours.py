"""Our side: the guided model at the latents where stock's stands, and whole jobs through the worker's own door."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parity_jobs import Job, Net
from parity_spying import Spied, recorded_decoding
from parity_stock import Painted, Stock, control_image, start_image, start_mask
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.models.nets import NetUse
from underpaint.backend.worker.sampling.guidance import ControlInput, GuidedModel, Savings
from underpaint.backend.worker.sampling.hints import HintCache
from underpaint.backend.worker.sampling.prompts import Embeddings
from underpaint.backend.worker.sampling.weights import step_weights
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobResult
from underpaint.protocol.request import Control, CurvePoint, GenerateRequest, Precision, Start, Variant
from underpaint.protocol.sources import ReadyMap

EXACT = Savings(keep_times=False, shared_prefix=False, folded_scales=False)
"""The savings that change nothing, to the bit."""


def control(net: Net, image: Any) -> Control:
    """The protocol's control."""
    return Control(
        kind=net.kind,
        source=ReadyMap(image=image),
        controlnet=net.folder,
        conditioning_scale=net.scale,
        start=net.start,
        end=net.end,
        curve=tuple(CurvePoint(at=at, factor=factor) for at, factor in net.curve),
        guess_mode=net.guess,
    )


def guided_model(stock: Stock, job: Job, seen: Spied, savings: Savings, hints: HintCache) -> GuidedModel:
    """Our model of a job over stock's modules, given the text that stock's was given."""
    nets = [stock.net(net.folder) for net in job.nets]
    weights = step_weights([control(net, None) for net in job.nets], len(seen.timesteps))
    controls = [
        ControlInput(
            use=NetUse(net=module, mode=net.mode),
            image=control_image(index, job.size),
            weights=weights[index],
            guess_mode=net.guess,
        )
        for index, (module, net) in enumerate(zip(nets, job.nets, strict=True))
    ]
    return GuidedModel(
        stock.parts(job.checkpoint)["unet"],
        controls,
        Embeddings(text=seen.text, pooled=seen.pooled),
        timesteps=seen.timesteps,
        guidance_scale=job.guidance,
        size=Extent(width=job.size[0], height=job.size[1]),
        pictures=seen.sample.shape[0],
        extra_channels=seen.extra,
        hints=hints,
        savings=savings,
    )


@dataclass
class Differences:
    """How far our predictions are from stock's, over all evaluations of a job."""

    largest: float = 0.0  # absolute
    relative: float = 0.0  # norm of the difference over the norm, the largest of any evaluation
    evaluations: int = 0

    def add(self, ours: torch.Tensor, stock: torch.Tensor) -> None:
        """Take another evaluation in; a number that isn't one counts as endlessly far."""
        difference = (ours.double() - stock.double()).nan_to_num(nan=float("inf"))
        self.largest = max(self.largest, float(difference.abs().max()))
        self.relative = max(self.relative, float(difference.norm() / stock.double().norm()))
        self.evaluations += 1


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What stock painted, and how far our predictions were off at each of its latents."""

    painted: Painted
    differences: dict[str, Differences]


def predict_beside(stock: Stock, job: Job, savings: Mapping[str, Savings]) -> Predicted:
    """Run stock's pipeline, and ours at each of its latents with each of the savings.

    oneDNN is switched off, for stock too: it takes another kernel for a convolution of one row of less than 20480
    numbers than for two rows, which no layer of a real net ever is, and which rounds differently.
    """
    differences = {name: Differences() for name in savings}
    models: dict[str, GuidedModel] = {}

    def on_step(seen: Spied) -> None:
        for name, chosen in savings.items():
            if seen.index == 0:
                models[name] = guided_model(stock, job, seen, chosen, HintCache())
            differences[name].add(models[name](seen.sample, seen.index), seen.prediction)

    with without_onednn():
        return Predicted(painted=stock.paint(job, on_step=on_step), differences=differences)


@contextlib.contextmanager
def without_onednn() -> Iterator[None]:
    """Convolutions by torch's own kernels, which round the same however many rows there are."""
    torch._C._set_mkldnn_enabled(False)  # the public switch sets TF32 too, and warns that there is none
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(True)


class Ours:
    """A job runner as a worker has it, over the same folders."""

    def __init__(self, models: Path, blobs: BlobStore, make_runner: Callable[[BlobStore, Path], JobRunner]) -> None:
        self.runner = make_runner(blobs, models)
        self.blobs = blobs
        self._stored = functools.cache(self._store)

    def request(self, job: Job) -> GenerateRequest:
        """The protocol's request of a job."""
        first, *others = zip(job.prompts, job.seeds, strict=True)
        start = None
        if job.task != "text":
            start = Start(
                image=self._stored("image", 0, job.size),
                strength=job.strength,
                mask=self._stored("mask", 0, job.size) if job.task == "inpaint" else None,
            )
        return GenerateRequest(
            prompt=first[0],
            seed=first[1],
            negative_prompt=job.negative,
            variants=tuple(Variant(prompt=prompt, negative_prompt=job.negative, seed=seed) for prompt, seed in others),
            batch_size=job.batch,
            checkpoint=job.checkpoint,
            size=Extent(width=job.size[0], height=job.size[1]),
            controls=tuple(
                control(net, self._stored("control", index, job.size)) for index, net in enumerate(job.nets)
            ),
            steps=job.steps,
            guidance_scale=job.guidance,
            scheduler=job.scheduler,
            sigmas=job.sigmas,
            start=start,
        )

    def paint(self, job: Job, *, precision: Precision = Precision.FLOAT32) -> Painted:
        """Run the job and keep what the VAE was given."""
        latents: list[torch.Tensor] = []
        with recorded_decoding(latents):
            result = self.run(replace(self.request(job), precision=precision))
        pictures = [self.blobs.read_array(image) for image in result.images]
        scaling = 0.13025 if job.xl else 0.18215
        return Painted(latents=torch.cat(latents).float() * scaling, pictures=np.stack(pictures))

    def run(self, request: GenerateRequest) -> JobResult:
        """Through the runner's own door."""
        return self.runner.run(
            "0" * 32, request, on_progress=lambda _: None, on_preview=lambda *_: None, cancelled=lambda: False
        )

    def _store(self, what: str, index: int, size: tuple[int, int]) -> Any:
        made = {"control": lambda: control_image(index, size), "image": lambda: start_image(size)}
        return self.blobs.write_array(made.get(what, lambda: start_mask(size))())
