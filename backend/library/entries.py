"""From a file or folder that was found to what is told of it; whatever is wrong with it becomes its sentence."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...protocol.errors import ModelBroken, ModelPickled
from ...protocol.models import FamilyId, Layout, ModelEntry, ModelKind, Origin
from . import diffusers_folders, notes, thumbnails
from .advice import advice_for
from .control_names import control_kinds
from .headers import metadata, read_header
from .recognised import TITLES, Recognised, unknown
from .recognition import recognise
from .walking import PICKLED, Found

log = logging.getLogger("underpaint.library")

_MAX_NOTES_BYTES = 1 << 20
_LOOKS = 3  # at a file that changes while it is read
FROM_FILES = (FamilyId.SD15, FamilyId.SD2, FamilyId.SDXL)  # families whose single files are read
_FROM_FOLDERS = (ModelKind.TINY_DECODER, ModelKind.SAFETY_CHECKER)
_NAMELESS = {"pytorch_lora_weights", "adapter_model", "learned_embeds", "model", "diffusion_pytorch_model"}
# ^ what programs call whatever they write, so that the folder's name tells more


Stamp = tuple[int, int, int, str, str]
NEVER: Stamp = (-1, -1, -1, "", "")  # the stamp of nothing that is ever found


@dataclass(frozen=True, kw_only=True)
class Record:
    """An entry, and what it was made from."""

    entry: ModelEntry
    path: Path
    stamp: Stamp  # of what was found; NEVER for a file that changed while it was looked at
    picture: str = ""  # the thumbnail's file, from the folder that `path` is in; empty where the metadata hold it


def id_of(reference: str) -> str:
    """What addresses a model in the service: 32 hex digits."""
    return hashlib.sha256(reference.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def record(
    found: Found, *, reference: str, origin: Origin, usual: ModelKind = ModelKind.UNKNOWN, licence: str = ""
) -> Record:
    """What is known of a model. Never raises for anything that is wrong with it.

    `usual` is what lies in its place, for one that can't be opened; `licence` is that of its repository.
    """
    layout = Layout.FILE
    if found.is_folder:
        layout = Layout.SNAPSHOT if origin is Origin.HUGGING_FACE else Layout.FOLDER
    what, told, settled = _look(found, reference, usual)
    words = what.words or _words_beside(found, what)
    picture = f"{found.path.name}/{found.thumbnail}" if found.is_folder and found.thumbnail else found.thumbnail
    entry = ModelEntry(
        reference=reference,
        id=id_of(reference),
        title=_title(found.path, reference, origin),
        kind=what.kind,
        family=what.family,
        layout=layout,
        origin=origin,
        precision=what.precision,
        size_bytes=found.size_bytes,
        changed_at=found.changed_ns / 1e9,
        traits=what.traits,
        control_kinds=what.control_kinds,
        words=words,
        licence=what.licence or licence or (diffusers_folders.licence_beside(found.path) if found.is_folder else ""),
        has_thumbnail=bool(picture) or thumbnails.is_inside(told),
        problem=what.problem,
    )
    if what.kind is ModelKind.CONTROLNET and not what.control_kinds:
        entry = replace(entry, control_kinds=control_kinds(f"{found.path.parent.name}/{entry.title}", entry.title))
    advice = advice_for(title=entry.title, kind=what.kind, family=what.family, metadata=told, traits=what.traits)
    entry = replace(entry, advice=advice)
    return Record(entry=entry, path=found.path, stamp=found.stamp if settled else NEVER, picture=picture)


def _look(found: Found, reference: str, usual: ModelKind) -> tuple[Recognised, Mapping[str, str], bool]:
    """What it is, its metadata, and whether it lay still meanwhile."""
    what, told = unknown(""), dict[str, str]()
    for _ in range(_LOOKS):
        before = _state(found.path)
        try:
            what, told = _recognise(found, reference)
        except ModelBroken as error:
            what = Recognised(kind=usual, problem=str(error))
        except OSError as error:
            words = f"{found.path} can't be read ({error.strerror}); look at its permissions and links."
            what = Recognised(kind=usual, problem=words)
        except Exception:  # a mistake of ours must not hide all other models
            log.exception("%s can't be looked at", found.path)
            what = unknown("It can't be looked at; the backend's log tells why.")
        if _state(found.path) == before:
            return what, told, True
    return replace(what, problem="It is being written. It is looked at again when that is done."), told, False


def _recognise(found: Found, reference: str) -> tuple[Recognised, dict[str, str]]:
    if found.is_folder:
        return diffusers_folders.recognise_folder(found.path, reference), {}
    if found.path.name.lower().endswith(PICKLED):
        raise ModelPickled(model=reference, file=found.path.name, path=found.path)
    header = read_header(found.path, reference)
    return _alone(recognise(header)), metadata(header)


def _alone(what: Recognised) -> Recognised:
    """What a file is without a folder around it: not all that are read as folders are read as files."""
    problem = what.problem
    if not problem and what.kind in (ModelKind.CHECKPOINT, ModelKind.CONTROLNET):
        if what.family is not None and what.family not in FROM_FILES:
            problem = (
                f"It is a single file, and models of {TITLES[what.family]} are read from folders. Fetch the repository "
                "in diffusers' layout instead."
            )
        elif "without text encoder" in what.traits:
            problem = "It was saved without its text encoder. Choose the complete file."
    if not problem and what.kind in _FROM_FOLDERS:
        problem = "It lies here without its config.json. Fetch its whole folder."
    return replace(what, problem=problem)


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)


def _words_beside(found: Found, what: Recognised) -> tuple[str, ...]:
    """What calls it up, as other programs' notes beside the file say; an embedding is called by its file's name."""
    if what.kind is ModelKind.EMBEDDING:
        return (found.path.stem,)
    if what.kind is not ModelKind.LORA or not found.notes:
        return ()
    try:
        with (found.path.parent / found.notes).open("rb") as stream:
            told: Any = json.loads(stream.read(_MAX_NOTES_BYTES))
        if isinstance(told.get("activation text"), str):  # A1111's
            return notes.split_words(told["activation text"])
        if isinstance(told.get("trainedWords"), list):  # Civitai's
            return notes.split_words(",".join(map(str, told["trainedWords"])))
    except (OSError, ValueError, AttributeError, RecursionError):
        return ()  # another program's file, and only a hint
    return ()


def _title(path: Path, reference: str, origin: Origin) -> str:
    if origin is Origin.HUGGING_FACE:
        return reference
    stem = path.stem if path.suffix.lower() in (".safetensors", *PICKLED) else path.name
    return f"{path.parent.name}/{stem}" if stem in _NAMELESS else stem
