"""One combination against stock: predictions, latents, pictures, and whether its options matter at all."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from parity_jobs import Job, without
from parity_ours import EXACT, Ours, Savings, predict_beside
from parity_stock import Painted, Stock, start_image, start_mask

Compare = Callable[..., None]

PREDICTION = 1e-5
"""How far a prediction with every saving may be from stock's, relatively; 3.6e-6 was the most of 90 jobs."""

WORSE = 1.3
"""How much farther than stock's float32 ours may be from stock in float64. Two roundings of one computation differ
by chance (1.16 was the most of 150 jobs, 0.9 the middle); a wrong coefficient is thousands of times farther off."""

ROUNDINGS = 8 * 2**-24
"""Relative: eight roundings of float32. Closer than this to float64 is luck, which isn't held against ours."""

MATTERS = 1e-3
"""How far an option must move stock's own latents, relatively: a hundred times the largest difference allowed."""

LEVEL = 1  # of 255: what a difference of 1e-7 can do to a number that is rounded


def compare_job(compare: Compare, job: Job, stock: Stock, exact: Stock, ours: Ours, *, number: int) -> None:
    """The figures of a line: every evaluation's prediction at stock's latents, then the whole job."""
    beside = predict_beside(stock, job, {"exact": EXACT, "all": Savings()})
    compare("predictions", beside.differences["exact"].largest, 0, better="bits")
    compare("with all savings", beside.differences["all"].relative, PREDICTION)
    compare_pictures(compare, job, beside.painted, exact, ours)
    matter(compare, job, stock, beside.painted, number)


def compare_pictures(compare: Compare, job: Job, painted: Painted, exact: Stock, ours: Ours) -> None:
    """The figures of a whole job: its latents before decoding, and its pictures."""
    reference, mine = exact.paint(job), ours.paint(job)
    allowed = max(WORSE * relative(painted.latents, reference.latents), ROUNDINGS)
    compare("latents off float64", relative(mine.latents, reference.latents), allowed)
    compare("picture", levels(mine.pictures, expected(job, painted)), LEVEL)


def matter(compare: Compare, job: Job, stock: Stock, painted: Painted, number: int) -> None:
    """How far two of the job's options move stock itself, the first picture of it; the lines take turns."""
    base, others = painted.latents[:1], without(job)
    if others:
        names = list(others)
        chosen = {name: others[name] for name in (names[number % len(names)], names[(number + 1) % len(names)])}
        moved = {
            name: relative(stock.remembered(replace(other, pictures=1, batch=1)).latents, base)
            for name, other in chosen.items()
        }
    else:  # nothing but the checkpoint and the prompt
        changed = stock.paint(replace(job, pictures=1, batch=1), prompts=("a green apple",))
        moved = {"prompt": relative(changed.latents, base)}
    for name, distance in moved.items():
        compare(f"{name} matters", distance, MATTERS, better="more")


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    """The norm of the difference over the norm; endless where a number isn't one."""
    difference = (one.double() - other.double()).norm() / other.double().norm()
    return float(difference.nan_to_num(nan=float("inf")))


def levels(one: Any, other: Any) -> int:
    """The largest difference of two pictures (n, height, width, 3) uint8."""
    assert one.shape == other.shape
    return int(np.abs(one.astype(np.int16) - other.astype(np.int16)).max())


def expected(job: Job, painted: Painted) -> Any:
    """Stock's pictures, and where a mask keeps the start picture that itself, which stock leaves to its callers."""
    if job.task != "inpaint":
        return painted.pictures
    mask = start_mask(job.size)[None, :, :, None] > 127
    return np.where(mask, painted.pictures, start_image(job.size)[None])
