"""A plan as a person reads it, and what to change where none fits. No torch here."""

import dataclasses
from collections.abc import Callable, Iterator

from ....protocol.geometry import Extent
from .needs import Needs
from .plan import Plan, Rung

_SIZE_STEP = 64


def sentence(plan: Plan, needs: Needs) -> str:
    """ "SDXL + 2 ControlNets in 8 GB: nets streamed, about 1.3 times slower (cuda:0 ..., float16, takes 7.1 GB)"."""
    how = _how(plan)
    if needs.at_once is not None and needs.at_once != needs.size:
        how += f", painted in tiles of {needs.at_once.width} x {needs.at_once.height}"
    if plan.tiled_vae:
        how += f", decoded in tiles of {plan.vae_tile_px}"
    if plan.slowdown >= 1.05:
        how += f", about {_times(plan.slowdown)} times slower"
    takes = f"takes about {gigabytes(plan.peak_bytes)} GB"
    return f"{needs.title} in {gigabytes(plan.limit_bytes)} GB: {how} ({plan.where}, {takes})"


def step_down_note(before: Plan, after: Plan) -> str:
    """What the user is told once memory ran out and the next way was taken."""
    return f"Memory ran out with {_how(before)} on {before.device_name}; went on with: {after.words}"


def gigabytes(count: int) -> str:
    """GiB with no more digits than count: "0.01", "0.5", "7.1", "23"."""
    value = count / (1 << 30)
    if value < 0.095:
        return f"{value:.1g}"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"


def advice(needs: Needs, fits: Callable[[Needs], bool]) -> str:
    """What would fit: a smaller picture, fewer at once, fewer controls. As a clause."""
    found: list[str] = []
    if needs.batch > 1 and fits(dataclasses.replace(needs, batch=1)):
        found.append("pictures painted one by one (batch size 1)")
    smaller = next((size for size in _smaller(needs.size) if fits(dataclasses.replace(needs, size=size))), None)
    if smaller is not None:
        found.append(f"{smaller.width} x {smaller.height} pixels")
    nets = [part for part in needs.parts if part.is_net]
    for kept in range(len(nets) - 1, -1, -1):
        dropped = {part.name for part in sorted(nets, key=lambda part: -part.values)[: len(nets) - kept]}
        parts = tuple(part for part in needs.parts if not (part.is_net and part.name in dropped))
        if fits(dataclasses.replace(needs, parts=parts, controls=min(kept, needs.controls))):
            found.append(f"{kept} ControlNet{'' if kept == 1 else 's'}" if kept else "no ControlNet")
            break
    return (
        f"what would fit: {', or '.join(found)}" if found else "nothing of this checkpoint fits; choose a smaller one"
    )


def _how(plan: Plan) -> str:
    match plan.rung:
        case Rung.RESIDENT:
            return "all in memory"
        case Rung.PHASED if plan.machine.shared:
            return "text encoders, UNet and VAE loaded in turn"
        case Rung.PHASED:
            return "text encoders, UNet and VAE take turns on the device"
        case Rung.STREAMED if "unet" in plan.streamed:
            return "UNet and nets streamed" if "nets" in plan.streamed else "UNet streamed"
        case Rung.STREAMED:
            return "nets streamed"
        case Rung.SEQUENTIAL:
            return "one layer at a time"


def _times(slowdown: float) -> str:
    return f"{slowdown:.1f}" if slowdown < 9.95 else f"{slowdown:.0f}"


def _smaller(size: Extent) -> Iterator[Extent]:
    """Smaller pictures of nearly the same shape, largest first."""
    longest = max(size.width, size.height)
    for side in range((longest - 1) // _SIZE_STEP * _SIZE_STEP, 0, -_SIZE_STEP):
        width, height = (max(8, round(length * side / longest / 8) * 8) for length in (size.width, size.height))
        yield Extent(width=width, height=height)
