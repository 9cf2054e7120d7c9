"""What makers write into and beside their files: metadata of kohya's trainer and of the Model Spec, A1111's notes.

Only hints, and only where keys and shapes leave something open. https://github.com/Stability-AI/ModelSpec
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

from ...protocol.models import FamilyId

_MAX_WORDS = 8
_MAX_WORD = 120  # characters
_MAX_LICENCE = 120
_OFTEN = 0.8  # of the most frequent tag's count: what nearly every picture was tagged with calls the LoRA up
_FAMILIES: tuple[tuple[str, FamilyId], ...] = (
    (r"stable-diffusion-xl|sdxl|^sd_xl|pony|illustrious|noobai", FamilyId.SDXL),
    (r"stable-diffusion-3|^sd3|^sd_?3\.?5?|^sd 3", FamilyId.SD3),
    (r"stable-diffusion-v2|^sd_?v?2|^sd 2", FamilyId.SD2),
    (r"stable-diffusion-v1|^sd_?v?1|^sd 1", FamilyId.SD15),
    (r"flux-?2|flux\.2|^$", None),  # type: ignore[arg-type]
    (r"flux", FamilyId.FLUX),
    (r"qwen[-_ ]?image", FamilyId.QWEN_IMAGE),
    (r"z[-_ ]?image", FamilyId.Z_IMAGE),
)


def family(told: Mapping[str, str]) -> FamilyId | None:
    """The family that a file's metadata name."""
    for key in ("modelspec.architecture", "ss_base_model_version"):
        found = family_named(told.get(key, ""))
        if found is not None:
            return found
    if told.get("ss_v2", "").lower() == "true":
        return FamilyId.SD2
    return None


def family_named(name: str) -> FamilyId | None:
    """The family that is meant by what other programs call it."""
    name = name.strip().lower()
    return next((found for pattern, found in _FAMILIES if re.search(pattern, name)), None) if name else None


def traits(told: Mapping[str, str]) -> tuple[str, ...]:
    """What metadata say of how a model was trained."""
    found: list[str] = []
    prediction = told.get("modelspec.prediction_type", "").lower()
    if prediction:
        predicts_v = prediction in ("v", "v_prediction", "v-prediction", "vpred")
    elif "ss_v_parameterization" in told:
        predicts_v = told["ss_v_parameterization"].lower() == "true"
    else:
        predicts_v = told.get("modelspec.architecture", "").endswith("-v")
    if predicts_v:
        found.append("v-prediction")
    if told.get("ss_zero_terminal_snr", "").lower() == "true" or "ztsnr" in told:
        found.append("zero-terminal SNR")
    return tuple(found)


def licence(told: Mapping[str, str]) -> str:
    """The licence that a file's metadata name; empty where they don't."""
    return _one_line(told.get("modelspec.license", "") or told.get("license", ""))[:_MAX_LICENCE]


def words(told: Mapping[str, str]) -> tuple[str, ...]:
    """The words that call a LoRA up: those that its maker names, else what nearly every picture was tagged with."""
    phrase = told.get("modelspec.trigger_phrase", "") or told.get("trigger_words", "")
    if phrase.strip():
        return split_words(phrase)
    try:
        folders: Any = json.loads(told.get("ss_tag_frequency", "{}"))
        counts: Counter[str] = Counter()
        for tags in cast("dict[str, dict[str, int]]", folders).values():
            counts.update({tag.strip(): count for tag, count in tags.items() if isinstance(count, int)})  # pyright: ignore[reportUnnecessaryIsInstance]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return ()
    common = [(tag, count) for tag, count in counts.most_common(_MAX_WORDS) if 0 < len(tag) <= _MAX_WORD]
    return tuple(_one_line(tag) for tag, count in common if count >= _OFTEN * common[0][1])


def split_words(phrase: str) -> tuple[str, ...]:
    """Words that are separated by commas."""
    found = (_one_line(word)[:_MAX_WORD] for word in phrase.split(","))
    return tuple(dict.fromkeys(word for word in found if word))[:_MAX_WORDS]


def front_matter_licence(text: str) -> str:
    """The licence in a model card's front matter: `license_name` where it is "other"."""
    match = re.match(r"\ufeff?---\s*\n(.*?)\n---", text, re.DOTALL)
    if match is None:
        return ""
    entries = dict(re.findall(r"^(license|license_name):[ \t]*([^\n#]+)", match[1], re.MULTILINE))
    named = {key: value.strip().strip("\"'") for key, value in entries.items()}
    chosen = named.get("license", "")
    return _one_line(named.get("license_name", chosen) if chosen in ("", "other") else chosen)[:_MAX_LICENCE]


def _one_line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
