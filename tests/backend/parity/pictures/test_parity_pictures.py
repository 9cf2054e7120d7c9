"""Whole jobs of every kind beside diffusers' pipelines; every pair of options occurs in one of them."""

from collections.abc import Callable
from typing import Any

import pytest
from parity_compare import compare_job
from parity_jobs import Job
from parity_table import combinations


@pytest.mark.parametrize(
    ("number", "job"), list(enumerate(combinations())), ids=lambda value: getattr(value, "words", None)
)
def test_a_job_is_stock_s(number: int, job: Job, parity: Callable[..., Any], stock: Any, exact: Any, ours: Any) -> None:
    with parity("pictures", job.words) as compare:
        compare_job(compare, job, stock, exact, ours, number=number)
