"""The list of models from a real service: found, changed, shown with pictures, and there at once after a restart."""

import json
import struct
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from service_process import Service
from underpaint.protocol.client import Connection
from underpaint.protocol.client import endpoint as endpoints
from underpaint.protocol.client.model_folders import add_model_folder, remove_model_folder
from underpaint.protocol.errors import InvalidRequest, ModelMissing
from underpaint.protocol.models import FamilyId, ModelKind, ModelPage

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
LORA_KEY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"


def write(file: Path, key: str = LORA_KEY, width: int = 768) -> Path:
    """A safetensors file with one tensor."""
    text = json.dumps({key: {"dtype": "F16", "shape": [4, width], "data_offsets": [0, 8 * width]}}).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8 * width))
    return file


@pytest.fixture
def connection(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Connection]:
    """A conversation with a service of the test's own, without a Hugging Face cache."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    service.start()
    with Connection.to(service.home) as connection:
        yield connection


def until(connection: Connection, holds: Callable[[ModelPage], bool]) -> ModelPage:
    """The list once something holds of it."""
    deadline = time.monotonic() + 60
    while True:
        page = connection.models()
        if not page.scanning and holds(page):
            return page
        assert time.monotonic() < deadline, page
        time.sleep(0.05)


def titles(page: ModelPage) -> list[str]:
    return [entry.title for entry in page.models]


def test_what_lies_in_the_folder_is_listed_and_told_apart(service: Service, connection: Connection) -> None:
    models = service.home.models
    write(models / "small.safetensors")
    write(models / "large.safetensors", width=2048)
    write(models / "word.safetensors", "emb_params")
    (models / "broken.safetensors").write_bytes(b"PK\x03\x04")
    connection.rescan_models()
    page = until(connection, lambda page: len(page.models) == 4)
    assert titles(page) == ["small", "large", "word", "broken"]
    assert [entry.problem for entry in page.models[:3]] == ["", "", ""]
    assert "underpaint convert" in page.models[3].problem
    assert titles(connection.models(ModelKind.LORA)) == ["small", "large"]
    assert titles(connection.models(ModelKind.LORA, FamilyId.SDXL)) == ["large"]
    assert titles(connection.models(family=FamilyId.SD15)) == ["small", "word"]
    assert connection.models(ModelKind.VAE).models == ()
    assert connection.models(ModelKind.VAE).revision == page.revision
    (models / "small.safetensors").unlink()
    connection.rescan_models()
    assert until(connection, lambda page: len(page.models) == 3).revision > page.revision


def test_a_folder_that_is_added_is_looked_through_without_being_asked_for(
    service: Service, connection: Connection, tmp_path: Path
) -> None:
    write(tmp_path / "ComfyUI" / "models" / "loras" / "theirs.safetensors")
    (tmp_path / "ComfyUI" / "models" / "vae").mkdir()
    until(connection, lambda page: len(page.folders) == 1)
    add_model_folder(service.home.models, tmp_path / "ComfyUI")
    page = until(connection, lambda page: len(page.models) == 1)
    assert [folder.origin for folder in page.folders] == ["underpaint", "comfyui"]
    assert page.models[0].reference == str(tmp_path / "ComfyUI/models/loras/theirs.safetensors")
    remove_model_folder(service.home.models, tmp_path / "ComfyUI")
    until(connection, lambda page: page.models == () and len(page.folders) == 1)


def test_the_list_is_there_at_once_after_a_restart(service: Service, connection: Connection) -> None:
    for number in range(300):
        write(service.home.models / f"{number:03}.safetensors")
    connection.rescan_models()
    page = until(connection, lambda page: len(page.models) == 300)
    service.stop()
    slow = service.home.models / "folders.json"
    slow.unlink(missing_ok=True)
    service.start()
    with Connection.to(service.home) as again:
        assert again.models().models == page.models  # whether or not it has looked by now
        assert again.models().revision >= page.revision


def test_thumbnails_are_given_as_they_are(service: Service, connection: Connection) -> None:
    models = service.home.models
    write(models / "seen.safetensors")
    (models / "seen.preview.png").write_bytes(PNG)
    write(models / "unseen.safetensors")
    connection.rescan_models()
    page = until(connection, lambda page: len(page.models) == 2)
    seen, unseen = page.models
    assert (seen.has_thumbnail, unseen.has_thumbnail) == (True, False)
    assert connection.thumbnail(seen.id) == PNG
    assert connection.thumbnail(unseen.id) is None
    with pytest.raises(ModelMissing):
        connection.thumbnail("0" * 32)
    with pytest.raises(InvalidRequest):
        connection.thumbnail("..%2f..%2ftoken")
    endpoint, token = endpoints.read(service.home)
    raw = HTTPConnection(endpoint.host, endpoint.port, timeout=20)
    headers = {"Authorization": f"Bearer {token}"}
    raw.request("GET", f"/v1/models/{seen.id}/thumbnail", headers=headers)
    answer = raw.getresponse()
    assert (answer.read(), answer.status) == (PNG, 200)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    raw.request("GET", f"/v1/models/{seen.id}/thumbnail", headers=headers | {"If-None-Match": answer.headers["etag"]})
    unchanged = raw.getresponse()
    assert (unchanged.read(), unchanged.status) == (b"", 304)
    (models / "seen.preview.png").write_bytes(b"<script>")
    assert connection.thumbnail(seen.id) is None
    (models / "seen.preview.png").unlink()
    (models / "seen.preview.png").symlink_to(service.home.token_file)
    assert connection.thumbnail(seen.id) is None  # what is no picture is never handed out as one
    raw.close()


@pytest.mark.parametrize("query", ["kind=", "kind=cat", "family=sd99", "kind=lora%00", "family=SDXL"])
def test_kinds_that_are_none_are_refused(shared: Service, query: str) -> None:
    endpoint, token = endpoints.read(shared.home)
    raw = HTTPConnection(endpoint.host, endpoint.port, timeout=20)
    raw.request("GET", f"/v1/models?{query}", headers={"Authorization": f"Bearer {token}"})
    answer = raw.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (422, "invalid_request")
    raw.close()
