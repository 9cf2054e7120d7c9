"""CLIP text encoders, called by ourselves: diffusers' `encode_prompt` takes no chunks and no weights, and with
transformers 5 no clip skip either. Where none of these is asked for, the numbers are the same to the bit.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..third_party import torch
from .chunks import Chunk, Placed, Words, chunks, empty
from .prompt_syntax import Prompt

_MEAN_KEPT = (0.5, 2.0)  # by how much a chunk may be scaled to keep its mean; beyond, the mean says nothing


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """A text encoder with its tokenizer."""

    tokenizer: Any
    encoder: Any
    words: Words | None = None  # that stand for vectors


def encode(stages: Sequence[Stage], prompt: Prompt, *, pooled: bool, clip_skip: int, device: Any) -> tuple[Any, Any]:
    """A prompt's embeddings (1, tokens, width of all stages together), and the pooled text (1, width) or None.

    Chunk by chunk, each by itself, because an encoder rounds differently in a batch. `pooled` families (SDXL) take
    the last layer but one without its norm, and the pooled text of the last stage's first chunk; the others take
    the last layer, normed. `clip_skip` takes one that lies so many layers before.
    """
    library = torch()
    cut = [chunks(prompt, stage.tokenizer, stage.words) for stage in stages]
    most = max(map(len, cut))
    columns: list[Any] = []
    first_pooled = None
    with library.inference_mode():
        for stage, own in zip(stages, cut, strict=True):
            padded = (*own, *[empty(stage.tokenizer)] * (most - len(own)))
            found = [_chunk(stage.encoder, chunk, pooled, clip_skip, device) for chunk in padded]
            columns.append(library.cat([text for text, _ in found], dim=1))
            if found[0][1] is not None:
                first_pooled = found[0][1]
    return (columns[0] if len(columns) == 1 else library.cat(columns, dim=-1)), first_pooled


def _chunk(encoder: Any, chunk: Chunk, pooled: bool, clip_skip: int, device: Any) -> tuple[Any, Any]:
    library = torch()
    ids = library.tensor([chunk.ids], device=device)
    masked = getattr(encoder.config, "use_attention_mask", False)  # of encoders before CLIP; diffusers asks, too
    mask = library.ones_like(ids) if masked else None
    with _placed(encoder, chunk.placed):
        if pooled:
            found = encoder(ids, attention_mask=mask, output_hidden_states=True)
            text = found.hidden_states[-(clip_skip + 2)]
        elif clip_skip:
            found = encoder(ids, attention_mask=mask, output_hidden_states=True)
            text = _final_norm(encoder)(found.hidden_states[-(clip_skip + 1)])
        else:
            found = encoder(ids, attention_mask=mask)
            text = found[0]
    text = text.to(encoder.dtype)
    return _emphasised(text, chunk.weights), found[0] if pooled and found[0].ndim == 2 else None


def _final_norm(encoder: Any) -> Any:
    return getattr(encoder, "text_model", encoder).final_layer_norm


def _emphasised(text: Any, weights: Sequence[float]) -> Any:
    """Each token's embedding by its weight, then all by what gives the chunk its mean again, as A1111 does."""
    if all(weight == 1 for weight in weights):
        return text
    before = text.float()
    after = before * torch().tensor(weights, device=text.device, dtype=before.dtype)[None, :, None]
    scale = float(before.mean()) / (float(after.mean()) or float("nan"))
    least, most = _MEAN_KEPT
    return (after * scale if least <= scale <= most else after).to(text.dtype)


@contextmanager
def _placed(encoder: Any, places: Sequence[Placed]) -> Generator[None]:
    """Has the encoder see vectors instead of some tokens' embeddings; nothing of it is changed."""
    if not places:
        yield
        return

    def hook(_module: Any, _arguments: Any, embedded: Any) -> Any:
        embedded = embedded.clone()
        for place in places:
            embedded[0, place.position : place.position + len(place.vectors)] = place.vectors.to(embedded)
        return embedded

    handle = encoder.get_input_embeddings().register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
