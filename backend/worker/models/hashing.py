"""What a picture is made with, by the hash of every file: computed beside the painting, and once for each file."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ....protocol.infotext import stem
from ....protocol.models import ModelKind, UsedModel
from ...library.hashes import Hashes, of_folder, sha256_of

_LOOK_S = 0.2  # between two looks at whether the job was cancelled


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that a job loads, and the files that it is read from."""

    kind: ModelKind
    reference: str  # as the request calls it
    files: tuple[Path, ...]
    folder: Path | None = None  # that the files are parts of; None for a single file
    title: str = ""  # empty takes the reference's

    def told(self, digest: Callable[[Path], str]) -> UsedModel:
        """What the record says of it."""
        if self.folder is None and len(self.files) == 1:
            sha256 = digest(self.files[0])
        else:
            sha256 = of_folder((self._name(file), digest(file)) for file in self.files)
        return UsedModel(
            kind=self.kind, reference=self.reference, title=self.title or stem(self.reference), sha256=sha256
        )

    def _name(self, file: Path) -> str:
        """A file's path in the folder, the same on every system."""
        inside = self.folder is not None and file.is_relative_to(self.folder)
        return file.relative_to(self.folder).as_posix() if inside and self.folder is not None else file.name


class Hashing:
    """The hashes of a job's models, computed in a thread that lives no longer than the `with` around it.

    It begins with `begin`, once the models are loaded: then their files are in the system's cache, and the device has
    its own work. Nothing that goes wrong here ends a job: a file that can't be read any more has no hash.
    """

    def __init__(self, loaded: Sequence[LoadedModel], hashes: Hashes) -> None:
        self._loaded = tuple(loaded)
        self._hashes = hashes
        self._found: dict[Path, str] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Hashing":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def begin(self) -> None:
        """Compute what isn't known; further calls change nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="hashing", daemon=True)
            self._thread.start()

    def models(self, check: Callable[[], None]) -> tuple[UsedModel, ...]:
        """Every model with its hash, waiting for those that are being computed; `check` is called meanwhile, and may
        raise."""
        self.begin()
        assert self._thread is not None
        while self._thread.is_alive():
            check()
            self._thread.join(_LOOK_S)
        return tuple(model.told(lambda file: self._found.get(file, "")) for model in self._loaded)

    def _run(self) -> None:
        for file in dict.fromkeys(file for model in self._loaded for file in model.files):
            sha256 = self._hashes.known(file)
            if not sha256:
                try:
                    sha256, state = sha256_of(file, stopped=self._stopped.is_set)
                except OSError:  # gone, or unreadable, since it was loaded: it has no hash
                    continue
                if self._stopped.is_set():
                    return
                if sha256:
                    self._hashes.keep(file, state, sha256)
            self._found[file] = sha256


def known_models(loaded: Sequence[LoadedModel], hashes: Hashes) -> tuple[UsedModel, ...]:
    """The models with such hashes as are known already; nothing is computed."""
    return tuple(model.told(hashes.known) for model in loaded)
