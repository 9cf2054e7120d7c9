"""Detectors' weights: where they lie, how they get there, and how they are read without running anything.

These are the only pickles that are read anywhere. torch reads tensors from them and refuses whatever would
run code; the published files hold nothing else. A `.safetensors` twin beside a pickle is read in its place.
"""

import importlib
import pickle
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from .....protocol.errors import DetectorMissing, ModelBroken, ModelError
from .....protocol.sources import Detector
from ...failures import is_out_of_memory
from ...hub import choosing
from ...hub.fetching import announced, fetch
from ...third_party import hub_is_offline, torch

_TWIN = ".safetensors"
_PICKLES = (".pth", ".pt")
_READ = (*_PICKLES, _TWIN)


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """A file of weights, as its author publishes it."""

    repository: str = "lllyasviel/Annotators"  # on the hub
    path: str  # there
    megabytes: float
    under: str = ""  # the entry of the pickle that holds the tensors; a twin holds nothing else and needs none

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def words(self) -> str:
        return f"{self.name} ({self.megabytes:g} MB, from https://huggingface.co/{self.repository})"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file that is on this computer."""

    file: WeightFile
    path: Path


Choices = Sequence[WeightFile]
"""Files of which one is needed. The first is fetched when none is there; of those that are, the last is used."""


def find(
    detector: Detector,
    needed: Sequence[Choices],
    folder: Path,
    *,
    allow_download: bool,
    announce: Callable[[str], None],
) -> list[Found]:
    """One file for each of `needed`: from `folder`, else from the hub's cache, else downloaded if allowed.

    Nothing touches the network unless `allow_download`, and nothing that is here already does.
    Raises DetectorMissing, which says what to put where.
    """
    here = [_present(choices, folder) for choices in needed]
    missing = [choices for choices, found in zip(needed, here, strict=True) if found is None]
    if missing and (not allow_download or hub_is_offline()):
        raise DetectorMissing(detector=detector, reason=_how_to_get(missing, folder))
    return [
        _fetch(detector, choices[0], folder, announce) if found is None else found
        for choices, found in zip(needed, here, strict=True)
    ]


def _present(choices: Choices, folder: Path) -> Found | None:
    for file in reversed(choices):
        for place in _places(file, folder):
            if place.is_file():
                return Found(file=file, path=place)
    return None


def _places(file: WeightFile, folder: Path) -> Iterator[Path]:
    """Where a file may lie, the preferred place first."""
    names = [file.path]
    if file.path.endswith(_PICKLES):
        names.insert(0, str(PurePosixPath(file.path).with_suffix(_TWIN)))
    for name in names:
        yield folder / PurePosixPath(name).name
        yield folder / name
    cached = importlib.import_module("huggingface_hub").try_to_load_from_cache
    for name in names:
        found = cached(file.repository, name)
        if isinstance(found, str):
            yield Path(found)


def _how_to_get(missing: Sequence[Choices], folder: Path) -> str:
    wanted = " and ".join(" or ".join(file.words for file in choices) for choices in missing)
    offline = "unset HF_HUB_OFFLINE and allow downloads" if hub_is_offline() else "allow downloads"
    return f"put {wanted} into {folder}, or {offline}"


def _fetch(detector: Detector, file: WeightFile, folder: Path, announce: Callable[[str], None]) -> Found:
    tell = announced(f"{file.name}, {file.megabytes:g} MB", announce)
    try:
        snapshot = fetch(file.repository, choosing.just(file.path), whole=False, tell=tell).folder
    except ModelError as error:
        reason = f"the download failed ({error}) Try again, or put {file.words} into {folder}"
        raise DetectorMissing(detector=detector, reason=reason) from error
    if not (snapshot / file.path).is_file():
        reason = f"{file.repository} has no {file.path} any more. Put {file.words} into {folder}"
        raise DetectorMissing(detector=detector, reason=reason)
    return Found(file=file, path=snapshot / file.path)


def broken(detector: Detector, files: Sequence[Found], error: Exception) -> ModelBroken:
    """The error for files whose contents a detector can't use."""
    names = ", ".join(str(found.path) for found in files)
    reason = f"its weights in {names} can't be used ({_words(error)}); fetch them anew"
    return ModelBroken(model=f"{detector} detector", reason=reason)


def _words(error: Exception) -> str:
    """What is wrong with a file. torch's own words end in advice to read it with whatever code it holds."""
    if isinstance(error, pickle.UnpicklingError):
        return "damaged, or not of tensors alone"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if "loading state_dict" in str(error):
        return "of another net"
    return _first_line(error)


@contextmanager
def safely_read(detector: Detector, files: Sequence[Found]) -> Generator[list[Found]]:
    """While it lasts, torch.load gives the tensors of these files, which have been read already, and of no other.

    Gives the files that were asked for so far; should a net refuse its tensors, they were the last one's.

    controlnet-aux's classes call it from inside: some without a map_location, so that files saved on a GPU fail
    on a computer without; and none of them knows of twins, which come nested as their pickles would be.
    Raises ModelBroken, naming the file, before any net is built.
    """
    library = torch()
    original = library.load
    by_path = {str(found.path): found for found in files}
    read = {path: _read(found, detector, original) for path, found in by_path.items() if found.path.suffix in _READ}
    asked_for: list[Found] = []

    def load(source: Any, *_: Any, **__: Any) -> Any:
        path = str(getattr(source, "name", source))
        asked_for.append(by_path[path])
        return read.pop(path)

    library.load = load
    try:
        yield asked_for
    finally:
        library.load = original


def _read(found: Found, detector: Detector, load: Callable[..., Any]) -> Any:
    try:
        if found.path.suffix == _TWIN:
            tensors = importlib.import_module("safetensors.torch").load_file(found.path)
            return {found.file.under: tensors} if found.file.under else tensors
        # weights_only stands whatever the environment says: an argument goes before its variables.
        return load(found.path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a file that is not what it seems makes a parser raise is anybody's guess
        if is_out_of_memory(error):
            raise
        raise broken(detector, [found], error) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
