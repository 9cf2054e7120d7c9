"""The safety checker: what it objects to comes out black, is named, and nothing else changes."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import load_file, save_file
from tiny_adapters import write_safety_checker
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.sampling.safety import blackened
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.errors import ModelBroken, ModelMissing
from underpaint.protocol.models import ModelKind
from underpaint.protocol.request import GenerateRequest, Variant
from worker_runner import Job

Asked = Callable[..., GenerateRequest]

PICTURES = tuple(Variant(prompt="a garden", seed=seed) for seed in (11, 12, 13))


def scores(folder: Path, pictures: list[UInt8Array]) -> list[float]:
    """How near each picture comes to the nearest concept, a cosine, by diffusers' own class."""
    checker = StableDiffusionSafetyChecker.from_pretrained(folder, dtype=torch.float32)
    seen = transformers.CLIPImageProcessor(size=32, crop_size=32)(pictures, return_tensors="pt").pixel_values
    with torch.inference_mode():
        return _nearest(checker, seen)


def _nearest(checker: Any, seen: torch.Tensor) -> list[float]:
    embeds = checker.visual_projection(checker.vision_model(seen)[1])
    concepts = torch.nn.functional.normalize(checker.concept_embeds)
    return [float(each.max()) for each in torch.nn.functional.normalize(embeds) @ concepts.T]


@pytest.fixture
def request_of(asked: Asked) -> Callable[..., GenerateRequest]:
    return lambda **changes: asked(controls=(), variants=PICTURES, **changes)


def test_it_blackens_what_it_objects_to_and_says_which(
    request_of: Any, runner: JobRunner, blobs: BlobStore, models: Path
) -> None:
    plain = [blobs.read_array(ref) for ref in Job(runner, request_of()).run().images]
    folder = models / "checker"
    write_safety_checker(folder, 0.0)
    near = scores(folder, plain)
    ranked = sorted(near)
    low, high = max(itertools.pairwise(ranked), key=lambda pair: pair[1] - pair[0])
    assert high - low > 0.002  # the checker rounds to a thousandth
    write_safety_checker(folder, (low + high) / 2)
    result = Job(runner, request_of(safety_checker="checker")).run()
    found = [blobs.read_array(ref) for ref in result.images]
    objections = [score >= high for score in near]
    assert 1 <= sum(objections) <= 3
    for picture, before, objection in zip(found, plain, objections, strict=True):
        assert (picture == 0).all() if objection else (picture == before).all()
    numbers = ", ".join(str(place + 1) for place, objection in enumerate(objections) if objection)
    which = f"picture{'s' if sum(objections) > 1 else ''} {numbers} of 4"
    assert [note for note in result.notes if "safety checker" in note] == [
        f"The safety checker objected to {which}, black now. Change the prompt or the seed."
    ]
    assert [model.reference for model in result.models if model.kind is ModelKind.SAFETY_CHECKER] == ["checker"]


def test_none_is_loaded_unless_asked_for_and_the_plan_counts_it(
    request_of: Any, runner: JobRunner, models: Path
) -> None:
    from underpaint.backend.worker.inspecting import inspect

    write_safety_checker(models / "lenient", 2.0)

    def weights(request: GenerateRequest) -> int:
        return runner.planned(request, inspect(request, models=models, announce=lambda _: None)).needs.weights()

    held = {place for place in runner.residents._held if "lenient" in str(place)}
    assert not held
    counted = weights(request_of(safety_checker="lenient")) - weights(request_of())
    assert counted == sum(tensor.numel() for tensor in load_file(models / "lenient" / "model.safetensors").values())
    assert not Job(runner, request_of(safety_checker="lenient")).run().notes


def test_old_files_and_checkers_inside_checkpoints_are_found(
    request_of: Any, runner: JobRunner, models: Path, blobs: BlobStore
) -> None:
    folder = models / "inside" / "safety_checker"
    write_safety_checker(folder, -2.0)  # everything is nearer than that
    file = folder / "model.safetensors"
    # as CompVis/stable-diffusion-safety-checker and the checkpoints of its time name them
    renamed = {
        key.replace("vision_model.", "vision_model.vision_model.", 1): value for key, value in load_file(file).items()
    }
    save_file(renamed, file, metadata={"format": "pt"})
    result = Job(runner, request_of(safety_checker="inside")).run()
    assert not any(blobs.read_array(ref).any() for ref in result.images)
    assert "pictures 1, 2, 3, 4 of 4" in result.notes[-1]


def test_what_is_no_checker_is_refused(request_of: Any, runner: JobRunner) -> None:
    with pytest.raises(ModelMissing, match="no such folder with a safety checker"):
        Job(runner, request_of(safety_checker="nowhere")).run()
    with pytest.raises((ModelBroken, ModelMissing), match="something else"):
        Job(runner, request_of(safety_checker="sdxl/text_encoder")).run()


def test_one_picture_is_not_counted() -> None:
    picture = np.full((2, 2, 3), 9, np.uint8)
    shown, notes = blackened([picture], [True])
    assert not shown[0].any()
    assert picture.all()  # a copy
    assert notes == ("The safety checker objected to the picture, so it is black. Change the prompt or the seed.",)
    assert blackened([picture], [False]) == ((picture,), ())


def test_the_same_pictures_come_with_a_lenient_one(
    request_of: Any, runner: JobRunner, models: Path, blobs: BlobStore
) -> None:
    write_safety_checker(models / "mild", 2.0)
    one, other = (
        [blobs.read_array(ref).tobytes() for ref in Job(runner, request).run().images]
        for request in (request_of(), dataclasses.replace(request_of(), safety_checker="mild"))
    )
    assert one == other
