"""A hub on this computer, as huggingface_hub's client uses one: it can be slow, cut off, corrupt, gated and busy.

Large files are redirected to a second server, as the hub's are to its CDN. Everything that is asked is kept in
`asked`, and `sent` counts the bytes of each file that went out.
"""

import hashlib
import json
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

TOKEN = "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH"
_PIECE = 16 << 10


@dataclass(frozen=True)
class Asked:
    method: str
    path: str  # with its query
    server: str  # "hub" or "cdn"
    range: str
    token: str


@dataclass
class Repository:
    files: dict[str, bytes]
    gated: bool = False
    private: bool = False
    revisions: set[str] = field(default_factory=lambda: {"main"})

    @property
    def commit(self) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        for path, contents in sorted(self.files.items()):
            digest.update(path.encode() + b"\0" + contents)
        return digest.hexdigest()


@dataclass
class Faults:
    """What goes wrong from now on; counters run out."""

    bytes_per_s: float = 0.0  # of large files; 0 is as fast as can be
    silent_after: int | None = None  # bytes of a large file; no answer brings more
    cut_after: int = 0  # bytes of a large file's answer, `cuts` times
    cuts: int = 0
    corrupt: int = 0  # answers of large files with a byte changed
    too_much: int = 0  # answers of large files with a byte more
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # answered to the next requests
    resumes: bool = True  # whether Range is heard
    login_page: bool = False  # a captive portal answers


class HubServer:
    """Serves from making to `close`."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.faults = Faults()
        self.asked: list[Asked] = []
        self.sent: Counter[str] = Counter()
        self.closing = threading.Event()
        self._servers = {name: _serve(self, name) for name in ("hub", "cdn")}
        self.address, self.cdn = (f"http://127.0.0.1:{self._servers[name].server_port}" for name in ("hub", "cdn"))

    def add(self, hub_id: str, files: Mapping[str, bytes], *, gated: bool = False, private: bool = False) -> Repository:
        self.repositories[hub_id] = Repository(dict(files), gated, private)
        return self.repositories[hub_id]

    def add_folder(self, hub_id: str, folder: Path) -> Repository:
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return self.add(hub_id, files)

    def environment(self, home: Path) -> dict[str, str]:
        """Has a process's client know this hub alone, and keep what it fetches below `home`."""
        return {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",
            "NO_PROXY": "127.0.0.1",
        }

    def fetched(self, suffix: str = "") -> list[str]:
        """The files whose contents were asked for, in order, one entry for each request."""
        return [
            one.path for one in self.asked if one.method == "GET" and "/resolve/" in one.path and suffix in one.path
        ]

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        for server in self._servers.values():
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self.address, self.cdn = (address.replace("http:", "https:") for address in (self.address, self.cdn))

    def close(self) -> None:
        self.closing.set()
        for server in self._servers.values():
            server.shutdown()
            server.server_close()


@contextmanager
def hub_server() -> Iterator[HubServer]:
    hub = HubServer()
    try:
        yield hub
    finally:
        hub.close()


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed are what this is for."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _serve(hub: HubServer, name: str) -> ThreadingHTTPServer:
    class Handler(_Handler):
        def __init__(self, *args: object) -> None:
            self.hub, self.name = hub, name
            super().__init__(*args)  # type: ignore[arg-type]

    server = _Quiet(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


def git_hash(contents: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(contents) + contents, usedforsecurity=False).hexdigest()


def is_large(path: str) -> bool:
    """Whether the hub keeps a file in large-file storage."""
    return path.endswith((".safetensors", ".bin", ".ckpt"))


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    name: str
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Nothing to be read."""

    def _answer(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        asked = Asked(self.command, self.path, self.name, self.headers.get("Range", ""), token)
        self.hub.asked.append(asked)
        faults = self.hub.faults
        if faults.login_page:
            self._say(200, b"<html>Welcome to Hotel WiFi</html>", {"Content-Type": "text/html"})
            return
        if faults.statuses:
            status, headers = faults.statuses.pop(0)
            self._say(status, b'{"error": "as told"}', headers)
            return
        where = urlsplit(self.path)
        path = unquote(where.path)
        if self.name == "cdn":
            self._contents(parse_qs(where.query)["file"][0], path.removeprefix("/"), large=True)
        elif path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/"), token)
        elif "/resolve/" in path:
            self._resolve(path, token)
        else:
            self._refuse(404, "EntryNotFound")

    # ---- the hub

    def _api(self, rest: str, token: str) -> None:
        hub_id, _, rest = rest.partition("/revision/") if "/revision/" in rest else rest.partition("/tree/")
        repository = self._repository(hub_id, token)
        if repository is None:
            return
        revision = rest.partition("/")[0] or "main"
        if revision not in repository.revisions | {repository.commit}:
            self._refuse(404, "RevisionNotFound")
            return
        files = repository.files.items()
        if "/tree/" in self.path:
            answer: object = [{"type": "file", "path": path, **_described(path, data)} for path, data in files]
        else:
            blobs = "blobs" in parse_qs(urlsplit(self.path).query)
            siblings = [
                {"rfilename": path, **(_described(path, data, "blobId") if blobs else {})} for path, data in files
            ]
            gated = "auto" if repository.gated else False
            answer = {"id": hub_id, "modelId": hub_id, "sha": repository.commit, "gated": gated, "siblings": siblings}
        self._say(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _resolve(self, path: str, token: str) -> None:
        hub_id, _, rest = path.removeprefix("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        repository = self._repository(hub_id, token)
        if repository is None:
            return
        if revision not in repository.revisions | {repository.commit}:
            self._refuse(404, "RevisionNotFound")
            return
        commit = {"X-Repo-Commit": repository.commit}
        contents = repository.files.get(file)
        if contents is None:
            self._refuse(404, "EntryNotFound", commit)
        elif repository.gated and token != TOKEN:
            self._refuse(403 if token else 401, "GatedRepo", commit)
        elif is_large(file):
            sha256 = hashlib.sha256(contents).hexdigest()
            headers = {
                **commit,
                "X-Linked-Etag": f'"{sha256}"',
                "X-Linked-Size": str(len(contents)),
                "Location": f"{self.hub.cdn}/{hub_id}?file={file}",
            }
            self._say(302, b"", headers)
        else:
            self._contents(file, hub_id, large=False, headers={**commit, "ETag": f'"{git_hash(contents)}"'})

    def _repository(self, hub_id: str, token: str) -> Repository | None:
        if hub_id in self.hub.renamed:
            self._say(307, b"", {"Location": self.path.replace(hub_id, self.hub.renamed[hub_id], 1)})
            return None
        repository = self.hub.repositories.get(hub_id)
        if token and token != TOKEN:
            self._say(401, b"", {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif repository is None or (repository.private and token != TOKEN):
            self._refuse(404 if token else 401, "RepoNotFound")
        else:
            return repository
        return None

    def _refuse(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
        self._say(status, b"{}", {**(headers or {}), "X-Error-Code": code, "X-Error-Message": code})

    def _say(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    # ---- contents

    def _contents(self, file: str, hub_id: str, *, large: bool, headers: Mapping[str, str] | None = None) -> None:
        faults = self.hub.faults
        contents = self.hub.repositories[hub_id].files[file]
        start, status = 0, 200
        wanted = self.headers.get("Range", "")
        if wanted and faults.resumes:
            start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(contents):
                self._say(416, b"", {})
                return
        body = contents[start:]
        if large and faults.corrupt and body:
            faults.corrupt -= 1
            body = bytes((body[0] ^ 1,)) + body[1:]
        if large and faults.too_much:
            faults.too_much -= 1
            body += b"!"
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(contents) - 1}/{len(contents)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self._stream(file, body, start, large=large)

    def _stream(self, file: str, body: bytes, start: int, *, large: bool) -> None:
        faults, at = self.hub.faults, 0
        cut = faults.cut_after if large and faults.cuts else None
        faults.cuts -= cut is not None
        while at < len(body) and not self.hub.closing.is_set():
            piece = body[at : at + _PIECE]
            if cut is not None:
                piece = piece[: cut - at]
            silence = faults.silent_after
            if large and silence is not None and start + at >= silence:
                while faults.silent_after == silence and not self.hub.closing.wait(0.02):
                    pass  # and the connection stays open
                self.close_connection = True
                return
            try:
                self.wfile.write(piece)
                self.wfile.flush()
            except OSError:  # the client left
                self.close_connection = True
                return
            at += len(piece)
            self.hub.sent[file] += len(piece)
            if cut is not None and at >= cut:
                self.close_connection = True
                return
            if large and faults.bytes_per_s:
                time.sleep(len(piece) / faults.bytes_per_s)


def _described(path: str, contents: bytes, git_name: str = "oid") -> dict[str, object]:
    described: dict[str, object] = {"size": len(contents), git_name: git_hash(contents)}
    if is_large(path):
        sha256 = hashlib.sha256(contents).hexdigest()
        name = "sha256" if git_name == "blobId" else "oid"
        described["lfs"] = {name: sha256, "size": len(contents), "pointerSize": 135}
    return described


def point_client_at(hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process's client, which has read its environment already, know this hub and this cache alone."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    constants = "huggingface_hub.constants"
    monkeypatch.setattr(f"{constants}.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(f"{constants}.HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(f"{constants}.ENDPOINT", hub.address)
    monkeypatch.setattr(
        f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(f"{constants}.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(f"{constants}.HF_TOKEN_PATH", str(cache.parent / "token"))
    monkeypatch.setattr(f"{constants}.HF_HUB_DOWNLOAD_TIMEOUT", 1)
