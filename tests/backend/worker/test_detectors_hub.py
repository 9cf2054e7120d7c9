"""Downloads: the real huggingface_hub against a small hub on this computer."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import detector_weights
import pytest
from detector_bench import detect, noise, on_cpu
from hub_server import HubServer, hub_server, point_client_at
from underpaint.backend.worker.hub import fetching
from underpaint.protocol.errors import DetectorMissing, ModelBroken
from underpaint.protocol.sources import Detector

_REPOSITORY, _FILE = "TheMistoAI/MistoLine", "Anyline/MTEED.pth"

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


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    detector_weights.put(Detector.TEED, tmp_path)
    with hub_server() as hub:
        hub.add(_REPOSITORY, {_FILE: (tmp_path / "MTEED.pth").read_bytes(), "README.md": b"lines"})
        yield hub


def test_weights_are_fetched_once_and_only_if_allowed(hub: HubServer, tmp_path: Path) -> None:
    """In a process of its own, for huggingface_hub reads its environment when it is imported."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _WORK, str(Path(__file__).parent), str(tmp_path / "annotators")],
        env={**os.environ, **hub.environment(tmp_path / "hf")},
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
    assert len(hub.asked) == 2  # what there is, and the file
    assert len(hub.fetched(_FILE)) == 1


@pytest.fixture
def online(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """This process's hub is the one here, and its cache is empty."""
    point_client_at(hub, tmp_path / "cache", monkeypatch)
    return hub


def test_a_file_that_the_hub_lacks_is_said(online: HubServer, tmp_path: Path) -> None:
    online.add("lllyasviel/Annotators", {"README.md": b"moved"})
    with pytest.raises(DetectorMissing) as caught:
        detect(on_cpu(tmp_path / "annotators"), Detector.HED, noise(), allow_download=True)
    sentence = str(caught.value)
    assert "lllyasviel/Annotators has no ControlNetHED.pth any more" in sentence
    assert "Put ControlNetHED.pth (29.4 MB, from https://huggingface.co/lllyasviel/Annotators) into" in sentence


def test_a_hub_that_does_not_answer_is_said(online: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_FIRST_PAUSES_S", ())
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DetectorMissing, match=r"the download failed .* or put MTEED\.pth"):
        detect(on_cpu(tmp_path / "annotators"), Detector.TEED, noise(), allow_download=True)


def test_a_broken_download_is_named(online: HubServer, tmp_path: Path) -> None:
    online.add(_REPOSITORY, {_FILE: b"an error page"})
    with pytest.raises(ModelBroken, match=r"MTEED\.pth can't be used"):
        detect(on_cpu(tmp_path / "annotators"), Detector.TEED, noise(), allow_download=True)
