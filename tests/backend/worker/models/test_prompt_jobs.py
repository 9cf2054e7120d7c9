"""Whole jobs with LoRAs, textual inversions, weights, long prompts and clip skip."""

import shutil
from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from lora_files import lora, stock, unet_layers, write_kohya
from safetensors.torch import load_file, save_file
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.models.inspection import CheckpointInfo, inspect_checkpoint
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.errors import AdapterMismatch, InvalidRequest, ModelMissing
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobResult
from underpaint.protocol.models import ModelKind
from underpaint.protocol.request import Embedding, GenerateRequest, Lora, PlanRequest, Precision, Variant
from worker_runner import Job, make_runner

PROMPT = "a cosy room"


@pytest.fixture(scope="module")
def sd15(models: Path) -> CheckpointInfo:
    return inspect_checkpoint(next((models / "embedded").iterdir()), "")


@pytest.fixture(scope="module")
def folder(models: Path, sd15: CheckpointInfo) -> Path:
    """The models folder, with two LoRAs and two textual inversions more in it."""
    lora(sd15, models / "loras" / "first.safetensors", "kohya", conv=True)
    lora(sd15, models / "loras" / "Second One.safetensors", "peft", seed=20)
    (models / "embeddings").mkdir()
    generator = torch.Generator().manual_seed(0)
    save_file({"emb_params": torch.randn(3, 64, generator=generator)}, models / "embeddings" / "moody.safetensors")
    halves = {name: torch.randn(2, 32, generator=generator) for name in ("clip_l", "clip_g")}
    save_file(halves, models / "embeddings" / "bright.safetensors")
    return models


@pytest.fixture(scope="module")
def paint(folder: Path, blobs: BlobStore) -> Callable[..., tuple[JobResult, UInt8Array]]:
    """A job by one runner, which keeps its models, and its first picture."""
    runner = make_runner(blobs, folder)

    def run(prompt: str = PROMPT, *, on: JobRunner = runner, **changes: object) -> tuple[JobResult, UInt8Array]:
        fields: dict[str, object] = {"size": Extent(width=64, height=64), "steps": 2, "seed": 7, **changes}
        result = Job(on, GenerateRequest(prompt=prompt, **fields)).run()  # type: ignore[arg-type]
        assert result.image is not None
        return result, blobs.read_array(result.image)

    return run


def same(first: tuple[JobResult, UInt8Array], second: tuple[JobResult, UInt8Array]) -> bool:
    return bool(np.array_equal(first[1], second[1]))


Paint = Callable[..., tuple[JobResult, UInt8Array]]


def test_a_lora_does_the_same_in_the_prompt_and_in_the_list(paint: Paint) -> None:
    plain = paint()
    listed = paint(loras=(Lora(lora="first", weight=0.7),))
    assert not same(listed, plain)
    assert same(paint(f"{PROMPT} <lora:first:0.7>"), listed)
    assert same(paint(f"<lyco:first.safetensors:0.3>{PROMPT}", loras=(Lora(lora="loras/first", weight=0.4),)), listed)
    assert same(paint(PROMPT, loras=(Lora(lora="first", weight=0.7, text_weight=0.7),)), listed)
    apart = paint(f"{PROMPT} <lora:first:0.1:0.7>")
    assert not same(apart, listed)
    assert same(paint(loras=(Lora(lora="first", weight=0.7, text_weight=0.1),)), apart)
    two = paint(f"{PROMPT} <lora:first:0.7><lora:second one:-0.5>".replace("second one", "Second One"))
    assert not same(two, listed)


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")  # peft, of the second
def test_a_picture_with_loras_is_diffusers_own(paint: Paint, folder: Path, sd15: CheckpointInfo) -> None:
    """To the rounding of its last bit, through the whole of both programs."""
    files = {"first": 0.7, "Second One": -0.5}
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(sd15.folder, dtype=torch.float32)
    pipeline.scheduler = diffusers.UniPCMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    for number, name in enumerate(files):
        pipeline.load_lora_weights(load_file(folder / "loras" / f"{name}.safetensors"), adapter_name=f"adapter{number}")
    pipeline.set_adapters(["adapter0", "adapter1"], list(files.values()))
    expected = pipeline(
        PROMPT, height=64, width=64, num_inference_steps=4, generator=torch.Generator("cpu").manual_seed(7),
        output_type="np",
    ).images[0]  # fmt: skip
    tags = "".join(f"<lora:{name}:{weight}>" for name, weight in files.items())
    _, picture = paint(f"{PROMPT} {tags}", steps=4, precision=Precision.FLOAT32)
    assert np.abs(picture - expected * 255).max() <= 0.51
    assert not same(paint(steps=4, precision=Precision.FLOAT32), (paint(steps=4)[0], picture))


def test_a_removed_lora_leaves_nothing_behind(paint: Paint, folder: Path, blobs: BlobStore) -> None:
    """Nor does one of weight 0, of whichever sort of weight; whatever was painted before."""
    plain = paint()
    with_first = paint(loras=(Lora(lora="first"),))
    paint(loras=(Lora(lora="Second One", weight=2),))
    assert same(paint(), plain)
    assert same(paint(loras=(Lora(lora="first", weight=0),)), plain)
    assert same(paint(f"{PROMPT} <lora:first:0.5><lora:first:-0.5>"), plain)
    assert same(paint(loras=(Lora(lora="first"),)), with_first)
    fresh = make_runner(blobs, folder)
    assert same(paint(on=fresh, loras=(Lora(lora="first"),)), with_first)
    assert same(paint(on=fresh), plain)


def test_a_lora_that_changes_on_disk_counts_from_the_next_job_on(paint: Paint, folder: Path) -> None:
    """Though it has the same name, size and weight."""
    file = folder / "loras" / "changing.safetensors"
    before = (folder / "loras" / "first.safetensors").read_bytes()
    turned = {key: -each if "up" in key else each for key, each in load_file(file.with_stem("first")).items()}
    file.write_bytes(before)
    first = paint(loras=(Lora(lora="changing"),))
    save_file(turned, file)
    assert file.stat().st_size == len(before)
    second = paint(loras=(Lora(lora="changing"),))
    assert not same(second, first)
    assert second[0].models[-1].sha256 != first[0].models[-1].sha256
    file.unlink()


def test_an_inversion_that_brings_its_word_is_taken_once(paint: Paint, folder: Path) -> None:
    """Its file's name is in its word, and the file in a folder whose names call up by themselves."""
    file = folder / "embeddings" / "tomcat.safetensors"
    save_file({"<tomcat>": torch.ones(2, 64)}, file)
    result, _ = paint(f"{PROMPT}, <tomcat>", embeddings=(Embedding(embedding="tomcat"),))
    assert [model.reference for model in result.models if model.kind is ModelKind.EMBEDDING] == ["tomcat"]
    file.unlink()


def test_only_what_a_lora_changes_is_loaded_anew(folder: Path, blobs: BlobStore, paint: Paint) -> None:
    runner = make_runner(blobs, folder)
    paint(on=runner)
    before = runner.residents.held_bytes

    def held() -> dict[str, int]:
        return {str(place): id(entry.keeper.module) for place, entry in runner.residents._held.items()}

    plain = held()
    paint(on=runner, loras=(Lora(lora="first", weight=0.5),))
    fused = held()
    assert {place for place, module in fused.items() if plain[place] == module} == {
        place for place in plain if "vae" in place
    }
    paint(on=runner, loras=(Lora(lora="first", weight=0.5, text_weight=0.2),))
    changed = {place for place, module in held().items() if fused[place] != module}
    assert len(changed) == 1
    assert "text_encoder" in changed.pop()
    assert runner.residents.held_bytes == before


def test_what_a_lora_leaves_unused_is_told_and_used_models_are_named(
    paint: Paint, folder: Path, sd15: CheckpointInfo
) -> None:
    layers = unet_layers(stock(sd15).unet)
    nowhere = {f"lora_unet_nowhere.lora_{half}.weight": torch.zeros(2, 2) for half in ("down", "up")}
    file = write_kohya(folder / "loras" / "strange.safetensors", {"lora_unet_": layers}, extra=nowhere)
    result, _ = paint(f"{PROMPT} <lora:strange>, moody")
    assert any(f'1 of the {len(layers) + 1} layers of the LoRA "strange"' in note for note in result.notes), (
        result.notes
    )
    used = {(model.kind, model.title) for model in result.models}
    assert (ModelKind.LORA, "strange") in used
    assert (ModelKind.EMBEDDING, "moody") in used
    file.unlink()


def test_sdxl_takes_loras_and_inversions_too(paint: Paint, folder: Path) -> None:
    info = inspect_checkpoint(folder / "sdxl", "sdxl")
    lora(info, folder / "loras" / "large.safetensors", "sgm")
    options = {"checkpoint": "sdxl", "guidance_scale": 5.0}
    plain = paint(**options)
    assert not same(paint(f"{PROMPT} <lora:large:0.8>", **options), plain)
    assert not same(paint(f"bright {PROMPT}", **options), paint(f"brigh {PROMPT}", **options))
    assert same(paint(**options), plain)
    with pytest.raises(AdapterMismatch) as refused:
        paint(f"{PROMPT} <lora:large:0.8>")
    assert "Stable Diffusion XL" in str(refused.value)


def test_inversions_count_in_both_prompts_and_are_gone_with_them(paint: Paint) -> None:
    plain, other = paint(), paint(f"{PROMPT}, mood")
    positive = paint(f"{PROMPT}, moody")
    negative = paint(negative_prompt="(Moody:1.2)")
    assert len({picture.tobytes() for _, picture in (plain, other, positive, negative)}) == 4
    assert same(paint(f"{PROMPT}, embedding:moody"), positive)
    assert same(paint(f"{PROMPT}, MyWord", embeddings=(Embedding(embedding="moody", token="myword"),)), positive)
    elsewhere = paint(f"{PROMPT}, MyWord", embeddings=(Embedding(embedding="moody", token="another"),))
    assert not same(elsewhere, positive)  # the same prompt and the same file, under another word
    assert not same(paint(f"{PROMPT}, moody", plain_prompt=True), positive)
    assert same(paint(f"{PROMPT}, moody", plain_prompt=True, embeddings=(Embedding(embedding="moody"),)), positive)
    assert same(paint(), plain)


def test_weights_long_prompts_and_clip_skip_change_the_picture(paint: Paint) -> None:
    plain = paint()
    heavier = paint("a (cosy:1.5) room")
    assert not same(heavier, plain)
    assert same(paint("a (cosy:1.0) room"), plain)
    assert same(paint("a (cosy:1.0) room", plain_prompt=True), paint(r"a \(cosy:1.0\) room"))
    skipped = paint(clip_skip=1)
    assert not same(skipped, plain)
    long = paint(PROMPT + " word" * 60)
    assert not same(long, paint(PROMPT + " word" * 59 + " wore"))  # nothing is cut off
    assert same(paint(), plain)


def test_pictures_of_several_lengths_are_painted_together(paint: Paint, blobs: BlobStore) -> None:
    """As alone, up to how a batch rounds: to attention a text that is repeated is the same text."""
    prompts = [PROMPT, PROMPT + " word" * 30, PROMPT + " word" * 55]
    alone = [paint(prompt)[1] for prompt in prompts]
    variants = tuple(Variant(prompt=prompt, seed=7) for prompt in prompts[1:])
    result, _ = paint(prompts[0], variants=variants, batch_size=3)
    for picture, expected in zip(result.images, alone, strict=True):
        difference = np.abs(blobs.read_array(picture).astype(int) - expected)
        assert difference.max() <= 2
    assert not np.array_equal(alone[1], alone[2])


def test_lengths_that_do_not_go_together_are_told(paint: Paint) -> None:
    result, _ = paint("a " * 75 * 9, negative_prompt="b " * 75 * 8, steps=1)
    assert any("repeating parts" in note for note in result.notes)
    result, _ = paint("a " * 75 * 9, negative_prompt="b " * 75 * 3, steps=1)
    assert not result.notes


def test_what_other_programs_do_is_told_in_notes(paint: Paint) -> None:
    result, _ = paint("[a cat:a dog:0.5] AND a hat", negative_prompt="bad <lora:first>")
    told = " ".join(result.notes)
    assert "Prompt editing" in told
    assert "AND" in told
    assert "negative prompt do nothing" in told


@pytest.mark.parametrize(
    ("changes", "error", "word"),
    [
        ({"prompt": "a <lora:frist>"}, ModelMissing, "did you mean first"),
        ({"prompt": "a <lora:>"}, InvalidRequest, "names no LoRA"),
        ({"prompt": "a embedding:nothing"}, ModelMissing, "no textual inversion"),
        ({"loras": (Lora(lora="no such"),)}, ModelMissing, "no LoRA"),
        ({"clip_skip": 2}, InvalidRequest, "1 can be left out"),
        ({"variants": (Variant(prompt="b <lora:first>", seed=1),)}, InvalidRequest, "different LoRAs"),
        ({"prompt": "(" * 10_000 + "a" + ")" * 10_000}, InvalidRequest, "Use fewer brackets"),
    ],
)
def test_mistakes_are_told_before_anything_loads(
    changes: dict[str, object], error: type[Exception], word: str, folder: Path, blobs: BlobStore
) -> None:
    runner = make_runner(blobs, folder)
    request = GenerateRequest(**{"prompt": PROMPT, "size": Extent(width=64, height=64), **changes})  # type: ignore[arg-type]
    for asked in (request, PlanRequest(picture=request)):
        with pytest.raises(error) as told:
            Job(runner, asked).run()
        assert word in str(told.value)
    assert not runner.residents._held


def test_thirty_two_loras_at_once(paint: Paint, folder: Path) -> None:
    names = [f"many{number}" for number in range(32)]
    for name in names:
        shutil.copy(folder / "loras" / "first.safetensors", folder / "loras" / f"{name}.safetensors")
    weights = (0.02,) * 32
    listed = tuple(Lora(lora=name, weight=weight) for name, weight in zip(names, weights, strict=True))
    result, painted = paint(loras=listed)
    assert len([model for model in result.models if model.kind is ModelKind.LORA]) == 32
    once = paint(loras=(Lora(lora="first", weight=0.64),))
    assert np.abs(once[1].astype(int) - painted).max() <= 1
    with pytest.raises(InvalidRequest, match="at most 32"):
        paint(loras=(*listed, Lora(lora="first")))
