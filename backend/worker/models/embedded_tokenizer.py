"""A byte-level CLIP tokenizer without merges: any text in any language, one token a byte.

CLIP's vocabulary begins with 256 byte characters, 256 more with "</w>" for the end of a word, then the
merges; leaving the merges out leaves a tokenizer that CLIPTokenizer loads like any other.
"""

import json
from pathlib import Path
from typing import Any

_START, _END = "<|startoftext|>", "<|endoftext|>"
START_ID = 512
END_ID = 513
VOCABULARY_SIZE = 514
_MAX_TOKENS = 77


def write_tokenizer(folder: Path) -> None:
    """Write vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json.

    By hand: transformers 5 writes only tokenizer.json when it saves a tokenizer, older diffusers folders
    have these four, and every version reads them.
    """
    folder.mkdir(parents=True)
    characters = byte_characters()
    tokens = [*characters, *(character + "</w>" for character in characters), _START, _END]
    _write(folder / "vocab.json", {token: index for index, token in enumerate(tokens)})
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    special = {"bos_token": _START, "eos_token": _END, "pad_token": _END, "unk_token": _END}
    _write(folder / "special_tokens_map.json", special)
    _write(
        folder / "tokenizer_config.json",
        {**special, "model_max_length": _MAX_TOKENS, "do_lower_case": True, "tokenizer_class": "CLIPTokenizer"},
    )


def byte_characters() -> list[str]:
    """A printable character for each byte, as GPT-2 and CLIP assign them: itself, or one from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(rest))]


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
