"""Fetches what is wanted of a repository into the Hugging Face cache: resumed, checked, and stopped at once.

Plain HTTP, also where the hub keeps a file in Xet: its transfers begin anew each time, and obey nothing but Ctrl-C.
"""

import asyncio
import contextlib
import importlib
import json
import re
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar, cast
from urllib.parse import quote

from ....protocol.errors import DownloadFailed
from . import cache, choosing, refusals
from .choosing import Choose
from .parts import Part, RemoteFile
from .refusals import NoHub, Wanting

_AT_ONCE = 4  # files
_TOLD_EVERY_S = 0.2
_ANNOUNCED_EVERY_S = 1.0
_FIRST_PAUSES_S = (1.0, 2.0)  # between tries to reach a hub at all
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)  # between tries that bring nothing; each byte begins them anew
_SPARE = 1.05  # times what is needed has to be free
_LARGEST = 50 * 10**9  # bytes of a file that the hub gives by HTTP
_CONNECT_S = 10.0
_ETAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a download is."""

    done_bytes: int = 0
    total_bytes: int = 0  # 0 while it isn't known
    resumed_bytes: int = 0  # of those done, what earlier tries had left
    files: int = 0  # that are fetched
    note: str = ""  # what it waits for, if it waits

    @property
    def words(self) -> str:
        """For a person."""
        if not self.total_bytes:
            return self.note or "asking the hub"
        sizes = f"{refusals.gigabytes(self.done_bytes)} of {refusals.gigabytes(self.total_bytes)}"
        return f"{sizes}, {self.note}" if self.note else sizes


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What came of a download."""

    folder: Path  # of the snapshot
    files: tuple[str, ...]  # that were wanted, in it
    standing: Standing


def fetch(
    hub_id: str,
    choose: Choose = choosing.needed,
    *,
    revision: str = "",
    whole: bool = True,
    tell: Callable[[Standing], None],
) -> Fetched:
    """Fetch what `choose` wants of a repository, as far as it isn't in the cache already.

    `whole` shows it the repository's model_index.json, which is fetched first; that is of no use for a single file.

    `tell` is called five times a second, changed or not; what it raises ends the download at once, and what has come
    stays. Raises ModelMissing, ModelGated, DownloadFailed.
    """
    return asyncio.run(_watched(_Download(hub_id, choose, revision, whole), tell))


def announced(model: str, announce: Callable[[str], None]) -> Callable[[Standing], None]:
    """What tells of a download within another job: at its beginning and once a second, by `announce`."""
    announce(f"Downloading {model}")
    last = [time.monotonic()]

    def tell(standing: Standing) -> None:
        if time.monotonic() - last[0] >= _ANNOUNCED_EVERY_S:
            last[0] = time.monotonic()
            announce(f"Downloading {model}: {standing.words}")

    return tell


async def _watched(download: "_Download", tell: Callable[[Standing], None]) -> Fetched:
    work = asyncio.create_task(download.run())
    try:
        while True:
            tell(download.standing)
            done, _ = await asyncio.wait({work}, timeout=_TOLD_EVERY_S)
            if done:
                return work.result()
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):  # what it raised has been, or isn't wanted
            await work


class _Download:
    def __init__(self, hub_id: str, choose: Choose, revision: str, whole: bool) -> None:
        self._hub_id, self._choose, self._revision, self._whole = hub_id, choose, revision, whole
        self._constants: Any = importlib.import_module("huggingface_hub.constants")
        self._hub: Any = importlib.import_module("huggingface_hub")
        self._http: Any = importlib.import_module("httpx2")
        self._headers: dict[str, str] = importlib.import_module("huggingface_hub.utils").build_hf_headers(
            library_name="underpaint"
        )
        self._endpoint: str = self._constants.ENDPOINT
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._done: dict[str, int] = {}  # bytes by path
        self._resumed = self._total = 0
        self._waits: dict[str, str] = {}  # why, by path

    @property
    def standing(self) -> Standing:
        return Standing(
            done_bytes=sum(self._done.values()),
            total_bytes=self._total,
            resumed_bytes=self._resumed,
            files=len(self._done),
            note=next(iter(self._waits.values()), ""),
        )

    async def run(self) -> Fetched:
        try:
            async with self._hub.get_async_session() as session:
                return await self._run(session)
        except Exception as error:
            refused = refusals.refusal(error, self._hub_id, endpoint=self._endpoint, revision=self._revision)
            if refused is None:
                raise
            raise refused from error

    async def _run(self, session: Any) -> Fetched:
        commit, listed = await self._again("", lambda: self._listing(session), _FIRST_PAUSES_S)
        index: Mapping[str, Any] = {}
        if choosing.INDEX in listed and self._whole:
            await self._all(session, commit, [listed[choosing.INDEX]])
            index = _read_index(cache.repository(self._hub_id) / "snapshots" / commit / choosing.INDEX)
        wanted = self._choose(self._hub_id, tuple(listed), index)
        await self._all(session, commit, [listed[path] for path in wanted])
        for file in listed.values():  # what a commit has in common with one that was fetched before
            if cache.blob(self._hub_id, file.etag).is_file():
                cache.place(self._hub_id, commit, file.path, file.etag)
        cache.point(self._hub_id, self._revision, commit)
        folder = cache.repository(self._hub_id) / "snapshots" / commit
        return Fetched(folder=folder, files=wanted, standing=self.standing)

    async def _listing(self, session: Any) -> tuple[str, dict[str, RemoteFile]]:
        """The commit of the revision, and its files by path."""
        revision = quote(self._revision or cache.MAIN, safe="")
        address = f"{self._endpoint}/api/models/{self._hub_id}/revision/{revision}"
        response = await session.get(address, params={"blobs": True}, headers=self._headers, timeout=self._patience())
        self._hub.utils.hf_raise_for_status(response)
        try:
            info = self._hub.ModelInfo(**response.json())
            commit = str(info.sha)
            if not _COMMIT.fullmatch(commit):
                raise ValueError(commit)
            files = {file.path: file for file in map(_remote_file, info.siblings or ()) if file is not None}
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise NoHub(
                f"{address} is answered by something that is no hub. Look whether the network wants a login in the "
                "browser first, and whether HF_ENDPOINT is right"
            ) from error
        return commit, files

    async def _all(self, session: Any, commit: str, wanted: Sequence[RemoteFile]) -> None:
        missing = [file for file in wanted if not cache.holds(self._hub_id, commit, file.path)]
        for file in missing:
            if file.size > _LARGEST:
                raise DownloadFailed(
                    model=self._hub_id,
                    reason=f"{file.path} is {refusals.gigabytes(file.size)}, more than the hub gives by HTTP. Fetch it "
                    f'with "hf download {self._hub_id} {file.path}"; it is found in the cache then',
                )
        self._check_room(missing)
        self._total += sum(file.size for file in missing)
        jobs = [asyncio.create_task(self._file(session, commit, file)) for file in sorted(missing, key=_by_size)]
        try:
            await asyncio.gather(*jobs)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    def _check_room(self, missing: Sequence[RemoteFile]) -> None:
        needed = 0
        for file in missing:
            if not cache.blob(self._hub_id, file.etag).exists():
                part = cache.part(self._hub_id, file.etag)
                needed += max(0, file.size - (part.stat().st_size if part.exists() else 0))
        folder = cache.root()
        disk = next(place for place in (folder, *folder.parents) if place.exists())
        free = shutil.disk_usage(disk).free
        if needed * _SPARE > free:
            reason = refusals.disk_full(int(needed * _SPARE), free, folder)
            raise DownloadFailed(model=self._hub_id, reason=reason)

    async def _file(self, session: Any, commit: str, file: RemoteFile) -> None:
        blob = cache.blob(self._hub_id, file.etag)
        async with self._slots, self._locked(file):
            if not blob.exists():
                with Part(cache.part(self._hub_id, file.etag), file) as part:
                    await self._fill(session, commit, file, part)
                    part.finish(blob)
            self._done[file.path] = file.size
            cache.place(self._hub_id, commit, file.path, file.etag)

    async def _fill(self, session: Any, commit: str, file: RemoteFile, part: Part) -> None:
        """Fetch the rest of a file, and all of it once more where it is not what the hub has."""
        await part.read_over()
        self._resumed += part.size
        for _ in range(2):
            await self._again(file.path, lambda: self._rest(session, commit, file, part), _PAUSES_S)
            if part.is_sound:
                return
            part.restart()
        raise DownloadFailed(
            model=self._hub_id,
            reason=f"{file.path} arrived damaged twice (it hasn't the hash that the hub tells of it) and was removed. "
            "Something on the way changes it, or the hub's own copy is damaged",
        )

    async def _rest(self, session: Any, commit: str, file: RemoteFile, part: Part) -> None:
        self._done[file.path] = part.size
        if part.is_whole:
            return
        address = f"{self._endpoint}/{self._hub_id}/resolve/{commit}/{quote(file.path)}"
        headers = {**self._headers, "Accept-Encoding": "identity"}  # packed bytes can't be resumed
        if part.size:
            headers["Range"] = f"bytes={part.size}-"
        async with session.stream("GET", address, headers=headers, timeout=self._patience()) as response:
            if response.status_code == 416:  # the hub says that there is no such place in the file
                part.restart()
                raise Wanting(f"{file.path} can't be resumed")
            self._hub.utils.hf_raise_for_status(response)
            if part.size and not _goes_on(response, part.size):
                part.restart()  # it doesn't resume, and sends all of it
            async for piece in response.aiter_raw():
                self._waits.pop(file.path, None)
                part.add(piece)
                self._done[file.path] = part.size
                if part.size > file.size:
                    part.restart()
                    raise Wanting(f"more came of {file.path} than the {file.size} bytes that the hub tells of")
        if not part.is_whole:
            raise Wanting(f"the connection ended after {part.size} of {file.size} bytes of {file.path}")

    async def _again(
        self, path: str, work: Callable[[], Coroutine[Any, Any, _Answer]], pauses: Sequence[float]
    ) -> _Answer:
        """Do it, and again after a pause where that may help and something came in between or pauses are left."""
        used = 0
        while True:
            before = self._done.get(path, 0)
            try:
                result = await work()
            except Exception as error:
                asked = refusals.pause_s(error)
                used = 0 if self._done.get(path, 0) > before else used
                if asked is None or used == len(pauses):
                    raise
                pause = max(asked, pauses[used])
                used += 1
                self._waits[path] = f"the hub is tried again in {pause:.0f} s, for {refusals.in_short(error)}"
                await asyncio.sleep(pause)
            else:
                self._waits.pop(path, None)
                return result

    @asynccontextmanager
    async def _locked(self, file: RemoteFile) -> AsyncGenerator[None]:
        """Keep other programs, and other jobs of this one, from fetching the same file meanwhile."""
        filelock: Any = importlib.import_module("filelock")
        path = cache.lock(self._hub_id, file.etag)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path, thread_local=False)
        while True:
            try:
                lock.acquire(blocking=False)
                break
            except filelock.Timeout:
                self._waits[file.path] = f"another download has {file.path}"
                await asyncio.sleep(_TOLD_EVERY_S)
        self._waits.pop(file.path, None)
        try:
            yield
        finally:
            lock.release()

    def _patience(self) -> Any:
        """The client's own limit for a silence, HF_HUB_DOWNLOAD_TIMEOUT, 10 s where it isn't set."""
        return self._http.Timeout(float(self._constants.HF_HUB_DOWNLOAD_TIMEOUT), connect=_CONNECT_S)


def _remote_file(sibling: Any) -> RemoteFile | None:
    """A file of the listing; None for one of which the hub doesn't tell enough."""
    etag, path = sibling.blob_id if sibling.lfs is None else sibling.lfs.sha256, str(sibling.rfilename)
    if etag is None or sibling.size is None:
        return None
    # They become names of files here, whatever hub they are from.
    outside = ".." in PurePosixPath(path).parts or PureWindowsPath(path).anchor or "\\" in path or path.startswith("/")
    if outside or not _ETAG.fullmatch(etag):
        raise ValueError(path)
    return RemoteFile(path=path, size=int(sibling.size), etag=etag)


def _by_size(file: RemoteFile) -> int:
    return file.size


def _goes_on(response: Any, at: int) -> bool:
    """Whether an answer begins where it was asked to."""
    return response.status_code == 206 and response.headers.get("content-range", "").startswith(f"bytes {at}-")


def _read_index(path: Path) -> Mapping[str, Any]:
    try:
        found: object = json.loads(path.read_bytes())
    except ValueError:
        return {}  # inspection tells what is wrong with it; no component can be told from it
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
