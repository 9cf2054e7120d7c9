"""Prompts cut into what a CLIP text encoder takes at once: a beginning, 75 tokens, an end.

As in AUTOMATIC1111's web UI: a prompt of more tokens becomes several chunks, whose embeddings are put one behind
the other. Where a chunk is full and a comma lies within its last 20 tokens, what follows the comma moves on to the
next chunk, so that no phrase is cut in two. BREAK ends a chunk early.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .prompt_syntax import Prompt

_COMMA = ",</w>"  # in CLIP's vocabulary, where it ends a word
_REACH = 20  # tokens; A1111's "prompt word wrap length limit"


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Vectors of a textual inversion instead of the embeddings of some tokens."""

    position: int  # in the chunk's ids, of the first
    vectors: Any  # (count, width)


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """What a text encoder is called with once."""

    ids: tuple[int, ...]  # with beginning, end and padding: as many as the tokenizer's model_max_length
    weights: tuple[float, ...]  # of each id; 1 for all that is no text
    placed: tuple[Placed, ...] = ()


class Words(Protocol):
    """Splits a text at the words that stand for vectors."""

    def pieces(self, text: str) -> Iterator[str | Any]:
        """The text in order; where a word stands for vectors (count, width), these."""
        ...


@dataclass(kw_only=True)
class _Open:
    """A chunk that is being filled."""

    ids: list[int] = field(default_factory=list[int])
    weights: list[float] = field(default_factory=list[float])
    placed: list[Placed] = field(default_factory=list[Placed])
    comma: int | None = None  # the place of the last one


def chunks(prompt: Prompt, tokenizer: Any, words: Words | None = None) -> tuple[Chunk, ...]:
    """The chunks of a prompt for one encoder: one at least.

    `tokenizer` is a CLIPTokenizer, which is not changed. A prompt that fits into one chunk and has no weights gets
    the ids that diffusers gives it.
    """
    room = tokenizer.model_max_length - 2
    comma = tokenizer.convert_tokens_to_ids(_COMMA)
    comma = None if comma == tokenizer.unk_token_id else comma
    done: list[_Open] = []
    for number, part in enumerate(prompt.parts):
        now = _Open()
        for span in part:
            for piece in (span.text,) if words is None else words.pieces(span.text):
                if isinstance(piece, str):
                    for token in _tokens(tokenizer, piece):
                        now = _add(token, span.weight, now, done, room, comma)
                else:
                    now = _place(piece, span.weight, now, done, room)
        if now.ids or number < len(prompt.parts) - 1 or not done:
            done.append(now)
    return tuple(_closed(entry, tokenizer) for entry in done)


def empty(tokenizer: Any) -> Chunk:
    """The chunk of an empty prompt."""
    return _closed(_Open(), tokenizer)


def _add(token: int, weight: float, now: _Open, done: list[_Open], room: int, comma: int | None) -> _Open:
    if token == comma:
        now.comma = len(now.ids)
    elif len(now.ids) == room and now.comma is not None and room - now.comma <= _REACH:
        done.append(now)
        now = _moved(now, now.comma + 1)
    if len(now.ids) == room:
        done.append(now)
        now = _Open()
    now.ids.append(token)
    now.weights.append(weight)
    return now


def _moved(full: _Open, begin: int) -> _Open:
    """What stands in a chunk from a place on, taken out of it."""
    rest = _Open(
        ids=full.ids[begin:],
        weights=full.weights[begin:],
        placed=[
            Placed(position=entry.position - begin, vectors=entry.vectors)
            for entry in full.placed
            if entry.position >= begin
        ],
    )
    del full.ids[begin:], full.weights[begin:]
    full.placed = [entry for entry in full.placed if entry.position < begin]
    return rest


def _place(vectors: Any, weight: float, now: _Open, done: list[_Open], room: int) -> _Open:
    for first in range(0, len(vectors), room):  # a chunk's worth at most, which hardly any has
        some = vectors[first : first + room]
        if len(now.ids) + len(some) > room:
            done.append(now)
            now = _Open()
        now.placed.append(Placed(position=len(now.ids), vectors=some))
        now.ids.extend([0] * len(some))  # no token comes after the end's, by which CLIP finds it
        now.weights.extend([weight] * len(some))
    return now


def _tokens(tokenizer: Any, text: str) -> Sequence[int]:
    return tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids


def _closed(entry: _Open, tokenizer: Any) -> Chunk:
    """With beginning, end and padding, as the tokenizer itself pads; positions move by the beginning."""
    count = tokenizer.model_max_length
    padding = [tokenizer.pad_token_id] * (count - 2 - len(entry.ids))
    ids = [tokenizer.bos_token_id, *entry.ids, tokenizer.eos_token_id, *padding]
    weights = [1.0, *entry.weights, 1.0, *[1.0] * len(padding)]
    placed = [Placed(position=one.position + 1, vectors=one.vectors) for one in entry.placed]
    return Chunk(ids=tuple(ids), weights=tuple(weights), placed=tuple(placed))
