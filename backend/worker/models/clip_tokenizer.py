"""CLIP's tokenizer from the merges that are shipped, for models that come without one.

The vocabulary follows from the merges: 256 characters for bytes, the same at the end of a word, what each merge makes,
and two marks. See shipped/README.md for whose merges they are.
"""

import gzip
from functools import cache
from typing import Any

from ..third_party import transformers
from .embedded_tokenizer import byte_characters
from .shapes import SHIPPED

WORDS = 49408
_START, _END = "<|startoftext|>", "<|endoftext|>"
_MAX_TOKENS = 77


@cache
def merges() -> tuple[tuple[str, str], ...]:
    """What is joined, the most frequent first."""
    lines = gzip.decompress((SHIPPED / "clip" / "merges.txt.gz").read_bytes()).decode().splitlines()
    return tuple((first, second) for first, _, second in (line.partition(" ") for line in lines))


@cache
def vocabulary() -> dict[str, int]:
    """Every token's number."""
    characters = byte_characters()
    ends = [character + "</w>" for character in characters]
    tokens = [*characters, *ends, *(first + second for first, second in merges()), _START, _END]
    return {token: number for number, token in enumerate(tokens)}


def clip_tokenizer(*, pad: str = _END) -> Any:
    """A fresh CLIPTokenizer. OpenCLIP's models, SD 2's and the second one of SDXL, were trained with "!" as `pad`."""
    return transformers().CLIPTokenizer(
        vocab=dict(vocabulary()), merges=list(merges()), pad_token=pad, model_max_length=_MAX_TOKENS
    )
