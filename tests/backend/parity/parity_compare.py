"""One combination against stock: predictions, latents, pictures, and whether its options matter at all."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from parity_jobs import Job, without
from parity_ours import EXACT, Ours, Savings, predict_beside
from parity_stock import Painted, Stock, start_image, start_mask

PREDICTION = 1e-5
"""Of a prediction with every saving, relative to stock's: what PERFORMANCE's rows 3, 5 and 6 add up to is below it."""

WORSE = 1.5
"""How much farther than stock's float32 ours may be from stock in float64: two roundings of one computation differ
from each other by chance, and a wrong coefficient is off by thousands of times as much."""

ROUNDINGS = 8 * 2**-24
"""Relative: eight roundings of float32. Closer than this to float64 is luck, which isn't held against ours."""

MATTERS = 1e-3
"""How far a job's options must move stock's own latents, relatively: a hundred times the largest difference allowed."""

LEVEL = 1  # of 255: what a difference of 1e-7 can do to a number that is rounded


def compare_job(compare: Callable[..., None], job: Job, stock: Stock, exact: Stock, ours: Ours) -> None:
    """The figures of a line."""
    beside = predict_beside(stock, job, {"exact": EXACT, "all": Savings()})
    compare("predictions", beside.differences["exact"].largest, 0, better="bits")
    compare("with all savings", beside.differences["all"].relative, PREDICTION)
    painted, reference, mine = stock.remembered(job), exact.remembered(job), ours.paint(job)
    allowed = max(WORSE * relative(painted.latents, reference.latents), ROUNDINGS)
    compare("latents off float64", relative(mine.latents, reference.latents), allowed)
    compare("picture", levels(mine.pictures, expected(job, painted)), LEVEL)
    matter(compare, job, stock, painted)


def matter(compare: Callable[..., None], job: Job, stock: Stock, painted: Painted) -> None:
    """The option of the job that matters least, to stock itself."""
    moved = {
        option: relative(stock.remembered(other).latents, painted.latents) for option, other in without(job).items()
    }
    if not moved:  # nothing but the checkpoint and the prompt
        moved["prompt"] = relative(stock.paint(job, prompts=("a green apple",) * job.pictures).latents, painted.latents)
    least = min(moved, key=lambda option: moved[option])
    compare(f"{least} matters", moved[least], MATTERS, better="more")


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
