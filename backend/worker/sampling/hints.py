"""Control images through a ControlNet's hint encoder, once a job instead of once a step."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def encoded_once(controlnets: Sequence[Any]) -> Generator[None]:
    """Within it, each ControlNet encodes a hint that it has seen by giving the same tensor again.

    The hint doesn't change from step to step, yet diffusers encodes it anew in each: with the embedded
    checkpoint that is a third of a step. The result is the same to the bit.
    """
    encoders: list[Any] = list(
        {id(net): net.controlnet_cond_embedding for net in controlnets}.values()
    )  # a net may serve twice
    before: list[Any] = [
        encoder.__dict__.get("forward") for encoder in encoders
    ]  # set where accelerate hooked the module
    for encoder in encoders:
        encoder.forward = _remembering(encoder.forward)
    try:
        yield
    finally:
        for encoder, forward in zip(encoders, before, strict=True):
            if forward is None:
                del encoder.forward
            else:
                encoder.forward = forward


def _remembering(forward: Any) -> Any:
    seen: dict[
        tuple[Any, ...], tuple[Any, Any]
    ] = {}  # the hint is kept with its code, so that its memory stays its own

    def encode(hint: Any) -> Any:
        key = (hint.data_ptr(), *hint.shape)  # not its id: half of a batch is a new view at each step
        if key not in seen:
            seen[key] = (hint, forward(hint))
        return seen[key][1]

    return encode
