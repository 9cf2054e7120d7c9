"""What a request calls a model, to its folder: embedded, local, hub cache; or what to do instead."""

from pathlib import Path

import pytest
from underpaint.backend.worker.models import references
from underpaint.backend.worker.models.named import find_file
from underpaint.protocol.client.model_folders import add_model_folder
from underpaint.protocol.errors import ControlNetNotChosen, ModelMissing
from underpaint.protocol.models import ModelKind
from underpaint.protocol.request import ControlKind


def checkpoint(reference: str, models: Path, *, allow_download: bool = False) -> Path:
    return references.checkpoint_folder(reference, models=models, allow_download=allow_download)


def controlnet(reference: str, models: Path, *, beside: str = "") -> Path:
    return references.controlnet_folder(
        reference, kind=ControlKind.DEPTH, checkpoint=beside, models=models, allow_download=False, vet=print
    )


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache of the test's own, with one repository in it."""
    import huggingface_hub.constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    repository = cache / "models--somebody--something"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").write_text("{}")
    return cache


def test_the_empty_reference_is_the_embedded_checkpoint(models: Path) -> None:
    folder = checkpoint("", models)
    assert folder.parent == models / "embedded"
    assert controlnet("", models) == folder / "controlnets" / "depth"


def test_local_folders_by_path_and_by_name(models: Path) -> None:
    assert checkpoint(str(models / "sdxl"), models) == models / "sdxl"
    assert checkpoint("sdxl", models) == models / "sdxl"
    assert controlnet("sdxl-depth", models, beside="sdxl") == models / "sdxl-depth"


def test_a_drive_that_is_gone_is_told_with_the_model_that_is_missing(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    drive.mkdir()
    add_model_folder(tmp_path / "models", drive)
    drive.rmdir()
    for look in (
        lambda: checkpoint("dream", tmp_path / "models"),
        lambda: find_file("ink", ModelKind.LORA, tmp_path / "models"),
    ):
        with pytest.raises(ModelMissing, match=r"drive can't be looked into .* connect its drive"):
            look()


def test_a_hub_id_is_found_in_the_cache(hub: Path, tmp_path: Path) -> None:
    folder = checkpoint("somebody/something", tmp_path)
    assert folder.name == "a" * 40
    assert hub in folder.parents


def test_a_hub_id_that_is_not_there_says_what_to_do(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="Allow the download") as caught:
        checkpoint("somebody/else", tmp_path)
    assert str(tmp_path / "somebody" / "else") in str(caught.value)


def test_hf_hub_offline_wins_over_allow_download(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelMissing, match="HF_HUB_OFFLINE is set"):
        checkpoint("somebody/else", tmp_path, allow_download=True)


@pytest.mark.parametrize("reference", ["no-such-model", "/nowhere/at/all", "../..//x", "a/b/c"])
def test_a_folder_that_is_not_there(hub: Path, tmp_path: Path, reference: str) -> None:
    with pytest.raises(ModelMissing, match="no such file or folder"):
        checkpoint(reference, tmp_path)


def test_a_single_file_is_taken_by_its_path_or_its_name(tmp_path: Path) -> None:
    file = tmp_path / "checkpoints" / "v1-5.safetensors"
    file.parent.mkdir()
    file.touch()
    for reference in (str(file), "checkpoints/v1-5.safetensors", "v1-5.safetensors", "v1-5"):
        assert checkpoint(reference, tmp_path) == file


def test_another_checkpoint_needs_a_controlnet_of_its_own(models: Path) -> None:
    with pytest.raises(ControlNetNotChosen, match="Choose a depth ControlNet"):
        controlnet("", models, beside="sdxl")


def test_a_snapshot_that_was_cut_off_is_fetched_on(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    class Prevented(Exception):
        pass

    def announce(text: str) -> None:
        assert text == "Downloading somebody/something"
        raise Prevented

    with pytest.raises(Prevented):
        references.checkpoint_folder("somebody/something", models=tmp_path, allow_download=True, announce=announce)
    snapshot = checkpoint("somebody/something", tmp_path)
    (snapshot / "model_index.json").write_text('{"_class_name": "X", "scheduler": ["a", "b"], "text_encoder_2": []}')
    for part in ("unet", "vae", "text_encoder"):
        (snapshot / part).mkdir()
        (snapshot / part / "model.safetensors").touch()
    with pytest.raises(Prevented):  # the second text encoder is missing
        references.checkpoint_folder("somebody/something", models=tmp_path, allow_download=True, announce=announce)
    (snapshot / "text_encoder_2").mkdir()
    (snapshot / "text_encoder_2" / "model-1-of-2.safetensors").touch()
    (snapshot / "text_encoder_2" / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}'
    )
    with pytest.raises(Prevented):  # one of its two files is
        references.checkpoint_folder("somebody/something", models=tmp_path, allow_download=True, announce=announce)
    (snapshot / "text_encoder_2" / "model-2-of-2.safetensors").touch()
    assert checkpoint("somebody/something", tmp_path, allow_download=True) == snapshot
