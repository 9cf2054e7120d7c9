"""A `ControlNetUnionModel`: one net that several controls share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...third_party import torch
from .controlnet import Condition, run
from .given import Given
from .text import TextKeys
from .times import Times, control_kinds


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """A control of a union net."""

    mode: int
    condition: Condition
    weights: Sequence[float]  # one for each evaluation


class UnionNet:
    """A union net of a job. At each evaluation it is run once with the controls that count, and told of no others.

    Where several count, their weights go into what the net is shown and its residuals are taken as they are; of
    one alone the residuals are to be scaled, by `scale`. That is diffusers' rule.
    """

    def __init__(
        self,
        module: Any,
        text: TextKeys,
        given: Given,
        controls: Sequence[Shown],
        active: Sequence[Sequence[int]],
        *,
        keep_times: bool,
        folded: bool,
    ) -> None:
        """`active` are the places in `controls` of those that count, for each evaluation; at least one does."""
        self._module = module
        self._text = text
        self._controls = controls
        self._active = [tuple(places) for places in active]
        self._folded = folded
        self._halves = given.halves
        kinds = {
            places: control_kinds(module, given, [controls[place].mode for place in places])
            for places in set(self._active)
            if places
        }
        gap = next(iter(kinds.values()))  # stands where nothing counts and the net isn't run
        self._times = Times(module, given, keep=keep_times, kinds=[kinds.get(places, gap) for places in self._active])
        self._features = [
            shown.condition().mean(dim=(2, 3)) + module.task_embedding[shown.mode].to(given.text) for shown in controls
        ]

    def scale(self, index: int) -> float:
        """What the residuals are to be multiplied by."""
        places = self._active[index]
        return self._controls[places[0]].weights[index] if len(places) == 1 else 1.0

    def __call__(self, sample: Any, index: int) -> list[Any]:
        """What it would add to each state of `Unet.encode`, before `scale`."""
        hidden = self._shown(self._module.conv_in(sample), index)
        return run(self._module, hidden, self._times.at(index), self._text)

    def _shown(self, hidden: Any, index: int) -> Any:
        """(rows, channels, height, width) with the control images put in, each by its share."""
        places = self._active[index]
        scales = [self._controls[place].weights[index] if len(places) > 1 else 1.0 for place in places]
        conditions = [self._controls[place].condition() for place in places]
        tokens = [self._features[place] * scale for place, scale in zip(places, scales, strict=True)]
        mixed = self._mixed([*tokens, hidden.mean(dim=(2, 3))])
        shares = [self._module.spatial_ch_projs(mixed[:, number])[:, :, None, None] for number in range(len(places))]
        if self._folded:
            total = sum(share * scale for share, scale in zip(shares, scales, strict=True))
            hidden = hidden + total
            for condition, scale in zip(conditions, scales, strict=True):
                hidden.add_(condition, alpha=scale)
            return hidden
        fused = hidden * 0.0
        for condition, share, scale in zip(conditions, shares, scales, strict=True):
            fused = fused + (condition * scale + share * scale)
        return hidden + fused

    def _mixed(self, tokens: Sequence[Any]) -> Any:
        """(rows, tokens, width) through the net's transformer layers.

        diffusers gives its attention, which expects (tokens, rows, width), the batch first, so that each token
        looks at itself in the other rows: with guidance at its twin, which changes nothing, but with several
        pictures at those of the others. Here pictures keep to themselves and are what they are alone.
        """
        rows = max(token.shape[0] for token in tokens)
        stacked = torch().stack([token.expand(rows, -1) for token in tokens], dim=1)
        count, width = stacked.shape[1:]
        mixed = stacked.reshape(self._halves, -1, width)
        for layer in self._module.transformer_layes:
            mixed = layer(mixed)
        return mixed.reshape(rows, count, width)
