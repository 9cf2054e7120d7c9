"""Prompts to embeddings, each text once."""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ....protocol.request import Variant
from ..third_party import torch
from .clip_text import Stage, encode
from .prompt_syntax import parse, plain

_KEPT = 512  # every text of the largest job; 0.6 MB each chunk for SDXL in float32, in main memory
_MOST_TOKENS = 16 * 77  # that prompts of several lengths are brought to, where none is longer by itself


@dataclass(frozen=True, kw_only=True, eq=False)
class Embeddings:
    """What the text encoders make of the prompts of some pictures.

    With classifier-free guidance the rows are the negative prompts of all pictures, then their prompts, as in
    the pipelines' batches; without it the prompts alone.
    """

    text: Any  # (rows, tokens, width)
    pooled: Any | None  # (rows, width); None for families without pooled text


@dataclass(frozen=True, kw_only=True, eq=False)
class TextEncoders:
    """Where texts are encoded."""

    stages: tuple[Stage, ...]  # in the order in which their embeddings stand side by side
    device: Any
    key: tuple[object, ...]  # equal where a text's embeddings are: the files, the number format, LoRAs, inversions
    pooled: bool  # see `clip_text.encode`
    zeros_for_empty: bool  # an empty negative prompt is zeros, as SDXL was trained
    clip_skip: int = 0
    plain: bool = False  # brackets are text


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """One text through the text encoders, in main memory."""

    text: Any  # (1, tokens, width)
    pooled: Any | None  # (1, width)


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedPicture:
    """What one picture shall be and, for classifier-free guidance, what it shall not."""

    positive: Encoded
    negative: Encoded | None


class PromptCache:
    """The embeddings of the last texts, by everything that makes them what they are."""

    def __init__(self) -> None:
        self.encoded = 0
        """How many texts have really gone through the text encoders."""
        self._kept: OrderedDict[tuple[object, ...], Encoded] = OrderedDict()

    def encode(
        self, encoders: TextEncoders, pictures: Sequence[Variant], *, guided: bool, before_each: Callable[[], None]
    ) -> list[EncodedPicture]:
        """Encode the prompts of `pictures` that aren't known yet.

        One by one, because a text encoder rounds differently in a batch, and a picture's prompt must not depend
        on what it is asked for with. `before_each` is called before each picture's, and may raise.
        """
        found: list[EncodedPicture] = []
        for picture in pictures:
            before_each()
            positive, negative = self._text(encoders, picture.prompt), None
            if guided and not picture.negative_prompt and encoders.zeros_for_empty:
                negative = _zeros(positive)
            elif guided:
                negative = self._text(encoders, picture.negative_prompt)
            found.append(EncodedPicture(positive=positive, negative=negative))
        return found

    def knows(self, encoders: TextEncoders, pictures: Sequence[Variant], *, guided: bool) -> bool:
        """Whether `encode` would need the text encoders for none of them."""
        wanted = {picture.prompt for picture in pictures}
        if guided:
            negatives = {picture.negative_prompt for picture in pictures}
            wanted |= negatives - {""} if encoders.zeros_for_empty else negatives
        return all(_key(encoders, text) in self._kept for text in wanted)

    def _text(self, encoders: TextEncoders, text: str) -> Encoded:
        full_key = _key(encoders, text)
        if full_key not in self._kept:
            self._kept[full_key] = _encode(encoders, text)
            self.encoded += 1
        self._kept.move_to_end(full_key)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[full_key]


def stacked(pictures: Sequence[EncodedPicture], *, device: Any) -> Embeddings:
    """The embeddings of a batch of pictures, on `device`.

    Rows of fewer chunks are repeated until all are of one length. To cross-attention a text that is repeated whole
    is the same text, so what a picture is painted with doesn't change what it shows; see `evenly`.
    """
    negatives = [picture.negative for picture in pictures if picture.negative is not None]
    rows = [*negatives, *(picture.positive for picture in pictures)]
    pooled = [row.pooled for row in rows if row.pooled is not None]
    cat, tokens = torch().cat, _tokens(rows)
    texts = [row.text.repeat(1, -(-tokens // row.text.shape[1]), 1)[:, :tokens] for row in rows]
    return Embeddings(text=cat(texts).to(device), pooled=cat(pooled).to(device) if pooled else None)


def evenly(pictures: Sequence[EncodedPicture]) -> bool:
    """Whether `stacked` repeats every prompt whole. Beyond reason it does not: five chunks beside seven and nine."""
    negatives = [picture.negative for picture in pictures if picture.negative is not None]
    rows = [*negatives, *(picture.positive for picture in pictures)]
    return not any(_tokens(rows) % row.text.shape[1] for row in rows)


def _tokens(rows: Sequence[Encoded]) -> int:
    """The length that all rows get."""
    lengths = {row.text.shape[1] for row in rows}
    common = math.lcm(*lengths)
    return common if common <= max(_MOST_TOKENS, max(lengths)) else max(lengths)


def _zeros(like: Encoded) -> Encoded:
    zeros = torch().zeros_like
    return Encoded(text=zeros(like.text), pooled=None if like.pooled is None else zeros(like.pooled))


def _key(encoders: TextEncoders, text: str) -> tuple[object, ...]:
    return (*encoders.key, encoders.clip_skip, encoders.plain, text)


def _encode(encoders: TextEncoders, text: str) -> Encoded:
    prompt = plain(text) if encoders.plain else parse(text)
    found, pooled = encode(
        encoders.stages, prompt, pooled=encoders.pooled, clip_skip=encoders.clip_skip, device=encoders.device
    )
    return Encoded(text=found.cpu(), pooled=None if pooled is None else pooled.cpu())
