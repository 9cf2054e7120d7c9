"""Where models are looked for: Underpaint's own folder, those that the user added, and the Hugging Face cache.

Which program a folder belongs to is told by what lies in it. Nothing is ever written to any but our own.
"""

import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...protocol.client.model_folders import FILE, model_folders
from ...protocol.errors import ModelFolderRefused
from ...protocol.models import ModelKind, Origin
from .walking import SUFFIXES, Walk, is_model_folder

OURS_BUT_NO_MODELS = frozenset({"embedded", "annotators"})  # what the worker keeps in the models folder for itself

# Names below ComfyUI's "models", after its folder_paths.py; below A1111's folder, after its and Forge's options.
_COMFYUI: Mapping[ModelKind, tuple[str, ...]] = {
    ModelKind.CHECKPOINT: ("checkpoints", "diffusion_models", "unet", "diffusers"),
    ModelKind.CONTROLNET: ("controlnet", "t2i_adapter", "model_patches"),
    ModelKind.VAE: ("vae",),
    ModelKind.LORA: ("loras",),
    ModelKind.EMBEDDING: ("embeddings",),
    ModelKind.IP_ADAPTER: ("ipadapter", "ipadapter-flux", "style_models"),
    ModelKind.IMAGE_ENCODER: ("clip_vision",),
    ModelKind.TINY_DECODER: ("vae_approx",),
    ModelKind.UNKNOWN: ("text_encoders", "clip", "upscale_models", "gligen", "hypernetworks", "photomaker"),
}
_A1111: Mapping[ModelKind, tuple[str, ...]] = {
    ModelKind.CHECKPOINT: ("models/Stable-diffusion",),
    ModelKind.CONTROLNET: ("models/ControlNet", "extensions/sd-webui-controlnet/models"),
    ModelKind.VAE: ("models/VAE",),
    ModelKind.LORA: ("models/Lora", "models/LyCORIS"),
    ModelKind.EMBEDDING: ("embeddings", "models/embeddings"),
    ModelKind.IP_ADAPTER: ("models/ControlNet", "models/ipadapter", "extensions/sd-webui-controlnet/models"),
    ModelKind.IMAGE_ENCODER: ("models/clip_vision", "extensions/sd-webui-controlnet/annotator/downloads/clip_vision"),
    ModelKind.TINY_DECODER: ("models/VAE-approx",),
    ModelKind.UNKNOWN: ("models/text_encoder", "models/ESRGAN", "models/RealESRGAN", "models/hypernetworks"),
}
_COMFYUI_MARKS = frozenset(name for names in _COMFYUI.values() for name in names)


@dataclass(frozen=True, kw_only=True)
class Root:
    """A folder that is looked through."""

    path: Path  # as the user knows it
    origin: Origin
    base: Path  # what relative names are relative to
    trees: tuple[Path, ...]  # where its models lie
    places: Mapping[ModelKind, tuple[Path, ...]] = field(default_factory=dict[ModelKind, tuple[Path, ...]])
    # ^ where each kind belongs, for folders that sort theirs
    problem: str = ""

    def places_for(self, kind: ModelKind) -> tuple[Path, ...]:
        """Where a model of a kind is looked for, in turn."""
        return (*self.places.get(kind, ()), self.base)

    def walks(self) -> Iterator[Walk]:
        """What there is to look through."""
        skip = OURS_BUT_NO_MODELS if self.origin is Origin.UNDERPAINT else frozenset[str]()
        for tree in self.trees:
            yield Walk(root=tree, skip=skip)


def roots(models: Path) -> tuple[Root, ...]:
    """Our folder and those that were added, in the order in which they are searched.

    The Hugging Face cache is none of them: see `hub_cache`.
    """
    ours = Root(path=models, origin=Origin.UNDERPAINT, base=models, trees=(models,))
    try:
        added = model_folders(models)
    except ModelFolderRefused as error:
        return (ours, Root(path=models / FILE, origin=Origin.FOLDER, base=models, trees=(), problem=str(error)))
    return (ours, *(_root(Path(folder)) for folder in added))


def hub_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """The Hugging Face cache, where huggingface_hub's own rules put it."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environ.get(name):
            return Path(environ[name]).expanduser()
    if environ.get("HF_HOME"):
        return Path(environ["HF_HOME"]).expanduser() / "hub"
    cache = Path(environ["XDG_CACHE_HOME"]).expanduser() if environ.get("XDG_CACHE_HOME") else Path.home() / ".cache"
    return cache / "huggingface" / "hub"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The newest known state of a repository in the Hugging Face cache."""

    hub_id: str
    folder: Path
    is_main: bool  # whether the hub id alone leads here


def snapshots(cache: Path) -> Iterator[Snapshot]:
    """Every repository of models in the cache, by name. Raises OSError where the cache can't be read."""
    for repository in sorted(cache.glob("models--*--*")):
        snapshot = _snapshot(repository)
        if snapshot is not None:
            yield snapshot


def find(reference: str, kind: ModelKind, models: Path) -> Path | None:
    """The file or folder that a request means by `reference`; None where there is none on this computer.

    An absolute path is itself. Anything else is looked for in our folder first, then in those that were added, in
    their order: at the place where they keep models of this kind, and by a bare name in subfolders as well. With or
    without ".safetensors". A hub id means a folder of that name; of the Hugging Face cache only files and folders in
    a repository are found here ("owner/name/file.safetensors"), since of whole repositories parts may be missing.
    """
    if not reference or "\0" in reference:
        return None
    path = Path(reference).expanduser()
    if path.is_absolute():
        return _existing(path)
    where = roots(models)
    plain_folder: Path | None = None
    for root in where:
        for place in root.places_for(kind):
            found = _existing(place / path)
            if found is not None and (found.is_file() or _is_model(found)):
                return found
            plain_folder = plain_folder or found
    if len(path.parts) == 1:
        return _below(path.name, kind, where) or plain_folder
    return _in_cache(path) or plain_folder


def out_of_reach(models: Path) -> str:
    """What to add to a sentence on a model that isn't here: the folders that can't be looked into; "" for none."""
    problems = "; ".join(root.problem for root in roots(models) if root.problem)
    return f" (not looked through: {problems})" if problems else ""


def _root(folder: Path) -> Root:
    try:
        os.scandir(folder).close()
    except OSError as error:
        problem = f"{folder} can't be looked into ({error.strerror}); connect its drive, or remove it from the list"
        return Root(path=folder, origin=Origin.FOLDER, base=folder, trees=(), problem=problem)
    for base in (folder, folder / "webui"):
        if (base / "models" / "Stable-diffusion").is_dir():
            places = _places(base, _A1111)
            outside = {place for those in places.values() for place in those if base / "models" not in place.parents}
            trees = (base / "models", *sorted(place for place in outside if place.is_dir()))
            return Root(path=folder, origin=Origin.A1111, base=base, trees=trees, places=places)
    if (folder / "Stable-diffusion").is_dir():  # A1111's models alone
        inside = {kind: tuple(name.partition("models/")[2] for name in names) for kind, names in _A1111.items()}
        return Root(path=folder, origin=Origin.A1111, base=folder, trees=(folder,), places=_places(folder, inside))
    for base in (folder / "models", folder / "ComfyUI" / "models", folder):
        if sum((base / name).is_dir() for name in _COMFYUI_MARKS) >= 2:
            return Root(path=folder, origin=Origin.COMFYUI, base=base, trees=(base,), places=_places(base, _COMFYUI))
    return Root(path=folder, origin=Origin.FOLDER, base=folder, trees=(folder,))


def _places(base: Path, names: Mapping[ModelKind, tuple[str, ...]]) -> dict[ModelKind, tuple[Path, ...]]:
    return {kind: tuple(base / name for name in below if name) for kind, below in names.items()}


def _existing(path: Path) -> Path | None:
    try:
        if path.exists():
            return path
        for suffix in SUFFIXES:
            file = path.with_name(path.name + suffix) if path.name else path
            if file.is_file():
                return file
    except (OSError, ValueError):  # too long a name, a link that leads to itself
        return None
    return None


def _is_model(folder: Path) -> bool:
    try:
        return is_model_folder({entry.name for entry in os.scandir(folder)})
    except OSError:
        return False


def _below(name: str, kind: ModelKind, where: tuple[Root, ...]) -> Path | None:
    """The first model of that name in any subfolder, however its accents are encoded: macOS writes them apart."""
    name = _composed(name)
    wanted = {name, *(name + suffix for suffix in SUFFIXES)}
    for root in where:
        for tree in root.places.get(kind) or root.trees:
            skip = OURS_BUT_NO_MODELS if root.origin is Origin.UNDERPAINT else frozenset[str]()
            matches = [found.path for found in Walk(root=tree, skip=skip) if _composed(found.path.name) in wanted]
            if matches:
                return min(matches, key=lambda path: (_rank(path, name), len(path.parts)))
    return None


def _rank(path: Path, name: str) -> int:
    """Smaller for what is meant rather by a name: itself, then a safetensors file, then a pickle."""
    return next(rank for rank, suffix in enumerate(("", *SUFFIXES)) if _composed(path.name) == name + suffix)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _in_cache(path: Path) -> Path | None:
    owner, name, *rest = path.parts
    if not rest or ".." in path.parts:
        return None
    snapshot = _snapshot(hub_cache() / f"models--{owner}--{name}")
    return _existing(snapshot.folder.joinpath(*rest)) if snapshot is not None else None


def _snapshot(repository: Path) -> Snapshot | None:
    """What `main` is, else the snapshot that changed last; None for a repository of which nothing was fetched."""
    _, owner, name = repository.name.split("--", 2)
    try:
        commit = (repository / "refs" / "main").read_text(encoding="ascii", errors="replace").strip()
        main = repository / "snapshots" / commit
        if commit and Path(commit).name == commit and main.is_dir():
            return Snapshot(hub_id=f"{owner}/{name}", folder=main, is_main=True)
    except OSError:
        pass  # no main: fetched by a revision
    try:
        others = [folder for folder in (repository / "snapshots").iterdir() if folder.is_dir()]
        newest = max(others, key=lambda folder: folder.stat().st_mtime_ns, default=None)
    except OSError:
        return None
    return None if newest is None else Snapshot(hub_id=f"{owner}/{name}", folder=newest, is_main=False)
