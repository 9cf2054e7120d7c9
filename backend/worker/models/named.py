"""Files that prompts and requests call by name: LoRAs and textual inversions."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from ....protocol.errors import ModelBroken, ModelMissing, ModelPickled
from ....protocol.models import ModelKind
from ...library import folders
from ...library.walking import PICKLED, Walk

_SAFE = ".safetensors"
_LIKE = 3  # names that are told instead of one that isn't there
_NAMES = {ModelKind.LORA: "pytorch_lora_weights", ModelKind.EMBEDDING: "learned_embeds"}  # as diffusers saves them


def find_file(reference: str, kind: ModelKind, models: Path) -> Path:
    """The safetensors file that a name, path or hub id means.

    Raises ModelMissing, with names that are like it, ModelPickled, or ModelBroken for a folder that doesn't tell
    which of its files is meant.
    """
    inside = f"{kind}s/{reference}"  # of our own folder, whose places other programs' users know from theirs
    found = folders.find(reference, kind, models) or folders.find(inside, kind, models) or _cached(reference)
    if found is None:
        raise ModelMissing(model=reference, reason=_missing(reference, kind, models))
    if found.is_dir():
        found = _in_folder(found, kind, reference)
    if found.suffix.lower() in PICKLED:
        raise ModelPickled(model=reference, file=found.name, path=found)
    return found


def in_places(kind: ModelKind, models: Path) -> dict[str, Path]:
    """The files in the folders that are kept for a kind, by their names without the suffix, in small letters."""
    named: dict[str, Path] = {}
    for root in folders.roots(models):
        for place in (*root.places.get(kind, ()), root.base / f"{kind}s"):
            if place.is_dir():
                for file in Walk(root=place):
                    if file.path.suffix == _SAFE:
                        named.setdefault(file.path.stem.lower(), file.path)
    return named


def _cached(reference: str) -> Path | None:
    """A repository in the Hugging Face cache, by its hub id."""
    for snapshot in folders.snapshots(folders.hub_cache()) if reference.count("/") == 1 else ():
        if snapshot.hub_id == reference:
            return snapshot.folder
    return None


def _in_folder(folder: Path, kind: ModelKind, reference: str) -> Path:
    files = sorted(file for file in folder.iterdir() if file.suffix == _SAFE)
    named = [file for file in files if file.stem == _NAMES[kind]]
    if len(named or files) == 1:
        return (named or files)[0]
    if files:
        shown = ", ".join(file.name for file in files[:_LIKE])
        raise ModelBroken(model=reference, reason=f"it is a folder of several files; name one of them ({shown}, ...)")
    pickled = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICKLED)
    if pickled:
        return pickled[0]
    raise ModelMissing(model=reference, reason=f"the folder {folder} holds no safetensors file")


def _missing(reference: str, kind: ModelKind, models: Path) -> str:
    names = {path.stem.lower(): path.stem for path in _all(kind, models)}
    wanted = Path(reference.replace("\\", "/")).name.removesuffix(_SAFE).lower()
    like = difflib.get_close_matches(wanted, names, n=_LIKE) if wanted else []
    what = {ModelKind.LORA: "LoRA", ModelKind.EMBEDDING: "textual inversion"}[kind]
    way_out = f"put the file into {models}, or add the folder that holds it{folders.out_of_reach(models)}"
    if like:
        way_out = f"did you mean {' or '.join(names[name] for name in like)}? Otherwise {way_out}"
    return f"there is no {what} of that name; {way_out}"


def _all(kind: ModelKind, models: Path) -> Iterator[Path]:
    for root in folders.roots(models):
        for tree in root.places.get(kind) or root.trees:
            for file in Walk(root=tree, skip=folders.OURS_BUT_NO_MODELS):
                if not file.is_folder:
                    yield file.path
