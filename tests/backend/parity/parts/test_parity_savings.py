"""Each saving alone: those that are said to change nothing do, to the bit, and the others only round."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from parity_compare import PREDICTION
from parity_jobs import Job, Net
from parity_ours import Savings, predict_beside
from underpaint.protocol.request import ControlKind

_NONE = Savings(**{field.name: False for field in dataclasses.fields(Savings)})
_BIT_EQUAL = ("skip_idle_nets", "keep_hints", "keep_text_keys")
_ROUNDING = ("keep_times", "shared_prefix", "folded_scales")

_SD15 = (Net(folder="sd15-a"), Net(folder="sd15-b", end=0.5, scale=0.8), Net(folder="sd15-c", end=0.25, scale=1.3))
_SDXL = (
    Net(folder="sdxl-promax", kind=ControlKind.TILE),
    Net(folder="sdxl-a", start=0.25, scale=0.6),
    Net(folder="sdxl-promax", kind=ControlKind.NORMAL, scale=0.8),
)
JOBS = (
    Job(nets=_SD15),
    Job(nets=_SD15, size=(72, 88), pictures=2, batch=2),
    Job(nets=(Net(folder="sd15-pool", kind=ControlKind.SHUFFLE), *_SD15[1:])),
    Job(checkpoint="sd15-inpaint", task="inpaint", nets=_SD15[:2]),
    Job(checkpoint="sd21", nets=(Net(folder="sd21-a"), Net(folder="sd21-b", end=0.5))),
    Job(checkpoint="sdxl", nets=_SDXL),
    Job(checkpoint="sdxl", nets=_SDXL, guidance=1.0),
)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.words)
def test_each_saving_alone(job: Job, parity: Callable[..., Any], stock: Any) -> None:
    alone = {name: dataclasses.replace(_NONE, **{name: True}) for name in (*_BIT_EQUAL, *_ROUNDING)}
    found = predict_beside(stock, job, {"none": _NONE, **alone}).differences
    with parity("savings", job.words) as compare:
        for name in ("none", *_BIT_EQUAL):
            compare(name, found[name].largest, 0, better="bits")
        for name in _ROUNDING:
            compare(name, found[name].relative, PREDICTION)
