"""The list of models: there at once from what was kept, looked through again in a thread, whatever lies there."""

import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ...protocol.models import Layout, ModelFolder, ModelKind, ModelPage, Origin
from . import cache, folders, hashes
from .diffusers_folders import licence_beside
from .entries import Record, id_of, record
from .folders import Root
from .hashes import Hashes, of_folder
from .walking import Found, Walk

log = logging.getLogger("underpaint.library")

_PUBLISH_S = 0.5  # while a first look takes long: what was found so far is shown
_PAUSE_S = 10.0  # between looks, while somebody is there to whom a change may matter
_SHARE = 20.0  # a look that takes long is made more rarely: the pause is so many times as long
_TICK_S = 1.0
_PATIENCE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A model that was found, and what a request calls it."""

    found: Found
    reference: str
    origin: Origin
    root: Root | None = None  # None for the Hugging Face cache
    repository: Path | None = None  # there: whose model card may name a licence

    @property
    def usual(self) -> ModelKind:
        """What lies in such a place, for a file that can't be opened."""
        if self.root is None:
            return ModelKind.CHECKPOINT if self.found.is_pipeline else ModelKind.UNKNOWN
        for kind, places in self.root.places.items():
            if any(place in self.found.path.parents for place in places):
                return kind
        return ModelKind.UNKNOWN


class Index:
    """The models on this computer. All methods are for any thread."""

    def __init__(self, models: Path, cache_file: Path, *, software: str = "") -> None:
        self._models = models
        self._cache_file = cache_file
        self._software = software
        self._hashes = Hashes(models)
        self._hashed: object = None  # the state of their file at the last look
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}  # by id
        self._folders: tuple[ModelFolder, ...] = ()
        self._revision = int(1000 * time.time())  # higher than any before the last restart: they rise more slowly
        self._page: ModelPage | None = None
        self._asked = 1  # how often a look was asked for, the first one by the start itself
        self._answered = 0  # how many of these are done
        self._stopped = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Take what was kept. Afterwards `page` answers."""
        kept = cache.load(self._cache_file, self._software)
        with self._lock:
            self._records = {known.entry.id: known for known in kept}
            self._page = None

    def start(self, is_needed: Callable[[], bool]) -> None:
        """Look through the folders in a thread, now, and from time to time while `is_needed`."""
        self._thread = threading.Thread(target=self._run, args=(is_needed,), name="models", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a look that is under way breaks off, unless a drive that hangs holds it up."""
        self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    def rescan(self) -> None:
        """Have everything looked through again; `page` says when that is done."""
        with self._lock:
            self._asked += 1
            self._page = None
        self._wake.set()

    def page(self) -> ModelPage:
        """Everything that is known now."""
        with self._lock:
            if self._page is None:
                entries = sorted(
                    (known.entry for known in self._records.values() if not _is_strange(known)),
                    key=lambda entry: (_RANK[entry.kind], entry.family or "~", entry.title.casefold(), entry.reference),
                )
                self._page = ModelPage(
                    models=tuple(entries),
                    folders=self._folders,
                    scanning=self._answered < self._asked,
                    revision=self._revision,
                )
            return self._page

    def record(self, model_id: str) -> Record | None:
        """What is known of one model; None where there is none with this id."""
        with self._lock:
            return self._records.get(model_id)

    # ---- looking

    def look(self) -> None:
        """Look through everything once; what hasn't changed since the last time isn't opened."""
        with self._lock:
            known, asked = dict(self._records), self._asked
        self._look_at(known, asked)

    def _run(self, is_needed: Callable[[], bool]) -> None:
        due = time.monotonic()
        changed: object = None
        while not self._stopped:
            now, state = time.monotonic(), self._folders_state()
            if self._answered < self._asked or state != changed or (now >= due and is_needed()):
                changed = state
                try:
                    self.look()
                except Exception:  # a mistake of ours; the list stays as it is, and the service goes on
                    log.exception("the models can't be looked through")
                    self._answered = self._asked
                took = time.monotonic() - now
                due = time.monotonic() + max(_PAUSE_S, _SHARE * took)
            self._wake.wait(_TICK_S)
            self._wake.clear()

    def _folders_state(self) -> object:
        """Changes whenever the list of folders does, or the hashes that are known."""
        return [_state(self._models / name) for name in (folders.FILE, hashes.FILE)]

    def _look_at(self, known: dict[str, Record], asked: int) -> None:
        fresh: dict[str, Record] = {}
        told: list[ModelFolder] = []
        shown, dirty = time.monotonic(), False
        for source in self._sources(told):
            if self._stopped:
                return
            model_id = id_of(source.reference)
            if model_id in fresh:
                continue  # the first folder that has it is the one in which a request finds it
            old = known.get(model_id)
            if old is not None and old.stamp == source.found.stamp and old.path == source.found.path:
                fresh[model_id] = old
                continue
            licence = licence_beside(source.repository) if source.repository is not None else ""
            with _no_collection():
                fresh[model_id] = record(
                    source.found,
                    reference=source.reference,
                    origin=source.origin,
                    usual=source.usual,
                    licence=licence,
                )
            dirty = True
            if time.monotonic() - shown > _PUBLISH_S:
                self._publish({**known, **fresh}, self._folders)
                shown = time.monotonic()
        hashed = _state(self._models / hashes.FILE)
        for model_id, one in fresh.items():
            if one is known.get(model_id) and hashed == self._hashed:
                continue
            sha256 = self._sha256(one)
            if sha256 != one.entry.sha256:
                fresh[model_id] = replace(one, entry=replace(one.entry, sha256=sha256))
                dirty = True
        self._hashed = hashed
        self._publish(fresh, tuple(told), answered=asked)
        if dirty or fresh.keys() != known.keys():
            self._keep(fresh)

    def _sha256(self, known: Record) -> str:
        """The hash that the worker has computed when it used the model; empty where it hasn't."""
        if known.entry.layout is Layout.FILE:
            return self._hashes.known(known.path)
        parts = self._hashes.below(known.path)
        return of_folder(parts) if parts else ""

    def _publish(self, records: dict[str, Record], told: tuple[ModelFolder, ...], *, answered: int = 0) -> None:
        with self._lock:
            if records != self._records or told != self._folders:
                self._revision += 1
                self._page = None
            elif answered > self._answered:
                self._page = None
            self._records, self._folders, self._answered = records, told, max(self._answered, answered)

    def _keep(self, records: dict[str, Record]) -> None:
        try:
            cache.save(self._cache_file, self._software, records.values())
        except OSError as error:  # a full disk: the next start takes longer, and nothing else
            log.warning("the list of models can't be kept: %s", error)

    def _sources(self, told: list[ModelFolder]) -> Iterator[_Source]:
        """Every model that is found, in the order in which requests find them; `told` gets the folders."""
        seen: set[tuple[int, int]] = set()  # files that are there under several names count once
        for root in folders.roots(self._models):
            problems = [root.problem] if root.problem else []
            for walk in root.walks():
                for found in walk:
                    if _is_new(found, seen):
                        yield _Source(
                            found=found, reference=_reference(found.path, root), origin=root.origin, root=root
                        )
                problems += walk.problems
            told.append(ModelFolder(path=str(root.path), origin=root.origin, problem="; ".join(problems)))
        yield from self._cached_sources(told, seen)

    def _cached_sources(self, told: list[ModelFolder], seen: set[tuple[int, int]]) -> Iterator[_Source]:
        hub = folders.hub_cache()
        if not hub.is_dir():
            return
        problems: list[str] = []
        try:
            for snapshot in folders.snapshots(hub):
                walk = Walk(root=snapshot.folder)
                for found in walk:
                    if _is_new(found, seen):
                        inside = found.path.relative_to(snapshot.folder).as_posix()
                        reference = snapshot.hub_id if inside == "." else f"{snapshot.hub_id}/{inside}"
                        yield _Source(
                            found=found,
                            reference=reference if snapshot.is_main else str(found.path),
                            origin=Origin.HUGGING_FACE,
                            repository=snapshot.folder,
                        )
                problems += walk.problems
        except OSError as error:
            problems.append(f"{hub} can't be looked through ({error.strerror})")
        told.append(ModelFolder(path=str(hub), origin=Origin.HUGGING_FACE, problem="; ".join(problems)))


_RANK = {kind: rank for rank, kind in enumerate(ModelKind)}


@contextlib.contextmanager
def _no_collection() -> Generator[None]:
    """Keep Python from looking for cycles: a header is thousands of small objects without any, and reading it takes
    three times as long while they are looked through."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _state(file: Path) -> object:
    try:
        status = file.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _is_strange(known: Record) -> bool:
    """Whether it is in the Hugging Face cache for other programs: a language model, say."""
    return known.entry.origin is Origin.HUGGING_FACE and known.entry.kind is ModelKind.UNKNOWN


def _is_new(found: Found, seen: set[tuple[int, int]]) -> bool:
    if not any(found.identity):
        return True
    if found.identity in seen:
        return False
    seen.add(found.identity)
    return True


def _reference(path: Path, root: Root) -> str:
    """What a request calls a model: its path under our folder, else its absolute path."""
    return path.relative_to(root.base).as_posix() if root.origin is Origin.UNDERPAINT else str(path)
