"""Keys and values of the text, which no evaluation changes: computed once for each net and prompt."""

import dataclasses
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """What an attention looks up: keys and values (rows, heads, tokens, head width)."""

    key: Any
    value: Any
    scale: float = 1.0  # how much what it finds counts


class TextKeys:
    """The pairs of every cross-attention of a net; further ones than the text's may join them."""

    def __init__(self, module: Any, text: Any, *, keep: bool) -> None:
        """`text` is (rows, tokens, width). Without `keep` the pairs are computed at each call, as diffusers does."""
        self._text = text
        self._further: Mapping[Any, tuple[Pair, ...]] = {}
        self._kept: dict[Any, tuple[Pair, ...]] | None = None
        if keep:
            self._kept = {attention: (_pair(attention, text),) for attention in _cross_attentions(module)}

    def last(self, rows: int) -> "TextKeys":
        """The same for the last rows alone, without computing anything."""
        part = TextKeys.__new__(TextKeys)
        part._text, part._further, part._kept = self._text[-rows:], {}, None
        if self._kept is not None:
            part._kept = {
                attention: tuple(
                    dataclasses.replace(pair, key=pair.key[-rows:], value=pair.value[-rows:]) for pair in pairs
                )
                for attention, pairs in self._kept.items()
            }
        return part

    def at(self, _index: int) -> "TextKeys":
        """Those of one evaluation: the text is the same at each."""
        return self

    def beside(self, further: Mapping[Any, tuple[Pair, ...]]) -> "TextKeys":
        """The same with further pairs, by attention, to be looked up after the text's."""
        both = TextKeys.__new__(TextKeys)
        both._text, both._kept, both._further = self._text, self._kept, further
        return both

    def pairs(self, attention: Any) -> tuple[Pair, ...]:
        """What a cross-attention of the net looks up."""
        of_text = (_pair(attention, self._text),) if self._kept is None else self._kept[attention]
        return (*of_text, *self._further.get(attention, ()))


def heads(attention: Any, tokens: Any) -> Any:
    """(rows, heads, tokens, head width) of (rows, tokens, channels)."""
    rows, count, channels = tokens.shape
    return tokens.view(rows, count, attention.heads, channels // attention.heads).transpose(1, 2)


def _pair(attention: Any, text: Any) -> Pair:
    return Pair(key=heads(attention, attention.to_k(text)), value=heads(attention, attention.to_v(text)))


def _cross_attentions(module: Any) -> Generator[Any]:
    for block in (*module.down_blocks, module.mid_block, *getattr(module, "up_blocks", ())):
        for attention in getattr(block, "attentions", ()):
            for transformer_block in attention.transformer_blocks:
                yield transformer_block.attn2
