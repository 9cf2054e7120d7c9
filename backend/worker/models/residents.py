"""The models in memory: kept between jobs, evicted by need, loaded anew when their files change."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from ..memory import devices
from ..memory.keepers import InLeaves, Keeper, OnDevice, OnDisk, OnShelf
from ..memory.needs import LATENT_PX
from ..memory.placement import Placement
from ..memory.plan import Group, Plan, Rung
from ..memory.ring import Ring
from ..third_party import diffusers, torch
from .adapters import FusedSource, LoraChoice, with_loras
from .choice import NetChoice
from .inspection import CheckpointInfo, ControlNetInfo
from .loading import Source, checkpoint_sources, controlnet_source, light_parts
from .nets import NetUse

Announce = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Models:
    """What a job paints with."""

    checkpoint: CheckpointInfo
    pipeline: Any  # diffusers' for text to image, without ControlNets: to encode prompts
    unet: Any  # or the transformer that the family has in its place
    vae: Any
    nets: tuple[NetUse, ...]  # one for each of the choices asked for, in their order
    more: tuple[Any, ...] = ()  # what was asked for besides, in its order
    placement: Placement
    loras: tuple[LoraChoice, ...] = ()  # that are in the weights


class Residents:
    """Every module that is in memory, each by itself, so that swapping one leaves the others where they are."""

    def __init__(self) -> None:
        self._held: dict[tuple[object, ...], _Held] = {}  # by place, least recently used first
        self._ring: Ring | None = None
        self._pipeline: tuple[tuple[object, ...], Any] | None = None

    @property
    def held_bytes(self) -> int:
        """Of weights in main memory that could be let go of. May be asked from another thread."""
        return sum(held.host_bytes for held in tuple(self._held.values()))

    def models(
        self,
        checkpoint: CheckpointInfo,
        nets: Sequence[NetChoice],
        plan: Plan,
        announce: Announce,
        loras: Sequence[LoraChoice] = (),
        more: Sequence[Source] = (),
    ) -> Models:
        """A checkpoint with these ControlNets and LoRAs, placed by the plan.

        What is in memory already is used as it is, or moved to where the plan has it; what lies there for other
        jobs is let go of, the least recently used first, as far as the plan needs the room. `announce` hears
        what is about to be loaded and may raise. `more` is what works besides, such as an image encoder; two of the
        same place are one module. On an error, what was loaded before stays.
        """
        sources = with_loras(checkpoint_sources(checkpoint), loras)
        chosen = {choice.info.key: choice.info for choice in nets}
        net_sources = {key: controlnet_source(info) for key, info in chosen.items()}
        further = {source.place: source for source in more}
        wanted = [*sources.values(), *net_sources.values(), *further.values()]
        self._make_room(wanted, plan)
        ring = self._ring_for(plan)
        parts = {name: self._have(source, plan, ring, announce, f"Loading {name}") for name, source in sources.items()}
        loaded = {
            key: self._have(source, plan, ring, announce, f"Loading ControlNet {_title(chosen[key])}")
            for key, source in net_sources.items()
        }
        besides = {
            place: self._have(source, plan, ring, announce, f"Loading {source.name} {source.model}")
            for place, source in further.items()
        }
        keepers: dict[Group, list[Keeper]] = {group: [] for group in Group}
        for source in wanted:
            keepers[source.group].append(self._held[source.place].keeper)
        _set_tiles(parts["vae"], plan)
        return Models(
            checkpoint=checkpoint,
            pipeline=self._assembled(checkpoint, parts),
            unet=parts[checkpoint.family.denoiser],
            vae=parts["vae"],
            nets=tuple(NetUse(net=loaded[choice.info.key], mode=choice.mode) for choice in nets),
            more=tuple(besides[source.place] for source in more),
            placement=Placement(plan, keepers),
            loras=tuple(loras),
        )

    def clear(self) -> None:
        """Let go of everything; what running out of memory calls for."""
        self._held.clear()
        self._ring = self._pipeline = None
        gc.collect()
        devices.release()

    def _have(self, source: Source | FusedSource, plan: Plan, ring: Ring | None, announce: Announce, text: str) -> Any:
        """A source's module, in memory and kept as the plan says."""
        way, dtype = _way(source, plan), _dtype(source, plan)
        held = self._held.get(source.place)
        if held is not None and (held.stamp, held.dtype) == (source.weights.stamp, dtype):
            if (held.way, held.ring) == (way, ring if way is _Way.LEAVES else None):
                self._held[source.place] = self._held.pop(source.place)  # now the one used last
                return held.keeper.module
            if _Way.DISK not in (held.way, way):
                del self._held[source.place]
                held.keeper.remove()
                return self._keep(source, held.keeper.module, plan, ring)
        if held is not None:
            held = None
            self._let_go(source.place)  # what it was goes first: two seldom fit
        announce(text)
        return self._keep(source, source.empty(dtype) if way is _Way.DISK else source.load(dtype), plan, ring)

    def _keep(self, source: Source | FusedSource, module: Any, plan: Plan, ring: Ring | None) -> Any:
        way, dtype = _way(source, plan), _dtype(source, plan)
        count = sum(tensor.numel() * tensor.element_size() for tensor in module.parameters())
        pin = not plan.machine.shared and plan.device != "cpu"
        match way:
            case _Way.DEVICE:
                keeper: Keeper = OnDevice(module, plan.device)
            case _Way.SHELF:
                keeper = OnShelf(module, plan.device, pin=pin)
            case _Way.LEAVES:
                assert ring is not None
                keeper = InLeaves(module, ring, pin=pin and plan.rung is Rung.STREAMED)
            case _Way.DISK:
                keeper = OnDisk(module, plan.device, lambda: source.load(dtype))
        self._held[source.place] = _Held(
            stamp=source.weights.stamp,
            dtype=dtype,
            way=way,
            ring=ring if way is _Way.LEAVES else None,
            keeper=keeper,
            device_bytes=count if way is _Way.DEVICE else 0,
            host_bytes=count if way in (_Way.SHELF, _Way.LEAVES) or (way is _Way.DEVICE and plan.machine.shared) else 0,
        )
        return module

    def _make_room(self, wanted: Sequence[Source | FusedSource], plan: Plan) -> None:
        """Let go of what this job doesn't use, as far as it is in the way."""
        needed = {source.place for source in wanted}
        host = plan.machine.host_free_bytes - (0 if plan.rung is Rung.RESIDENT else _file_bytes(wanted))
        for place in [place for place in self._held if place not in needed]:
            # Counted by place: nothing here may hold a module that is to go.
            spare = [other for other in self._held if other not in needed]
            on_device = sum(self._held[other].device_bytes for other in spare)
            in_memory = 0 if plan.machine.shared else sum(self._held[other].host_bytes for other in spare)
            if on_device + plan.peak_bytes <= plan.limit_bytes and in_memory <= host:
                break
            self._let_go(place)
        for place, held in self._held.items():
            if place not in needed:
                held.keeper.drop()

    def _let_go(self, place: tuple[object, ...]) -> None:
        self._held.pop(place).keeper.drop()  # or the ring would keep its leaves
        self._pipeline = None
        gc.collect()
        devices.release()

    def _ring_for(self, plan: Plan) -> Ring | None:
        """The buffers for leaves, kept from job to job."""
        if plan.rung not in (Rung.STREAMED, Rung.SEQUENTIAL):
            self._ring = None
            return None
        ahead = plan.rung is Rung.STREAMED
        if self._ring is None or (self._ring.device, self._ring.ahead) != (plan.device, ahead):
            self._ring = Ring(plan.device, ahead=ahead)
        return self._ring

    def _assembled(self, checkpoint: CheckpointInfo, parts: dict[str, Any]) -> Any:
        """A pipeline over modules that are shared, not copied.

        From its constructor, because `from_pipe` casts the shared modules to float32 when no dtype is given.
        """
        key = (checkpoint.key, *map(id, parts.values()))
        if self._pipeline is not None and self._pipeline[0] == key:
            return self._pipeline[1]
        arguments = {**light_parts(checkpoint), **parts}
        if checkpoint.family.stock is not None:
            pass  # its pipeline takes what a checkpoint holds
        elif checkpoint.family.pooled_text:
            arguments["add_watermarker"] = False
        else:
            arguments |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipeline = getattr(diffusers(), checkpoint.family.pipeline)(**arguments)
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = (key, pipeline)
        return pipeline


class _Way(Enum):
    """Where a module's weights are while it waits."""

    DEVICE = auto()
    SHELF = auto()
    LEAVES = auto()
    DISK = auto()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Held:
    """A module in memory."""

    stamp: tuple[tuple[str, int, int], ...]
    dtype: Any
    way: _Way
    ring: Ring | None
    keeper: Keeper
    device_bytes: int  # while it waits
    host_bytes: int


def _way(source: Source | FusedSource, plan: Plan) -> _Way:
    """Where the plan has a component's weights wait."""
    match plan.rung:
        case Rung.RESIDENT:
            return _Way.DEVICE
        case Rung.SEQUENTIAL:
            return _Way.LEAVES
        case Rung.STREAMED if source.group is Group.DENOISER and source.streams_as in plan.streamed:
            return _Way.LEAVES
        case Rung.PHASED | Rung.STREAMED:
            return _Way.DISK if plan.machine.shared else _Way.SHELF


def _dtype(source: Source | FusedSource, plan: Plan) -> Any:
    return getattr(torch(), plan.vae_dtype_name if source.group is Group.VAE else plan.dtype_name)


def _file_bytes(sources: Sequence[Source | FusedSource]) -> int:
    """Of the sources on disk: about what they take in memory, for the formats are alike or smaller there."""
    return sum(size for source in sources for _, size, _ in source.weights.stamp)


def _set_tiles(vae: Any, plan: Plan) -> None:
    """The side of the tiles that the VAE works in once tiling is switched on for a call."""
    if plan.vae_tile_px is None:
        return
    if hasattr(vae, "tile_sample_min_height"):  # Qwen-Image's
        vae.tile_sample_min_height = vae.tile_sample_min_width = plan.vae_tile_px
        vae.tile_sample_stride_height = vae.tile_sample_stride_width = plan.vae_tile_px * 3 // 4
    else:
        vae.tile_sample_min_size = plan.vae_tile_px
        vae.tile_latent_min_size = plan.vae_tile_px // LATENT_PX


def _title(info: ControlNetInfo) -> str:
    return info.name or info.folder.name
