"""Settings out of the text that A1111, Forge and what follows them write into pictures: what of it we have a word for.

The text tells less than a request: no picture that it began with, no control images, and models by their names alone.
What can't be taken over is told in sentences; nothing is dropped in silence.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from .checks import MAX_SEED, MAX_STEPS, check_size, nearest_size
from .errors import InvalidSize
from .extra_checks import MAX_CLIP_SKIP, MAX_FACTOR
from .geometry import Extent
from .infotext import SAMPLERS, stem
from .models import ModelKind, UsedModel
from .request import GenerateRequest, Scheduler, Seamless, SecondPass, Sigmas

N = TypeVar("N", int, float)

_NEGATIVE = "Negative prompt:"
_LEAST_FIELDS = 3  # that a line has to have to be one of fields; theirs says so too
_FIELD = re.compile(r'\s*(\w[\w \-/]*):\s*("(?:\\.|[^\\"])*"|\{[^{}]*\}|[^,]*)(?:,|$)')
_SIZE = re.compile(r"(\d{1,6})\s*[x×]\s*(\d{1,6})")
_HASH = re.compile(r"[0-9a-fA-F]{6,64}")
_MAX_GUIDANCE = 1000.0

_ALIASES = {
    "unipc": Scheduler.UNIPC,
    "dpmpp2m": Scheduler.DPMPP_2M,
    "dpmpp2msde": Scheduler.DPMPP_2M_SDE,
    "dpmpp2msdegpu": Scheduler.DPMPP_2M_SDE,
    "eulera": Scheduler.EULER_ANCESTRAL,
    "eulerancestral": Scheduler.EULER_ANCESTRAL,
    "dpm2a": Scheduler.DPM2_ANCESTRAL,
    "dpm2ancestral": Scheduler.DPM2_ANCESTRAL,
    "heun": Scheduler.HEUN,
    "plms": Scheduler.PNDM,
    "pndm": Scheduler.PNDM,
    "unipcbh2": Scheduler.UNIPC,
    **{re.sub(r"[^a-z0-9]", "", name.lower().replace("+", "p")): scheduler for scheduler, name in SAMPLERS.items()},
}
"""Samplers by their names in other programs, in small letters and digits; `_plain` brings a name there."""

_SPREADS = {
    "karras": Sigmas.KARRAS,
    "exponential": Sigmas.EXPONENTIAL,
    "beta": Sigmas.BETA,
    "sgmuniform": Sigmas.TRAILING,  # before what it ends in
    "uniform": Sigmas.DEFAULT,
    "normal": Sigmas.DEFAULT,
    "simple": Sigmas.DEFAULT,
}

_AUTOMATIC = {  # what A1111 1.9 takes where it says "Automatic"; the others take their own
    Scheduler.DPMPP_2M: Sigmas.KARRAS,
    Scheduler.DPMPP_2M_SDE: Sigmas.EXPONENTIAL,
    Scheduler.DPM2: Sigmas.KARRAS,
    Scheduler.DPM2_ANCESTRAL: Sigmas.KARRAS,
}

_UNDERSTOOD = frozenset(
    (
        "Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model hash", "Model", "VAE hash",
        "VAE", "Denoising strength", "Clip skip", "Tiling", "Hires upscale", "Hires steps", "Hires resize",
        "Hires upscaler", "Lora hashes", "TI hashes", "Hashes", "Version", "Distilled CFG Scale", "Mask blur",
        "Scheduler", "RNG", "Emphasis", "Pad conds", "Created Date",
    )
)  # fmt: skip
"""Fields that are taken over, that are told of in words of their own, or that change nothing here."""


@dataclass(frozen=True, kw_only=True)
class ForeignSettings:
    """What was understood of a text."""

    request: GenerateRequest
    models: tuple[UsedModel, ...]  # by name; of their hashes no more than the text tells
    program: str  # as it calls itself
    notes: tuple[str, ...]  # sentences on what couldn't be taken over


def understood(text: str, size: Extent) -> ForeignSettings | None:
    """The settings in a text; None where it has no line of fields, and so is no such text.

    `size` is that of the picture, for texts that don't say it.
    """
    prompt, negative, fields = _parts(text)
    if not fields:
        return None
    notes: list[str] = []
    scheduler, sigmas = _sampler(fields, notes)
    request = GenerateRequest(
        prompt=prompt,
        negative_prompt=negative,
        size=_size(fields, size, notes),
        steps=_number(fields, "Steps", int, 1, MAX_STEPS, 20, notes),
        guidance_scale=_guidance(fields, notes),
        scheduler=scheduler,
        sigmas=sigmas,
        seed=_number(fields, "Seed", int, 0, MAX_SEED, 0, notes),
        clip_skip=max(0, _number(fields, "Clip skip", int, 0, MAX_CLIP_SKIP + 1, 1, notes) - 1),
        checkpoint=fields.get("Model", ""),
        vae=_vae(fields),
        seamless=Seamless.BOTH if fields.get("Tiling") == "True" else Seamless.OFF,
    )
    request = replace(request, second_pass=_second_pass(fields, request, notes))
    models = tuple(_models(fields, request))
    if not request.checkpoint:
        notes.append("It doesn't say which checkpoint it was made with: choose one.")
    _tell_start(fields, request, notes)
    _tell_units(fields, notes)
    _tell_rest(fields, notes)
    return ForeignSettings(request=request, models=models, program=_program(fields), notes=tuple(notes))


def _parts(text: str) -> tuple[str, str, dict[str, str]]:
    """Prompt, negative prompt and fields."""
    lines = text.replace("\r\n", "\n").strip().split("\n")
    fields: dict[str, str] = {}
    found = _FIELD.findall(lines[-1])
    if len(found) >= _LEAST_FIELDS:
        lines.pop()
        for name, value in found:
            fields.setdefault(name.strip(), _unquoted(value.strip()))
    start = next((number for number, line in enumerate(lines) if line.strip().startswith(_NEGATIVE)), len(lines))
    negative = "\n".join(lines[start:]).strip().removeprefix(_NEGATIVE).strip()
    return "\n".join(lines[:start]).strip(), negative, fields


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        text = json.loads(value)
    except ValueError:
        return value.strip('"')
    return text if isinstance(text, str) else value


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("+", "p"))


def _sampler(fields: dict[str, str], notes: list[str]) -> tuple[Scheduler, Sigmas]:
    """The scheduler and how its noise levels are spread; older texts say both in the sampler's name."""
    name = fields.get("Sampler", "")
    plain, spread = _plain(name), _plain(fields.get("Schedule type", fields.get("Scheduler", "")))
    for ending in _SPREADS:
        if not spread and plain.endswith(ending) and plain != ending:
            plain, spread = plain.removesuffix(ending), ending
    scheduler = _ALIASES.get(plain)
    if scheduler is None:
        scheduler = GenerateRequest.scheduler
        if name:
            notes.append(f"The sampler {name} is not known here: {SAMPLERS[scheduler]} is set in its place.")
    if spread == "automatic":
        return scheduler, _AUTOMATIC.get(scheduler, Sigmas.DEFAULT)
    if spread and spread not in _SPREADS:
        notes.append(f"The schedule type {spread} is not known here: the checkpoint's own is set in its place.")
    return scheduler, _SPREADS.get(spread, Sigmas.DEFAULT)


def _size(fields: dict[str, str], shown: Extent, notes: list[str]) -> Extent:
    """The size of the whole picture; theirs is that of the first pass."""
    size = _extent(fields.get("Size", "")) or shown
    enlarged = _extent(fields.get("Hires resize", ""))
    factor = _number(fields, "Hires upscale", float, 1, MAX_FACTOR, 1.0, [])
    if enlarged is not None and enlarged.width and enlarged.height:
        size = enlarged
    elif factor > 1:
        size = Extent(width=round(size.width * factor), height=round(size.height * factor))
    try:
        check_size(size)
    except InvalidSize:
        nearest = nearest_size(size)
        notes.append(
            f"Its size of {size.width} × {size.height} doesn't work here: {nearest.width} × {nearest.height} is set."
        )
        return nearest
    return size


def _second_pass(fields: dict[str, str], request: GenerateRequest, notes: list[str]) -> SecondPass | None:
    factor = _number(fields, "Hires upscale", float, 1, MAX_FACTOR, 0.0, notes)
    first, enlarged = _extent(fields.get("Size", "")), _extent(fields.get("Hires resize", ""))
    if not factor and first is not None and first.width and enlarged is not None and enlarged.width:
        factor = min(max(request.size.width / first.width, 1.0), float(MAX_FACTOR))
    if not factor:
        return None
    steps = _number(fields, "Hires steps", int, 0, MAX_STEPS, 0, notes) or None
    strength = _number(fields, "Denoising strength", float, 0, 1, SecondPass.strength, notes)
    upscaler = fields.get("Hires upscaler", "")
    if upscaler and not upscaler.startswith(("Latent", "Tiles")):
        notes.append(f"The upscaler {upscaler} is not known here: the first pass is enlarged in our own way.")
    if int((steps or request.steps) * strength) < 1:
        notes.append(f"A strength of {strength:g} leaves the second pass nothing to do: it is left out.")
        return None
    return SecondPass(factor=factor, strength=strength, steps=steps)


def _guidance(fields: dict[str, str], notes: list[str]) -> float:
    """Forge tells the guidance of distilled models apart; here it is the one guidance scale."""
    name = "Distilled CFG Scale" if fields.get("CFG scale") in ("1", "1.0") else "CFG scale"
    name = name if name in fields else "CFG scale"
    return _number(fields, name, float, 0, _MAX_GUIDANCE, GenerateRequest.guidance_scale, notes)


def _vae(fields: dict[str, str]) -> str:
    vae = fields.get("VAE", "")
    return "" if vae in ("Automatic", "None", "Built in", "") else vae


def _models(fields: dict[str, str], request: GenerateRequest) -> Iterator[UsedModel]:
    hashes = _civitai_hashes(fields)
    for kind, name, key in (
        (ModelKind.CHECKPOINT, request.checkpoint, "Model hash"),
        (ModelKind.VAE, request.vae, "VAE hash"),
    ):
        if name:
            digits = fields.get(key, "") or (hashes.get("model", "") if kind is ModelKind.CHECKPOINT else "")
            yield _named(kind, name, digits)
    for kind, field, prefix in (
        (ModelKind.LORA, "Lora hashes", "lora:"),
        (ModelKind.EMBEDDING, "TI hashes", "embed:"),
    ):
        told = dict(_pairs(fields.get(field, "")))
        told |= {name.removeprefix(prefix): digits for name, digits in hashes.items() if name.startswith(prefix)}
        for name, digits in told.items():
            yield _named(kind, name, digits)


def _named(kind: ModelKind, name: str, digits: str) -> UsedModel:
    known = digits.lower() if _HASH.fullmatch(digits) else ""
    # A1111's hash of a LoRA leaves out its header, so it can't be compared with a file's
    sha256 = "" if kind is ModelKind.LORA and len(known) == 12 else known
    return UsedModel(kind=kind, reference=name, title=stem(name), sha256=sha256)


def _civitai_hashes(fields: dict[str, str]) -> dict[str, str]:
    try:
        told: Any = json.loads(fields.get("Hashes", "{}"))
    except ValueError:
        return {}
    if not isinstance(told, dict):
        return {}
    return {str(name): str(digits) for name, digits in cast("dict[Any, Any]", told).items()}


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for entry in text.split(","):
        name, colon, value = entry.rpartition(":")
        if colon and name.strip():
            yield name.strip(), value.strip()


def _tell_start(fields: dict[str, str], request: GenerateRequest, notes: list[str]) -> None:
    strength = fields.get("Denoising strength")
    if strength is not None and request.second_pass is None:
        notes.append(
            f"It was painted over another picture with a denoising strength of {strength}, and that picture is not in "
            "the file: give it as the start picture."
        )


def _tell_units(fields: dict[str, str], notes: list[str]) -> None:
    for name, text in fields.items():
        if not name.startswith("ControlNet"):
            continue
        unit = {key.lower(): value for key, value in _pairs(text)}
        model = unit.get("model", "").partition(" [")[0] or "a ControlNet"
        details = ", ".join(
            f"{label} {unit[key]}"
            for key, label in (("module", "preprocessor"), ("preprocessor", "preprocessor"), ("weight", "weight"))
            if key in unit
        )
        notes.append(f"{name} ({model}; {details}) needs its image again: the file doesn't hold it. Add the control.")


def _tell_rest(fields: dict[str, str], notes: list[str]) -> None:
    rest = [
        f"{name}: {value}"
        for name, value in fields.items()
        if name not in _UNDERSTOOD and not name.startswith("ControlNet")
    ]
    if rest:
        notes.append(f"Not taken over: {', '.join(rest)}.")


def _program(fields: dict[str, str]) -> str:
    version = fields.get("Version", "")
    if re.match(r"v?\d+\.\d+", version):
        return f"A1111 {version}"
    if re.match(r"f\d", version):
        return f"Forge {version.removeprefix('f')}"
    return version or "Another program"


def _extent(text: str) -> Extent | None:
    match = _SIZE.fullmatch(text.strip())
    return None if match is None else Extent(width=int(match[1]), height=int(match[2]))


def _number(
    fields: dict[str, str], name: str, kind: Callable[[str], N], least: N, most: N, default: N, notes: list[str]
) -> N:
    """A field's number; the default, and a note, where it isn't one within the range."""
    text = fields.get(name)
    if text is None:
        return default
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not math.isfinite(value) or not least <= value <= most:
        notes.append(f"{name} is {text[:40]}, which doesn't work here: {default:g} is set.")
        return default
    return value
