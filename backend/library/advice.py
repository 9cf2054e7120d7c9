"""What models were trained for: the scheduler, steps and guidance that a distilled model wants, and its like.

Names tell it, for the files themselves don't: a LoRA for four steps is a LoRA like any other. So a name gives
advice and nothing else; what a model is, and whom it goes with, `recognition` tells. A guidance scale of 1 is
none, which model cards of diffusers' write as 0.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...protocol.models import Advice, FamilyId, ModelKind
from ...protocol.request import Scheduler, Sigmas

_NONE = 1.0  # guidance scale without guidance
_SD = frozenset({FamilyId.SD15, FamilyId.SD2, FamilyId.SDXL})
_SD15 = frozenset({FamilyId.SD15})
_SDXL = frozenset({FamilyId.SDXL})
_CHECKPOINT = frozenset({ModelKind.CHECKPOINT})
_LORA = frozenset({ModelKind.LORA})
_BOTH = _CHECKPOINT | _LORA
_STEPS = re.compile(r"(?<!\d)(\d{1,2}) ?step")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\d)(?=[A-Z]{2})")
_TITLES = ("modelspec.title", "ss_output_name")  # metadata in which trainers keep the name that a file once had

Make = Callable[[int | None], Advice]  # from the number of steps in the name


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Models of one sort."""

    name: str  # a pattern, of words in small letters with single spaces between
    kinds: frozenset[ModelKind]
    families: frozenset[FamilyId]  # a model of no known family is none of them, unless `any_family`
    advice: Make
    trait: str = ""  # that the model must have
    source: str  # where the facts are from


def _fixed(**settings: object) -> Make:
    return lambda _steps: Advice(**settings)  # type: ignore[arg-type]


def _distilled(
    scheduler: Scheduler, usual: int, guidance: float = _NONE, sigmas: Sigmas = Sigmas.DEFAULT, side: int | None = None
) -> Make:
    """A number of steps that the name may tell, and settings that don't depend on it."""
    return lambda steps: Advice(
        scheduler=scheduler.value,
        sigmas=sigmas.value,
        steps=steps or usual,
        guidance_scale=guidance,
        width=side,
        height=side,
    )


def _hyper(steps: int | None) -> Advice:
    """One step is of a LoRA that TCD samples; more are of LoRAs that DDIM does, with trailing timesteps."""
    if steps == 1:
        return _distilled(Scheduler.TCD, 1)(1)
    return _distilled(Scheduler.DDIM, 8, sigmas=Sigmas.TRAILING)(steps)


RULES: tuple[Rule, ...] = (  # the first that holds counts
    Rule(
        name=r"\bhyper ?(sd|sdxl|sd15|sd ?1 5)?\b.*\bcfg\b",
        kinds=_LORA,
        families=_SD,
        advice=_distilled(Scheduler.DDIM, 8, guidance=5.0, sigmas=Sigmas.TRAILING),
        source="https://huggingface.co/ByteDance/Hyper-SD (CFG-preserved LoRAs: 8 or 12 steps, guidance of 5 to 8)",
    ),
    Rule(
        name=r"\bhyper ?(sd|sdxl|sd15)\b",
        kinds=_BOTH,
        families=_SD,
        advice=_hyper,
        source="https://huggingface.co/ByteDance/Hyper-SD (DDIM, trailing, guidance_scale=0; one step: TCD)",
    ),
    Rule(
        name=r"\bhyper flux\b",
        kinds=_LORA,
        families=frozenset({FamilyId.FLUX}),
        advice=lambda steps: Advice(steps=steps or 8, guidance_scale=3.5),
        source="https://huggingface.co/ByteDance/Hyper-SD (guidance of 3.5; LoRA scales around 0.125)",
    ),
    Rule(
        name=r"\blightning\b",
        kinds=_BOTH,
        families=_SDXL,
        advice=_distilled(Scheduler.EULER, 4, sigmas=Sigmas.TRAILING),
        source="https://huggingface.co/ByteDance/SDXL-Lightning (Euler, trailing, guidance_scale=0, its own steps)",
    ),
    Rule(
        name=r"\blightning\b",
        kinds=_BOTH,
        families=frozenset({FamilyId.QWEN_IMAGE}),
        advice=lambda steps: Advice(steps=steps or 8, guidance_scale=_NONE),
        source="https://huggingface.co/lightx2v/Qwen-Image-Lightning (8 or 4 steps, true_cfg_scale=1)",
    ),
    Rule(
        name=r"\bdmd2?\b",
        kinds=_BOTH,
        families=_SDXL,
        advice=_distilled(Scheduler.LCM, 4),
        source="https://github.com/tianweiy/DMD2 (LCM, 4 steps, guidance_scale=0; its timesteps 999, 749, 499, 249 are "
        "near those that LCM takes by itself)",
    ),
    Rule(
        name=r"\blcm\b.*\blora\b|\blora\b.*\blcm\b|\blcm\b",
        kinds=_LORA,
        families=_SD,
        advice=_distilled(Scheduler.LCM, 4),
        source="https://huggingface.co/latent-consistency/lcm-lora-sdv1-5 (LCM, 4 steps, guidance_scale=0)",
    ),
    Rule(
        name=r"\blcm\b",
        kinds=_CHECKPOINT,
        families=_SD,
        advice=_distilled(Scheduler.LCM, 4, guidance=8.0),
        trait="distilled",
        source="https://huggingface.co/SimianLuo/LCM_Dreamshaper_v7 (LCM, 4 steps, guidance_scale=8, which it is told)",
    ),
    Rule(
        name=r"\blcm\b",
        kinds=_CHECKPOINT,
        families=_SD,
        advice=_distilled(Scheduler.LCM, 4),
        source="https://huggingface.co/docs/diffusers/using-diffusers/inference_with_lcm_lora (a LoRA merged in)",
    ),
    Rule(
        name=r"\btcd\b",
        kinds=_BOTH,
        families=_SD,
        advice=_distilled(Scheduler.TCD, 4),
        source="https://huggingface.co/h1t/TCD-SDXL-LoRA (TCD with eta=0.3, 4 steps, guidance_scale=0)",
    ),
    Rule(
        name=r"\bflash ?(sd|sdxl)\b",
        kinds=_LORA,
        families=_SD,
        advice=_distilled(Scheduler.LCM, 4),
        source="https://huggingface.co/jasperai/flash-sdxl (LCM, 4 steps, guidance_scale=0)",
    ),
    Rule(
        name=r"\b(sdxl|sd xl|sd_xl) ?turbo\b",
        kinds=_CHECKPOINT,
        families=_SDXL,
        advice=_distilled(Scheduler.EULER_ANCESTRAL, 4, sigmas=Sigmas.TRAILING, side=512),
        source="https://huggingface.co/stabilityai/sdxl-turbo (1 to 4 steps, guidance_scale=0, 512 x 512; its "
        "scheduler_config.json)",
    ),
    Rule(
        name=r"\bsd ?turbo\b",
        kinds=_CHECKPOINT,
        families=frozenset({FamilyId.SD2}),
        advice=_distilled(Scheduler.EULER, 4, sigmas=Sigmas.TRAILING, side=512),
        source="https://huggingface.co/stabilityai/sd-turbo (1 to 4 steps, guidance_scale=0, 512 x 512; its "
        "scheduler_config.json)",
    ),
    Rule(
        name=r"\b(large|sd3 ?5?) ?turbo\b",
        kinds=_CHECKPOINT,
        families=frozenset({FamilyId.SD3}),
        advice=_fixed(scheduler=Scheduler.EULER.value, steps=4, guidance_scale=_NONE),
        source="https://huggingface.co/stabilityai/stable-diffusion-3.5-large-turbo (4 steps, guidance_scale=0)",
    ),
    Rule(
        name=r"\bturbo\b",
        kinds=_CHECKPOINT,
        families=frozenset({FamilyId.Z_IMAGE}),
        advice=_fixed(scheduler=Scheduler.EULER.value, steps=9, guidance_scale=_NONE),
        source="https://huggingface.co/Tongyi-MAI/Z-Image-Turbo (num_inference_steps=9, guidance_scale=0)",
    ),
    Rule(
        name=r"",
        kinds=_CHECKPOINT,
        families=frozenset({FamilyId.FLUX}),
        trait="schnell",
        advice=_fixed(scheduler=Scheduler.EULER.value, steps=4, guidance_scale=_NONE),
        source="https://huggingface.co/black-forest-labs/FLUX.1-schnell (4 steps, guidance_scale=0)",
    ),
    Rule(
        name=r"\bpony\b",
        kinds=_CHECKPOINT,
        families=_SDXL,
        # Its "clip skip 2" is the layer that SDXL takes anyway.
        advice=_fixed(scheduler=Scheduler.EULER_ANCESTRAL.value, steps=25, clip_skip=0, width=1024, height=1024),
        source="https://civitai.com/models/257749 (Euler a, 25 steps, 1024 px, clip skip 2)",
    ),
    Rule(
        name=r"\b(illustrious|noobai)",
        kinds=_CHECKPOINT,
        families=_SDXL,
        advice=_fixed(clip_skip=0),
        source="https://huggingface.co/OnomaAIResearch/Illustrious-xl-early-release-v0 (an SDXL model: the layer that "
        "SDXL takes anyway, which other programs call clip skip 2)",
    ),
    Rule(
        name=r"\b(anything ?v? ?\d|nai|animefull|counterfeit|abyss ?orange ?mix|aom\d|meina ?(mix|pastel)?)",
        kinds=_CHECKPOINT,
        families=_SD15,
        advice=_fixed(clip_skip=1),
        source="https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features (clip skip 2, as NovelAI's model "
        "and those made from it were trained; one layer is left out)",
    ),
    # What nothing else is known of, of the families that are trained for one sampler.
    Rule(
        name=r"",
        kinds=_CHECKPOINT,
        families=frozenset({FamilyId.SD3}),
        advice=_fixed(scheduler=Scheduler.EULER.value, steps=28, guidance_scale=3.5, width=1024, height=1024),
        source="https://huggingface.co/stabilityai/stable-diffusion-3.5-large (28 steps, guidance_scale=3.5)",
    ),
    Rule(
        name=r"",
        kinds=_CHECKPOINT,
        families=frozenset({FamilyId.FLUX}),
        advice=_fixed(scheduler=Scheduler.EULER.value, steps=28, guidance_scale=3.5, width=1024, height=1024),
        source="https://huggingface.co/docs/diffusers/api/pipelines/flux (28 steps, guidance_scale=3.5)",
    ),
    Rule(
        name=r"",
        kinds=_CHECKPOINT,
        families=frozenset({FamilyId.QWEN_IMAGE}),
        advice=_fixed(scheduler=Scheduler.EULER.value, steps=50, guidance_scale=4.0, width=1328, height=1328),
        source="https://huggingface.co/Qwen/Qwen-Image (50 steps, true_cfg_scale=4.0, 1328 x 1328)",
    ),
    Rule(
        name=r"",
        kinds=_CHECKPOINT,
        families=frozenset({FamilyId.Z_IMAGE}),
        advice=_fixed(scheduler=Scheduler.EULER.value, steps=50, guidance_scale=5.0, width=1024, height=1024),
        source="https://huggingface.co/docs/diffusers/api/pipelines/z_image (the pipeline's own defaults)",
    ),
)


def advice_for(
    *,
    title: str,
    kind: ModelKind,
    family: FamilyId | None,
    metadata: Mapping[str, str],
    traits: Sequence[str],
) -> Advice | None:
    """What is set when a model is chosen; None where nothing is known.

    `title` is a file's or folder's name; `metadata` are those of a safetensors header.
    """
    found = _rule(title, kind, family, metadata, traits)
    return None if found is None else found[0].advice(found[1])


def source_of(
    *,
    title: str,
    kind: ModelKind,
    family: FamilyId | None,
    metadata: Mapping[str, str],
    traits: Sequence[str],
) -> str:
    """Where the advice is from; empty where there is none."""
    found = _rule(title, kind, family, metadata, traits)
    return "" if found is None else found[0].source


def _rule(
    title: str, kind: ModelKind, family: FamilyId | None, metadata: Mapping[str, str], traits: Sequence[str]
) -> tuple[Rule, int | None] | None:
    """The first that holds for the name, or else for one in the metadata; and the steps in that name."""
    for name in (title, *(metadata.get(key, "") for key in _TITLES)):
        words = _words(name)
        for rule in RULES if words else ():
            if kind not in rule.kinds or family not in rule.families or (rule.trait and rule.trait not in traits):
                continue
            if re.search(rule.name, words):
                steps = _STEPS.search(words)
                return rule, int(steps[1]) if steps and int(steps[1]) else None
    return None


def _words(name: str) -> str:
    """A name in small letters, with spaces for what parts its words: "SDXL-Lightning_4step", "dreamshaper_8LCM"."""
    parted = re.sub(
        r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\d)(?=[A-Z]{2})", " ", name.removesuffix(".safetensors")
    )
    return " ".join(re.split(r"[^a-z0-9]+", parted.lower())).strip()
