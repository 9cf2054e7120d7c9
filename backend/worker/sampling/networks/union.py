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
        kinds = {
            places: control_kinds(module, given, [controls[place].mode for place in places])
            for places in set(self._active)
            if places
        }
        gap = next(iter(kinds.values()))  # stands where nothing counts and the net isn't run
        self._times = Times(module, given, keep=keep_times, kinds=[kinds.get(places, gap) for places in self._active])
        self._like = given.text  # whose device and number format tokens have
        self._keep = keep_times
        self._features: list[Any] = []
        self._shares: dict[tuple[object, ...], list[Any]] | None = None
        self.look()

    def look(self) -> None:
        """Take in what the controls' conditions give now."""
        self._features = [
            shown.condition().mean(dim=(2, 3)) + self._module.task_embedding[shown.mode].to(self._like)
            for shown in self._controls
        ]
        if self._keep:
            self._shares = {}
            for index, places in enumerate(self._active):
                key = (places, *self._scales(index))
                if places and key not in self._shares:
                    self._shares[key] = self._mixed([self._token(index, number) for number in range(len(places))])

    def scale(self, index: int) -> float:
        """What the residuals are to be multiplied by."""
        places = self._active[index]
        return self._controls[places[0]].weights[index] if len(places) == 1 else 1.0

    def __call__(self, sample: Any, index: int) -> list[Any]:
        """What it would add to each state of `Unet.encode`, before `scale`."""
        hidden = self._shown(self._module.conv_in(sample), index)
        return run(self._module, hidden, self._times.at(index), self._text)

    def _scales(self, index: int) -> list[float]:
        """What is put in of each control that counts is multiplied by its own."""
        places = self._active[index]
        return [self._controls[place].weights[index] if len(places) > 1 else 1.0 for place in places]

    def _shown(self, hidden: Any, index: int) -> Any:
        """(rows, channels, height, width) with the control images put in, each by its share."""
        places, scales = self._active[index], self._scales(index)
        conditions = [self._controls[place].condition() for place in places]
        if self._shares is None:
            tokens = [self._token(index, number) for number in range(len(places))]
            shares = self._mixed([*tokens, hidden.mean(dim=(2, 3))])[: len(places)]
        else:
            shares = self._shares[places, *scales]
        if self._folded:
            hidden = hidden + sum(share * scale for share, scale in zip(shares, scales, strict=True))
            for condition, scale in zip(conditions, scales, strict=True):
                hidden.add_(condition, alpha=scale)
            return hidden
        fused = hidden * 0.0
        for condition, share, scale in zip(conditions, shares, scales, strict=True):
            fused = fused + (condition * scale + share * scale)
        return hidden + fused

    def _token(self, index: int, number: int) -> Any:
        """(1, width) for the transformer layers, of one of the controls that count."""
        return self._features[self._active[index][number]] * self._scales(index)[number]

    def _mixed(self, tokens: Sequence[Any]) -> list[Any]:
        """What the transformer layers make of tokens (1 or rows, width), each (1 or rows, channels, 1, 1).

        diffusers gives the layers' attention, which expects (tokens, rows, width), the rows first, so that a token
        looks at itself in the other rows and at no other token. A control's is the same in all rows, and in all
        evaluations with the same scale: the latents, whose mean diffusers adds as a last token, don't come into it.
        """
        rows = max(token.shape[0] for token in tokens)
        mixed = torch().stack([token.expand(rows, -1) for token in tokens], dim=1)
        for layer in self._module.transformer_layes:
            mixed = layer(mixed)
        shares = self._module.spatial_ch_projs
        return [shares(mixed[:, number])[:, :, None, None] for number in range(len(tokens))]
