"""How LoRA files name their tensors: kohya's way (with the blocks of Stability's code or of diffusers), which LyCORIS
follows, and those of older and newer diffusers and of peft. diffusers' own converters translate the names.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

from ....protocol.errors import ModelBroken
from ...library.headers import METADATA, Header, metadata
from ..third_party import diffusers, torch
from .lora_layers import Layer, Sort

_KOHYA = ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_")
_LYCORIS = "lycoris_"  # LyCORIS' own name for what kohya calls lora_unet_, where it trains a diffusers model
_PEFT = "base_model.model."  # how peft itself names a model's layers
_PREFIXES = ("unet.", "text_encoder.", "text_encoder_2.", "transformer.")
_ROLES: dict[str, tuple[Sort, str]] = {
    ".lora_down.weight": (Sort.LORA, "down"),
    ".lora_up.weight": (Sort.LORA, "up"),
    ".lora_mid.weight": (Sort.LORA, "mid"),
    **{f".hada_{role}": (Sort.LOHA, role) for role in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f".lokr_{role}": (Sort.LOKR, role) for role in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
}
"""Ends of kohya's and LyCORIS' names."""
_UNREAD: tuple[tuple[re.Pattern[str], str], ...] = (  # in a tensor's name, what has it
    (re.compile(r"\.oft_"), "an OFT (LyCORIS)"),
    (re.compile(r"\.boft_"), "a BOFT (LyCORIS)"),
    (re.compile(r"\.a1\.weight$"), "a GLoRA (LyCORIS)"),
    (re.compile(r"\.on_input$"), "an (IA)^3 (LyCORIS)"),
    (re.compile(r"\.diff(_b)?$"), "a difference of whole weights (LyCORIS' full)"),
    (re.compile(r"^lora_controlnet$"), "a ControlNet written as a LoRA"),
)
_READ = "LoRA, LoCon, LoHa, LoKr and DoRA are"
_LORA = re.compile(r"lora|hada|lokr")


@dataclass(kw_only=True)
class _Entry:
    """What a file holds of one layer."""

    keys: dict[str, str] = field(default_factory=dict[str, str])  # by role
    sort: Sort = Sort.LORA
    stem: str = ""
    magnitude: str = ""
    lycoris: bool = False


def check_layout(header: Header, name: str) -> None:
    """Raise ModelBroken for a layout that isn't read, naming it, and for what is no LoRA."""
    keys = [key for key in header if key != METADATA]
    for part, what in _UNREAD:
        if any(map(part.search, keys)):
            raise ModelBroken(
                model=name, reason=f"it is {what}, which isn't read here; {_READ}. Choose the LoRA in one of these"
            )
    if not any(map(_LORA.search, keys)):
        raise ModelBroken(model=name, reason="it is no LoRA: no tensor in it is named as those are")


def read_layers(
    header: Header,
    pipeline: str,
    unet_config: Mapping[str, Any],
    modules: Mapping[str, Mapping[str, tuple[int, ...]]],
    name: str,
) -> tuple[dict[str, list[Layer]], int]:
    """A file's layers by component ("unet", "text_encoder", ...), and how many fit none of `modules`.

    `pipeline` is the diffusers class whose LoRA loader translates the names. Raises ModelBroken for half a layer,
    and for one whose halves don't go together.
    """
    keys = [key for key in header if key != METADATA]
    if any(key.startswith((*_KOHYA, _LYCORIS)) for key in keys):
        entries = _of_kohya(keys, pipeline, unet_config, name)
    else:
        entries = _of_diffusers(keys)
    found: dict[str, list[Layer]] = {}
    strange = 0
    facts = _Facts(header)
    for (component, module), entry in entries.items():
        target = _known(module, modules.get(component, {}))
        if target is None:
            strange += 1
            continue
        alpha = f"{entry.stem}.alpha" if f"{entry.stem}.alpha" in header else ""
        layer = Layer(
            module=target,
            sort=entry.sort,
            keys=entry.keys,
            shapes={role: tuple(header[key]["shape"]) for role, key in entry.keys.items()},
            alpha=alpha,
            magnitude=entry.magnitude,
            magnitude_shape=tuple(header[entry.magnitude]["shape"]) if entry.magnitude else (),
            lycoris=entry.lycoris,
        )
        if not layer.complete():
            told = ", ".join(f"{role} {shape}" for role, shape in layer.shapes.items()) or "nothing that is known"
            raise ModelBroken(
                model=name, reason=f"its layer {module} isn't whole, or of two ranks: it has {told}; fetch it again"
            )
        if layer.sort is Sort.LORA and not alpha:
            layer = facts.scaled(layer, component)
        found.setdefault(component, []).append(layer)
    return found, strange


class _Facts:
    """What diffusers writes into a file's metadata of ranks and alphas."""

    def __init__(self, header: Header) -> None:
        try:
            told: Any = json.loads(metadata(header).get("lora_adapter_metadata", "{}"))
        except ValueError:
            told = {}
        self._told = cast("dict[str, Any]", told) if isinstance(told, dict) else {}

    def scaled(self, layer: Layer, component: str) -> Layer:
        """The layer with its alpha / rank; as it is where nothing is told."""
        alpha, patterns = self._told.get(f"{component}.lora_alpha"), self._told.get(f"{component}.alpha_pattern")
        for pattern, value in cast("dict[str, Any]", patterns).items() if isinstance(patterns, dict) else ():
            if layer.module == pattern or layer.module.endswith(f".{pattern}"):
                alpha = value
        rank = layer.shapes["down"][0]
        if not isinstance(alpha, int | float) or not rank:
            return layer
        scale = float(alpha) / (math.sqrt(rank) if self._told.get(f"{component}.use_rslora") else rank)
        return replace(layer, scale=scale)


def _of_kohya(
    keys: list[str], pipeline: str, unet_config: Mapping[str, Any], name: str
) -> dict[tuple[str, str], _Entry]:
    """By component and module. Names that aren't known stand for themselves."""
    entries: dict[str, _Entry] = {}
    strange: dict[tuple[str, str], _Entry] = {}
    for key in keys:
        stem, dot, end = key.partition(".")
        if key.endswith(".alpha"):
            continue
        if not stem.startswith((*_KOHYA, _LYCORIS)) or (dot + end not in _ROLES and end != "dora_scale"):
            strange["", stem] = _Entry()
            continue
        entry = entries.setdefault(stem, _Entry(stem=stem, lycoris=True))
        if end == "dora_scale":
            entry.magnitude = key
        else:
            entry.sort, role = _ROLES[dot + end]
            entry.keys[role] = key
    names = _translated(list(entries), pipeline, unet_config, name)
    return {names[stem]: entry for stem, entry in entries.items()} | strange


def _translated(
    stems: list[str], pipeline: str, unet_config: Mapping[str, Any], name: str
) -> dict[str, tuple[str, str]]:
    """The component and module of each of kohya's names, by the converter of diffusers' own loader."""
    library = torch()
    halves: dict[str, Any] = {}
    owners: dict[int, str] = {}  # the converter renames tensors, and hands on the same objects
    for stem in stems:
        known = f"lora_unet_{stem.removeprefix(_LYCORIS)}" if stem.startswith(_LYCORIS) else stem
        down = halves[f"{known}.lora_down.weight"] = library.empty(0, device="meta")
        halves[f"{known}.lora_up.weight"] = library.empty(0, device="meta")
        owners[id(down)] = stem
    config = SimpleNamespace(layers_per_block=unet_config.get("layers_per_block", 2))
    try:
        converted, _ = getattr(diffusers(), pipeline).lora_state_dict(dict(halves), unet_config=config)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ModelBroken(
            model=name, reason=f"its names can't be read ({str(error).strip()[:160]}); choose another LoRA"
        ) from error
    found: dict[str, tuple[str, str]] = {}
    for component, entries in _by_component(converted).items():
        for key, tensor in entries.items():
            if id(tensor) in owners:
                found[owners[id(tensor)]] = (component, key.partition(".lora_A")[0])
    return {stem: found.get(stem, ("", stem)) for stem in stems}


def _of_diffusers(keys: list[str]) -> dict[tuple[str, str], _Entry]:
    """By component and module, of files by diffusers and peft."""
    entries: dict[tuple[str, str], _Entry] = {}
    named = {_full(key): key for key in keys if not key.endswith(".alpha")}
    for component, tensors in _by_component({full: full for full in named}).items():
        for key, full in tensors.items():
            for part, role in ((".lora_A", "down"), (".lora_B", "up"), (".lora_magnitude_vector", "")):
                module, dot, end = key.partition(part)
                if not dot or end not in ("", ".weight", ".default.weight"):
                    continue
                entry, original = entries.setdefault((component, module), _Entry()), named[full]
                if not role:
                    entry.magnitude = original
                else:
                    entry.keys[role] = original
                if role == "down":
                    entry.stem = re.split(r"\.lora[._]|_lora\.|\.lora_A", original)[0]
                break
            else:
                entries.setdefault((component, key), _Entry())
    return entries


def _full(key: str) -> str:
    key = key.removeprefix(_PEFT)
    return key if key.startswith(_PREFIXES) else f"unet.{key}"


def _by_component(tensors: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The same by peft's names, which tell of each component apart."""
    utils = diffusers().utils.state_dict_utils
    split: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        component, _, rest = key.partition(".")
        split.setdefault(component, {})[rest] = tensor
    for component, entries in split.items():
        if any("lora_A" in key for key in entries):
            continue
        if not component.startswith("text_encoder"):
            split[component] = utils.convert_unet_state_dict_to_peft(entries)
        elif any("lora" in key for key in entries):
            split[component] = utils.convert_state_dict_to_peft(utils.convert_state_dict_to_diffusers(entries))
    return split


def _known(module: str, modules: Mapping[str, Any]) -> str | None:
    """The checkpoint's name of a layer: transformers 5 has lost a prefix that older files have."""
    for name in (module, module.removeprefix("text_model."), f"text_model.{module}"):
        if name in modules:
            return name
    return None
