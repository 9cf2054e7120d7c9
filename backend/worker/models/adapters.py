"""LoRAs: read by diffusers' names, checked by headers alone, and fused into the weights as these are loaded.

A fused module is a module like any other, so plans, offloading and every step are as without LoRAs. It is loaded
anew for other LoRAs or weights, and so leaves nothing behind.
"""

import importlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ....protocol.errors import AdapterMismatch, ModelBroken
from ....protocol.models import ModelKind
from ...library.headers import METADATA, Header, read_header
from ...library.recognition import recognise
from ..families import FAMILIES
from ..memory.plan import Group
from ..third_party import torch
from .inspection import CheckpointInfo, Weights
from .loading import Source, checkpoint_sources
from .lora_layers import Layer
from .lora_layouts import check_layout, read_layers
from .named import find_file


@dataclass(frozen=True, kw_only=True)
class LoraChoice:
    """A LoRA that goes with the checkpoint, checked and not loaded."""

    reference: str  # as the request or the prompt calls it
    file: Path
    stamp: tuple[str, int, int]  # path, size and time of change
    weight: float
    text_weight: float
    layers: Mapping[str, tuple[Layer, ...]]  # by component of the checkpoint
    left_out: int  # layers of the file that the checkpoint doesn't have

    @property
    def key(self) -> tuple[object, ...]:
        """Equal where it does the same to a checkpoint."""
        return (*self.stamp, self.weight, self.text_weight)

    def weight_of(self, component: str) -> float:
        """How much it counts in a component."""
        return self.text_weight if component.startswith("text_encoder") else self.weight

    @property
    def note(self) -> str:
        """What the user should know; empty where all of it is used."""
        if not self.left_out:
            return ""
        count = self.left_out + sum(map(len, self.layers.values()))
        return f'{self.left_out} of the {count} layers of the LoRA "{self.reference}" fit nothing in the checkpoint.'


@dataclass(frozen=True, kw_only=True)
class FusedSource:
    """A component that is loaded with LoRAs in it; to whoever loads it a Source."""

    base: Source
    loras: tuple[LoraChoice, ...]

    @property
    def model(self) -> str:
        return self.base.model

    @property
    def name(self) -> str:
        return self.base.name

    @property
    def group(self) -> Group:
        return self.base.group

    @property
    def streams_as(self) -> str:
        return self.base.streams_as

    @property
    def place(self) -> tuple[object, ...]:
        return self.base.place

    @property
    def weights(self) -> Weights:
        """Those of the component; the stamp tells the LoRAs and their weights as well."""
        fused = tuple(
            (f"{lora.stamp[0]} x {lora.weight_of(self.name)!r}, {lora.stamp[1]} bytes", 0, lora.stamp[2])
            for lora in self.loras
        )
        return replace(self.base.weights, stamp=(*self.base.weights.stamp, *fused))

    def empty(self, dtype: Any) -> Any:
        return self.base.empty(dtype)

    def load(self, dtype: Any) -> Any:
        """The module with every LoRA in its weights. Raises ModelBroken, naming the LoRA that is at fault."""
        module = self.base.load(dtype)
        _fuse(module, self.name, self.loras)
        return module


def choose(
    wanted: Sequence[tuple[str, float, float | None]], checkpoint: CheckpointInfo, *, models: Path
) -> tuple[LoraChoice, ...]:
    """Find LoRAs by (name, weight, weight in the text encoders or None for the same), and check that they fit.

    Only headers are read. A LoRA that is named twice counts with the sum; one that counts for nothing is left out.
    Raises ModelMissing, ModelBroken for a layout that isn't read, and AdapterMismatch.
    """
    merged: dict[Path, tuple[str, float, float]] = {}
    for reference, weight, text_weight in wanted:
        file = find_file(reference, ModelKind.LORA, models).resolve()
        _, before, text_before = merged.get(file, ("", 0.0, 0.0))
        text = weight if text_weight is None else text_weight
        merged[file] = (reference, before + weight, text_before + text)
    found = [_choice(file, *entry, checkpoint) for file, entry in merged.items()]
    return tuple(choice for choice in found if choice.weight or choice.text_weight)


def with_loras(sources: Mapping[str, Source], loras: Sequence[LoraChoice]) -> dict[str, Source | FusedSource]:
    """The components as they are to be loaded; those that no LoRA changes are the same as without any."""
    fused: dict[str, Source | FusedSource] = {}
    for name, source in sources.items():
        counting = tuple(lora for lora in loras if lora.weight_of(name) and lora.layers.get(name))
        fused[name] = FusedSource(base=source, loras=counting) if counting else source
    return fused


def modules(checkpoint: CheckpointInfo, component: str) -> Mapping[str, tuple[int, ...]]:
    """The shape of every weight that a LoRA may change, by its module; nothing is loaded."""
    return _modules(_Known(checkpoint_sources(checkpoint)[component]))


def modules_config(checkpoint: CheckpointInfo, component: str) -> Any:
    """A component's config, as its class reads it; nothing is loaded."""
    return _empty(_Known(checkpoint_sources(checkpoint)[component])).config


class _Known:
    """A source by which files it stands for, so that its shapes are remembered."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._key = (source.place, source.weights.stamp)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=8)
def _empty(known: _Known) -> Any:
    return known.source.empty(torch().float32)


@lru_cache(maxsize=8)
def _modules(known: _Known) -> Mapping[str, tuple[int, ...]]:
    layers = (torch().nn.Linear, torch().nn.Conv2d)
    return {name: tuple(each.weight.shape) for name, each in _empty(known).named_modules() if isinstance(each, layers)}


def _choice(file: Path, reference: str, weight: float, text_weight: float, checkpoint: CheckpointInfo) -> LoraChoice:
    header = read_header(file, reference)
    check_layout(header, reference)
    known = {name: modules(checkpoint, name) for name in checkpoint.weights if name != "vae"}
    found, strange = read_layers(header, checkpoint.family.pipeline, checkpoint.unet_config, known, reference)
    misfits = [layer for name, layers in found.items() for layer in layers if not layer.fits(known[name][layer.module])]
    count = sum(map(len, found.values()))
    has_unet = _denoises(header)
    if (
        misfits
        or not count
        or (has_unet and not found.get(checkpoint.family.denoiser))
        or _of_other(header, checkpoint)
    ):
        raise _misfit(header, misfits, reference, checkpoint)
    status = file.stat()
    return LoraChoice(
        reference=reference,
        file=file,
        stamp=(str(file), status.st_size, status.st_mtime_ns),
        weight=weight,
        text_weight=text_weight,
        layers={name: tuple(layers) for name, layers in found.items()},
        left_out=strange,
    )


def _of_other(header: Header, checkpoint: CheckpointInfo) -> bool:
    """Whether a transformer's LoRA is another family's: their blocks have the same names, and some the same widths."""
    family = recognise(header).family
    return checkpoint.family.stock is not None and family is not None and family is not checkpoint.family.id


def _denoises(header: Header) -> bool:
    """Whether any layer is meant for a denoiser, and not only for text encoders."""
    return not all(key.startswith(("lora_te", "text_encoder")) for key in header if key != METADATA)


def _misfit(
    header: Header, misfits: Sequence[Layer], reference: str, checkpoint: CheckpointInfo
) -> AdapterMismatch | ModelBroken:
    """What to tell of a LoRA that doesn't fit: the family it is for, or else which layer shows it."""
    title, family = checkpoint.name or "the embedded checkpoint", recognise(header).family
    if family is not None and family is not checkpoint.family.id:
        return AdapterMismatch(
            kind="LoRA",
            adapter=reference,
            adapter_family=FAMILIES[family].title,
            checkpoint=title,
            family=checkpoint.family.title,
        )
    if misfits:
        return ModelBroken(
            model=reference,
            reason=f'its layer {misfits[0].module} is of another size than in the checkpoint "{title}"; '
            "choose a LoRA that was made for it",
        )
    return ModelBroken(
        model=reference, reason=f'none of its layers is known in the checkpoint "{title}"; choose another LoRA'
    )


# -------------------------------------------------------------------------------------------------- fusing


def _fuse(module: Any, component: str, loras: Sequence[LoraChoice]) -> None:
    """W + weight x alpha / rank x B A, summed in float32 over all LoRAs of a layer, then rounded once."""
    by_module: dict[str, list[tuple[LoraChoice, Layer]]] = {}
    for lora in loras:
        for layer in lora.layers[component]:
            by_module.setdefault(layer.module, []).append((lora, layer))
    with torch().no_grad(), ExitStack() as files:
        tensors = {lora.stamp: files.enter_context(opened(lora.file, lora.stamp, lora.reference)) for lora in loras}
        for name, entries in by_module.items():  # one by one, for in float32 all together take twice the model
            weight = module.get_submodule(name).weight
            total = weight.detach().float()  # itself, where it is in float32
            for lora, layer in entries:
                layer.add(total, tensors[lora.stamp], lora.weight_of(component), lora.reference)
            weight.copy_(total)


@contextmanager
def opened(file: Path, stamp: tuple[str, int, int], reference: str) -> Generator[Any]:
    """The file's tensors. Raises ModelBroken for one that is gone or was changed since it was looked at."""
    safetensors: Any = importlib.import_module("safetensors")
    try:
        status = file.stat()
        if (status.st_size, status.st_mtime_ns) != stamp[1:]:
            raise ModelBroken(model=reference, reason=f"{file.name} was changed while it was loaded; try again")
        with safetensors.safe_open(str(file), framework="pt", device="cpu") as tensors:
            yield tensors
    except (OSError, safetensors.SafetensorError) as error:
        reason = f"{file.name} could not be read ({str(error).strip()[:160]}); try again, or fetch it again"
        raise ModelBroken(model=reference, reason=reason) from error
