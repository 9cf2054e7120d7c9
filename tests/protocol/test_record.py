"""The record of a picture: what it holds, who can read it, and what becomes of it on another computer."""

import dataclasses
import io
import json

import pytest
from PIL import Image, PngImagePlugin
from underpaint.protocol import png_text, record, wire
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobResult
from underpaint.protocol.models import FamilyId, Layout, ModelEntry, ModelKind, Origin, UsedModel
from underpaint.protocol.request import (
    Control,
    ControlKind,
    Embedding,
    GenerateRequest,
    ImagePrompt,
    Lora,
    Request,
    Scheduler,
    Seamless,
    SecondPass,
    Sigmas,
    Start,
    Variant,
)
from underpaint.protocol.sources import Detector, Photo, ReadyMap

PICTURE = ArrayRef(sha256="a" * 64, shape=(64, 64, 3), dtype=DType.UINT8)
OTHER = ArrayRef(sha256="b" * 64, shape=(64, 64, 3), dtype=DType.UINT8)
FULL = GenerateRequest(
    prompt="a lighthouse, (stormy:1.2)",
    negative_prompt="blurry",
    checkpoint="checkpoints/dreamy_v3.safetensors",
    size=Extent(width=1024, height=768),
    controls=(
        Control(
            kind=ControlKind.CANNY,
            source=Photo(image=PICTURE, detector=Detector.CANNY),
            controlnet="lllyasviel/control_v11p_sd15_canny",
            conditioning_scale=0.75,
            end=0.8,
        ),
        Control(
            kind=ControlKind.DEPTH,
            source=ReadyMap(image=OTHER),
            controlnet="nets/depth.safetensors",
            guess_mode=True,
        ),
    ),
    steps=24,
    guidance_scale=6.5,
    scheduler=Scheduler.DPMPP_2M,
    sigmas=Sigmas.KARRAS,
    seed=123456789012,
    variants=(Variant(prompt="second", seed=7), Variant(prompt="third", seed=8)),
    second_pass=SecondPass(factor=2.0, strength=0.45, steps=12),
    loras=(Lora(lora="loras/ink.safetensors", weight=0.8), Lora(lora="own/style", weight=1.0, text_weight=0.5)),
    embeddings=(Embedding(embedding="embeddings/bad.safetensors"),),
    image_prompts=(ImagePrompt(adapter="ip/plus.safetensors", image=OTHER, scale=0.5, image_encoder="ip/encoder"),),
    vae="vae/mse.safetensors",
    clip_skip=1,
    seamless=Seamless.X,
    safety_checker="own/checker",
)
MODELS = (
    UsedModel(kind=ModelKind.CHECKPOINT, reference=FULL.checkpoint, title="dreamy_v3", sha256="c0ffee1234" + "0" * 54),
    UsedModel(kind=ModelKind.VAE, reference=FULL.vae, title="mse", sha256="5ae0000000" + "1" * 54),
    UsedModel(kind=ModelKind.LORA, reference="loras/ink.safetensors", title="ink", sha256="10fa" + "2" * 60),
    UsedModel(kind=ModelKind.EMBEDDING, reference="embeddings/bad.safetensors", title="bad", sha256="e" * 64),
)
RESULT = JobResult(
    images=(PICTURE,), control_maps=(), timings=(), checkpoint="/models/x", plan="on the CPU",
    versions={"torch": "2.9"}, models=MODELS,
)  # fmt: skip
JOB = "0123456789abcdef" * 2


def png(texts: dict[str, str], size: tuple[int, int] = (8, 16)) -> bytes:
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text)
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def entry(kind: ModelKind, reference: str, **known: object) -> ModelEntry:
    values: dict[str, object] = {
        "id": "0" * 32, "title": "", "family": FamilyId.SD15, "layout": Layout.FILE, "origin": Origin.COMFYUI,
        "size_bytes": 1, "changed_at": 0.0,
    }  # fmt: skip
    return ModelEntry(kind=kind, reference=reference, **(values | known))  # type: ignore[arg-type]


def test_what_a_picture_carries_comes_back_whole():
    written = png_text.with_texts(png({}), record.texts(FULL, RESULT, job_id=JOB, picture=1))
    found = record.read(written)
    assert found is not None
    assert (found.request, found.picture, found.job_id) == (FULL, 1, JOB)
    assert (found.models, found.versions, found.plan) == (MODELS, {"torch": "2.9"}, "on the CPU")
    assert record.is_ours(found)
    assert found.notes == ()


def test_the_text_is_what_a1111_would_write():
    prompt, negative, fields = record.parameters(FULL, RESULT).split("\n")
    assert prompt == "a lighthouse, (stormy:1.2) <lora:ink:0.8> <lora:style:0.5:1>"
    assert negative == "Negative prompt: blurry"
    assert fields.startswith(
        "Steps: 24, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 123456789012, Size: 512x384, "
        "Model hash: c0ffee1234, Model: dreamy_v3, VAE hash: 5ae0000000, VAE: mse, Denoising strength: 0.45, "
        "Clip skip: 2, Tiling: True, Hires upscale: 2, Hires steps: 12, Hires upscaler: Latent, "
        'ControlNet 0: "Module: canny, Model: control_v11p_sd15_canny, Weight: 0.75, Resize Mode: Crop and Resize, '
        "Guidance Start: 0, Guidance End: 0.8, Pixel Perfect: True, Control Mode: Balanced"
    )
    assert 'Control Mode: ControlNet is more important", ControlNet 2: "Module: ip-adapter-auto, Model: plus' in fields
    assert 'Lora hashes: "ink: 10fa222222", TI hashes: "bad: eeeeeeeeeeee", Version: Underpaint' in fields


def test_each_picture_of_a_job_tells_its_own_prompt_and_seed():
    text = record.parameters(FULL, RESULT, 2)
    assert text.startswith("third <lora:ink")
    assert "Seed: 8," in text
    assert "Negative prompt" not in text


def test_brackets_that_mean_nothing_are_told_so():
    request = GenerateRequest(prompt="a (b) [c] \\", plain_prompt=True, size=Extent(width=64, height=64))
    assert record.parameters(request, None).startswith("a \\(b\\) \\[c\\] \\\\\nSteps")


@pytest.mark.parametrize("scheduler", Scheduler)
@pytest.mark.parametrize("sigmas", Sigmas)
def test_our_own_text_is_understood_again(scheduler, sigmas):
    request = dataclasses.replace(FULL, scheduler=scheduler, sigmas=sigmas)
    found = record.read(png({"parameters": record.parameters(request, RESULT)}))
    assert found is not None
    got = found.request
    assert (got.scheduler, got.sigmas, got.steps, got.guidance_scale) == (scheduler, sigmas, 24, 6.5)
    assert (got.seed, got.size, got.clip_skip, got.vae) == (123456789012, FULL.size, 1, "mse")
    assert (got.second_pass, got.checkpoint) == (FULL.second_pass, "dreamy_v3")
    assert got.seamless is Seamless.BOTH
    assert sum("needs its image again" in note for note in found.notes) == 3


A1111 = """masterpiece, (girl:1.1), <lora:add_detail:0.7>
second line, "quoted"
Negative prompt: bad-hands-5, [blurry]
lowres
Steps: 28, Sampler: DPM++ 2M, Schedule type: Automatic, CFG scale: 7, Seed: 965400086, Size: 512x768, \
Model hash: 4199bcdd14, Model: revAnimated_v122, VAE hash: 735e4c3a44, VAE: vae-ft-mse-840000-ema-pruned.safetensors, \
Denoising strength: 0.35, Clip skip: 2, ENSD: 31337, Hires upscale: 1.5, Hires steps: 10, \
Hires upscaler: 4x-UltraSharp, Lora hashes: "add_detail: 7c6bad76eb54", TI hashes: "bad-hands-5: aa7651be154c", \
ControlNet 0: "Module: canny, Model: control_v11p_sd15_canny [d14c016b], Weight: 1, Guidance Start: 0", \
Version: v1.9.4"""


def test_a_picture_of_a1111_is_understood():
    found = record.read(png({"parameters": A1111}))
    assert found is not None
    got = found.request
    assert got.prompt == 'masterpiece, (girl:1.1), <lora:add_detail:0.7>\nsecond line, "quoted"'
    assert got.negative_prompt == "bad-hands-5, [blurry]\nlowres"
    assert (got.steps, got.guidance_scale, got.seed, got.clip_skip) == (28, 7, 965400086, 1)
    assert (got.scheduler, got.sigmas) == (Scheduler.DPMPP_2M, Sigmas.KARRAS)  # what "Automatic" is there
    assert got.size == Extent(width=768, height=1152)
    assert got.second_pass == SecondPass(factor=1.5, strength=0.35, steps=10)
    assert (got.checkpoint, got.vae) == ("revAnimated_v122", "vae-ft-mse-840000-ema-pruned.safetensors")
    assert found.program == "A1111 v1.9.4"
    assert not record.is_ours(found)
    hashes = {(model.kind, model.title): model.sha256 for model in found.models}
    assert hashes == {
        (ModelKind.CHECKPOINT, "revAnimated_v122"): "4199bcdd14",
        (ModelKind.VAE, "vae-ft-mse-840000-ema-pruned"): "735e4c3a44",
        (ModelKind.LORA, "add_detail"): "",  # theirs is of the file without its header
        (ModelKind.EMBEDDING, "bad-hands-5"): "aa7651be154c",
    }
    notes = " ".join(found.notes)
    assert "ControlNet 0 (control_v11p_sd15_canny; preprocessor canny, weight 1) needs its image again" in notes
    assert "4x-UltraSharp is not known here" in notes
    assert "Not taken over: ENSD: 31337." in notes


def test_a_picture_that_comfyui_saved_in_a1111s_way_is_understood():
    text = (
        "a cat\nNegative prompt: dog\nSteps: 8, Sampler: dpmpp_2m_karras, CFG scale: 1.0, Seed: 3, Size: 1024x1024, "
        'Model: "cat, the model", Hashes: {"model": "AB12CD34EF", "lora:fluffy": "0123456789"}, Version: ComfyUI'
    )
    found = record.read(png({"parameters": text}))
    assert found is not None
    assert (found.request.scheduler, found.request.sigmas) == (Scheduler.DPMPP_2M, Sigmas.KARRAS)
    assert (found.request.checkpoint, found.program) == ("cat, the model", "ComfyUI")
    assert {model.title: model.sha256 for model in found.models} == {
        "cat, the model": "ab12cd34ef",
        "fluffy": "0123456789",
    }


def test_a_picture_of_forge_tells_distilled_guidance():
    text = (
        "a fox\nSteps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 9, "
        "Size: 896x1152, Model hash: c161224931, Model: flux1-dev-fp8, Version: f2.0.1v1.10.1"
    )
    found = record.read(png({"parameters": text}))
    assert found is not None
    assert (found.request.guidance_scale, found.program, found.notes) == (3.5, "Forge 2.0.1v1.10.1", ())


def test_what_has_no_counterpart_is_told_in_words():
    text = (
        "x\nSteps: many, Sampler: Restart, Schedule type: Turbo, CFG scale: -3, Seed: -1, Size: 500x333, "
        "Denoising strength: 0.6, Face restoration: CodeFormer"
    )
    found = record.read(png({"parameters": text}))
    assert found is not None
    notes = "\n".join(found.notes)
    for part in (
        "sampler Restart is not known",
        "schedule type turbo is not known",
        "Steps is many",
        "CFG scale is -3",
        "Seed is -1",
        "500 × 333 doesn't work here: 504 × 336 is set",
        "painted over another picture with a denoising strength of 0.6",
        "which checkpoint",
        "Face restoration: CodeFormer",
    ):
        assert part in notes


def test_a_size_that_is_not_told_is_the_pictures_own():
    found = record.read(png({"parameters": "x\nSteps: 5, Sampler: Euler, Seed: 1"}, size=(128, 256)))
    assert found is not None
    assert found.request.size == Extent(width=128, height=256)


@pytest.mark.parametrize("texts", [{}, {"parameters": "only words, and more: words"}, {"workflow": "{}"}])
def test_a_picture_without_settings_has_no_record(texts):
    assert record.read(png(texts)) is None


def test_files_from_before_the_record_keep_being_readable():
    found = record.read(png({"underpaint_request": wire.dumps(FULL, Request), "Description": "x"}))
    assert found is not None
    assert (found.request, found.models) == (FULL, ())


def test_a_record_of_a_later_version_is_read_as_far_as_it_is_known():
    later = json.loads(record.record(FULL, RESULT))
    later["request"]["telepathy"] = True
    found = record.read_json(json.dumps(later))
    assert found.request == FULL
    assert "$.request has the unknown field 'telepathy'" in found.notes[0]


@pytest.mark.parametrize("text", ["", "{", "{}", '{"request": 3}', record.record(FULL, None, picture=3)])
def test_a_damaged_record_is_refused(text):
    with pytest.raises(InvalidRequest):
        record.read(png({"underpaint": text, "parameters": A1111}))


def test_a_picture_painted_alone_is_made_again_alone():
    found = record.Record(request=FULL, picture=2)
    again = record.replay(found)
    assert again.picture == 0
    assert again.request == dataclasses.replace(FULL, prompt="third", negative_prompt="", seed=8, variants=())


def test_a_picture_painted_with_others_is_made_again_with_them():
    request = dataclasses.replace(FULL, batch_size=2)
    again = record.replay(record.Record(request=request, picture=1))
    assert (again.picture, [picture.seed for picture in again.request.pictures]) == (1, [123456789012, 7])
    again = record.replay(record.Record(request=request, picture=2))
    assert (again.picture, [picture.seed for picture in again.request.pictures]) == (0, [8])


def test_models_are_found_by_name_or_hash_or_told_to_be_missing():
    found = record.Record(request=FULL, models=MODELS)
    known = (
        entry(ModelKind.CHECKPOINT, "renamed.safetensors", sha256=MODELS[0].sha256),
        entry(ModelKind.CHECKPOINT, "other/dreamy_v3.safetensors", sha256="f" * 64),  # of that name, and not the same
        entry(ModelKind.VAE, FULL.vae),
        entry(ModelKind.LORA, "/comfy/models/loras/ink.safetensors", title="ink"),
        entry(ModelKind.CONTROLNET, "nets/depth.safetensors"),
        entry(ModelKind.CONTROLNET, "lllyasviel/control_v11p_sd15_canny"),
        entry(ModelKind.EMBEDDING, "embeddings/bad.safetensors", problem="it is cut off"),
    )
    absent = record.missing(found, known)
    assert {gone.model.reference: gone.instead for gone in absent} == {
        "checkpoints/dreamy_v3.safetensors": "renamed.safetensors",
        "loras/ink.safetensors": "/comfy/models/loras/ink.safetensors",
        "own/style": "",
        "embeddings/bad.safetensors": "",
        "ip/plus.safetensors": "",
        "ip/encoder": "",
        "own/checker": "",
    }
    sentences = [gone.sentence for gone in absent]
    assert "The checkpoint dreamy_v3 is here as renamed, which is taken." in sentences
    assert "The LoRA style is not on this computer." in sentences
    assert "The embedding bad (SHA-256 eeeeeeeeee…) is not on this computer." in sentences

    here = record.adopted(found, absent)
    assert here.request.checkpoint == "renamed.safetensors"
    assert here.request.loras[0].lora == "/comfy/models/loras/ink.safetensors"
    assert here.models[0].reference == "renamed.safetensors"
    assert dataclasses.replace(here.request, checkpoint=FULL.checkpoint, loras=FULL.loras) == FULL


def test_a_short_hash_of_another_program_finds_the_file():
    found = record.read(png({"parameters": A1111}))
    assert found is not None
    known = (entry(ModelKind.CHECKPOINT, "mine.safetensors", sha256="4199bcdd14" + "9" * 54),)
    absent = {gone.model.title: gone.instead for gone in record.missing(found, known)}
    assert absent == {
        "revAnimated_v122": "mine.safetensors",
        "vae-ft-mse-840000-ema-pruned": "",
        "add_detail": "",
        "bad-hands-5": "",
    }


def test_models_that_the_prompt_calls_are_told_where_they_are_missing():
    request = dataclasses.replace(FULL, prompt="a cat <lora:Ink wash:0.8> <lora:rain/Drops> <lyco:fog:1>", variants=())
    models = (
        *MODELS,
        UsedModel(kind=ModelKind.LORA, reference="Ink wash", title="Ink wash", sha256="a" * 64),
        UsedModel(kind=ModelKind.EMBEDDING, reference="/theirs/worse.safetensors", title="worse", sha256=""),
    )
    found = record.Record(request=dataclasses.replace(request, loras=(), embeddings=()), models=models[-2:])
    known = (
        entry(ModelKind.LORA, "/comfy/models/loras/tusche.safetensors", sha256="a" * 64),
        entry(ModelKind.LORA, "/comfy/models/loras/rain/drops.safetensors", sha256="b" * 64),
    )
    told = [gone for gone in record.missing(found, known) if gone.called]
    assert [gone.sentence for gone in told] == [
        "The LoRA Ink wash, which the prompt names, is here as tusche: name it so.",
        "The embedding worse is not on this computer.",
        "The LoRA fog is not on this computer.",
    ]
    assert record.adopted(found, told) == found  # the prompt is left as it is written
    plain = dataclasses.replace(found, models=(), request=dataclasses.replace(found.request, plain_prompt=True))
    assert not any(gone.called for gone in record.missing(plain, known))


@pytest.mark.parametrize(("family", "expected"), [(FamilyId.SD15, 1), (FamilyId.SDXL, 0), (None, 1)])
def test_a_clip_skip_of_another_program_is_counted_by_the_family(family: FamilyId | None, expected: int) -> None:
    found = record.read(png({"parameters": A1111}))
    assert found is not None
    known = (entry(ModelKind.CHECKPOINT, "sub/revAnimated_v122.safetensors", family=family),)
    here = record.counted(record.adopted(found, record.missing(found, known)), known)
    assert here.request.clip_skip == expected
    ours = record.Record(request=dataclasses.replace(here.request, clip_skip=1))
    assert record.counted(ours, known) == ours


def test_a_file_that_has_changed_is_told():
    found = record.Record(request=FULL, models=MODELS)
    assert record.changed(found, MODELS) == ()
    now = (dataclasses.replace(MODELS[0], sha256="9" * 64), *MODELS[2:])
    (sentence,) = record.changed(found, now)
    assert "checkpoint dreamy_v3 has changed" in sentence
    embedded = tuple(dataclasses.replace(MODELS[0], reference="", title=name, sha256=name * 64) for name in "ab")
    assert record.changed(dataclasses.replace(found, models=embedded), embedded) == ()


def test_what_is_shown_and_no_longer_kept_is_told_and_the_rest_stays():
    request = dataclasses.replace(FULL, start=Start(image=PICTURE))
    kept, notes = record.without(request, {PICTURE.sha256})
    assert kept == dataclasses.replace(request, controls=FULL.controls[1:], start=None)
    assert notes == (
        "The images of these are no longer kept, so give them again: control 1 (canny); the start picture.",
    )
    assert record.without(request, set()) == (request, ())
