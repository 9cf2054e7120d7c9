"""What is set for models by their names, each as its authors say."""

from collections.abc import Mapping

import pytest
from underpaint.backend.library.advice import RULES, advice_for, source_of
from underpaint.backend.library.catalogue import catalogue
from underpaint.protocol.models import Advice, FamilyId, ModelKind
from underpaint.protocol.request import Scheduler, Sigmas

SDXL, SD15, SD2 = FamilyId.SDXL, FamilyId.SD15, FamilyId.SD2
LORA, CHECKPOINT = ModelKind.LORA, ModelKind.CHECKPOINT
NO_METADATA: Mapping[str, str] = {}


def ask(
    title: str, kind: ModelKind, family: FamilyId | None, *traits: str, metadata: Mapping[str, str] = NO_METADATA
) -> Advice | None:
    return advice_for(title=title, kind=kind, family=family, metadata=metadata, traits=traits)


CASES = [
    ("sdxl_lightning_4step_lora", LORA, SDXL, "EulerDiscreteScheduler", "trailing", 4, 1.0),
    ("sdxl_lightning_8step.safetensors", CHECKPOINT, SDXL, "EulerDiscreteScheduler", "trailing", 8, 1.0),
    ("sdxl_lightning_2step_unet", CHECKPOINT, SDXL, "EulerDiscreteScheduler", "trailing", 2, 1.0),
    ("dreamshaperXL_lightningDPMSDE", CHECKPOINT, SDXL, "EulerDiscreteScheduler", "trailing", 4, 1.0),
    ("Hyper-SDXL-8steps-lora", LORA, SDXL, "DDIMScheduler", "trailing", 8, 1.0),
    ("Hyper-SD15-2steps-lora", LORA, SD15, "DDIMScheduler", "trailing", 2, 1.0),
    ("Hyper-SDXL-1step-lora", LORA, SDXL, "TCDScheduler", "default", 1, 1.0),
    ("Hyper-SDXL-12steps-CFG-lora", LORA, SDXL, "DDIMScheduler", "trailing", 12, 5.0),
    ("Hyper-SD15-8steps-CFG-lora", LORA, SD15, "DDIMScheduler", "trailing", 8, 5.0),
    ("lcm-lora-sdv1-5", LORA, SD15, "LCMScheduler", "default", 4, 1.0),
    ("LCM_LoRA_Weights_SD15", LORA, SD15, "LCMScheduler", "default", 4, 1.0),
    ("TCD-SDXL-LoRA", LORA, SDXL, "TCDScheduler", "default", 4, 1.0),
    ("dmd2_sdxl_4step_lora_fp16", LORA, SDXL, "LCMScheduler", "default", 4, 1.0),
    ("sd_xl_turbo_1.0_fp16", CHECKPOINT, SDXL, "EulerAncestralDiscreteScheduler", "trailing", 4, 1.0),
    ("sdxl-turbo", CHECKPOINT, SDXL, "EulerAncestralDiscreteScheduler", "trailing", 4, 1.0),
    ("sd_turbo", CHECKPOINT, SD2, "EulerDiscreteScheduler", "trailing", 4, 1.0),
    ("flash-sdxl", LORA, SDXL, "LCMScheduler", "default", 4, 1.0),
]


@pytest.mark.parametrize(("title", "kind", "family", "scheduler", "sigmas", "steps", "guidance"), CASES)
def test_few_step_models_are_known_by_their_names(
    title: str, kind: ModelKind, family: FamilyId, scheduler: str, sigmas: str, steps: int, guidance: float
) -> None:
    advice = ask(title, kind, family)
    assert advice is not None
    assert (advice.scheduler, advice.sigmas, advice.steps, advice.guidance_scale) == (
        scheduler,
        sigmas,
        steps,
        guidance,
    )


def test_a_checkpoint_that_is_told_the_guidance_keeps_some() -> None:
    told = ask("LCM_Dreamshaper_v7", CHECKPOINT, SD15, "distilled")
    merged = ask("dreamshaper_8LCM", CHECKPOINT, SD15)
    assert told is not None
    assert merged is not None
    assert (told.guidance_scale, merged.guidance_scale) == (8.0, 1.0)


def test_the_transformer_families() -> None:
    euler = "EulerDiscreteScheduler"
    few, nine = (Advice(scheduler=euler, steps=steps, guidance_scale=1.0) for steps in (4, 9))
    assert ask("flux1-schnell", CHECKPOINT, FamilyId.FLUX, "schnell") == few
    assert ask("Z-Image-Turbo", CHECKPOINT, FamilyId.Z_IMAGE) == nine
    assert ask("Qwen-Image-Lightning-4steps-V1.0", LORA, FamilyId.QWEN_IMAGE) == Advice(steps=4, guidance_scale=1.0)
    assert ask("sd3.5_large_turbo", CHECKPOINT, FamilyId.SD3) == few
    assert ask("Hyper-FLUX.1-dev-8steps-lora", LORA, FamilyId.FLUX) == Advice(steps=8, guidance_scale=3.5)


def test_the_transformer_families_have_defaults_of_their_own() -> None:
    for title, family, steps, guidance, side in (
        ("flux1-dev", FamilyId.FLUX, 28, 3.5, 1024),
        ("sd3.5_large", FamilyId.SD3, 28, 3.5, 1024),
        ("Qwen-Image", FamilyId.QWEN_IMAGE, 50, 4.0, 1328),
        ("Z-Image", FamilyId.Z_IMAGE, 50, 5.0, 1024),
    ):
        assert ask(title, CHECKPOINT, family) == Advice(
            scheduler="EulerDiscreteScheduler", steps=steps, guidance_scale=guidance, width=side, height=side
        )


def test_clip_skip_counts_as_here() -> None:
    """Other programs' 2 leaves out one layer of SD 1.5's encoder, and is what SDXL takes anyway."""
    pony, anything = ask("ponyDiffusionV6XL_v6", CHECKPOINT, SDXL), ask("anything-v3.0", CHECKPOINT, SD15)
    noob = ask("noobaiXLNAIXL_epsilonPred11", CHECKPOINT, SDXL)
    assert pony is not None
    assert anything is not None
    assert noob is not None
    assert (pony.clip_skip, pony.scheduler, noob.clip_skip, anything.clip_skip) == (
        0, "EulerAncestralDiscreteScheduler", 0, 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("title", "kind", "family"),
    [
        ("lightning strikes", LORA, SD15),  # no distilled model of SD 1.5 is called so
        ("sdxl_lightning_4step_lora", LORA, None),  # a name tells no family
        ("sdxl_lightning_4step_lora", ModelKind.EMBEDDING, SDXL),
        ("turbocharged-car", LORA, SDXL),
        ("ponytail-hairstyle", CHECKPOINT, SDXL),
        ("hyperrealism", LORA, SDXL),
        ("ponyDiffusionV6XL_style", LORA, SDXL),
        ("", CHECKPOINT, SDXL),
    ],
)
def test_what_only_sounds_alike_gets_no_advice(title: str, kind: ModelKind, family: FamilyId | None) -> None:
    assert ask(title, kind, family) is None


def test_the_name_in_the_metadata_counts_where_the_file_s_says_nothing() -> None:
    metadata = {"modelspec.title": "Hyper SDXL 8step", "ss_output_name": "something"}
    advice = ask("my file", LORA, SDXL, metadata=metadata)
    assert advice is not None
    assert advice.steps == 8


def test_every_fact_has_its_source_and_every_word_is_one_of_the_request_s() -> None:
    for rule in RULES:
        assert rule.source.startswith("https://")
        for steps in (None, 1, 4):
            advice = rule.advice(steps)
            assert advice.scheduler is None or Scheduler(advice.scheduler)
            assert advice.sigmas is None or Sigmas(advice.sigmas)
    assert "Lightning" in source_of(
        title="sdxl_lightning_4step_lora", kind=LORA, family=SDXL, metadata=NO_METADATA, traits=()
    )
    assert source_of(title="cat", kind=LORA, family=SDXL, metadata=NO_METADATA, traits=()) == ""


def test_the_catalogue_says_the_same_of_what_it_recommends() -> None:
    checked = 0
    for entry in catalogue().entries:
        advice = entry.advice
        if advice is None or advice.scheduler is None:
            continue
        title = entry.file or entry.reference.rpartition("/")[2]
        told = ask(title, entry.kind, entry.family)
        assert told is not None, entry.reference
        assert (advice.scheduler, advice.steps, advice.guidance_scale) == (
            told.scheduler,
            told.steps,
            told.guidance_scale,
        )
        assert (advice.sigmas or "default") == told.sigmas
        checked += 1
    assert checked >= 5
