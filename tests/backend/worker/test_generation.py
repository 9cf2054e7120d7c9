"""Several pictures in one job, pictures that begin with another one, and what never reaches the models."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.models import embedded
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.errors import InvalidRequest, JobCancelled
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import Phase
from underpaint.protocol.request import (
    Control,
    GenerateRequest,
    Scheduler,
    Start,
    Variant,
)
from worker_runner import Job, make_runner

Asked = Callable[..., GenerateRequest]
Pictures = Callable[[GenerateRequest], list[UInt8Array]]

# The ControlNet blog's: one subject, four places, a seed each.
BLOG = tuple(
    Variant(prompt=f"{who}, best quality, extremely detailed", negative_prompt="monochrome, lowres", seed=seed)
    for seed, who in enumerate(("Sandra Oh", "Kim Kardashian", "rihanna", "taylor swift"), 2)
)


@pytest.fixture
def pictures(runner: JobRunner, blobs: BlobStore) -> Pictures:
    def pictures(request: GenerateRequest) -> list[UInt8Array]:
        return [blobs.read_array(ref) for ref in Job(runner, request).run().images]

    return pictures


def of(request: GenerateRequest, *pictures: Variant, **changes: Any) -> GenerateRequest:
    """The request for these pictures."""
    first, *others = pictures
    return dataclasses.replace(
        request,
        prompt=first.prompt,
        negative_prompt=first.negative_prompt,
        seed=first.seed,
        variants=tuple(others),
        **changes,
    )


# ---------------------------------------------------------------------------------------------- several pictures


@pytest.mark.parametrize("scheduler", [Scheduler.UNIPC, Scheduler.EULER_ANCESTRAL])
def test_the_blog_s_four_prompts_are_the_same_pictures_one_by_one_and_together(
    pictures: Pictures, asked: Asked, scheduler: Scheduler
) -> None:
    base = asked(steps=5, scheduler=scheduler)
    alone = [pictures(of(base, each))[0] for each in BLOG]
    assert len({each.tobytes() for each in alone}) == 4
    for one, other in zip(alone, pictures(of(base, *BLOG)), strict=True):
        assert (one == other).all()
    for batch_size in (2, 3, 4):
        # A batch rounds differently: a level here and there.
        for one, other in zip(alone, pictures(of(base, *BLOG, batch_size=batch_size)), strict=True):
            apart = np.abs(one.astype(int) - other.astype(int))
            assert apart.max() <= 1
            assert (apart > 0).mean() < 0.01


def test_four_pictures_of_sdxl_together(pictures: Pictures, asked: Asked) -> None:
    base = asked(checkpoint="sdxl", controls=(), steps=4)
    alone = [pictures(of(base, each))[0] for each in BLOG]
    for one, other in zip(alone, pictures(of(base, *BLOG)), strict=True):
        assert (one == other).all()
    for one, other in zip(alone, pictures(of(base, *BLOG, batch_size=4)), strict=True):
        assert np.abs(one.astype(int) - other.astype(int)).max() <= 1


def test_four_pictures_with_one_negative_prompt_are_five_texts_and_a_repeat_is_none(
    runner: JobRunner, asked: Asked
) -> None:
    before = runner.caches.prompts.encoded
    request = of(asked(controls=()), *(dataclasses.replace(each, negative_prompt="five texts") for each in BLOG))
    request = dataclasses.replace(request, prompt="the first of five")
    new = {each.prompt for each in request.pictures} | {"five texts"}
    runner.caches.prompts._kept.clear()
    Job(runner, request).run()
    assert runner.caches.prompts.encoded == before + len(new) == before + 5
    Job(runner, request).run()
    Job(runner, dataclasses.replace(request, batch_size=4)).run()
    assert runner.caches.prompts.encoded == before + 5


def test_without_guidance_no_negative_prompt_is_encoded(runner: JobRunner, asked: Asked) -> None:
    before = runner.caches.prompts.encoded
    Job(runner, asked(prompt="unguided", negative_prompt="never read", guidance_scale=1.0, controls=())).run()
    assert runner.caches.prompts.encoded == before + 1


def test_progress_names_the_picture(runner: JobRunner, asked: Asked) -> None:
    job = Job(runner, of(asked(controls=(), steps=2), *BLOG, batch_size=3))
    result = job.run()
    told = [(entry.picture, entry.step) for entry in job.progress if entry.phase is Phase.STEP]
    assert told == [(1, 1), (1, 2), (4, 1), (4, 2)]  # three at once, then the fourth
    assert {entry.pictures for entry in job.progress} == {4}
    fractions = [entry.fraction for entry in job.progress if entry.phase is not Phase.LOAD]
    assert fractions == sorted(fractions)
    phases = [timing.phase for timing in result.timings]
    assert phases == [Phase.CONDITIONING, Phase.LOAD, Phase.ENCODE, *[Phase.STEP] * 4, *[Phase.DECODE] * 4, Phase.STORE]
    assert len(result.images) == 4
    assert len(job.previews) == 4


def test_cancel_ends_all_pictures(runner: JobRunner, asked: Asked) -> None:
    job = Job(runner, of(asked(controls=(), steps=3), *BLOG), cancel_at=4)
    with pytest.raises(JobCancelled):
        job.run()
    assert job.steps == [1, 2, 3, 1]


def test_cancel_is_obeyed_between_prompts(runner: JobRunner, asked: Asked) -> None:
    prompts = runner.caches.prompts
    before = prompts.encoded
    request = of(asked(controls=()), *(dataclasses.replace(each, prompt=f"{each.prompt}, cancelled") for each in BLOG))
    with pytest.raises(JobCancelled):
        runner.run(
            "0" * 32,
            request,
            on_progress=lambda _: None,
            on_preview=lambda *_: None,
            cancelled=lambda: prompts.encoded > before,
        )
    assert prompts.encoded <= before + 2  # a picture's, and what it shall not be


# ---------------------------------------------------------------------------------------------- start pictures

SIZE = Extent(width=64, height=64)


def photo() -> UInt8Array:
    rows, columns = np.mgrid[0:64, 0:64]
    return np.stack([rows * 4, columns * 4, 255 - rows * 2 - columns * 2], axis=-1).astype(np.uint8)


def hole() -> UInt8Array:
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 12:52] = 255
    return mask


@pytest.fixture
def start(blobs: BlobStore) -> Callable[..., Start]:
    """A start picture; with `hole=True` one with a mask."""

    def start(*, with_hole: bool = False, **changes: Any) -> Start:
        mask = blobs.write_array(hole()) if with_hole else None
        return Start(image=blobs.write_array(photo()), mask=mask, **changes)

    return start


def likeness(one: UInt8Array, other: UInt8Array) -> float:
    return float(np.corrcoef(one.ravel().astype(float), other.ravel().astype(float))[0, 1])


def test_the_less_strength_the_more_of_the_start_is_left(
    pictures: Pictures, asked: Asked, start: Callable[..., Start]
) -> None:
    found = [
        likeness(pictures(asked(controls=(), steps=10, start=start(strength=strength)))[0], photo())
        for strength in (0.1, 0.5, 0.9)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.3 + found[2]


def test_strength_takes_its_share_of_the_steps(runner: JobRunner, asked: Asked, start: Callable[..., Start]) -> None:
    for strength, steps in ((0.3, 3), (0.55, 5), (1.0, 10)):
        job = Job(runner, asked(controls=(), steps=10, start=start(strength=strength)))
        job.run()
        assert job.steps == list(range(1, steps + 1))


def test_strength_zero_is_the_start_picture_and_loads_nothing(
    blobs: BlobStore, models: Path, asked: Asked, start: Callable[..., Start]
) -> None:
    job = Job(make_runner(blobs, models), of(asked(start=start(strength=0.0)), *BLOG[:2]))
    result = job.run()
    assert len(result.images) == 2
    assert all((blobs.read_array(ref) == photo()).all() for ref in result.images)
    assert len(result.control_maps) == 3
    assert Phase.LOAD not in {entry.phase for entry in job.progress}


def test_a_start_picture_is_the_same_for_a_picture_alone_and_among_others(
    pictures: Pictures, asked: Asked, start: Callable[..., Start]
) -> None:
    for begun in (start(strength=0.6), start(strength=0.6, with_hole=True, mask_blur_px=2.0)):
        base = asked(steps=5, start=begun, scheduler=Scheduler.EULER_ANCESTRAL)
        alone = [pictures(of(base, each))[0] for each in BLOG[:3]]
        for one, other in zip(alone, pictures(of(base, *BLOG[:3])), strict=True):
            assert (one == other).all()
        for one, other in zip(alone, pictures(of(base, *BLOG[:3], batch_size=3)), strict=True):
            assert np.abs(one.astype(int) - other.astype(int)).max() <= 1


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("scheduler", [Scheduler.UNIPC, Scheduler.HEUN, Scheduler.LCM])
def test_inpainting_keeps_what_the_mask_leaves_and_paints_the_rest(
    pictures: Pictures, asked: Asked, start: Callable[..., Start], strength: float, scheduler: Scheduler
) -> None:
    (image,) = pictures(
        asked(controls=(), steps=6, scheduler=scheduler, start=start(strength=strength, with_hole=True))
    )
    painted = hole() > 0
    assert (image[~painted] == photo()[~painted]).all()
    assert (image[painted] != photo()[painted]).mean() > 0.8


def test_a_grown_mask_paints_more_and_a_soft_edge_joins_smoothly(
    pictures: Pictures, asked: Asked, start: Callable[..., Start]
) -> None:
    def changed(**changes: Any) -> np.ndarray:
        (image,) = pictures(asked(controls=(), steps=6, start=start(with_hole=True, strength=1.0, **changes)))
        return np.abs(image.astype(int) - photo().astype(int)).max(axis=-1)

    sharp, grown, soft = changed(), changed(mask_grow_px=6), changed(mask_blur_px=3.0)
    assert not sharp[14:20].any()
    assert (grown[14:20, 20:44] > 0).mean() > 0.8
    assert not grown[:14].any()
    assert (soft[17:20, 20:44] > 0).mean() > 0.5  # mixed in on this side of the border as well
    assert not soft[: 20 - 9].any()
    assert soft[18, 20:44].mean() < soft[30, 20:44].mean()


@pytest.fixture(scope="module")
def filling(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder whose `filling` is the embedded checkpoint with the nine channels of one for inpainting."""
    folder = tmp_path_factory.mktemp("filling")
    for name in ("embedded", "filling"):
        source = models / "embedded" if name == "embedded" else embedded.folder(models)
        shutil.copytree(source, folder / name)
    unet = folder / "filling" / "unet"
    config = json.loads((unet / "config.json").read_text())
    (unet / "config.json").write_text(json.dumps({**config, "in_channels": 9}))
    (weights,) = unet.glob("*.safetensors")
    tensors = load_file(weights)
    plain = tensors["conv_in.weight"]
    added = np.random.default_rng(0).normal(0, 0.02, (plain.shape[0], 5, 3, 3)).astype(plain.dtype)
    tensors["conv_in.weight"] = np.concatenate([plain, added], axis=1)
    save_file(tensors, weights, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_a_checkpoint_for_inpainting_sees_the_mask_and_the_rest(
    blobs: BlobStore, filling: Path, asked: Asked, start: Callable[..., Start], controls: tuple[Control, ...],
    strength: float,
) -> None:  # fmt: skip
    runner = make_runner(blobs, filling)
    begun = start(with_hole=True, strength=strength)
    nets = tuple(
        dataclasses.replace(control, controlnet=str(embedded.controlnet(filling, control.kind)))
        for control in controls
    )  # fmt: skip

    def painted(**changes: Any) -> list[UInt8Array]:
        request = asked(checkpoint="filling", steps=5, start=begun, **{"controls": nets, **changes})
        return [blobs.read_array(ref) for ref in Job(runner, request).run().images]

    (image,) = painted()
    outside = hole() == 0
    assert (image[outside] == photo()[outside]).all()
    assert (painted(controls=())[0] != image).any()
    variants = tuple(Variant(prompt="a cosy room", seed=seed) for seed in (1, 2))
    one_by_one, together = painted(variants=variants), painted(variants=variants, batch_size=3)
    assert (one_by_one[0] == image).all()
    for one, other in zip(one_by_one, together, strict=True):
        assert np.abs(one.astype(int) - other.astype(int)).max() <= 1


def test_a_checkpoint_for_inpainting_needs_a_mask(
    blobs: BlobStore, filling: Path, asked: Asked, start: Callable[..., Start]
) -> None:
    for begun in (None, start()):
        job = Job(make_runner(blobs, filling), asked(checkpoint="filling", controls=(), start=begun))
        with pytest.raises(InvalidRequest, match=r"made for inpainting.*start picture with a mask"):
            job.run()
        assert job.progress == []
