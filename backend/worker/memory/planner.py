"""From what a picture needs and what there is: the plan. Pure arithmetic, no torch.

The ladder is tried from the top, and the first rung whose estimated peak fits is taken. Every rung gives the same
numbers. Tiling the VAE does not quite, so it is done only where the VAE would not fit with everything else gone.
"""

import dataclasses
from collections.abc import Iterator

from ....protocol.errors import DoesNotFit, InvalidRequest
from ....protocol.request import Precision
from . import words
from .needs import Needs, Part
from .plan import FORMAT_BYTES, Backend, Group, Machine, Plan, Rung

GIB = 1 << 30
_MARGIN = 1.05  # for the allocator's rounding and gaps
_SPARE = 0.03  # of what is free, left to others where no budget is set
_WORKSPACE = {Backend.CPU: 150 << 20, Backend.MPS: 300 << 20, Backend.CUDA: 400 << 20, Backend.ROCM: 500 << 20}
_BIG_VALUES = 250_000_000  # of a UNet's weights, 1 GB in float32, from which a CPU with bfloat16 uses it
_TILES_PX = (512, 256)

# How quickly weights come, in bytes a second. Leaf by leaf as in Hugging Face's benchmark of Flux on an L40 (23.8 GB
# take a forward pass from 0.493 s to 1.86 s), sequentially as diffusers' pull request 11682 has it against that (68 s
# to 47.7 s). In large pinned copies over PCIe 4, and read from files that the system has in its cache.
_STREAMED_RATE = 17.4e9
_SEQUENTIAL_RATE = 11.7e9
_PINNED_RATE = 20e9
_READ_RATE = 1.0e9


def make_plan(
    needs: Needs, machine: Machine, *, budget_gb: float | None, precision: Precision, room_gb: float | None = None
) -> Plan:
    """The quickest way that fits into the budget, or into what is free.

    `room_gb` is what turned out to be there when memory ran out before; unlike a budget it leaves the number
    format alone. Raises InvalidRequest for a precision in which the device does not compute rightly, and
    DoesNotFit, naming what would fit.
    """
    limit = _limit(machine, budget_gb)
    if room_gb is not None:
        limit = min(limit, int(room_gb * GIB))
    dtype = _dtype(needs, machine, budget_gb, precision)
    for plan in _ladder(needs, machine, dtype, limit):
        if _fits(plan, needs):
            return plan
    raise _does_not_fit(needs, machine, dtype, limit)


def step_down(plan: Plan, needs: Needs) -> Plan | None:
    """The next plan after this one ran out of memory: the first further down that takes clearly less.

    None where there is none. The number format stays, for the picture's sake.
    """
    tile = next((px for px in _tiles(needs) if plan.vae_tile_px is None or px < plan.vae_tile_px), plan.vae_tile_px)
    reached = False
    for lower in _rungs(needs, plan.machine, plan.dtype_name, plan.limit_bytes, tile):
        reached = reached or (lower.rung, lower.streamed) == (plan.rung, plan.streamed)
        if reached and lower.peak_bytes < 0.9 * plan.peak_bytes and _fits_host(lower, needs):
            return lower
    return None


def _limit(machine: Machine, budget_gb: float | None) -> int:
    free = int(machine.free_bytes * (1 - _SPARE))
    return free if budget_gb is None else min(int(budget_gb * GIB), machine.free_bytes)


def _dtype(needs: Needs, machine: Machine, budget_gb: float | None, precision: Precision) -> str:
    """The number format. Never by what is free at the moment: the same request gives the same picture."""
    formats = tuple(name for name in machine.formats if name not in needs.unfit_formats)
    if precision is not Precision.AUTO:
        if precision in needs.unfit_formats:
            raise InvalidRequest(
                reason=f"precision is {precision}, in which {needs.formats_for} overflows. Choose {formats[0]}"
            )
        if precision not in machine.formats:
            works = " and ".join(machine.formats)
            raise InvalidRequest(
                reason=f"precision is {precision}, and {machine.full_name} computes rightly in {works}"
            )
        return str(precision)
    if machine.backend is not Backend.CPU or "bfloat16" not in formats:
        return formats[0]
    unet = next(part.values for part in needs.group(Group.DENOISER) if not part.is_net)
    if machine.quick_bfloat16 and unet > _BIG_VALUES:
        return "bfloat16"
    empty = dataclasses.replace(machine, free_bytes=machine.total_bytes, host_free_bytes=machine.total_bytes)
    fits = any(_fits(plan, needs) for plan in _ladder(needs, empty, "float32", _limit(empty, budget_gb)))
    return "float32" if fits else "bfloat16"


# ---- the ladder


def _ladder(needs: Needs, machine: Machine, dtype: str, limit: int) -> Iterator[Plan]:
    """Every rung, quickest first, with the VAE whole if that can fit, and else in the largest tiles that can."""
    vae = _vae_dtype(needs, dtype)
    choices = (None, *_tiles(needs))
    fitting = (px for px in choices if _total(machine, _vae_bytes(needs, vae, px)) <= limit)
    yield from _rungs(needs, machine, dtype, limit, next(fitting, choices[-1]))


def _rungs(needs: Needs, machine: Machine, dtype: str, limit: int, tile_px: int | None) -> Iterator[Plan]:
    steps: list[tuple[Rung, tuple[str, ...]]] = [(Rung.RESIDENT, ()), (Rung.PHASED, ())]
    if not machine.shared:
        if needs.nets:
            steps.append((Rung.STREAMED, ("nets",)))
        steps += [(Rung.STREAMED, ("nets", "unet") if needs.nets else ("unet",)), (Rung.SEQUENTIAL, ())]
    for rung, streamed in steps:
        plan = Plan(
            machine=machine,
            dtype_name=dtype,
            vae_dtype_name=_vae_dtype(needs, dtype),
            rung=rung,
            streamed=streamed,
            vae_tile_px=tile_px,
            peak_bytes=0,
            limit_bytes=limit,
        )
        plan = dataclasses.replace(plan, peak_bytes=_peak(plan, needs), slowdown=_slowdown(plan, needs))
        yield dataclasses.replace(plan, words=words.sentence(plan, needs))


def _tiles(needs: Needs) -> tuple[int, ...]:
    """The tile sizes that are smaller than the picture, largest first."""
    return tuple(px for px in _TILES_PX if px < max(needs.size.width, needs.size.height))


def _fits(plan: Plan, needs: Needs) -> bool:
    return plan.peak_bytes <= plan.limit_bytes and _fits_host(plan, needs)


def _fits_host(plan: Plan, needs: Needs) -> bool:
    """Whether main memory holds what waits there."""
    if plan.machine.shared or plan.rung is Rung.RESIDENT:
        return True
    return needs.weights() * FORMAT_BYTES[plan.dtype_name] <= plan.machine.host_free_bytes * (1 - _SPARE)


def _vae_dtype(needs: Needs, dtype: str) -> str:
    return "float32" if dtype == "float16" and needs.float32_vae else dtype


# ---- bytes


def _peak(plan: Plan, needs: Needs) -> int:
    """The most that lies on the device at once."""
    size = FORMAT_BYTES[plan.dtype_name]
    text = needs.weights(Group.TEXT) * size
    denoiser = needs.weights(Group.DENOISER) * size
    vae = needs.weights(Group.VAE) * FORMAT_BYTES[plan.vae_dtype_name]
    text_work, denoiser_work = needs.text_values() * size, needs.denoiser_values() * size
    vae_work = needs.vae_values(plan.vae_tile_px) * FORMAT_BYTES[plan.vae_dtype_name]
    match plan.rung:
        case Rung.RESIDENT:
            peak = text + denoiser + vae + max(text_work, denoiser_work, vae_work)
        case Rung.PHASED:
            peak = max(text + text_work, denoiser + denoiser_work, vae + vae_work)
        case Rung.STREAMED:
            # Beside what stays: the layer at work and the next one.
            kept = sum(part.values for part in needs.group(Group.DENOISER) if not _is_streamed(part, plan)) * size
            passing = 2 * max(p.largest_leaf for p in needs.group(Group.DENOISER) if _is_streamed(p, plan)) * size
            peak = max(text + text_work, kept + passing + denoiser_work, vae + vae_work)
        case Rung.SEQUENTIAL:
            layer = max(part.largest_leaf for part in needs.parts) * size
            peak = layer + max(text_work, denoiser_work, vae_work)
    return _total(plan.machine, peak)


def _total(machine: Machine, counted: float) -> int:
    return int(counted * _MARGIN) + _WORKSPACE[machine.backend]


def _vae_bytes(needs: Needs, dtype: str, tile_px: int | None) -> float:
    """The VAE with everything else gone."""
    return (needs.weights(Group.VAE) + needs.vae_values(tile_px)) * FORMAT_BYTES[dtype]


def _is_streamed(part: Part, plan: Plan) -> bool:
    return ("nets" if part.is_net else "unet") in plan.streamed


# ---- time


def _slowdown(plan: Plan, needs: Needs) -> float:
    """The whole job's time against everything resident, from arithmetic and copying that do not overlap."""
    size, machine = FORMAT_BYTES[plan.dtype_name], plan.machine
    turns = -(-needs.pictures // needs.batch)
    rate = machine.flops_float32 if plan.dtype_name == "float32" else machine.flops
    computing = turns * needs.evaluations * needs.flops() / rate
    denoiser = needs.weights(Group.DENOISER) * size
    text, vae = needs.weights(Group.TEXT) * size, needs.weights(Group.VAE) * FORMAT_BYTES[plan.vae_dtype_name]
    fetching = _READ_RATE if machine.shared else _PINNED_RATE
    match plan.rung:
        case Rung.RESIDENT:
            copying = 0.0
        case Rung.PHASED:
            copying = (text + denoiser + vae) / fetching  # once for all pictures of the job
        case Rung.STREAMED:
            streamed = sum(part.values for part in needs.group(Group.DENOISER) if _is_streamed(part, plan)) * size
            each_time = turns * needs.evaluations * streamed / _STREAMED_RATE
            copying = each_time + (text + denoiser - streamed + vae) / fetching
        case Rung.SEQUENTIAL:
            copying = (text + turns * needs.evaluations * denoiser + needs.pictures * vae) / _SEQUENTIAL_RATE
    return 1 + copying / computing if computing else 1.0


# ---- what would fit instead


def _does_not_fit(needs: Needs, machine: Machine, dtype: str, limit: int) -> DoesNotFit:
    def fits(changed: Needs) -> bool:
        return any(_fits(plan, changed) for plan in _ladder(changed, machine, dtype, limit))

    least = min(plan.peak_bytes for plan in _ladder(needs, machine, dtype, limit))
    return DoesNotFit(
        title=needs.title,
        size=f"{needs.size.width} x {needs.size.height}",
        needed=words.gigabytes(least),
        device=machine.full_name,
        available=words.gigabytes(limit),
        advice=words.advice(needs, fits),
    )
