"""LoRAs in the transformer families: what diffusers' own loader makes of the same file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from family_models import build_lora
from family_stock import stock_picture
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.families import FamilyId
from underpaint.backend.worker.jobs import JobRunner
from underpaint.protocol.errors import AdapterMismatch, InvalidRequest, ModelBroken
from underpaint.protocol.request import GenerateRequest, Lora
from worker_runner import Job

Asked = Callable[..., GenerateRequest]
OFF: dict[str, dict[str, Any]] = {
    "sd3": {"guidance_scale": 1.0}, "flux": {"guidance_scale": 1.0}, "qwen_image": {},
    "z_image": {"guidance_scale": 0.0},
}  # fmt: skip


@pytest.fixture(scope="session")
def loras(models: Path) -> dict[str, Path]:
    (models / "loras").mkdir()
    return {
        family: build_lora(models, FamilyId(family), models / "loras" / f"of-{family}.safetensors") for family in OFF
    }


@pytest.mark.parametrize("family", OFF)
def test_a_lora_counts_as_diffusers_loader_has_it(
    family: str, loras: dict[str, Path], runner: JobRunner, models: Path, blobs: BlobStore, asked: Asked
) -> None:
    plain = asked(checkpoint=family, negative_prompt="", guidance_scale=1.0)
    named = asked(
        checkpoint=family, negative_prompt="", guidance_scale=1.0, loras=(Lora(lora=f"of-{family}", weight=0.7),)
    )
    before, ours, after = (
        blobs.read_array(Job(runner, request).run().images[0]).astype(int) for request in (plain, named, plain)
    )
    theirs = stock_picture(
        models, family, "", prompt="a cosy room", width=64, height=48, num_inference_steps=3, lora=(loras[family], 0.7),
        **OFF[family],
    ).astype(int)  # fmt: skip
    assert (ours != before).mean() > 0.02
    assert np.abs(ours - theirs).max() <= 1  # theirs adds up beside the weights, ours is fused into them
    np.testing.assert_array_equal(after, before)


def test_a_lora_of_another_family_is_refused(loras: dict[str, Path], runner: JobRunner, asked: Asked) -> None:
    for family, other in (("sd3", "flux"), ("qwen_image", "flux"), ("flux", "z_image"), ("z_image", "qwen_image")):
        with pytest.raises((AdapterMismatch, ModelBroken), match=f'"of-{other}"'):
            Job(runner, asked(checkpoint=family, loras=(Lora(lora=f"of-{other}"),))).run()


def test_a_lora_in_the_prompt_belongs_into_the_list(loras: dict[str, Path], runner: JobRunner, asked: Asked) -> None:
    prompt = "a cosy room <lora:of-flux:0.5>"
    with pytest.raises(InvalidRequest, match=r"Flux\.1 doesn't do LoRAs in the prompt here: put them into the list"):
        Job(runner, asked(checkpoint="flux", prompt=prompt)).run()
    Job(runner, asked(checkpoint="flux", prompt=prompt, plain_prompt=True)).run()
