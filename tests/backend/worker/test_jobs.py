"""Whole jobs in this process: the picture, its determinism, and what changes it."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.models import embedded
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.errors import (
    ControlNetNotChosen,
    InvalidRequest,
    InvalidSize,
    JobCancelled,
    ModelBroken,
    ModelMismatch,
    ModelMissing,
)
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import Phase
from underpaint.protocol.request import Control, ControlKind, ControlMapsRequest, GenerateRequest, Scheduler
from worker_runner import Job, make_runner
from worker_scene import depth_pass

Asked = Callable[..., GenerateRequest]


@pytest.fixture
def picture(runner: JobRunner, blobs: BlobStore) -> Callable[[GenerateRequest], UInt8Array]:
    def picture(request: GenerateRequest) -> UInt8Array:
        result = Job(runner, request).run()
        assert result.image is not None
        return blobs.read_array(result.image)

    return picture


Picture = Callable[[GenerateRequest], UInt8Array]


def scaled(controls: tuple[Control, ...], *scales: float) -> tuple[Control, ...]:
    return tuple(
        dataclasses.replace(control, conditioning_scale=scale) for control, scale in zip(controls, scales, strict=True)
    )


def test_a_job_leaves_a_picture_its_maps_and_its_timings(runner: JobRunner, blobs: BlobStore, asked: Asked) -> None:
    job = Job(runner, asked())
    result = job.run()
    assert result.image is not None
    image = blobs.read_array(result.image)
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert image.std() > 10
    assert [blobs.read_array(ref).shape for ref in result.control_maps] == [(64, 64, 3)] * 3
    phases = [timing.phase for timing in result.timings]
    assert phases == [Phase.CONDITIONING, Phase.LOAD, Phase.ENCODE, *[Phase.STEP] * 3, Phase.DECODE, Phase.STORE]
    assert all(timing.ms >= 0 for timing in result.timings)
    assert result.checkpoint.endswith(embedded.NAME)
    assert "float32" in result.plan
    assert {"torch", "diffusers"} <= set(result.versions)


def test_progress_and_previews(runner: JobRunner, asked: Asked) -> None:
    job = Job(runner, asked())
    job.run()
    assert job.steps == [1, 2, 3]
    fractions = [entry.fraction for entry in job.progress if entry.phase is not Phase.LOAD]
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1
    assert "UniPC, 3 steps, cpu, float32" in {entry.note for entry in job.progress}
    assert [preview.shape for preview in job.previews] == [(8, 8, 3)] * 3


def test_the_last_preview_looks_like_the_picture(picture: Picture, runner: JobRunner, asked: Asked) -> None:
    request = asked(steps=6)
    job = Job(runner, request)
    job.run()
    image = picture(request).reshape(8, 8, 8, 8, 3).mean(axis=(1, 3))
    preview = job.previews[-1].astype(float)
    assert np.corrcoef(image.ravel(), preview.ravel())[0, 1] > 0.8


def test_the_same_request_gives_the_same_bytes_whatever_came_between(picture: Picture, asked: Asked) -> None:
    first = picture(asked())
    picture(asked(seed=8, prompt="something else", controls=()))
    assert (picture(asked()) == first).all()


def test_what_influences_the_picture(picture: Picture, asked: Asked, controls: tuple[Control, ...]) -> None:
    base = picture(asked())
    for change in (
        {"seed": 8},
        {"prompt": "a red barn in the snow"},
        {"negative_prompt": "blue"},
        {"guidance_scale": 3.0},
        {"steps": 4},
        {"controls": scaled(controls, 0.0, 1.0, 1.0)},
        {"controls": scaled(controls, 1.0, 0.0, 1.0)},
        {"controls": scaled(controls, 1.0, 1.0, 0.0)},
        {"controls": ()},
    ):
        assert (picture(asked(**change)) != base).any(), change


def test_the_picture_shows_the_scene(picture: Picture, runner: JobRunner, blobs: BlobStore, asked: Asked) -> None:
    """Depth control makes near things light, wherever they are; without it nothing of the kind happens."""
    depth = asked(steps=6).controls[:1]
    result = Job(runner, ControlMapsRequest(size=Extent(width=64, height=64), controls=depth)).run()
    near = blobs.read_array(result.control_maps[0])[:, :, 0].astype(float)

    def likeness(image: UInt8Array) -> float:
        return float(np.corrcoef(near.ravel(), image.mean(axis=2).ravel())[0, 1])

    assert likeness(picture(asked(steps=6, controls=depth))) > 0.7
    assert abs(likeness(picture(asked(steps=6, controls=())))) < 0.5


def test_a_control_counts_in_its_window_only(picture: Picture, asked: Asked, controls: tuple[Control, ...]) -> None:
    def windowed(start: float, end: float) -> UInt8Array:
        depth = dataclasses.replace(controls[0], start=start, end=end)
        return picture(asked(steps=4, controls=(depth,)))

    whole, first_half, second_half = windowed(0, 1), windowed(0, 0.5), windowed(0.5, 1)
    assert (whole != first_half).any()
    assert (whole != second_half).any()
    assert (first_half != second_half).any()
    # A window between two steps holds none of them.
    assert (windowed(0.05, 0.2) == picture(asked(steps=4, controls=()))).all()


def test_a_control_of_scale_zero_costs_nothing_and_changes_nothing(
    picture: Picture, runner: JobRunner, asked: Asked, controls: tuple[Control, ...]
) -> None:
    without = asked(controls=controls[:2])
    silent = asked(controls=scaled(controls, 1.0, 1.0, 0.0))
    assert (picture(without) == picture(silent)).all()
    result = Job(runner, silent).run()
    assert len(result.control_maps) == 3


@pytest.mark.parametrize("scheduler", Scheduler)
@pytest.mark.parametrize("steps", [2, 5])  # a single step is no schedule for Euler and its kin
def test_every_scheduler_runs(
    runner: JobRunner, blobs: BlobStore, asked: Asked, scheduler: Scheduler, steps: int
) -> None:
    job = Job(runner, asked(scheduler=scheduler, steps=steps))
    result = job.run()
    assert result.image is not None
    assert blobs.read_array(result.image).std() > 5
    assert len(job.steps) >= steps
    assert job.steps[-1] == job.progress[-2].steps


@pytest.mark.parametrize("step", [1, 2])
def test_cancel_is_obeyed_within_a_step(runner: JobRunner, asked: Asked, step: int) -> None:
    job = Job(runner, asked(steps=5), cancel_at=step)
    with pytest.raises(JobCancelled):
        job.run()
    assert job.steps == list(range(1, step + 1))
    assert Job(runner, asked()).run().image is not None


def test_cancel_before_the_first_step(runner: JobRunner, asked: Asked) -> None:
    job = Job(runner, asked(), cancel_at=0)
    with pytest.raises(JobCancelled):
        job.run()
    assert job.progress == []


def test_hints_are_encoded_once_and_kept(runner: JobRunner, asked: Asked, controls: tuple[Control, ...]) -> None:
    hints = runner.caches.hints
    hints.clear()
    before = hints.encoded
    first = Job(runner, asked(steps=4)).run()
    assert hints.encoded == before + 3
    assert Job(runner, asked(steps=4)).run().image == first.image
    Job(runner, asked(prompt="another", seed=1, controls=scaled(controls, 0.5, 1.0, 0.0))).run()
    assert hints.encoded == before + 3
    hints.clear()
    assert Job(runner, asked(steps=4)).run().image == first.image
    assert hints.encoded == before + 6


def test_prompts_are_encoded_once(runner: JobRunner, asked: Asked) -> None:
    prompts = runner.caches.prompts
    Job(runner, asked(prompt="encoded once")).run()
    before = prompts.encoded
    Job(runner, asked(prompt="encoded once", seed=1)).run()
    assert prompts.encoded == before
    Job(runner, asked(prompt="encoded twice")).run()
    assert prompts.encoded == before + 1


def test_models_stay_between_jobs_and_swapping_a_controlnet_keeps_the_checkpoint(
    runner: JobRunner, asked: Asked, controls: tuple[Control, ...]
) -> None:
    def loaded(request: GenerateRequest) -> list[str]:
        job = Job(runner, request)
        job.run()
        return [entry.note for entry in job.progress if entry.phase is Phase.LOAD]

    runner.residents.clear()
    first = loaded(asked(controls=controls[:1]))
    assert [note for note in first if "unet" in note]
    assert loaded(asked(controls=controls[:1])) == []
    assert loaded(asked(controls=controls[1:2])) == ["Loading ControlNet normal"]
    assert loaded(asked(controls=controls[:1])) == []  # it was kept


def test_the_checkpoint_is_loaded_again_when_its_files_change(
    blobs: BlobStore, models: Path, tmp_path: Path, asked: Asked
) -> None:
    folder = Path(shutil.copytree(embedded.checkpoint(models), tmp_path / "mine"))
    runner = make_runner(blobs, tmp_path)
    request = asked(checkpoint="mine", controls=())
    before = Job(runner, request).run()
    assert before.checkpoint == str(folder)
    other = models / "embedded" / embedded.NAME / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(other.read_bytes())
    data[-4000:] = bytes(4000)
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(data)
    assert Job(runner, request).run().image != before.image


def test_control_maps_alone_load_no_model(blobs: BlobStore, models: Path, asked: Asked) -> None:
    runner = make_runner(blobs, models)
    request = asked()
    result = Job(runner, ControlMapsRequest(size=request.size, controls=request.controls)).run()
    assert result.image is None
    assert result.control_maps == Job(runner, request).run().control_maps


def test_sdxl_with_one_and_two_controls(picture: Picture, blobs: BlobStore, asked: Asked) -> None:
    depth = Control(
        kind=ControlKind.DEPTH, source=depth_pass(blobs, Extent(width=64, height=64)), controlnet="sdxl-depth"
    )
    lighter = dataclasses.replace(depth, conditioning_scale=0.5)
    pictures = [
        picture(asked(checkpoint="sdxl", controls=controls)) for controls in ((), (depth,), (depth, lighter), (depth,))
    ]
    assert pictures[0].shape == (64, 64, 3)
    assert (pictures[1] != pictures[0]).any()
    assert (pictures[2] != pictures[1]).any()
    assert (pictures[3] == pictures[1]).all()


def test_what_does_not_fit_is_refused_before_anything_is_loaded(
    blobs: BlobStore, models: Path, asked: Asked, controls: tuple[Control, ...]
) -> None:
    runner = make_runner(blobs, models)
    wrong = dataclasses.replace(controls[0], controlnet="sdxl-depth")
    for request, error in (
        (asked(controls=(wrong,)), ModelMismatch),
        (asked(checkpoint="nobody/nothing"), ModelMissing),
        (asked(checkpoint="sdxl"), ControlNetNotChosen),
        (asked(checkpoint="sdxl-depth"), ModelBroken),  # a ControlNet is no checkpoint
        (asked(size=Extent(width=100, height=64)), InvalidSize),
        (asked(size=Extent(width=0, height=64)), InvalidSize),
        (asked(steps=0), InvalidRequest),
        (asked(seed=-1), InvalidRequest),
        (asked(controls=(dataclasses.replace(controls[0], start=0.5, end=0.5),)), InvalidRequest),
    ):
        job = Job(runner, request)
        with pytest.raises(error):
            job.run()
        assert Phase.LOAD not in {entry.phase for entry in job.progress}


def test_the_nearest_size_is_named(runner: JobRunner, asked: Asked) -> None:
    with pytest.raises(InvalidSize, match="104 x 64"):
        Job(runner, asked(size=Extent(width=101, height=64))).run()


def test_a_picture_need_not_be_square(picture: Picture, asked: Asked) -> None:
    image = picture(asked(size=Extent(width=104, height=40), controls=()))
    assert image.shape == (40, 104, 3)
