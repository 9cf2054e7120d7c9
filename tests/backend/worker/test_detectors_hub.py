"""Downloads: the real huggingface_hub against a small hub on this computer."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import detector_weights
import huggingface_hub
import pytest
from detector_bench import detect, noise, on_cpu
from underpaint.protocol.errors import DetectorMissing, ModelBroken
from underpaint.protocol.sources import Detector

_FILE = "/TheMistoAI/MistoLine/resolve/main/Anyline/MTEED.pth"
_COMMIT = "5997b1748ef70602787108e1398c88ec1103cc04"

_WORK = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from detector_bench import detect, noise, on_cpu
from underpaint.protocol.errors import UnderpaintError
from underpaint.protocol.sources import Detector

for allowed in (False, True, False):
    try:
        found = detect(on_cpu(Path(sys.argv[2])), Detector.TEED, noise(), allow_download=allowed)
        print(json.dumps(["found", int(found.max())]))
    except UnderpaintError as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""


class Hub:
    """Serves one file as the hub does: its name, its commit and its hash in the headers."""

    def __init__(self, contents: bytes) -> None:
        self.asked: list[str] = []
        self.contents = contents
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self, *, body: bool) -> None:
                hub.asked.append(f"{self.command} {self.path}")
                there = self.path == _FILE
                self.send_response(200 if there else 404)
                self.send_header("Content-Length", str(len(hub.contents) if there else 0))
                if there:
                    self.send_header("ETag", f'"{hashlib.sha256(hub.contents).hexdigest()}"')
                    self.send_header("X-Repo-Commit", _COMMIT)
                else:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.end_headers()
                if there and body:
                    self.wfile.write(hub.contents)

            def do_HEAD(self) -> None:
                self._answer(body=False)

            def do_GET(self) -> None:
                self._answer(body=True)

            def log_message(self, *_: object) -> None:
                """Nothing to be read."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()  # a second time, it does nothing
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    detector_weights.put(Detector.TEED, tmp_path)
    hub = Hub((tmp_path / "MTEED.pth").read_bytes())
    yield hub
    hub.close()


def test_weights_are_fetched_once_and_only_if_allowed(hub: Hub, tmp_path: Path) -> None:
    """In a process of its own, for huggingface_hub reads its environment when it is imported."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _WORK, str(Path(__file__).parent), str(tmp_path / "annotators")],
        env={**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    refused, fetched, kept = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    assert refused[0] == "DetectorMissing"
    assert "MTEED.pth (0.25 MB, from https://huggingface.co/TheMistoAI/MistoLine)" in refused[1]
    assert fetched == kept
    assert fetched[0] == "found"
    assert hub.asked == [f"HEAD {_FILE}", f"GET {_FILE}"]


@pytest.fixture
def online(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """This process's hub is the one here, and its cache is empty."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    huggingface_hub.close_session()  # it has the old settings
    yield hub
    huggingface_hub.close_session()


def test_a_file_that_the_hub_lacks_is_said(online: Hub, tmp_path: Path) -> None:
    with pytest.raises(DetectorMissing) as caught:
        detect(on_cpu(tmp_path / "annotators"), Detector.HED, noise(), allow_download=True)
    assert any("ControlNetHED.pth" in asked for asked in online.asked)
    sentence = str(caught.value)
    assert "the download failed" in sentence
    assert "put ControlNetHED.pth (29.4 MB, from https://huggingface.co/lllyasviel/Annotators) into" in sentence


def test_a_hub_that_does_not_answer_is_said(online: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    online.close()
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # it tries six times in 23 s
    with pytest.raises(DetectorMissing, match=r"the download failed .* or put MTEED\.pth"):
        detect(on_cpu(tmp_path / "annotators"), Detector.TEED, noise(), allow_download=True)


def test_a_broken_download_is_named(online: Hub, tmp_path: Path) -> None:
    online.contents = b"an error page"
    with pytest.raises(ModelBroken, match=r"MTEED\.pth can't be used"):
        detect(on_cpu(tmp_path / "annotators"), Detector.TEED, noise(), allow_download=True)
