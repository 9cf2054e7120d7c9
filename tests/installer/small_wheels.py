"""Wheels of a few lines each, a list that pins them, and a package index that counts what is fetched from it."""

import hashlib
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from underpaint.installer.plan import Plan
from underpaint.installer.work import Progress, Stage, Work
from underpaint.protocol.client import Home

PATIENCE_S = 120


def make_wheel(folder: Path, name: str, source: str, *, version: str = "1.0", ballast: int = 0) -> Path:
    """A wheel with one module in it, and so many bytes that can't be compressed."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source.encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if ballast:
        files[f"{name}_ballast.bin"] = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(ballast // 32))
    listed = [f"{path},,{len(data)}\n" for path, data in files.items()] + [f"{info}/RECORD,,\n"]
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, data in {**files, f"{info}/RECORD": "".join(listed).encode()}.items():
            archive.writestr(inside, data)
    return path


def make_plan(
    home: Home,
    wheels: Path,
    *requirements: str,
    modules: tuple[str, ...] = ("brushes",),
    options: tuple[str, ...] | None = None,
    download_bytes: int = 0,
) -> Plan:
    """A plan that takes its packages from a folder."""
    listed = wheels / f"{'-'.join(requirements)}.txt"
    listed.write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
    return Plan(
        home=home,
        requirements=listed,
        pip_options=options or ("--no-index", "--find-links", str(wheels)),
        modules=modules,
        download_bytes=download_bytes,
        installed_bytes=0,
        needed_bytes=1_000_000,
    )


def followed(work: Work) -> Iterator[Progress]:
    """Everything that is told on the way, to the end."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        progress = work.poll()
        yield progress
        if progress.stage is Stage.READY:
            return
        time.sleep(0.02)
    pytest.fail("the installation does not end")


class Index:
    """A package index on this computer. Files whose names hold `slow` stop after half of them, until `let_go`."""

    def __init__(self, wheels: Path) -> None:
        self.fetched: Counter[str] = Counter()
        """How often each file was sent, or begun."""
        self.let_go = threading.Event()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = unquote(self.path.strip("/").rpartition("/")[2])
                if self.path.startswith("/files/"):
                    index.fetched[name] += 1
                    self._send((wheels / name).read_bytes(), "application/octet-stream", slow="slow" in name)
                    return
                links = [
                    f'<a href="/files/{file.name}#sha256={hashlib.sha256(file.read_bytes()).hexdigest()}">'
                    f"{file.name}</a>"
                    for file in wheels.glob("*.whl")
                    if file.name.partition("-")[0].replace("_", "-") == name
                ]
                self._send(f"<!DOCTYPE html><html><body>{' '.join(links)}</body></html>".encode(), "text/html")

            def _send(self, body: bytes, kind: str, *, slow: bool = False) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if kind != "text/html":
                    self.send_header("Cache-Control", "max-age=365000000, immutable, public")  # as PyPI's files have
                self.end_headers()
                try:
                    self.wfile.write(body[: len(body) // 2])
                    self.wfile.flush()
                    if slow:
                        index.let_go.wait(PATIENCE_S)
                    self.wfile.write(body[len(body) // 2 :])
                except OSError:  # pip was ended
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def options(self) -> tuple[str, ...]:
        """What makes pip use it, and nothing else."""
        host = f"127.0.0.1:{self._server.server_address[1]}"
        # pip caches what comes from hosts that it trusts
        return ("--isolated", "--trusted-host", host, "--index-url", f"http://{host}/simple/")

    def close(self) -> None:
        """Stop."""
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
