"""What is done beside a pipeline's call: memory by turns, weights by steps, previews, and its ways of sharing undone.

Everything is hung on the modules for one call and taken off after it, so that the next job finds them as they were.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from ..memory.placement import Placement
from ..memory.plan import Group


@contextmanager
def turns(pipeline: Any, placement: Placement) -> Generator[None]:
    """Within it, whatever of the pipeline is called is where it can compute, and what waits makes room."""
    modules = (pipeline.components.get(name) for name in ("transformer", "controlnet"))
    handles = [module.register_forward_pre_hook(_coming(placement)) for module in modules if module is not None]
    vae = pipeline.vae
    for name in ("encode", "decode"):  # called by name, which no hook hears of
        setattr(vae, name, _fetched(getattr(vae, name), placement))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for name in ("encode", "decode"):
            delattr(vae, name)


def _coming(placement: Placement) -> Callable[[Any, Any], None]:
    def hook(_module: Any, _arguments: Any) -> None:
        with placement.using(Group.DENOISER):
            pass  # what was fetched stays until another group needs the room

    return hook


def _fetched(method: Callable[..., Any], placement: Placement) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        with placement.using(Group.VAE):
            return method(*arguments, **named)

    return call


@contextmanager
def weighted(controlnet: Any, weights: Sequence[Sequence[float]], index: Callable[[], int]) -> Generator[None]:
    """Within it each control counts by its weight at the step `index`: scale, window and curve in one.

    `weights` has a row for each control. What is put together from several nets is told a list.
    """

    def hook(_module: Any, arguments: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        now = [row[index()] for row in weights]
        return arguments, {**named, "conditioning_scale": now if hasattr(controlnet, "nets") else now[0]}

    handle = controlnet.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def linked(controlnet: Any, transformer: Any) -> Generator[None]:
    """Within it a ControlNet that has no embedders of its own borrows the transformer's in each call.

    For the call alone: what keeps the modules in memory must find each module's own weights and no other's.
    """
    handles: list[Any] = []
    for net in getattr(controlnet, "nets", [controlnet]):
        names = _borrowed(net)
        _give_back(net, names)  # a pipeline's constructor lends, too
        if names:
            handles.append(net.register_forward_pre_hook(_lending(transformer, names)))
            handles.append(net.register_forward_hook(_returning(names), always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


_Z_IMAGE = (
    "t_embedder", "all_x_embedder", "cap_embedder", "rope_embedder", "noise_refiner", "context_refiner",
    "x_pad_token", "cap_pad_token",
)  # fmt: skip


def _borrowed(net: Any) -> tuple[str, ...]:
    """What the net has from the transformer, as its class in diffusers says."""
    if type(net).__name__ == "ZImageControlNetModel":
        return _Z_IMAGE
    # those for SD 3.5 large; diffusers' pipeline would copy the weights, wherever they are at the moment
    return ("pos_embed",) if net.config.get("use_pos_embed") is False else ()


def _lending(transformer: Any, names: Sequence[str]) -> Callable[[Any, Any], None]:
    def hook(net: Any, _arguments: Any) -> None:
        for name in names:
            setattr(net, name, getattr(transformer, name))

    return hook


def _returning(names: Sequence[str]) -> Callable[[Any, Any, Any], None]:
    def hook(net: Any, _arguments: Any, _result: Any) -> None:
        _give_back(net, names)

    return hook


def _give_back(net: Any, names: Sequence[str]) -> None:
    for name in names:
        setattr(net, name, None)


def watch(scheduler: Any, seen: Callable[[Callable[[], Any]], None]) -> None:
    """Have `seen` told, after each step, how the finished latents are made as far as they are known.

    For schedulers of flow matching: from the sample, its noise level, and where the model says that noise lies.
    """
    step = scheduler.step

    def watched(prediction: Any, timestep: Any, sample: Any, *arguments: Any, **named: Any) -> Any:
        result = step(prediction, timestep, sample, *arguments, **named)
        level = scheduler.sigmas[scheduler.step_index - 1]
        seen(lambda: sample.float() - level.to(sample.device).float() * prediction.float())
        return result

    scheduler.step = watched
