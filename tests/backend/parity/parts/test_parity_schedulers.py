"""Every scheduler beside diffusers' own, from noise, from a picture and with a hole; and every spread of sigmas."""

from collections.abc import Callable
from typing import Any

import pytest
from parity_compare import compare_job
from parity_jobs import Job
from parity_table import schedulers


@pytest.mark.parametrize("job", schedulers(), ids=lambda job: job.words)
def test_a_scheduler_is_stock_s(job: Job, parity: Callable[..., Any], stock: Any, exact: Any, ours: Any) -> None:
    with parity("schedulers", job.words) as compare:
        compare_job(compare, job, stock, exact, ours)
