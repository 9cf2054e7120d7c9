"""What a job tells and keeps while diffusers' own pipelines paint: progress, cancels, previews, notes, memory."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from family_stock import stock_picture
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.families import FAMILIES, FamilyId
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.memory import planner
from underpaint.backend.worker.memory.needs import Needs
from underpaint.backend.worker.memory.plan import Backend, Machine, Plan, Rung
from underpaint.backend.worker.sampling.previews import Previewer
from underpaint.protocol.arrays import ArrayRef
from underpaint.protocol.errors import JobCancelled
from underpaint.protocol.jobs import Phase
from underpaint.protocol.request import (
    Control,
    ControlKind,
    GenerateRequest,
    PlanRequest,
    Scheduler,
    Sigmas,
    Start,
    Variant,
)
from underpaint.protocol.sources import ReadyMap
from worker_runner import Job, make_runner

Asked = Callable[..., GenerateRequest]
NETS = {"sd3": "sd3-depth", "flux": "flux-union", "qwen_image": "qwen-union", "z_image": "z-union"}
SPREADS = (Sigmas.DEFAULT, Sigmas.KARRAS, Sigmas.EXPONENTIAL, Sigmas.BETA)
each_family = pytest.mark.parametrize("family", NETS)


@pytest.fixture
def control(picture: ArrayRef) -> Callable[[str], Control]:
    return lambda family: Control(kind=ControlKind.DEPTH, source=ReadyMap(image=picture), controlnet=NETS[family])


Shown = Callable[[str], Control]


@each_family
def test_every_picture_of_a_job_is_what_it_is_alone(
    family: str, runner: JobRunner, blobs: BlobStore, asked: Asked, control: Shown
) -> None:
    variants = (Variant(prompt="a red chair", seed=8), Variant(prompt="a cosy room", negative_prompt="blurry", seed=9))
    whole = asked(checkpoint=family, controls=(control(family),), variants=variants, batch_size=2)
    job = Job(runner, whole)
    pictures = [blobs.read_array(image) for image in job.run().images]
    for picture, variant in zip(pictures[1:], variants, strict=True):
        alone = replace(
            whole, prompt=variant.prompt, negative_prompt=variant.negative_prompt, seed=variant.seed, variants=()
        )
        np.testing.assert_array_equal(blobs.read_array(Job(runner, alone).run().images[0]), picture)
    assert [(entry.picture, entry.step) for entry in job.progress if entry.phase is Phase.STEP] == [
        (picture, step) for picture in (1, 2, 3) for step in (1, 2, 3)
    ]
    fractions = [entry.fraction for entry in job.progress]
    assert fractions == sorted(fractions)
    assert job.result is not None
    assert (
        f"{FAMILIES[FamilyId(family)].title} paints its pictures one by one, whatever the batch size."
        in job.result.notes
    )


@each_family
def test_a_cancel_is_heard_within_a_step_and_leaves_the_models_fit(
    family: str, runner: JobRunner, blobs: BlobStore, asked: Asked, control: Shown
) -> None:
    request = asked(checkpoint=family, controls=(control(family),), steps=6)
    before = blobs.read_array(Job(runner, request).run().images[0])
    job = Job(runner, request, cancel_at=2)
    with pytest.raises(JobCancelled):
        job.run()
    assert job.steps == [1, 2]
    np.testing.assert_array_equal(blobs.read_array(Job(runner, request).run().images[0]), before)


@each_family
def test_previews_where_the_colours_of_the_latents_are_known(family: str, runner: JobRunner, asked: Asked) -> None:
    job = Job(runner, asked(checkpoint=family))
    job.run()
    expected = [(6, 8, 3)] * 3 if FAMILIES[FamilyId(family)].latent_rgb else []
    assert [preview.shape for preview in job.previews] == expected


@pytest.mark.parametrize("family", ["sd3", "flux", "z_image"])
def test_the_last_preview_is_of_the_finished_latents(
    family: str, runner: JobRunner, models: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the latents are packed: the estimate after the last step is what is decoded."""
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(Previewer, "show", lambda _self, estimate, _index: seen.append(estimate[0].clone()))
    Job(runner, asked(checkpoint=family, negative_prompt="", guidance_scale=1.0)).run()
    scale = {"sd3": 1.0, "flux": 1.0, "z_image": 0.0}[family]
    latents = stock_picture(
        models, family, "", prompt="a cosy room", width=64, height=48, num_inference_steps=3, guidance_scale=scale,
        output_type="latent",
    )  # fmt: skip
    if family == "flux":
        packed = torch.from_numpy(latents)[None]
        latents = diffusers.FluxPipeline._unpack_latents(packed, 48, 64, 8)[0].numpy()
    assert len(seen) == 3
    np.testing.assert_allclose(seen[-1].numpy(), latents, atol=1e-5)


def test_what_was_not_as_asked_for_is_noted(runner: JobRunner, asked: Asked) -> None:
    def notes(**changes: object) -> tuple[str, ...]:
        result = Job(runner, asked(**changes)).run()
        return result.notes

    assert notes(checkpoint="sd3") == ()
    assert notes(checkpoint="sd3", scheduler=Scheduler.UNIPC) == (
        "Stable Diffusion 3.5 was painted with flow-match Euler, which it is trained for.",
    )
    assert notes(checkpoint="flux") == ("Flux.1 doesn't listen to a negative prompt.",)
    assert notes(checkpoint="schnell", negative_prompt="") == (
        "This checkpoint paints without guidance, so the guidance scale counted for nothing.",
    )
    assert notes(checkpoint="schnell", negative_prompt="", guidance_scale=1.0) == ()


@each_family
def test_nothing_is_loaded_for_a_start_picture_that_stays_as_it_is(
    family: str, models: Path, blobs: BlobStore, asked: Asked, picture: ArrayRef
) -> None:
    fresh = make_runner(blobs, models)
    result = Job(fresh, asked(checkpoint=family, start=Start(image=picture, strength=0.0))).run()
    np.testing.assert_array_equal(blobs.read_array(result.images[0]), blobs.read_array(picture))
    assert fresh.residents.held_bytes == 0


@each_family
def test_a_scale_of_zero_goes_without_the_net(
    family: str, runner: JobRunner, blobs: BlobStore, asked: Asked, control: Shown
) -> None:
    off = replace(control(family), conditioning_scale=0.0)
    with_net = Job(runner, asked(checkpoint=family, controls=(off,))).run()
    without = Job(runner, asked(checkpoint=family)).run()
    np.testing.assert_array_equal(blobs.read_array(with_net.images[0]), blobs.read_array(without.images[0]))


def test_sigmas_are_spread_as_asked(runner: JobRunner, blobs: BlobStore, asked: Asked) -> None:
    for family in NETS:
        pictures = {
            sigmas: blobs.read_array(Job(runner, asked(checkpoint=family, sigmas=sigmas)).run().images[0]).tobytes()
            for sigmas in SPREADS
        }
        assert len(set(pictures.values())) == len(SPREADS), family


# ---------------------------------------------------------------------------------------------- memory


LADDER = {  # the rung, what is streamed, and whether the device has memory of its own
    "resident": (Rung.RESIDENT, (), False),
    "read anew": (Rung.PHASED, (), False),
    "on shelves": (Rung.PHASED, (), True),
    "nets streamed": (Rung.STREAMED, ("nets",), True),
    "streamed": (Rung.STREAMED, ("nets", "unet"), True),
    "sequential": (Rung.SEQUENTIAL, (), True),
}


@pytest.mark.parametrize("rung", LADDER)
@pytest.mark.parametrize("net", [*NETS.values(), "sd3-large"])
def test_every_rung_of_the_ladder_gives_the_same_bytes(
    net: str, rung: str, models: Path, blobs: BlobStore, asked: Asked, runner: JobRunner, picture: ArrayRef,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Main memory stands in for a device's own; nets that borrow from the transformer are among them."""
    family = next((family for family, chosen in NETS.items() if chosen == net), "sd3")
    control = Control(kind=ControlKind.DEPTH, source=ReadyMap(image=picture), controlnet=net)
    request = asked(checkpoint=family, controls=(control,), variants=(Variant(prompt="a chair", seed=3),))
    expected = [blobs.read_array(image) for image in Job(runner, request).run().images]
    wanted, streamed, apart = LADDER[rung]
    ladder = planner._rungs

    def only(needs: Needs, machine: Machine, *rest: Any) -> list[Plan]:
        machine = replace(machine, backend=Backend.CUDA) if apart else machine
        return [plan for plan in ladder(needs, machine, *rest) if (plan.rung, plan.streamed) == (wanted, streamed)]

    monkeypatch.setattr(planner, "_rungs", only)
    fresh = make_runner(blobs, models)
    for _ in range(2):  # the second time with models that are there
        images = Job(fresh, request).run().images
        assert len(images) == 2
        for image, before in zip(images, expected, strict=True):
            np.testing.assert_array_equal(blobs.read_array(image), before)


@each_family
def test_a_plan_is_told_from_headers(family: str, runner: JobRunner, asked: Asked, control: Shown) -> None:
    answer = Job(runner, PlanRequest(picture=asked(checkpoint=family, controls=(control(family),)))).run()
    assert answer.plan.startswith(f"{FAMILIES[FamilyId(family)].short} + 1 ControlNet in ")
    assert answer.images == ()
