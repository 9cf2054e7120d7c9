"""All the ControlNets of a job as one, which a diffusers pipeline calls at each step.

diffusers has a class for several plain nets and another for several union nets, and pipelines for either,
but none for both; a union net that several controls share it runs with all of them or, among other unions,
once for each. Here each control is asked on its own whether it counts at a step:

- a net of which no control counts does not run at all;
- a union net runs once with the controls that count, and is told of no others;
- a net that pools its residuals (shuffle) works on the conditional half of classifier-free guidance only,
  whatever the other nets do. diffusers decides that for all nets by the first one.

Where diffusers can do the same it does it with the same numbers, to the bit; the tests compare them.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from ..third_party import diffusers, torch
from .nets import NetUse

__all__ = ["NetUse", "networks", "together"]

Residuals = tuple[list[Any], Any]  # of the down blocks, and of the mid block


def together(uses: Sequence[NetUse]) -> Any:
    """A `MultiControlNetModel` with one entry for each control, in their order."""
    return _model_class()(uses)


def networks(model: Any) -> list[Any]:
    """The ControlNets of a model that `together` made, each once."""
    return list({id(entry.net): entry.net for entry in model.nets}.values())


@functools.cache
def _model_class() -> Any:
    """Made late, for its base class is diffusers'; the pipelines look for that."""
    module = torch().nn.Module

    class Entry(module):
        """What the pipelines see of a control's net; `config` keeps their all-or-nothing guess mode off."""

        def __init__(self, use: NetUse) -> None:
            super().__init__()  # pyright: ignore[reportUnknownMemberType]
            self.net = use.net
            self.mode = use.mode
            self.config = SimpleNamespace(global_pool_conditions=False)

    class Together(diffusers().MultiControlNetModel):
        def __init__(self, uses: Sequence[NetUse]) -> None:
            super().__init__([Entry(use) for use in uses])  # pyright: ignore[reportUnknownMemberType]

        def forward(
            self,
            sample: Any,
            timestep: Any,
            encoder_hidden_states: Any,
            controlnet_cond: Sequence[Any],
            conditioning_scale: Sequence[float],
            added_cond_kwargs: dict[str, Any] | None = None,
            guess_mode: bool = False,
            return_dict: bool = False,
        ) -> tuple[Any, Any]:
            """The sum of the residuals of those that count; nothing where none does."""
            if guess_mode or return_dict:
                raise ValueError("guess mode and return_dict are not supported")
            inputs = _Inputs(sample, timestep, encoder_hidden_states, added_cond_kwargs)
            shared: dict[int, list[tuple[Any, Any, float]]] = {}
            for entry, hint, scale in zip(self.nets, controlnet_cond, conditioning_scale, strict=True):
                if scale != 0:
                    # Two controls of one plain net are two runs; of one union net, one.
                    key = id(entry) if entry.mode is None else id(entry.net)
                    shared.setdefault(key, []).append((entry, hint, scale))
            found = [_run(active, inputs) for active in shared.values()]
            if not found:
                return None, None
            down, mid = found[0]
            for more_down, more_mid in found[1:]:
                down = [first + second for first, second in zip(down, more_down, strict=True)]
                mid = mid + more_mid
            return down, mid

    return Together


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What every net is given: (batch, ...) tensors; with classifier-free guidance the second half is conditional."""

    sample: Any
    timestep: Any
    text: Any
    added: dict[str, Any] | None

    def conditional(self) -> "_Inputs":
        half = self.sample.shape[0] // 2
        added = None if self.added is None else {key: value[half:] for key, value in self.added.items()}
        return _Inputs(self.sample[half:], self.timestep, self.text[half:], added)


def _run(active: Sequence[tuple[Any, Any, float]], inputs: _Inputs) -> Residuals:
    net = active[0][0].net
    guided = inputs.sample.shape[0] > 1
    if not (guided and net.config.global_pool_conditions):
        return _call(active, inputs)
    half = inputs.sample.shape[0] // 2
    down, mid = _call([(entry, hint[half:], scale) for entry, hint, scale in active], inputs.conditional())

    def with_nothing(residual: Any) -> Any:
        return torch().cat([torch().zeros_like(residual), residual])

    return [with_nothing(residual) for residual in down], with_nothing(mid)


def _call(active: Sequence[tuple[Any, Any, float]], inputs: _Inputs) -> Residuals:
    entry, hint, scale = active[0]
    arguments: dict[str, Any] = {
        "encoder_hidden_states": inputs.text,
        "added_cond_kwargs": inputs.added,
        "guess_mode": False,
        "return_dict": False,
    }
    if entry.mode is None:
        return entry.net(inputs.sample, inputs.timestep, controlnet_cond=hint, conditioning_scale=scale, **arguments)
    modes = [entry.mode for entry, _, _ in active]
    types = inputs.sample.new_zeros(inputs.sample.shape[0], entry.net.config.num_control_type)
    types[:, modes] = 1
    return entry.net(
        inputs.sample,
        inputs.timestep,
        controlnet_cond=[hint for _, hint, _ in active],
        control_type=types,
        control_type_idx=modes,
        conditioning_scale=[scale for _, _, scale in active],
        **arguments,
    )
