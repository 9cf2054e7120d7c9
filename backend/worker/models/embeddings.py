"""Textual inversions: found by the words of a prompt, checked by headers alone, and read when they are needed.

The vectors go straight to the text encoder at the place of their word (see `sampling.clip_text`). Tokenizer and
encoder are never changed, so nothing can be left behind, and a word may be any.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....protocol.errors import AdapterMismatch, InvalidRequest, ModelBroken, ModelError, ModelMissing
from ....protocol.models import ModelKind
from ....protocol.request import Embedding
from ...library.headers import METADATA, Header, read_header
from ..families import FAMILIES, FamilyId
from ..third_party import torch
from .adapters import modules_config, opened
from .inspection import CheckpointInfo
from .named import find_file, in_places

_A1111 = "emb_params"
_STAGES = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}  # what SDXL's files call their vectors
_CALLED = re.compile(r"\bembedding:([^\s,()\[\]<>:|]+)", re.IGNORECASE)
_WIDTHS = {768: FamilyId.SD15, 1024: FamilyId.SD2}  # of CLIP-L and of OpenCLIP-H


@dataclass(frozen=True, kw_only=True)
class EmbeddingChoice:
    """A textual inversion that goes with the checkpoint, checked and not loaded."""

    reference: str
    words: tuple[str, ...]  # that call it up in a prompt, in small letters
    file: Path
    stamp: tuple[str, int, int]  # path, size and time of change
    keys: Mapping[str, str]  # the tensor of each text encoder, by component

    @property
    def key(self) -> tuple[object, ...]:
        """Equal where it does the same to a prompt."""
        return (*self.words, *self.stamp)


@dataclass(frozen=True, kw_only=True, eq=False)
class Lexicon:
    """The words of one text encoder that stand for vectors."""

    vectors: Mapping[str, Any]  # (count, width) float32, by word in small letters

    def pieces(self, text: str) -> Iterator[Any]:
        """The text in order; where a word stands for vectors, these. The longest word counts."""
        at = 0
        for found in _any_of(self.vectors).finditer(text) if self.vectors else ():
            yield text[at : found.start()]
            yield self.vectors[found[0].lower()]
            at = found.end()
        yield text[at:]


def choose(
    wanted: Sequence[Embedding], prompts: Iterable[str], checkpoint: CheckpointInfo, *, models: Path, plain: bool
) -> tuple[tuple[EmbeddingChoice, ...], tuple[str, ...]]:
    """The inversions that the request lists and that its prompts call up, and notes on those that don't fit.

    A prompt calls one up by "embedding:name", or by the bare name of one that lies in a folder for them; `plain`
    prompts call up those that are listed, and no others. Only headers are read. Raises ModelMissing, ModelBroken
    and AdapterMismatch for what is asked for by its name, and InvalidRequest where two share a word.
    """
    prompts = tuple(prompts)
    widths = {name: modules_config(checkpoint, name).hidden_size for name, _, _ in checkpoint.family.text_encoders}
    found = [_choice(entry.embedding, entry.token, checkpoint, widths, models) for entry in wanted]
    notes: list[str] = []
    if not plain:
        called = {match[1].rstrip(".") for prompt in prompts for match in _CALLED.finditer(prompt)}
        for name in sorted(called):
            word = f"embedding:{name}".lower()
            if not any(word in choice.words for choice in found):
                found.append(_choice(name, "", checkpoint, widths, models, called=word))
        taken = {word for choice in found for word in choice.words}
        lying = {word: file for word, file in in_places(ModelKind.EMBEDDING, models).items() if word not in taken}
        if lying:
            pattern = _any_of((*lying, *taken))  # a longer word that is taken hides what is in it
            words = {match[0].lower() for prompt in prompts for match in pattern.finditer(prompt)}
            for word in sorted(words - taken):
                try:
                    found.append(_choice(str(lying[word]), word, checkpoint, widths, models))
                except ModelMissing:
                    raise
                except ModelError as error:
                    notes.append(f'"{word}" was read as a word, though a textual inversion has that name. {error}')
    _refuse_clashes(found)
    return tuple(found), tuple(notes)


def lexicons(choices: Sequence[EmbeddingChoice], components: Iterable[str]) -> dict[str, Lexicon]:
    """The words of each text encoder. Raises ModelBroken for vectors that aren't numbers, and for files that
    are gone or were changed since they were looked at."""
    return {
        name: Lexicon(
            vectors={word: vectors for one in choices for vectors in [_read(one, name)] for word in one.words}
        )
        for name in components
    }


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Any of the words, whole and in letters of any size; the longest first."""
    parts = [
        (r"(?<!\w)" if word[0].isalnum() or word[0] == "_" else "")
        + re.escape(word)
        + (r"(?!\w)" if word[-1].isalnum() or word[-1] == "_" else "")
        for word in sorted(words, key=len, reverse=True)
    ]
    return re.compile("|".join(parts), re.IGNORECASE)


def _choice(
    reference: str, token: str, checkpoint: CheckpointInfo, widths: Mapping[str, int], models: Path, called: str = ""
) -> EmbeddingChoice:
    file = find_file(reference, ModelKind.EMBEDDING, models)
    header = read_header(file, reference)
    keys = _keys(header, reference, checkpoint, widths)
    own = [key for key in keys.values() if key not in (_A1111, *_STAGES.values())]
    words = {called, f"embedding:{file.stem}", token or (own[0] if own else file.stem)} - {""}
    status = file.stat()
    return EmbeddingChoice(
        reference=reference,
        words=tuple(sorted({word.lower() for word in words if word.strip()})),
        file=file,
        stamp=(str(file), status.st_size, status.st_mtime_ns),
        keys=keys,
    )


def _keys(header: Header, reference: str, checkpoint: CheckpointInfo, widths: Mapping[str, int]) -> dict[str, str]:
    """Which tensor belongs to which text encoder. Raises ModelBroken and AdapterMismatch."""
    shapes = {key: tuple(entry["shape"]) for key, entry in header.items() if key != METADATA}
    shapes = {key: shape for key, shape in shapes.items() if key in _names(shapes)}
    if not shapes or any(len(shape) not in (1, 2) or 0 in shape for shape in shapes.values()):
        raise ModelBroken(
            model=reference,
            reason="it is no textual inversion: those hold the vectors of one word, as emb_params, as clip_l and "
            "clip_g, or by the word itself",
        )
    stages = {name: key for name, key in _STAGES.items() if key in shapes}
    if not stages:
        stages = {"text_encoder": next(iter(shapes))}
    found = {name: shapes[key][-1] for name, key in stages.items()}
    if found != dict(widths):
        raise AdapterMismatch(
            kind="textual inversion",
            adapter=reference,
            adapter_family=_family(found),
            checkpoint=checkpoint.name or "the embedded checkpoint",
            family=checkpoint.family.title,
        )
    return stages


def _names(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """The tensors that hold vectors: those with a known name, or else the only one."""
    known = tuple(key for key in shapes if key in _STAGES.values()) or tuple(key for key in shapes if key == _A1111)
    return known or (tuple(shapes) if len(shapes) == 1 else ())


def _family(widths: Mapping[str, int]) -> str:
    if len(widths) > 1:
        return FAMILIES[FamilyId.SDXL].title
    width = next(iter(widths.values()))
    return FAMILIES[_WIDTHS[width]].title if width in _WIDTHS else f"text encoders {width} wide"


def _refuse_clashes(choices: Sequence[EmbeddingChoice]) -> None:
    words: dict[str, EmbeddingChoice] = {}
    for choice in choices:
        for word in choice.words:
            other = words.setdefault(word, choice)
            if other.stamp != choice.stamp:
                raise InvalidRequest(
                    reason=f'the textual inversions "{other.reference}" and "{choice.reference}" share the word '
                    f'"{word}". Give one of them another token'
                )


def _read(choice: EmbeddingChoice, component: str) -> Any:
    with opened(choice.file, choice.stamp, choice.reference) as tensors:
        vectors = tensors.get_tensor(choice.keys[component]).float()
    if not bool(torch().isfinite(vectors).all()):
        raise ModelBroken(model=choice.reference, reason="it holds values that are no numbers; fetch it again")
    return vectors.reshape(-1, vectors.shape[-1])
