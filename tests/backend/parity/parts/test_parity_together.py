"""Several pictures of one job, and the same job again: the four prompts and generators of the ControlNet blog."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from parity_compare import LEVEL, ROUNDINGS, WORSE, levels, relative
from parity_jobs import PROMPTS, Job, Net
from underpaint.protocol.request import Scheduler

_SD15 = Job(nets=(Net(folder="sd15-a"), Net(folder="sd15-b", end=0.5)), pictures=4)
_SDXL = Job(checkpoint="sdxl", nets=(Net(folder="sdxl-a"),), pictures=4, scheduler=Scheduler.EULER_ANCESTRAL)
JOBS = (_SD15, _SDXL, replace(_SD15, task="inpaint", strength=0.8))


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.words)
def test_four_pictures(job: Job, parity: Callable[..., Any], stock: Any, exact: Any, ours: Any) -> None:
    one_by_one = ours.paint(job)
    together = ours.paint(replace(job, batch=4))
    request = ours.request(job)
    alone = [
        ours.run(replace(request, prompt=picture.prompt, seed=picture.seed, variants=()))
        for picture in request.pictures
    ]
    pictures = np.stack([ours.blobs.read_array(result.images[0]) for result in alone])
    assert len(set(PROMPTS)) == len({picture.tobytes() for picture in pictures}) == 4
    painted, reference = stock.remembered(job), exact.remembered(job)
    allowed = max(WORSE * relative(painted.latents, reference.latents), ROUNDINGS)
    with parity("together", job.words) as compare:
        compare("picture, one by one and alone", levels(one_by_one.pictures, pictures), 0, better="bits")
        compare("latents off float64, one by one", relative(one_by_one.latents, reference.latents), allowed)
        compare("latents off float64, at once", relative(together.latents, reference.latents), allowed)
        compare("picture, at once and one by one", levels(together.pictures, one_by_one.pictures), LEVEL)
        compare("picture, again", levels(ours.paint(job).pictures, one_by_one.pictures), 0, better="bits")
