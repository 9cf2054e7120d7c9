"""Looking into stock pipelines as they run, and having them compute in float64."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import diffusers
import torch


@dataclass(frozen=True, kw_only=True)
class Spied:
    """One evaluation of the stock models, as it ended."""

    index: int
    timesteps: tuple[float, ...]  # of every evaluation
    sample: torch.Tensor  # (pictures, 4, h, w), scaled for the model
    extra: torch.Tensor | None  # (pictures, 5, h, w) of an inpainting UNet
    prediction: torch.Tensor  # guided
    text: torch.Tensor  # (rows, tokens, width)
    pooled: torch.Tensor | None  # (rows, width)


OnStep = Callable[[Spied], None]


@contextlib.contextmanager
def recorded_decoding(latents: list[torch.Tensor]) -> Iterator[None]:
    """Keep what VAEs are given to decode."""
    decode = diffusers.AutoencoderKL.decode

    def recording(self: Any, z: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        latents.append(z.detach().clone())
        return decode(self, z, *arguments, **named)

    diffusers.AutoencoderKL.decode = recording
    try:
        yield
    finally:
        diffusers.AutoencoderKL.decode = decode


@contextlib.contextmanager
def spied(pipeline: Any, on_step: OnStep) -> Iterator[None]:
    """Have `on_step` see each of the stock models' evaluations: what went in, and the guided prediction."""
    scheduler, unet = pipeline.scheduler, pipeline.unet
    step, forward = scheduler.step, unet.forward
    given: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]] = []
    index = 0

    def seen_forward(
        sample: torch.Tensor,
        timestep: Any,
        encoder_hidden_states: torch.Tensor,
        added_cond_kwargs: dict[str, torch.Tensor] | None = None,
        **named: Any,
    ) -> Any:
        given.append((sample, encoder_hidden_states, (added_cond_kwargs or {}).get("text_embeds")))
        return forward(sample, timestep, encoder_hidden_states, added_cond_kwargs=added_cond_kwargs, **named)

    @functools.wraps(step)
    def seen_step(prediction: torch.Tensor, timestep: Any, latents: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        nonlocal index
        ((rows, text, pooled),) = given
        given.clear()
        count = latents.shape[0]
        on_step(
            Spied(
                index=index,
                timesteps=pipeline_timesteps(pipeline),
                sample=rows[:count, :4],
                extra=rows[:count, 4:] if rows.shape[1] > 4 else None,
                prediction=prediction,
                text=text,
                pooled=pooled,
            )
        )
        index += 1
        return step(prediction, timestep, latents, *arguments, **named)

    scheduler.step, unet.forward = seen_step, seen_forward
    try:
        yield
    finally:
        del scheduler.step, unet.forward


def pipeline_timesteps(pipeline: Any) -> tuple[float, ...]:
    """Those that the pipeline goes through: the last of the scheduler's, where strength cuts off the head."""
    return tuple(float(value) for value in pipeline.scheduler.timesteps[-pipeline.num_timesteps :])


class _Float64Torch:
    """torch for a scheduler's module, with float64 where it says float32."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextlib.contextmanager
def float64_arithmetic(scheduler: Any) -> Iterator[None]:
    """Have a stock scheduler compute in float64, from the numbers that it has in float32, and with the same noise."""
    module = sys.modules[type(scheduler).__module__]
    set_timesteps, randn = scheduler.set_timesteps, torch.randn

    @functools.wraps(set_timesteps)
    def widen(*arguments: Any, **named: Any) -> None:
        set_timesteps(*arguments, **named)
        for name, value in vars(scheduler).items():
            if isinstance(value, torch.Tensor) and value.dtype == torch.float32 and name != "timesteps":
                setattr(scheduler, name, value.double())

    def same_noise(*shape: Any, dtype: torch.dtype | None = None, **named: Any) -> torch.Tensor:
        if dtype == torch.float64:
            return randn(*shape, dtype=torch.float32, **named).double()
        return randn(*shape, dtype=dtype, **named)

    def narrow_while_made(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            module.torch = _Float64Torch()
            try:
                return function(*arguments, **named)
            finally:
                module.torch = torch

        return call

    names = [name for name in ("step", "add_noise", "scale_model_input") if hasattr(scheduler, name)]
    for name in names:
        setattr(scheduler, name, narrow_while_made(getattr(scheduler, name)))
    scheduler.set_timesteps, torch.randn = widen, same_noise
    try:
        yield
    finally:
        torch.randn = randn
        for name in (*names, "set_timesteps"):
            delattr(scheduler, name)
