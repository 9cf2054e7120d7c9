"""`underpaint models`, with a real service behind it."""

import json
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from underpaint.protocol.client import Home, connect_here
from underpaint.protocol.client.model_folders import add_model_folder, model_folders, remove_model_folder
from underpaint.protocol.errors import BackendUnreachable

KEY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"


@pytest.fixture
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Home]:
    """A home whose backend is this Python; what was started there is stopped."""
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    yield home
    try:
        with connect_here(home) as connection:
            connection.shutdown()
    except BackendUnreachable:
        return


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "underpaint.installer", "models", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)


def lora(file: Path) -> Path:
    """A LoRA for Stable Diffusion 1.5."""
    text = json.dumps(
        {
            "__metadata__": {"modelspec.license": "MIT"},
            KEY: {"dtype": "F16", "shape": [4, 768], "data_offsets": [0, 6144]},
        }
    ).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(6144))
    return file


def test_models_are_listed_where_they_lie(at_home: Home, tmp_path: Path) -> None:
    comfy = tmp_path / "my ComfyUI"
    lora(comfy / "models" / "loras" / "ink.safetensors")
    (comfy / "models" / "checkpoints").mkdir()
    (comfy / "models" / "checkpoints" / "old.ckpt").write_bytes(b"PK\x03\x04")
    added = run("add", str(comfy))
    assert (added.returncode, added.stderr) == (0, "")
    assert str(comfy) in added.stdout
    listed = run()
    assert (listed.returncode, listed.stderr) == (0, "")
    assert f"LoRAs:\n  {comfy}/models/loras/ink.safetensors  (SD 1.5; rank 4; float16; 6 kB; MIT)" in listed.stdout
    assert "underpaint convert" in listed.stdout
    assert f"{comfy}  (comfyui)" in listed.stdout
    lora(comfy / "models" / "loras" / "more.safetensors")
    again = json.loads(run("rescan", "--json").stdout)
    assert sorted(entry["title"] for entry in again["models"]) == ["ink", "more", "old"]
    assert json.loads(run("--json", "list").stdout) == json.loads(run("list", "--json").stdout) == again
    removed = run("remove", str(comfy), "--json")
    assert json.loads(removed.stdout) == {"folders": []}
    assert (comfy / "models" / "loras" / "ink.safetensors").exists()
    assert "no models yet" in run("rescan").stdout


def test_what_can_not_be_done_is_said(at_home: Home, tmp_path: Path) -> None:
    for arguments, words in (
        (("add", str(tmp_path / "nowhere")), "no such folder"),
        (("remove", str(tmp_path)), "never added; none was"),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert run("add").returncode == 2


def test_programs_that_add_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    models = tmp_path / "models"
    folders = [tmp_path / f"folder {number}" for number in range(40)]
    for folder in folders:
        folder.mkdir()
    threads = [threading.Thread(target=add_model_folder, args=(models, folder)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(model_folders(models)) == sorted(map(str, folders))
    remove_model_folder(models, folders[7])
    assert len(model_folders(models)) == 39
    assert [path.name for path in models.iterdir() if not path.name.startswith(".folders.json.lock")] == [
        "folders.json"
    ]
