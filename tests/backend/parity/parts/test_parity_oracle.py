"""What is stepped by hand where no stock pipeline can do it is stock itself where one can."""

from collections.abc import Callable
from typing import Any

import pytest
from parity_jobs import Job, Net
from parity_stock import is_stock
from underpaint.protocol.request import ControlKind

_PLAIN = tuple(Net(folder=f"sd15-{letter}", scale=scale) for letter, scale in zip("abc", (0.8, 0.5, 1.3), strict=True))
_UNIONS = (
    Net(folder="sdxl-union", kind=ControlKind.CANNY, scale=0.6, end=0.5),
    Net(folder="sdxl-promax", kind=ControlKind.TILE),
)
JOBS = (
    Job(nets=_PLAIN),
    Job(nets=(Net(folder="sd15-a", guess=True),)),
    Job(nets=(Net(folder="sd15-pool", kind=ControlKind.SHUFFLE),)),
    Job(checkpoint="sdxl", nets=_UNIONS),
    Job(checkpoint="sdxl", nets=(Net(folder="sdxl-promax", guess=True),), guidance=1.0),
    Job(
        checkpoint="sdxl",
        nets=(
            Net(folder="sdxl-promax", kind=ControlKind.TILE, scale=0.7),
            Net(folder="sdxl-promax", kind=ControlKind.DEPTH),
        ),
    ),
)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.words)
def test_by_hand_is_stock(job: Job, parity: Callable[..., Any], stock: Any) -> None:
    assert is_stock(job)
    by_hand, native = stock.paint(job, by_hand=True), stock.paint(job)
    with parity("oracle", job.words) as compare:
        compare("by hand", float((by_hand.latents - native.latents).abs().max()), 0, better="bits")
