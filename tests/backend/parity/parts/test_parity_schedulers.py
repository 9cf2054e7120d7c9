"""Every scheduler beside diffusers' own, from noise, from a picture and with a hole; and every spread of sigmas."""

from collections.abc import Callable
from typing import Any

import pytest
from parity_compare import MATTERS, compare_pictures, relative
from parity_jobs import Job, without
from parity_table import schedulers
from underpaint.protocol.request import Sigmas


@pytest.mark.parametrize("job", schedulers(), ids=lambda job: job.words)
def test_a_scheduler_is_stock_s(job: Job, parity: Callable[..., Any], stock: Any, exact: Any, ours: Any) -> None:
    painted = stock.remembered(job)
    with parity("schedulers", job.words) as compare:
        compare_pictures(compare, job, painted, exact, ours)
        option = without(job).get("sigmas" if job.sigmas is not Sigmas.DEFAULT else "scheduler")
        if option is not None:
            moved = relative(stock.remembered(option).latents, painted.latents)
            compare("scheduler matters", moved, MATTERS, better="more")
