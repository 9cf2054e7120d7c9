"""Where models are found: our folder, the Hugging Face cache, ComfyUI's and A1111's, and what is wrong there."""

import os
import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from full_size_headers import write
from library_folders import LORA, NET, cached, component, files_of, pipeline
from underpaint.backend.library.folders import find, hub_cache, out_of_reach, roots, snapshots
from underpaint.backend.library.index import Index
from underpaint.protocol.client.model_folders import add_model_folder, model_folders, remove_model_folder
from underpaint.protocol.errors import ModelFolderRefused
from underpaint.protocol.models import Layout, ModelEntry, ModelKind, ModelPage, Origin

K = ModelKind


def looked(models: Path) -> ModelPage:
    """The list after one look."""
    index = Index(models, models.parent / "models.json")
    index.look()
    return index.page()


def entries(models: Path) -> dict[str, ModelEntry]:
    """Those of one look by their references."""
    return {entry.reference: entry for entry in looked(models).models}


def test_comfyui_is_known_by_its_folders(models: Path, comfyui: Path) -> None:
    for added in (comfyui, comfyui / "models", comfyui.parent):
        (models / "folders.json").unlink(missing_ok=True)
        add_model_folder(models, added)
        root = roots(models)[1]
        # what holds a portable ComfyUI among other things is told by the folder inside it
        assert root.origin is Origin.COMFYUI
        assert root.base == comfyui / "models"
    found = entries(models)
    places = comfyui / "models"
    assert {(str(Path(reference).relative_to(places)), entry.kind) for reference, entry in found.items()} == {
        ("checkpoints/photo/real v2.safetensors", K.CHECKPOINT),
        ("checkpoints/dream.safetensors", K.CHECKPOINT),
        ("checkpoints/old.ckpt", K.CHECKPOINT),
        ("loras/style/ink.v1.safetensors", K.LORA),
        ("controlnet/control_v11p_sd15_canny.safetensors", K.CONTROLNET),
        ("vae/mse.safetensors", K.VAE),
        ("embeddings/bad hands.safetensors", K.EMBEDDING),
    }
    assert {entry.origin for entry in found.values()} == {Origin.COMFYUI}
    assert found[str(places / "controlnet/control_v11p_sd15_canny.safetensors")].control_kinds == ("canny",)
    assert found[str(places / "embeddings/bad hands.safetensors")].words == ("bad hands",)
    assert "underpaint convert" in found[str(places / "checkpoints/old.ckpt")].problem


def test_a1111_is_known_by_its_folders(models: Path, a1111: Path) -> None:
    add_model_folder(models, a1111)
    found = {str(Path(reference).relative_to(a1111)): entry for reference, entry in entries(models).items()}
    assert {(name, entry.kind) for name, entry in found.items()} == {
        ("models/Stable-diffusion/anything.safetensors", K.CHECKPOINT),
        ("models/Lora/people/alice.safetensors", K.LORA),
        ("models/LyCORIS/bob.safetensors", K.LORA),
        ("models/VAE/anime.vae.safetensors", K.VAE),
        ("extensions/sd-webui-controlnet/models/depth net.safetensors", K.CONTROLNET),
        ("embeddings/easy.safetensors", K.EMBEDDING),
        ("embeddings/hard.pt", K.EMBEDDING),
    }
    alice = found["models/Lora/people/alice.safetensors"]
    assert alice.origin is Origin.A1111
    assert alice.has_thumbnail
    assert alice.words == ("alice", "red hat")
    assert found["extensions/sd-webui-controlnet/models/depth net.safetensors"].control_kinds == ("depth",)


def test_models_of_a1111_alone_are_known_too(models: Path, a1111: Path) -> None:
    add_model_folder(models, a1111 / "models")
    assert roots(models)[1].origin is Origin.A1111
    assert find("alice", K.LORA, models) == a1111 / "models/Lora/people/alice.safetensors"
    assert len(entries(models)) == 4


def test_our_folder_takes_any_order(models: Path) -> None:
    pipeline(models / "dreambooth" / "mine" / "final")
    pipeline(models / "owner" / "name")
    component(models / "nets" / "canny", NET, _class_name="ControlNetModel")
    write(models / "a.safetensors", LORA)
    write(models / "deep" / "er" / "still" / "b.safetensors", LORA)
    write(models / "annotators" / "detector.safetensors", LORA)
    pipeline(models / "embedded" / "untrained-5")
    write(models / ".building-x" / "c.safetensors", LORA)
    found = entries(models)
    assert set(found) == {
        "dreambooth/mine/final", "owner/name", "nets/canny", "a.safetensors", "deep/er/still/b.safetensors",
    }  # fmt: skip
    assert found["owner/name"].layout is Layout.FOLDER
    assert found["nets/canny"].control_kinds == ("canny",)


def test_the_cache_is_read_as_huggingface_hub_wrote_it(models: Path, no_cache: Path, tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "made")
    card = b"---\nlicense: other\nlicense_name: my-licence\ntags: [x]\n---\n# Mine\n"
    files = {**files_of(folder), "README.md": card, "extra.safetensors": write(tmp_path / "extra.safetensors", LORA)}
    snapshot = cached(no_cache, "someone/pictures", files)
    cached(no_cache, "someone/branch", files_of(folder), revision="fp16")
    language = {
        "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
        "model.safetensors": write(tmp_path / "m.safetensors", {"model.layers.0.self_attn.q_proj.weight": (4, 4)}),
    }
    cached(no_cache, "someone/language", language)
    (no_cache / "models--someone--nothing").mkdir()
    (no_cache / "models--odd").mkdir()
    found = entries(models)
    branch = next(reference for reference in found if "branch" in reference)
    assert set(found) == {"someone/pictures", "someone/pictures/extra.safetensors", branch}
    assert Path(branch).is_absolute()  # its hub id alone means another revision
    entry = found["someone/pictures"]
    assert (entry.layout, entry.origin, entry.kind) == (Layout.SNAPSHOT, Origin.HUGGING_FACE, K.CHECKPOINT)
    assert entry.licence == found["someone/pictures/extra.safetensors"].licence == "my-licence"
    assert entry.size_bytes == sum(
        path.stat().st_size for path in snapshot.rglob("*") if path.is_file() and path.name != "extra.safetensors"
    )
    assert find("someone/pictures/extra.safetensors", K.LORA, models) == snapshot / "extra.safetensors"
    assert find("someone/pictures/../../../secret", K.LORA, models) is None
    import huggingface_hub

    assert [each.folder for each in snapshots(no_cache) if each.hub_id == "someone/pictures"] == [
        Path(huggingface_hub.snapshot_download("someone/pictures", cache_dir=no_cache, local_files_only=True))
    ]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/c", "HF_HOME": "/b"}, "/c"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/d"}, "/d/huggingface/hub"),
        ({}, str(Path.home() / ".cache/huggingface/hub")),
    ],
)
def test_the_cache_is_where_huggingface_hub_says(environ: dict[str, str], expected: str) -> None:
    assert hub_cache(environ) == Path(expected)


def test_every_reference_of_the_list_leads_back_to_its_model(
    models: Path, comfyui: Path, a1111: Path, no_cache: Path, tmp_path: Path
) -> None:
    pipeline(models / "owner" / "name")
    write(models / "x.safetensors", LORA)
    cached(no_cache, "someone/loras", {"a.safetensors": write(tmp_path / "a.safetensors", LORA)})
    add_model_folder(models, comfyui)
    add_model_folder(models, a1111)
    index = Index(models, models.parent / "models.json")
    index.look()
    page = index.page()
    assert len(page.models) == 7 + 7 + 2 + 1
    for entry in page.models:
        record = index.record(entry.id)
        assert record is not None
        assert find(entry.reference, entry.kind, models) == record.path


def test_names_are_looked_for_where_other_programs_keep_their_kind(models: Path, comfyui: Path, a1111: Path) -> None:
    add_model_folder(models, comfyui)
    add_model_folder(models, a1111)
    inside = comfyui / "models"
    assert find("style/ink.v1", K.LORA, models) == inside / "loras/style/ink.v1.safetensors"
    assert find("ink.v1", K.LORA, models) == inside / "loras/style/ink.v1.safetensors"
    assert find("ink.v1.safetensors", K.LORA, models) == inside / "loras/style/ink.v1.safetensors"
    assert find("bob", K.LORA, models) == a1111 / "models/LyCORIS/bob.safetensors"
    assert find("old", K.CHECKPOINT, models) == inside / "checkpoints/old.ckpt"  # to be refused by name
    assert find("ink.v1", K.VAE, models) is None
    assert find("dream", K.CHECKPOINT, models) == inside / "checkpoints/dream.safetensors"
    write(models / "dream.safetensors", LORA)
    assert find("dream", K.CHECKPOINT, models) == models / "dream.safetensors"  # ours comes first
    for nothing in ("", "nothing", "a/b", "a\0b", "x" * 5000, "/no/where", "../../etc/passwd"):
        assert find(nothing, K.LORA, models) is None
    assert find(str(inside / "vae" / "mse"), K.VAE, models) == inside / "vae/mse.safetensors"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_the_same_however_they_are_encoded(models: Path, form: Literal["NFC", "NFD"]) -> None:
    """Files that were copied from a Mac have them apart from their letters, and prompts don't."""
    file = models / "loras" / (unicodedata.normalize(form, "größe é") + ".safetensors")
    write(file, LORA)
    assert find(unicodedata.normalize("NFC", "größe é"), K.LORA, models) == file
    assert find(unicodedata.normalize("NFD", "größe é"), K.LORA, models) == file


def test_a_model_that_is_there_under_two_names_is_listed_once(models: Path, comfyui: Path, a1111: Path) -> None:
    lora = comfyui / "models/loras/style/ink.v1.safetensors"
    (a1111 / "models/Lora/linked.safetensors").symlink_to(lora)
    os.link(lora, models / "hard link.safetensors")
    (a1111 / "models" / "VAE" / "shared").symlink_to(comfyui / "models" / "vae")
    add_model_folder(models, comfyui)
    add_model_folder(models, a1111)
    found = entries(models)
    assert "hard link.safetensors" in found
    assert [name for name in found if "ink.v1" in name or "linked" in name or "mse" in name] == [
        str(comfyui / "models/vae/mse.safetensors")
    ]


def test_a_folder_of_ours_comes_before_a_hub_id_of_the_same_name(models: Path, no_cache: Path, tmp_path: Path) -> None:
    cached(no_cache, "owner/name", files_of(pipeline(tmp_path / "made")))
    assert entries(models)["owner/name"].origin is Origin.HUGGING_FACE
    assert find("owner/name", K.CHECKPOINT, models) is None  # the hub's own rules find it
    pipeline(models / "owner" / "name")
    assert [(entry.reference, entry.origin) for entry in looked(models).models] == [("owner/name", Origin.UNDERPAINT)]
    assert find("owner/name", K.CHECKPOINT, models) == models / "owner/name"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", '{"activation text": "red fox, fur", "sd version": "SD1"}', ("red fox", "fur")),
        ("a.civitai.info", '{"trainedWords": ["red fox, fur", "tail"]}', ("red fox", "fur", "tail")),
        ("a.json", '{"activation text": 7}', ()),
        ("a.json", "[]", ()),
        ("a.json", "{", ()),
        ("b.json", '{"activation text": "other"}', ()),
    ],
)
def test_notes_of_other_programs_tell_the_words_of_a_lora(
    models: Path, name: str, content: str, words: tuple[str, ...]
) -> None:
    write(models / "a.safetensors", LORA)
    (models / name).write_text(content)
    assert entries(models)["a.safetensors"].words == words


def test_what_can_not_be_looked_into_is_told_and_nothing_else_breaks(models: Path, tmp_path: Path) -> None:
    """Links that lead in circles, drives that are gone, files in a folder's place."""
    write(models / "good.safetensors", LORA)
    (models / "loop").symlink_to(models)
    (models / "self").symlink_to("self")
    (models / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    (models / "round.safetensors").symlink_to("round.safetensors")
    os.mkfifo(models / "pipe.safetensors")
    drive = tmp_path / "drive"
    drive.mkdir()
    add_model_folder(models, drive)
    drive.rmdir()
    page = looked(models)
    assert [entry.reference for entry in page.models] == ["good.safetensors"]
    assert [bool(folder.problem) for folder in page.folders] == [False, True]
    assert "connect its drive" in page.folders[1].problem
    assert f"{drive} can't be looked into" in out_of_reach(models)  # for whom a model is missing
    drive.write_text("now a file")
    assert looked(models).folders[1].problem
    drive.unlink()
    drive.symlink_to(drive)
    assert looked(models).folders[1].problem
    drive.unlink()
    write(drive / "back.safetensors", LORA)
    assert str(drive / "back.safetensors") in entries(models)
    assert out_of_reach(models) == ""


def test_a_folder_without_permission_is_told(models: Path, comfyui: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the system's answer is put in place of its own."""
    add_model_folder(models, comfyui)
    real = os.scandir

    def scandir(path: str | os.PathLike[str] = ".") -> object:
        if Path(path).name == "loras":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    page = looked(models)
    assert "loras can't be looked into (Permission denied)" in page.folders[1].problem
    assert len(page.models) == 6


def test_too_much_is_told(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("underpaint.backend.library.walking._MAX_ENTRIES", 20)
    for number in range(30):
        write(models / f"{number // 5}" / f"{number}.safetensors", LORA)
    page = looked(models)
    assert 10 <= len(page.models) <= 20
    assert "more than 20 files" in page.folders[0].problem


def test_nothing_is_written_to_the_folders_of_others(models: Path, comfyui: Path, a1111: Path) -> None:
    before = {path: path.lstat().st_mtime_ns for root in (comfyui, a1111) for path in root.rglob("*")}
    for folder in (comfyui, a1111):
        add_model_folder(models, folder)
    assert len(entries(models)) == 14
    remove_model_folder(models, comfyui)
    assert {path: path.lstat().st_mtime_ns for root in (comfyui, a1111) for path in root.rglob("*")} == before


def test_folders_are_added_once_and_removed_by_any_of_their_names(models: Path, comfyui: Path, tmp_path: Path) -> None:
    add_model_folder(models, comfyui)
    add_model_folder(models, f"{comfyui}/models/..")
    (tmp_path / "link").symlink_to(comfyui)
    add_model_folder(models, tmp_path / "link")
    assert model_folders(models) == (str(comfyui),)
    with pytest.raises(ModelFolderRefused, match="never added"):
        remove_model_folder(models, tmp_path)
    remove_model_folder(models, tmp_path / "link")
    assert model_folders(models) == ()
    with pytest.raises(ModelFolderRefused, match="no such folder"):
        add_model_folder(models, tmp_path / "nothing")
    with pytest.raises(ModelFolderRefused, match="looked through anyway"):
        add_model_folder(models, models)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"folders": 1}', '{"folders": [1]}', '{"folders": ["relative"]}', "[" * 100_000, "\0"]
)
def test_a_damaged_list_of_folders_is_told_and_kept(models: Path, comfyui: Path, content: str) -> None:
    (models / "folders.json").write_text(content)
    write(models / "a.safetensors", LORA)
    page = looked(models)
    assert [entry.reference for entry in page.models] == ["a.safetensors"]
    assert "folders.json" in page.folders[1].problem
    with pytest.raises(ModelFolderRefused, match="Mend it"):
        add_model_folder(models, comfyui)
    assert (models / "folders.json").read_text() == content
