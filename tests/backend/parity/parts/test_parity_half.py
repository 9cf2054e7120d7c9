"""bfloat16: at most a tenth farther from float32 than stock's own bfloat16 is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parity_compare import relative
from parity_jobs import Job, Net
from parity_stock import Stock
from underpaint.protocol.request import ControlKind, Precision

_GATE = 1.1

JOBS = (
    Job(nets=(Net(folder="sd15-a"),), pictures=2),
    Job(nets=(Net(folder="sd15-a"), Net(folder="sd15-b", end=0.5), Net(folder="sd15-c", end=0.25)), pictures=2),
    Job(checkpoint="sd21", nets=(Net(folder="sd21-a"),), pictures=2),
    Job(checkpoint="sdxl", nets=(Net(folder="sdxl-a"),), pictures=2),
    Job(
        checkpoint="sdxl",
        nets=(Net(folder="sdxl-promax", kind=ControlKind.TILE), Net(folder="sdxl-promax")),
        pictures=2,
    ),
)


@pytest.fixture(scope="module")
def half(models: Path) -> Stock:
    """Stock in bfloat16."""
    return Stock(models, torch.bfloat16)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.words)
def test_bfloat16_is_as_good_as_stock_s(
    job: Job, parity: Callable[..., Any], stock: Any, half: Stock, ours: Any
) -> None:
    reference = stock.remembered(job).latents
    theirs = relative(half.paint(job).latents, reference)
    mine = relative(ours.paint(job, precision=Precision.BFLOAT16).latents, reference)
    with parity("bfloat16", job.words) as compare:
        compare("stock off float32", theirs, 1e-3, better="more")  # else it didn't compute in bfloat16
        compare("ours off float32", mine, _GATE * theirs)
        compare("ours off float32, too", mine, 1e-3, better="more")
