"""Looking through a folder for models, whatever lies in it: loops, folders that may not be read, strangers' files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PICKLED = (".ckpt", ".pt", ".pth", ".bin")
SUFFIXES = (".safetensors", *PICKLED)
THUMBNAILS = (".preview.png", ".png", ".preview.jpg", ".preview.jpeg", ".jpg", ".jpeg", ".preview.webp", ".webp")
NOTES = (".json", ".civitai.info")  # A1111's own, and those of the helpers that fetch what Civitai knows
_MAX_DEPTH = 8  # folders in folders
_MAX_ENTRIES = 200_000  # more than any collection of models; whoever added a whole disk is told
_PART_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")  # of the weights that belong to a config.json
_NOT_MODELS = ("optimizer.bin", "scheduler.bin", "training_args.bin", "rng_state.pth", "scaler.pt")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file or a folder that may be a model."""

    path: Path
    is_folder: bool  # one in diffusers' layout
    is_pipeline: bool = False  # one with a model_index.json
    size_bytes: int
    changed_ns: int  # of the newest file, notes among them
    files: int = 1
    thumbnail: str = ""  # the picture's name, which lies beside a file and inside a folder
    notes: str = ""  # the name of the text beside a file in which other programs keep what they know of it
    identity: tuple[int, int] = (0, 0)  # device and inode: the same for all names of a file; zeros where unknown

    @property
    def stamp(self) -> tuple[int, int, int, str, str]:
        """Changes whenever what is known of the model may have changed."""
        return (self.size_bytes, self.changed_ns, self.files, self.thumbnail, self.notes)


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What a folder holds; filled while it is looked through."""

    root: Path
    skip: frozenset[str] = frozenset()  # names right under `root` that hold something else
    problems: list[str] = field(default_factory=list[str])
    """What couldn't be looked at, as ends of sentences."""

    def __iter__(self) -> Iterator[Found]:
        """Everything that may be a model, in the order of names; a folder that is there twice only once."""
        self.problems.clear()
        seen: set[tuple[int, int]] = set()
        left = [_MAX_ENTRIES]
        yield from self._folder(self.root, 0, seen, left)
        if left[0] <= 0:
            self.problems.append(
                f"it holds more than {_MAX_ENTRIES:,} files, and the rest wasn't looked at; add the folders with "
                "models in it instead"
            )

    def _folder(self, folder: Path, depth: int, seen: set[tuple[int, int]], left: list[int]) -> Iterator[Found]:
        try:
            status = folder.stat()
            if status.st_ino and (status.st_dev, status.st_ino) in seen:
                return
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            self.problems.append(f"{folder} can't be looked into ({error.strerror})")
            return
        names = {entry.name for entry in entries}
        own_weights, is_pipeline = is_model_folder(names), "model_index.json" in names
        if own_weights:
            yield _model_folder(folder, names, (status.st_dev, status.st_ino))
        for entry in entries:
            if left[0] <= 0:
                return
            left[0] -= 1
            if entry.name.startswith(".") or (depth == 0 and entry.name in self.skip):
                continue
            if entry.name.lower().endswith(SUFFIXES):
                if not (own_weights and _is_part(entry.name)) and entry.name not in _NOT_MODELS:
                    yield from _file(entry, names)
            elif not is_pipeline and depth < _MAX_DEPTH and _is_dir(entry):
                yield from self._folder(folder / entry.name, depth + 1, seen, left)


def is_model_folder(names: set[str]) -> bool:
    """Whether a folder with these names in it is a model in diffusers' layout."""
    return "model_index.json" in names or ("config.json" in names and any(map(_is_part, names)))


def thumbnail_beside(stem: str, names: set[str]) -> str:
    """The name of a model's picture, as other programs put it beside the file; empty where there is none."""
    return next((stem + suffix for suffix in THUMBNAILS if stem + suffix in names), "")


def _is_part(name: str) -> bool:
    """Whether a file holds the weights that its folder's config.json speaks of, or a piece of them."""
    stem = name.partition(".")[0].partition("-0")[0]
    return stem in _PART_STEMS and name.lower().endswith((*SUFFIXES, ".index.json"))


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _file(entry: os.DirEntry[str], names: set[str]) -> Iterator[Found]:
    try:
        if not entry.is_file():
            return
        status = entry.stat()
    except OSError:  # gone since, or a link that leads to itself
        return
    stem = entry.name.rpartition(".")[0]
    path = Path(entry.path)
    notes = next((stem + suffix for suffix in NOTES if stem + suffix in names), "")
    yield Found(
        path=path,
        is_folder=False,
        size_bytes=status.st_size,
        changed_ns=max(status.st_mtime_ns, _changed_ns(path.with_name(notes)) if notes else 0),
        thumbnail=thumbnail_beside(stem, names),
        notes=notes,
        identity=(status.st_dev, status.st_ino),
    )


def _changed_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _model_folder(folder: Path, names: set[str], identity: tuple[int, int]) -> Found:
    size = newest = files = 0
    is_pipeline = "model_index.json" in names
    for file in _parts(folder, is_pipeline=is_pipeline):
        try:
            status = file.stat()
        except OSError:  # a link that leads nowhere: what is missing is told by whoever looks at the model
            continue
        size += status.st_size
        newest = max(newest, status.st_mtime_ns)
        files += 1
    return Found(
        path=folder,
        is_folder=True,
        is_pipeline=is_pipeline,
        size_bytes=size,
        changed_ns=newest,
        files=files,
        thumbnail=thumbnail_beside(folder.name, names) or thumbnail_beside("preview", names),
        identity=identity,
    )


def _parts(folder: Path, *, is_pipeline: bool) -> Iterator[Path]:
    """The files of a model's folder, and of its components."""
    for below in (folder, *(_folders(folder) if is_pipeline else ())):
        try:
            with os.scandir(below) as entries:
                names = [entry.name for entry in entries if entry.name.endswith((*SUFFIXES, ".json", ".txt", ".md"))]
        except OSError:
            continue
        for name in names:
            # what lies beside a folder's own weights is a model of its own
            if below != folder or not name.lower().endswith(SUFFIXES) or _is_part(name):
                yield below / name


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if not entry.name.startswith(".") and _is_dir(entry)]
    except OSError:
        return []
