"""Noise schedulers by their protocol names, as diffusers makes them."""

import copy
import inspect
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ....protocol.errors import InvalidRequest
from ....protocol.request import Scheduler, Sigmas
from ..third_party import diffusers

_KEPT = 8

TITLES: dict[Scheduler, str] = {
    Scheduler.UNIPC: "UniPC",
    Scheduler.DPMPP_2M: "DPM++ 2M",
    Scheduler.DPMPP_2M_SDE: "DPM++ 2M SDE",
    Scheduler.DPMPP_3M: "DPM++ 3M",
    Scheduler.DPMPP_2S: "DPM++ 2S",
    Scheduler.DEIS: "DEIS",
    Scheduler.SA_SOLVER: "SA-Solver",
    Scheduler.EULER: "Euler",
    Scheduler.EULER_ANCESTRAL: "Euler a",
    Scheduler.DPM2: "DPM2",
    Scheduler.DPM2_ANCESTRAL: "DPM2 a",
    Scheduler.HEUN: "Heun",
    Scheduler.LMS: "LMS",
    Scheduler.PNDM: "PNDM",
    Scheduler.DDIM: "DDIM",
    Scheduler.DDPM: "DDPM",
    Scheduler.LCM: "LCM",
    Scheduler.TCD: "TCD",
}


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """What a name fixes, whatever the checkpoint's config says."""

    config: dict[str, Any] = field(default_factory=dict[str, Any])
    step: dict[str, Any] = field(default_factory=dict[str, Any])


_SETTINGS: dict[Scheduler, _Settings] = {
    Scheduler.DPMPP_2M: _Settings(config={"algorithm_type": "dpmsolver++", "solver_order": 2}),
    Scheduler.DPMPP_2M_SDE: _Settings(config={"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    Scheduler.DPMPP_3M: _Settings(config={"algorithm_type": "dpmsolver++", "solver_order": 3}),
    # lower_order_final is what diffusers turns on by itself, with a warning, where the last sigma is zero.
    Scheduler.DPMPP_2S: _Settings(
        config={"algorithm_type": "dpmsolver++", "solver_order": 2, "lower_order_final": True}
    ),
    # Pipelines pass their own eta of 0, which takes the noise out of TCD; this is the scheduler's default and
    # what its authors recommend.
    Scheduler.TCD: _Settings(step={"eta": 0.3}),
}

_SIGMAS: dict[Sigmas, tuple[str, str]] = {  # diffusers' config key, what people call them
    Sigmas.KARRAS: ("use_karras_sigmas", "Karras"),
    Sigmas.EXPONENTIAL: ("use_exponential_sigmas", "exponential"),
    Sigmas.BETA: ("use_beta_sigmas", "beta"),
}
# All of them exclude each other; in diffusers some win over others, some raise.
_SPREADS = (*(key for key, _ in _SIGMAS.values()), "use_lu_lambdas", "use_flow_sigmas")
_SPACING = "timestep_spacing"
_OWN_TIMESTEPS = (Scheduler.LCM, Scheduler.TCD)  # take a spacing into their configs, and don't heed it


def make_scheduler(scheduler: Scheduler, checkpoint_config: dict[str, Any], sigmas: Sigmas = Sigmas.DEFAULT) -> Any:
    """A fresh diffusers scheduler with the checkpoint's own noise schedule; its config is as JSON has it.

    Raises InvalidRequest, naming those that can, for a scheduler that can't spread its steps by `sigmas`.
    """
    # A copy takes a millisecond, whatever the scheduler; DPM2 takes a fifth of a second to be made.
    return copy.deepcopy(_made(scheduler, json.dumps(checkpoint_config, sort_keys=True), sigmas))


@lru_cache(maxsize=_KEPT)
def _made(scheduler: Scheduler, checkpoint_config: str, sigmas: Sigmas) -> Any:
    config = json.loads(checkpoint_config)  # with its "_class_name", by which diffusers tells what isn't for this one
    config |= _SETTINGS.get(scheduler, _Settings()).config
    if sigmas is not Sigmas.DEFAULT:
        if not takes(scheduler, sigmas):
            able = ", ".join(TITLES[other] for other in Scheduler if takes(other, sigmas))
            raise InvalidRequest(reason=f"{TITLES[scheduler]} doesn't do {_word(sigmas)} sigmas; these do: {able}")
        wanted = "" if sigmas is Sigmas.TRAILING else _SIGMAS[sigmas][0]
        config |= {key: key == wanted for key in _SPREADS}
        if sigmas is Sigmas.TRAILING:
            config[_SPACING] = "trailing"
    return _class(scheduler).from_config(config)


def takes(scheduler: Scheduler, sigmas: Sigmas) -> bool:
    """Whether the scheduler can spread its steps so."""
    if sigmas is Sigmas.DEFAULT:
        return True
    known = inspect.signature(_class(scheduler)).parameters
    if sigmas is Sigmas.TRAILING:
        return _SPACING in known and scheduler not in _OWN_TIMESTEPS
    return _SIGMAS[sigmas][0] in known


def _word(sigmas: Sigmas) -> str:
    return "trailing" if sigmas is Sigmas.TRAILING else _SIGMAS[sigmas][1]


def step_options(scheduler: Scheduler) -> dict[str, Any]:
    """Arguments of the scheduler's `step` besides what every scheduler takes; pipelines know the same names."""
    return dict(_SETTINGS.get(scheduler, _Settings()).step)


def _class(scheduler: Scheduler) -> Any:
    return getattr(diffusers(), scheduler.value.partition("/")[0])
