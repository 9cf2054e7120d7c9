"""A job of tiny nets, asked of `GuidedModel` and of diffusers' own modules called as its pipelines call them."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers.models.controlnets.multicontrolnet_union import MultiControlNetUnionModel
from tiny_models import POOLED_WIDTH, TEXT_WIDTH
from underpaint.backend.worker.models.nets import NetUse
from underpaint.backend.worker.sampling.guidance import ControlInput, GuidedModel, Savings
from underpaint.backend.worker.sampling.hints import HintCache, control_tensor
from underpaint.backend.worker.sampling.prompts import Embeddings
from underpaint.protocol.geometry import Extent

TIMESTEPS = (999.0, 500.0, 20.0)
EXACT = Savings(keep_times=False, shared_prefix=False, folded_scales=False)  # the ones that change nothing, to the bit
ALWAYS = (1.0, 1.0, 1.0)


def savings(*switched_on: str) -> Savings:
    """These and no others."""
    return Savings(**{field.name: field.name in switched_on for field in dataclasses.fields(Savings)})


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A job; latents are (pictures, 4, height, width)."""

    unet: Any
    controls: Sequence[ControlInput] = ()
    pictures: int = 1
    height: int = 8
    width: int = 8
    guidance_scale: float = 7.5
    extra_channels: torch.Tensor | None = None
    hints: HintCache = field(default_factory=HintCache)
    given_text: Embeddings | None = None  # instead of noise
    given_sample: torch.Tensor | None = None

    @property
    def dtype(self) -> torch.dtype:
        return next(self.unet.parameters()).dtype

    @property
    def guided(self) -> bool:
        return self.guidance_scale > 1 and self.unet.config.time_cond_proj_dim is None

    @property
    def sample(self) -> torch.Tensor:
        if self.given_sample is not None:
            return self.given_sample
        return noise(self.pictures, 4, self.height, self.width, seed=1)

    @property
    def embeddings(self) -> Embeddings:
        if self.given_text is not None:
            return self.given_text
        rows = self.pictures * (2 if self.guided else 1)
        pooled = noise(rows, POOLED_WIDTH, seed=3) if self.unet.config.addition_embed_type else None
        return Embeddings(text=noise(rows, 7, TEXT_WIDTH, seed=2), pooled=pooled)

    def model(self, switches: Savings | None = None, device: str = "cpu") -> GuidedModel:
        return GuidedModel(
            self.unet, self.controls, self.embeddings, timesteps=TIMESTEPS, guidance_scale=self.guidance_scale,
            size=Extent(width=8 * self.width, height=8 * self.height), pictures=self.pictures,
            extra_channels=self.extra_channels, hints=self.hints, savings=switches, device=device, dtype=self.dtype,
        )  # fmt: skip

    def ours(self, switches: Savings | None = None) -> list[torch.Tensor]:
        """The prediction at every evaluation."""
        model, sample = self.model(switches), self.sample
        return [model(sample, index) for index in range(len(TIMESTEPS))]

    @torch.inference_mode()
    def stock(self) -> list[torch.Tensor]:
        """The same by diffusers, in whose pipelines all controls guess or none does."""
        guess = any(control.guess_mode for control in self.controls)
        return [self._stock(index, guess) for index in range(len(TIMESTEPS))]

    def _stock(self, index: int, guess: bool) -> torch.Tensor:
        latents = torch.cat([self.sample, self.sample]) if self.guided else self.sample
        latents = latents.to(self.dtype)
        timestep = torch.tensor(int(TIMESTEPS[index]))
        given: dict[str, Any] = {"encoder_hidden_states": self.embeddings.text.to(self.dtype)}
        if self.embeddings.pooled is not None:
            sides = [8 * self.height, 8 * self.width]
            given["added_cond_kwargs"] = {
                "text_embeds": self.embeddings.pooled.to(self.dtype),
                "time_ids": torch.tensor([[*sides, 0, 0, *sides]] * len(latents), dtype=self.dtype),
            }
        down = middle = None
        if self.controls:
            only = latents
            of_nets = given
            if guess and self.guided:
                only, of_nets = latents[self.pictures :], _last(given, self.pictures)
            down, middle = self._stock_nets(only, timestep, of_nets, index, guess)
            if guess and self.guided:
                down, middle = [_with_nothing(one) for one in down], _with_nothing(middle)
        if self.extra_channels is not None:
            extra = self.extra_channels.to(self.dtype)
            latents = torch.cat([latents, torch.cat([extra] * (len(latents) // len(extra)))], dim=1)
        if self.unet.config.time_cond_proj_dim is not None:
            pipeline = diffusers.LatentConsistencyModelPipeline
            scale = torch.tensor(self.guidance_scale - 1).repeat(self.pictures)
            given["timestep_cond"] = pipeline.get_guidance_scale_embedding(
                None, scale, embedding_dim=self.unet.config.time_cond_proj_dim
            ).to(self.dtype)
        prediction = self.unet(
            latents, timestep, down_block_additional_residuals=down, mid_block_additional_residual=middle,
            return_dict=False, **given,
        )[0].float()  # fmt: skip
        if not self.guided:
            return prediction
        negative, positive = prediction.chunk(2)
        return negative + self.guidance_scale * (positive - negative)

    def _stock_nets(
        self, latents: torch.Tensor, timestep: torch.Tensor, given: dict[str, Any], index: int, guess: bool
    ) -> tuple[Any, Any]:
        nets = [control.use.net for control in self.controls]
        modes = [control.use.mode for control in self.controls]
        scales = [control.weights[index] for control in self.controls]
        hints = [
            control_tensor(control.image, device="cpu", dtype=self.dtype).repeat(len(latents), 1, 1, 1)
            for control in self.controls
        ]
        given = {**given, "guess_mode": guess, "return_dict": False}
        if modes[0] is None:
            multi = diffusers.MultiControlNetModel(nets)
            return multi(latents, timestep, controlnet_cond=hints, conditioning_scale=scales, **given)
        if len({id(net) for net in nets}) == 1:
            types = _types(nets[0], modes, len(latents))
            return nets[0](
                latents, timestep, controlnet_cond=hints, control_type=types, control_type_idx=modes,
                conditioning_scale=scales, **given,
            )  # fmt: skip
        return MultiControlNetUnionModel(nets)(
            latents, timestep, controlnet_cond=[[hint] for hint in hints],
            control_type=[_types(net, [mode], len(latents)) for net, mode in zip(nets, modes, strict=True)],
            control_type_idx=[[mode] for mode in modes], conditioning_scale=[[scale] for scale in scales], **given,
        )  # fmt: skip


def control(net: Any, seed: int, weights: tuple[float, ...] = ALWAYS, *, mode: int | None = None, guess: bool = False,
            height: int = 8, width: int = 8) -> ControlInput:  # fmt: skip
    """A control with an image of random squares, for latents of that size."""
    squares = 255 * np.random.default_rng(seed).integers(0, 2, (height, width, 3), dtype=np.uint8)
    image = np.kron(squares, np.ones((8, 8, 1), np.uint8))
    return ControlInput(use=NetUse(net=net, mode=mode), image=image, weights=weights, guess_mode=guess)


def same(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> bool:
    """To the bit, at every evaluation."""
    return len(one) == len(other) > 0 and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def distance(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
    """Of two runs, over all evaluations, relative to the second."""
    first, second = torch.stack(list(one)), torch.stack(list(other))
    return float((first - second).norm() / second.norm())


def _types(net: Any, modes: Sequence[Any], rows: int) -> torch.Tensor:
    types = torch.zeros(rows, net.config.num_control_type)
    types[:, list(modes)] = 1
    return types


def _with_nothing(positive: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros_like(positive), positive])


def _last(given: dict[str, Any], rows: int) -> dict[str, Any]:
    return {key: _last(value, rows) if isinstance(value, dict) else value[-rows:] for key, value in given.items()}
