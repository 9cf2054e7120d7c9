"""A component's weights on disk: which files, which of their tensors, and how these are read. No torch at import."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from ....protocol.errors import ModelBroken
from ...library.headers import METADATA, Header, read_header
from ..third_party import torch
from .layouts import Piece, Recipe, Turn

Stamp = tuple[tuple[str, int, int], ...]

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
"""What weights may be stored as, by safetensors' names, and torch's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """What of a single file makes up a component, and how it is built."""

    recipe: Recipe
    config: Mapping[str, Any]  # as config.json would say it
    shapes: Mapping[str, tuple[int, ...]]  # of every tensor, by diffusers' names


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One component's weights on disk."""

    folder: Path
    variant: str | None = None  # "fp16" when only model.fp16.safetensors is there
    stamp: Stamp  # name, size and time of change of each file: changes when they do
    part: Part | None = field(default=None, compare=False)  # of a single file; None for a folder of the component's own

    @property
    def place(self) -> str:
        """Where the component is, whatever its files hold at the moment."""
        return str(self.folder if self.part is None else self.folder / self.stamp[0][0])

    @property
    def files(self) -> tuple[Path, ...]:
        """In which the tensors are."""
        return tuple(self.folder / name for name, _, _ in self.stamp)

    def shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        """Of every tensor of the component, by diffusers' names. Raises ModelBroken for files that aren't whole."""
        if self.part is not None:
            return dict(self.part.shapes)
        return header_shapes({key: entry for file in self.files for key, entry in read_header(file, name).items()})


def make_stamp(files: Iterable[Path]) -> Stamp:
    """Name, size and time of change of each file."""
    return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)


def header_shapes(header: Header) -> dict[str, tuple[int, ...]]:
    """Of every tensor in a file."""
    return {key: tuple(entry["shape"]) for key, entry in header.items() if key != METADATA}


def recipe_shapes(recipe: Recipe, header: Header) -> dict[str, tuple[int, ...]]:
    """Of every tensor of a component, by diffusers' names; of none that the file doesn't hold."""
    return {
        name: piece.turn.shape(tuple(header[piece.key]["shape"]))
        for name, piece in recipe.items()
        if piece.key in header
    }


def fill(module: Any, weights: Weights, recipe: Recipe, dtype: Any, name: str) -> None:
    """Give a module, whose parameters are on "meta", its weights in `dtype`, in main memory.

    Read, not mapped: a file that shrinks under a mapping ends the process without a word. Raises ModelBroken for
    tensors that are missing, of another shape or no numbers with a point, and for files that change meanwhile.
    """
    wanted = dict(module.named_parameters())
    inner = "text_model."  # where transformers' classes differ by version
    named = {key: recipe.get(key) or recipe.get(key.removeprefix(inner)) for key in wanted}
    missing = [key for key, piece in named.items() if piece is None]
    if missing:
        raise ModelBroken(
            model=name,
            reason=f"{_shown(weights)} lacks {missing[0]}{_and_more(len(missing) - 1)} of the {type(module).__name__} "
            "that it should hold; fetch the model again",
        )
    values: dict[str, Any] = {}
    found = {key: piece for key, piece in named.items() if piece is not None}
    for file, header in _headers(weights, name):
        here = {key: piece for key, piece in found.items() if piece.key in header}
        _check_shapes(here, header, {key: tuple(wanted[key].shape) for key in here}, file, name)
        with _opened(file, name) as stream:
            start = 8 + int.from_bytes(stream.read(8), "little")
            for key, piece in sorted(here.items(), key=lambda item: header[item[1].key]["data_offsets"][0]):
                values[key] = _tensor(stream, start, header[piece.key], piece, dtype, file, name)
    _check_unchanged(weights, name)
    module.load_state_dict(values, strict=True, assign=True)


def _headers(weights: Weights, name: str) -> Iterator[tuple[Path, Header]]:
    _check_unchanged(weights, name)
    for file in weights.files:
        yield file, read_header(file, name)


@contextmanager
def _opened(file: Path, name: str) -> Generator[FileIO]:
    try:
        with file.open("rb", buffering=0) as stream:
            yield stream
    except OSError as error:
        raise ModelBroken(model=name, reason=f"{file} can't be read ({error.strerror})") from error


def _tensor(
    stream: FileIO, start: int, entry: Mapping[str, Any], piece: Piece, dtype: Any, file: Path, name: str
) -> Any:
    library = torch()
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if piece.turn.third is not None:  # rows lie one after the other, and so do their thirds
        shape = piece.turn.shape(shape)
        count = (end - begin) // 3
        begin += piece.turn.third * count
        end = begin + count
    tensor = library.empty(shape, dtype=getattr(library, _DTYPES[entry["dtype"]]))
    stream.seek(start + begin)
    view = memoryview(tensor.reshape(-1).view(library.uint8).numpy())
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])
        if not count:
            raise ModelBroken(model=name, reason=f"{file} became shorter while it was read; wait until it is whole")
        done += count
    if piece.turn is Turn.TRANSPOSED:
        tensor = tensor.T
    elif piece.turn is Turn.FLAT:
        tensor = tensor.reshape(piece.turn.shape(shape))
    return tensor.to(dtype).contiguous()


def _check_shapes(
    pieces: Mapping[str, Piece], header: Header, wanted: Mapping[str, tuple[int, ...]], file: Path, name: str
) -> None:
    for key, piece in pieces.items():
        entry = header[piece.key]
        if entry["dtype"] not in _DTYPES:
            raise ModelBroken(
                model=name,
                reason=f"{file} holds {piece.key} as {entry['dtype']}, which can't be computed with; choose the "
                "model in float16, bfloat16 or float8",
            )
        shape = piece.turn.shape(tuple(entry["shape"]))
        if shape != wanted[key]:
            raise ModelBroken(
                model=name,
                reason=f"{file} holds {piece.key} in the shape {_sides(shape)}, and {_sides(wanted[key])} is needed: "
                "it is of another kind of model, or its config.json is",
            )


def _check_unchanged(weights: Weights, name: str) -> None:
    try:
        same = make_stamp(weights.files) == weights.stamp
    except OSError:
        same = False
    if not same:
        raise ModelBroken(
            model=name,
            reason=f"{_shown(weights)} changed while it was loaded. Wait until whatever writes it is done, then try "
            "again",
        )


def _shown(weights: Weights) -> str:
    return weights.place


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _and_more(count: int) -> str:
    return f" and {count} more tensors" if count > 1 else " and one more tensor" if count else ""
