"""The guided model: a UNet with the ControlNets that count at each evaluation, and classifier-free guidance."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ....protocol.geometry import Extent
from ....protocol.request import Seamless
from ..models.nets import NetUse
from ..third_party import torch
from .hints import ControlImage, HintCache, control_tensor, encode
from .networks import (
    Given,
    ImageKeys,
    PlainNet,
    PromptKeys,
    Residuals,
    Shown,
    TextKeys,
    Times,
    Unet,
    UnionNet,
    add_residuals,
    check_known,
)
from .prompts import Embeddings


@dataclass(frozen=True, kw_only=True)
class Savings:
    """What is not computed because the result is known already. Measurements switch them one by one.

    The first three change nothing, to the bit; the last three round differently.
    """

    skip_idle_nets: bool = True  # a net of which no control counts isn't run; a union isn't told of idle controls
    keep_hints: bool = True  # control images are encoded once, and kept between jobs
    keep_text_keys: bool = True  # cross-attention's keys and values of the text are computed once
    keep_times: bool = True  # time embeddings and what resnets make of them, and a union's shares, are computed before
    shared_prefix: bool = True  # what both halves of guidance have in common is computed once
    folded_scales: bool = True  # residuals are scaled as they are added


@dataclass(frozen=True, kw_only=True, eq=False)
class ControlInput:
    """A control, ready to paint with."""

    use: NetUse
    image: ControlImage  # of the picture's size
    weights: tuple[float, ...]  # one for each evaluation; 0 where the control doesn't count
    guess_mode: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """A ControlNet with the controls that it serves: one, or of a union net all that guess or all that don't."""

    net: PlainNet | UnionNet
    counts: tuple[bool, ...]  # for each evaluation whether the net is run
    scale: Callable[[int], float]
    guess: bool
    pools: bool
    positive_rows: bool


class GuidedModel:
    """What a solver asks at each evaluation for its prediction.

    Controls are taken as each asks for it, which diffusers' pipelines don't do: each may guess or not, nets that
    pool (shuffle) work on the prompts' half beside others that work on both, and a union net that several
    controls share runs once with those that count, beside plain nets and other unions.
    """

    def __init__(
        self,
        unet: Any,
        controls: Sequence[ControlInput],
        embeddings: Embeddings,
        *,
        timesteps: Sequence[float],
        guidance_scale: float,
        size: Extent,
        pictures: int,
        hints: HintCache,
        extra_channels: Any | None = None,
        images: Sequence[ImageKeys] = (),
        passing: bool = False,
        surround: Seamless = Seamless.OFF,
        savings: Savings | None = None,
        device: Any | None = None,
        dtype: Any | None = None,
    ) -> None:
        """Everything that is the same at each evaluation is computed here.

        `embeddings` have a row for each picture, or with guidance one for each negative prompt and then one for
        each prompt. `extra_channels` (pictures or 1, 5, height / 8, width / 8) are the mask and the masked
        picture of a UNet made for inpainting. `images` are the image prompts, with the rows of `embeddings`.
        `passing` control images are not kept: `show` brings others. `surround` is how the nets' convolutions see
        beyond the edges, which tells kept control images apart. `device` and `dtype` are where and in what is
        computed, for a model whose weights are elsewhere between evaluations. Raises ModelBroken for a network of
        another build.
        """
        self._savings = savings or Savings()
        self._device = device if device is not None else unet.device
        self._dtype = dtype if dtype is not None else unet.dtype
        self._guidance_scale = guidance_scale
        self._guided = guidance_scale > 1 and unet.config.time_cond_proj_dim is None
        self._pictures = pictures
        self._rows = 2 * pictures if self._guided else pictures
        self._hints = hints
        self._passing, self._surround = passing, surround
        self._controls = controls
        self._shown = [control.image for control in controls]
        self._seen: dict[int, Any] = {}  # of passing control images, those that went through their net's encoder
        counting = list(zip(*(self._counting(control) for control in controls), strict=True))
        self._active = [tuple(place for place, counts in enumerate(row) if counts) for row in counting]
        if not controls:
            self._active = [()] * len(timesteps)
        library = torch()
        with library.inference_mode():
            self._extra = None
            if extra_channels is not None:
                self._extra = extra_channels.to(device=self._device, dtype=self._dtype).expand(pictures, -1, -1, -1)
            given = self._make_given(embeddings, timesteps, size)
            self._unet = self._make_unet(unet, given, images)
            self._runs = self._make_runs(given)

    def active(self, index: int) -> tuple[int, ...]:
        """The places of the controls that count at an evaluation; nets of which none does aren't run."""
        return self._active[index]

    def __call__(self, sample: Any, index: int) -> Any:
        """The guided prediction (pictures, 4, height, width) float32.

        `sample` (pictures, 4, height, width) float32 is scaled as the solver wants it. Nothing here waits for the
        device.
        """
        library = torch()
        with library.inference_mode():
            latents = sample.to(self._dtype)
            every_row = latents
            if self._guided and not self._savings.shared_prefix:
                every_row = library.cat([latents, latents])
            inputs = every_row
            if self._extra is not None:
                extra = self._extra if inputs.shape[0] == self._pictures else library.cat([self._extra, self._extra])
                inputs = library.cat([inputs, extra], dim=1)
            states = self._unet.encode(inputs, index)
            if self._savings.folded_scales:
                for run in self._runs:
                    self._add(states, [run], latents, every_row, index)
            else:
                self._add(states, self._runs, latents, every_row, index)
            prediction = self._unet.decode(states, index).float()
            if not self._guided:
                return prediction
            negative, positive = prediction.chunk(2)
            return negative + self._guidance_scale * (positive - negative)

    def show(self, images: Sequence[ControlImage], extra_channels: Any | None = None) -> None:
        """Have the controls shown other images, as large as the ones before; of a model whose images pass."""
        with torch().inference_mode():
            if extra_channels is not None:
                self._extra = extra_channels.to(device=self._device, dtype=self._dtype).expand(
                    self._pictures, -1, -1, -1
                )
            self._shown = list(images)
            self._seen = {}
            for run in self._runs:
                if isinstance(run.net, UnionNet):
                    run.net.look()

    def _add(self, states: list[Any], runs: Sequence[_Run], latents: Any, every_row: Any, index: int) -> None:
        found = [
            Residuals(
                tensors=run.net(latents if run.positive_rows else every_row, index),
                scale=run.scale(index),
                guess=run.guess,
                pools=run.pools,
                positive_rows=run.positive_rows,
            )
            for run in runs
            if run.counts[index]
        ]
        add_residuals(states, found, self._rows, folded=self._savings.folded_scales)

    # ------------------------------------------------------------------------------------------ preparing

    def _make_given(self, embeddings: Embeddings, timesteps: Sequence[float], size: Extent) -> Given:
        library = torch()

        def rows(tensor: Any) -> Any:
            return tensor[-self._rows :].to(device=self._device, dtype=self._dtype)

        pooled = None if embeddings.pooled is None else rows(embeddings.pooled)
        sizes = None
        if pooled is not None:
            numbers = (size.height, size.width, 0, 0, size.height, size.width)  # of the picture, no crop, the picture
            sizes = library.tensor([numbers], device=self._device, dtype=self._dtype).expand(self._rows, -1)
        return Given(
            timesteps=library.tensor(timesteps, device=self._device, dtype=library.float32),
            text=rows(embeddings.text),
            pooled=pooled,
            sizes=sizes,
            shared=self._savings.shared_prefix,
        )

    def _make_unet(self, unet: Any, given: Given, images: Sequence[ImageKeys]) -> Unet:
        check_known(unet)
        if unet.config.time_cond_proj_dim is not None:
            embedding = guidance_embedding(self._guidance_scale, unet.config.time_cond_proj_dim)
            given = dataclasses.replace(given, guidance=embedding.to(given.text))
        text = TextKeys(unet, given.text, keep=self._savings.keep_text_keys)
        prompts = PromptKeys(unet, text, images) if images else text
        return Unet(unet, prompts, Times(unet, given, keep=self._savings.keep_times))

    def _make_runs(self, given: Given) -> list[_Run]:
        """The nets in the order of the first control that each serves; without those that never count."""
        served: dict[tuple[object, ...], list[int]] = {}
        for place, control in enumerate(self._controls):
            if any(self._counting(control)):
                # Two controls of one plain net are two runs; of one union net, one for each mode of guidance.
                of_plain, of_union = (place,), (id(control.use.net), control.guess_mode)
                served.setdefault(of_plain if control.use.mode is None else of_union, []).append(place)
        groups = [tuple(places) for places in served.values()]
        whole = {id(self._controls[places[0]].use.net) for places in groups if not self._positive_rows(places)}
        keys: dict[int, TextKeys] = {}
        return [self._make_run(places, given, keys, whole) for places in groups]

    def _make_run(self, places: tuple[int, ...], given: Given, keys: dict[int, TextKeys], whole: set[int]) -> _Run:
        """`keys` are those of the nets so far; `whole` are the nets that some run needs with every row."""
        first = self._controls[places[0]]
        net, savings = first.use.net, self._savings
        check_known(net)
        positive = given.positive(self._pictures) if self._positive_rows(places) else given
        if id(net) not in keys:
            of_all = given if id(net) in whole else positive
            keys[id(net)] = TextKeys(net, of_all.text, keep=savings.keep_text_keys)
        text = keys[id(net)]
        if id(net) in whole and self._positive_rows(places):
            text = text.last(self._pictures)
        counting = list(zip(*(self._counting(self._controls[place]) for place in places), strict=True))
        conditions = [self._condition(place, positive) for place in places]
        if first.use.mode is None:
            ours = PlainNet(net, text, Times(net, positive, keep=savings.keep_times), conditions[0])
            scale = first.weights.__getitem__
        else:
            shown = [
                Shown(mode=control.use.mode, condition=condition, weights=control.weights)
                for control, condition in zip((self._controls[place] for place in places), conditions, strict=True)
                if control.use.mode is not None
            ]
            active = [[number for number, counts in enumerate(row) if counts] for row in counting]
            ours = UnionNet(
                net, text, positive, shown, active, keep_times=savings.keep_times, folded=savings.folded_scales
            )
            scale = ours.scale
        pools = net.config.global_pool_conditions
        return _Run(
            net=ours,
            counts=tuple(any(row) for row in counting),
            scale=scale,
            guess=first.guess_mode and not pools,
            pools=pools,
            positive_rows=self._positive_rows(places),
        )

    def _counting(self, control: ControlInput) -> list[bool]:
        return [weight != 0 or not self._savings.skip_idle_nets for weight in control.weights]

    def _positive_rows(self, places: tuple[int, ...]) -> bool:
        first = self._controls[places[0]]
        return self._guided and (first.guess_mode or first.use.net.config.global_pool_conditions)

    def _condition(self, place: int, given: Given) -> Callable[[], Any]:
        """What gives the control image through the net's encoder, (1, channels, height / 8, width / 8)."""
        control = self._controls[place]
        net = control.use.net
        rows = 1 if given.shared else given.rows
        if self._passing:
            return lambda: self._passed(place, net, rows)
        if self._savings.keep_hints:
            embedding = self._hints.embedding(
                net, control.image, device=self._device, dtype=self._dtype, rows=rows, surround=self._surround
            )
            return lambda: embedding
        image = control_tensor(control.image, device=self._device, dtype=self._dtype)
        return lambda: encode(net, image, rows)

    def _passed(self, place: int, net: Any, rows: int) -> Any:
        if place not in self._seen:
            image = control_tensor(self._shown[place], device=self._device, dtype=self._dtype)
            self._seen[place] = encode(net, image, rows)
        return self._seen[place]


def guidance_embedding(guidance_scale: float, width: int) -> Any:
    """(1, width) float32, even width: what UNets distilled for LCM are told of the guidance scale.

    Sines and cosines as `get_guidance_scale_embedding` of diffusers' LCM pipelines has them, after
    https://github.com/google-research/vdm (model_vdm.py, get_timestep_embedding).
    """
    library = torch()
    half = width // 2
    frequencies = library.exp(library.arange(half, dtype=library.float32) * -(math.log(10000.0) / (half - 1)))
    waves = (1000.0 * (library.tensor(guidance_scale, dtype=library.float32) - 1.0)) * frequencies
    return library.cat([waves.sin(), waves.cos()])[None]
