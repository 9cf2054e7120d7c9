"""How often what really runs: counted at the modules themselves, through whole jobs."""

import contextlib
import gc
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from parity_jobs import Job, Net
from parity_ours import Ours
from underpaint.backend.blobstore import BlobStore
from underpaint.protocol.request import ControlKind
from worker_runner import make_runner

_STEPS = 8
_SHRINKING = (
    Net(folder="sd15-a"),
    Net(folder="sd15-b", end=0.5),
    Net(folder="sd15-c", end=0.25),
)
_PROMAX = (
    Net(folder="sdxl-promax", kind=ControlKind.TILE, end=0.5),
    Net(folder="sdxl-promax", kind=ControlKind.DEPTH, start=0.75),
    Net(folder="sdxl-a", end=0.25),
)
_NETS = (diffusers.ControlNetModel, diffusers.ControlNetUnionModel)
_TEXTS = (transformers.models.clip.modeling_clip.CLIPTextEmbeddings,)  # one in each text encoder

JOBS = (
    Job(nets=_SHRINKING, steps=_STEPS),
    Job(nets=_SHRINKING, steps=_STEPS, pictures=3),
    Job(nets=_SHRINKING, steps=_STEPS, pictures=3, batch=3),
    Job(nets=(Net(folder="sd15-pool", kind=ControlKind.SHUFFLE), _SHRINKING[1]), steps=_STEPS),
    Job(nets=(replace(_SHRINKING[0], curve=((0.0, 0.0), (0.4, 0.0), (1.0, 1.0))), _SHRINKING[2]), steps=_STEPS),
    Job(checkpoint="sdxl", nets=_PROMAX, steps=_STEPS),
    Job(nets=_SHRINKING, steps=_STEPS, task="image", strength=0.5),
    Job(nets=(Net(folder="sd15-a", scale=0.0), Net(folder="sd15-b", end=0.01)), steps=_STEPS),
)


class Calls:
    """How often each module was called."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._alive: dict[int, torch.nn.Module] = {}  # so that no number is given to another

    def note(self, module: torch.nn.Module, _: Any) -> None:
        self._counts[id(module)] += 1
        self._alive[id(module)] = module

    def of(self, part: str, *kinds: type) -> list[int]:
        """The calls of the modules whose names end so in models of these kinds, but for those never called."""
        models = [thing for thing in gc.get_objects() if issubclass(type(thing), kinds)]
        modules = [module for model in models for name, module in model.named_modules() if name.endswith(part)]
        return [count for module in modules if (count := self._counts[id(module)])]

    def of_kinds(self, *kinds: type) -> int:
        """The calls of every module of these kinds."""
        return sum(self._counts[number] for number, module in self._alive.items() if isinstance(module, kinds))


@contextlib.contextmanager
def counted() -> Iterator[Calls]:
    calls = Calls()
    handle = torch.nn.modules.module.register_module_forward_pre_hook(calls.note)
    try:
        yield calls
    finally:
        handle.remove()


def evaluations(job: Job) -> int:
    return int(job.steps * job.strength) if job.task != "text" else job.steps


def runs(job: Job) -> int:
    """The sum of the windows' steps; images that share a union net share its runs."""
    count = evaluations(job)
    active: dict[object, set[int]] = {}
    for number, net in enumerate(job.nets):
        key = net.folder if net.mode is not None else number
        first = math.ceil(net.start * count - 1e-9)
        last = math.floor(net.end * count + 1e-9)
        if net.curve:  # one that begins at 0 and leaves it after 0.4
            first = next(index for index in range(count) if index / (count - 1) > net.curve[1][0])
        active.setdefault(key, set()).update(range(first, last) if net.scale else ())
    return sum(len(steps) for steps in active.values())


def counting_controls(job: Job) -> int:
    """The controls that count at any step: images of others are never encoded."""
    return sum(runs(replace(job, nets=(net,))) > 0 for net in job.nets)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.words)
def test_nothing_runs_more_often_than_it_must(
    job: Job, parity: Callable[..., Any], models: Path, tmp_path: Path
) -> None:
    ours = Ours(models, BlobStore(tmp_path), make_runner)  # with nothing in its caches
    asked = ours.request(job)
    # Another size and nothing to avoid, so that the models are in memory, and the first prompt is known.
    ours.run(replace(asked, size=replace(asked.size, width=56), negative_prompt="", variants=(), steps=4))
    with counted() as first:
        ours.run(asked)
    with counted() as again:
        ours.run(asked)
    batches = -(-job.pictures // job.batch)
    encoders = 2 if job.xl else 1
    unet = diffusers.UNet2DConditionModel
    hints = (
        diffusers.models.controlnets.controlnet.ControlNetConditioningEmbedding,
        diffusers.models.controlnets.controlnet_union.ControlNetConditioningEmbedding,
    )
    new_texts = job.pictures  # the negative prompt, and the prompts but the first, which the run before had
    with parity("counts", job.words) as compare:
        for when, calls in (("", first), (" again", again)):
            keys = calls.of("attn2.to_k", unet, *_NETS)
            net_calls, unet_calls = sum(calls.of("controlnet_mid_block", *_NETS)), sum(calls.of("conv_norm_out", unet))
            compare(f"net calls{when}", net_calls, batches * runs(job), better="equal")
            compare(f"UNet calls{when}", unet_calls, batches * evaluations(job), better="equal")
            compare(f"keys of a text{when}, fewest", min(keys), batches, better="equal")
            compare(f"keys of a text{when}, most", max(keys), batches, better="equal")
        compare("condition embeddings", first.of_kinds(*hints), counting_controls(job), better="equal")
        compare("condition embeddings again", again.of_kinds(*hints), 0, better="equal")
        compare("text encodings", first.of_kinds(*_TEXTS), encoders * new_texts, better="equal")
        compare("text encodings again", again.of_kinds(*_TEXTS), 0, better="equal")
