"""IP-Adapters: beside diffusers' own, with controls and batches, in windows, and what is refused."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from tiny_adapters import write_adapter, write_encoder
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.models import embedded
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.errors import AdapterMismatch, ModelBroken, ModelMissing
from underpaint.protocol.geometry import Extent
from underpaint.protocol.models import ModelKind
from underpaint.protocol.request import (
    Control,
    ControlKind,
    GenerateRequest,
    ImagePrompt,
    PlanRequest,
    Scheduler,
    Variant,
)
from underpaint.protocol.sources import ReadyMap
from worker_runner import Job, make_runner

Asked = Callable[..., GenerateRequest]
Painted = Callable[[GenerateRequest], list[UInt8Array]]

SIZE = Extent(width=64, height=64)
BUILDS = ("plain", "plus", "full")


def picture(seed: int, height: int = 60, width: int = 45) -> UInt8Array:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="session")
def adapters(models: Path) -> Path:
    """`ip` with an adapter of each build and their image encoder, laid out as h94/IP-Adapter; `ip-xl` for SDXL."""
    for build in (*BUILDS, "faceid"):
        write_adapter(models / "ip" / f"{build}.safetensors", embedded.checkpoint(models) / "unet", build)  # type: ignore[arg-type]
    write_encoder(models / "ip" / "image_encoder")
    write_adapter(models / "ip-xl" / "plain.safetensors", models / "sdxl" / "unet")
    write_encoder(models / "ip-xl" / "image_encoder")
    return models


@pytest.fixture
def painted(runner: JobRunner, blobs: BlobStore) -> Painted:
    return lambda request: [blobs.read_array(ref) for ref in Job(runner, request).run().images]


@pytest.fixture
def prompt(adapters: Path, blobs: BlobStore) -> Callable[..., ImagePrompt]:
    def prompt(adapter: str = "ip/plain.safetensors", seed: int = 1, **changes: Any) -> ImagePrompt:
        return ImagePrompt(adapter=adapter, image=blobs.write_array(picture(seed)), **changes)

    return prompt


def apart(one: UInt8Array, other: UInt8Array) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


# ---------------------------------------------------------------------------------------------- the oracle


def stock(models: Path, checkpoint: Path, control: UInt8Array, prompts: list[ImagePrompt], read: Any) -> UInt8Array:
    """diffusers' own pipeline with `load_ip_adapter`, as its documentation has it."""
    xl = checkpoint.name == "sdxl"
    net = models / "sdxl-depth" if xl else embedded.controlnet(models, ControlKind.CANNY)
    name = "StableDiffusionXLControlNetPipeline" if xl else "StableDiffusionControlNetPipeline"
    options: dict[str, Any] = {"add_watermarker": False} if xl else {"safety_checker": None}
    folder = models / ("ip-xl" if xl else "ip")
    texts = {"text_encoder": transformers.CLIPTextModel}
    if xl:
        texts["text_encoder_2"] = transformers.CLIPTextModelWithProjection
    for part, text_class in texts.items():
        tokenizer = part.replace("text_encoder", "tokenizer")
        options[part] = text_class.from_pretrained(checkpoint / part, dtype=torch.float32)
        options[tokenizer] = transformers.CLIPTokenizer.from_pretrained(checkpoint / tokenizer)
    pipeline = getattr(diffusers, name)(
        unet=diffusers.UNet2DConditionModel.from_pretrained(checkpoint / "unet", dtype=torch.float32),
        vae=diffusers.AutoencoderKL.from_pretrained(checkpoint / "vae", dtype=torch.float32),
        scheduler=diffusers.DDIMScheduler.from_pretrained(checkpoint / "scheduler"),
        controlnet=diffusers.ControlNetModel.from_pretrained(net, dtype=torch.float32),
        image_encoder=transformers.CLIPVisionModelWithProjection.from_pretrained(
            folder / "image_encoder", dtype=torch.float32
        ),
        feature_extractor=transformers.CLIPImageProcessor(size=32, crop_size=32),
        **options,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_ip_adapter(
        str(folder), subfolder="", weight_name=[Path(each.adapter).name for each in prompts], image_encoder_folder=None
    )
    pipeline.set_ip_adapter_scale([each.scale for each in prompts])
    images = pipeline(
        prompt="a cosy room",
        negative_prompt="dull",
        image=Image.fromarray(control),
        height=SIZE.height,
        width=SIZE.width,
        num_inference_steps=4,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(7),
        ip_adapter_image=[Image.fromarray(read(each.image)) for each in prompts],
        output_type="np",
    ).images
    return (images[0] * 255).round().astype(np.uint8)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
@pytest.mark.parametrize("builds", [("plain",), ("plus",), ("full",), ("plain", "plus")])
def test_pictures_are_those_of_diffusers(
    prompt: Any, adapters: Path, painted: Painted, blobs: BlobStore, builds: tuple[str, ...], family: str
) -> None:
    if family == "sdxl" and builds != ("plain",):
        pytest.skip("one adapter is enough to see that SDXL's attentions are counted in their order")
    folder = "ip-xl" if family == "sdxl" else "ip"
    prompts = [prompt(f"{folder}/{build}.safetensors", seed=seed, scale=0.8) for seed, build in enumerate(builds)]
    control = np.repeat(np.where(picture(4, 64, 64)[:, :, :1] > 127, 255, 0), 3, axis=2).astype(np.uint8)
    kind = ControlKind.DEPTH if family == "sdxl" else ControlKind.CANNY
    request = GenerateRequest(
        prompt="a cosy room",
        negative_prompt="dull",
        checkpoint="sdxl" if family == "sdxl" else "",
        size=SIZE,
        controls=(
            Control(
                kind=kind,
                source=ReadyMap(image=blobs.write_array(control)),
                controlnet="sdxl-depth" if family == "sdxl" else "",
            ),
        ),
        steps=4,
        guidance_scale=5.0,
        scheduler=Scheduler.DDIM,
        seed=7,
        image_prompts=tuple(prompts),
    )
    ours = painted(request)[0]
    checkpoint = adapters / "sdxl" if family == "sdxl" else embedded.checkpoint(adapters)
    theirs = stock(adapters, checkpoint, control, prompts, blobs.read_array)
    without = painted(dataclasses.replace(request, image_prompts=()))[0]
    assert apart(ours, theirs) <= 1
    assert (ours != theirs).mean() < 0.01
    assert apart(ours, without) > 8  # so it was no feat to agree


# ---------------------------------------------------------------------------------------------- scale and window


def test_a_scale_of_0_is_no_image_prompt_to_the_bit_and_loads_nothing(
    prompt: Any, painted: Painted, asked: Asked, runner: JobRunner
) -> None:
    without = painted(asked())[0]
    encoded = runner.caches.images.encoded
    result = Job(runner, asked(image_prompts=(prompt(scale=0.0),))).run()
    assert painted(asked(image_prompts=(prompt(scale=0.0),)))[0].tobytes() == without.tobytes()
    assert runner.caches.images.encoded == encoded
    assert ModelKind.IP_ADAPTER not in {model.kind for model in result.models}


def test_a_window_is_without_it_until_then(prompt: Any, painted: Painted, asked: Asked, runner: JobRunner) -> None:
    late = asked(steps=4, image_prompts=(prompt(scale=1.0, start=0.5),))
    whole = asked(steps=4, image_prompts=(prompt(scale=1.0),))
    without = asked(steps=4)
    previews = [[preview.tobytes() for preview in _previews(runner, each)] for each in (without, late, whole)]
    assert previews[1][:2] == previews[0][:2]
    assert previews[1][2:] != previews[0][2:]
    assert previews[1][:1] != previews[2][:1]


def _previews(runner: JobRunner, request: GenerateRequest) -> list[UInt8Array]:
    job = Job(runner, request)
    job.run()
    return job.previews


def test_pictures_of_a_batch_guess_mode_and_no_guidance(prompt: Any, painted: Painted, asked: Asked) -> None:
    more = tuple(Variant(prompt="a garden", seed=seed) for seed in (3, 4))
    controls = asked().controls
    guessing = (dataclasses.replace(controls[0], guess_mode=True), *controls[1:])
    for changes in ({}, {"guidance_scale": 1.0}, {"controls": guessing}):
        base = asked(variants=more, image_prompts=(prompt(), prompt("ip/plus.safetensors", seed=2)), **changes)
        alone, together = painted(base), painted(dataclasses.replace(base, batch_size=3))
        assert all(apart(one, other) <= 1 for one, other in zip(alone, together, strict=True))
        assert apart(alone[0], painted(dataclasses.replace(base, image_prompts=()))[0]) > 1


def test_a_picture_is_encoded_once_for_all_jobs(prompt: Any, asked: Asked, runner: JobRunner) -> None:
    cache = runner.caches.images
    before = cache.encoded
    first, again = (Job(runner, asked(seed=seed, image_prompts=(prompt(seed=77),))).run() for seed in (1, 2))
    assert cache.encoded == before + 1
    assert first.image != again.image
    Job(runner, asked(image_prompts=(prompt(seed=78),))).run()
    assert cache.encoded == before + 2


def test_the_record_names_adapter_and_encoder(prompt: Any, asked: Asked, runner: JobRunner) -> None:
    kinds = [model.kind for model in Job(runner, asked(image_prompts=(prompt(),))).run().models]
    assert kinds.count(ModelKind.IP_ADAPTER) == kinds.count(ModelKind.IMAGE_ENCODER) == 1


# ---------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("rung", ["PHASED", "STREAMED", "SEQUENTIAL"])
def test_every_rung_gives_the_same_picture(
    rung: str, prompt: Any, painted: Painted, asked: Asked, models: Path, blobs: BlobStore, monkeypatch: Any
) -> None:
    from underpaint.backend.worker.memory import planner
    from underpaint.backend.worker.memory.plan import Rung

    request = asked(image_prompts=(prompt("ip/plus.safetensors"),))
    resident = painted(request)[0]
    made = planner.make_plan

    def forced(*args: Any, **options: Any) -> Any:
        return dataclasses.replace(made(*args, **options), rung=Rung[rung], streamed=("nets", "unet"))

    monkeypatch.setattr(planner, "make_plan", forced)
    result = Job(make_runner(blobs, models), request).run()
    assert blobs.read_array(result.images[0]).tobytes() == resident.tobytes()


def test_the_plan_counts_adapter_and_encoder(prompt: Any, asked: Asked, runner: JobRunner, models: Path) -> None:
    from underpaint.backend.worker.inspecting import inspect

    def weights(request: GenerateRequest) -> int:
        inspected = inspect(request, models=models, announce=lambda _: None)
        return runner.planned(request, inspected).needs.weights()

    counted = weights(asked(image_prompts=(prompt(),))) - weights(asked())
    files = (models / "ip" / "plain.safetensors", models / "ip" / "image_encoder" / "model.safetensors")
    # two of one adapter are one
    assert weights(asked(image_prompts=(prompt(), prompt(seed=2)))) - weights(asked()) == counted
    assert counted == sum(tensor.numel() for file in files for tensor in load_file(file).values())
    Job(runner, PlanRequest(picture=asked(image_prompts=(prompt(),)))).run()


# ---------------------------------------------------------------------------------------------- what is refused


def refused(runner: JobRunner, request: GenerateRequest, error: type[Exception]) -> str:
    held = len(runner.residents._held)
    with pytest.raises(error) as caught:
        Job(runner, request).run()
    assert len(runner.residents._held) == held
    return str(caught.value)


def test_an_adapter_of_another_family_is_named_before_anything_loads(
    prompt: Any, asked: Asked, runner: JobRunner
) -> None:
    said = refused(runner, asked(image_prompts=(prompt("ip-xl/plain.safetensors"),)), AdapterMismatch)
    assert "ip-xl/plain.safetensors" in said
    assert "Stable Diffusion 1.5" in said


def test_faceid_files_that_are_none_and_folders_with_several(
    prompt: Any, asked: Asked, runner: JobRunner, models: Path
) -> None:
    assert "InsightFace" in refused(runner, asked(image_prompts=(prompt("ip/faceid.safetensors"),)), ModelBroken)
    other = "ip/image_encoder/model.safetensors"
    assert "no IP-Adapter" in refused(runner, asked(image_prompts=(prompt(other),)), ModelBroken)
    assert "full.safetensors, plain.safetensors, plus.safetensors" in refused(
        runner, asked(image_prompts=(prompt("ip"),)), ModelMissing
    )
    assert "no such IP-Adapter" in refused(runner, asked(image_prompts=(prompt("nowhere"),)), ModelMissing)


def test_an_adapter_without_its_encoder_says_where_it_goes(
    prompt: Any, asked: Asked, runner: JobRunner, models: Path, adapters: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((models / "ip" / "plain.safetensors").read_bytes())
    said = refused(runner, asked(image_prompts=(prompt(str(alone)),)), ModelMissing)
    assert "image_encoder" in said
    assert "24 wide" in said
    given = prompt(str(alone), image_encoder="ip/image_encoder")
    Job(runner, asked(image_prompts=(given,))).run()
    wrong = prompt(str(alone), image_encoder="sdxl/unet")
    assert "unet/model.safetensors" in refused(runner, asked(image_prompts=(wrong,)), ModelMissing)
