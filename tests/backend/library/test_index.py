"""The list of models: kept, kept fresh, and never brought down by a file."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from full_size_headers import write
from library_folders import CHECKPOINT, EMBEDDING, LORA, NET, VAE, component, pipeline
from underpaint.backend.library import entries, index, thumbnails
from underpaint.backend.library.hashes import FileState, Hashes, of_folder
from underpaint.backend.library.index import Index
from underpaint.protocol.client.model_folders import add_model_folder
from underpaint.protocol.models import FamilyId, ModelKind

K = ModelKind
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were opened, not only looked at from outside."""
    names: list[str] = []
    real = entries.record

    def record(found: object, **told: object) -> object:
        names.append(Path(found.path).name)
        return real(found, **told)

    monkeypatch.setattr(index, "record", record)
    return names


def made(models: Path, *, software: str = "1") -> Index:
    return Index(models, models.parent / "models.json", software=software)


def looked(models: Path) -> Index:
    one = made(models)
    one.look()
    return one


def test_what_was_found_is_there_at_the_next_start_and_is_not_opened_again(models: Path, opened: list[str]) -> None:
    write(
        models / "a.safetensors", LORA, metadata={"ss_tag_frequency": '{"x": {"cat": 3}}', "modelspec.license": "MIT"}
    )
    write(models / "lcm-lora-sdv1-5.safetensors", LORA)
    component(models / "net", NET, _class_name="ControlNetModel")
    first = looked(models)
    again = made(models)
    assert again.page().models == ()
    again.open()
    assert again.page().models == first.page().models
    assert sorted(opened) == ["a.safetensors", "lcm-lora-sdv1-5.safetensors", "net"]
    advised = next(entry for entry in again.page().models if entry.title == "lcm-lora-sdv1-5")
    assert advised.advice is not None
    opened.clear()
    revision = again.page().revision
    again.look()
    assert opened == []
    assert again.page().models == first.page().models
    assert again.page().revision == revision + 1  # the folders are known now


def test_only_what_changed_is_opened_again(models: Path, opened: list[str]) -> None:
    for name in ("a", "b", "c"):
        write(models / f"{name}.safetensors", LORA)
    one = looked(models)
    opened.clear()
    write(models / "b.safetensors", VAE)
    write(models / "d.safetensors", EMBEDDING)
    (models / "a.safetensors").unlink()
    before = one.page().revision
    one.look()
    assert sorted(opened) == ["b.safetensors", "d.safetensors"]
    assert {entry.reference: entry.kind for entry in one.page().models} == {
        "b.safetensors": K.VAE, "c.safetensors": K.LORA, "d.safetensors": K.EMBEDDING,
    }  # fmt: skip
    assert one.page().revision > before
    before = one.page().revision
    one.look()
    assert one.page().revision == before
    (models / "c.png").write_bytes(PNG)
    one.look()
    assert next(entry for entry in one.page().models if entry.title == "c").has_thumbnail


@pytest.mark.parametrize("spoil", ["cut", "bit", "empty", "rows", "version", "folder", "garbage"])
def test_a_list_that_was_damaged_is_made_anew(models: Path, spoil: str) -> None:
    write(models / "a.safetensors", LORA)
    file = models.parent / "models.json"
    looked(models)
    content = bytearray(file.read_bytes())
    if spoil == "cut":
        file.write_bytes(content[:-5])
    elif spoil == "bit":
        content[-10] ^= 1
        file.write_bytes(content)
    elif spoil == "empty":
        file.write_bytes(b"")
    elif spoil == "garbage":
        file.write_bytes(os.urandom(500))
    elif spoil == "rows":
        from underpaint.backend.library import cache

        body = b'[["/x", [1, 2], "", []]]'
        file.write_bytes(cache._first_line(body, "1").encode() + b"\n" + body)
    elif spoil == "folder":
        file.unlink()
        file.mkdir()
    one = made(models, software="2" if spoil == "version" else "1")
    one.open()
    assert one.page().models == ()
    one.look()
    assert [entry.reference for entry in one.page().models] == ["a.safetensors"]


def test_the_list_lives_where_nothing_can_be_kept(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(models / "a.safetensors", LORA)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    assert len(looked(models).page().models) == 1


def test_broken_files_are_listed_with_their_sentences(models: Path) -> None:
    whole = write(models / "whole.safetensors", LORA).read_bytes()
    for name, content in (
        ("cut", whole[:-3]),
        ("empty", b""),
        ("page", b"<html>not found</html>"),
        ("pointer", b"version https://git-lfs.github.com/spec/v1\n"),
        ("pickle", b"PK\x03\x04" + bytes(50)),
        ("noise", os.urandom(300)),
    ):
        (models / f"{name}.safetensors").write_bytes(content)
    (models / "old.ckpt").write_bytes(b"PK\x03\x04")
    folder = pipeline(models / "half")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    pickled = pipeline(models / "pickled")
    (pickled / "unet" / "diffusion_pytorch_model.safetensors").rename(pickled / "unet" / "diffusion_pytorch_model.bin")
    (pipeline(models / "odd") / "model_index.json").write_text("{")
    (pipeline(models / "strange") / "model_index.json").write_text('{"_class_name": "AudioPipeline"}')
    (component(models / "net", NET) / "config.json").write_text("[" * 100_000)
    problems = {entry.reference: entry.problem for entry in looked(models).page().models}
    assert len(problems) == 13
    assert problems.pop("whole.safetensors") == ""
    for reference, words in {
        "cut.safetensors": "cut off",
        "empty.safetensors": "is empty",
        "page.safetensors": "web page",
        "pointer.safetensors": "git lfs pull",
        "pickle.safetensors": "underpaint convert",
        "noise.safetensors": "no safetensors file",
        "old.ckpt": "underpaint convert",
        "half": "vae holds no weights",
        "pickled": f'underpaint convert "{pickled}"',
        "odd": "model_index.json is no JSON",
        "strange": "AudioPipeline",
        "net": "nested too deep",
    }.items():
        assert words in problems[reference]
    assert all(problem.endswith(".") for problem in problems.values())


def test_folders_in_diffusers_layout_say_what_they_are(models: Path) -> None:
    sharded = pipeline(models / "inpaint", in_channels=9)
    weights = sharded / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model-00001-of-00001.safetensors"))
    shards = {"weight_map": {"conv_in.weight": "diffusion_pytorch_model-00001-of-00001.safetensors"}}
    weights.with_name("diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(shards))
    lcm = pipeline(models / "lcm", class_name="LatentConsistencyModelPipeline", time_cond_proj_dim=256)
    (lcm / "scheduler").mkdir()
    (lcm / "scheduler" / "scheduler_config.json").write_text(
        '{"prediction_type": "v_prediction", "rescale_betas_zero_snr": true}'
    )
    pipeline(models / "xl", class_name="StableDiffusionXLPipeline", cross_attention_dim=2048)
    pipeline(models / "refiner", class_name="StableDiffusionXLImg2ImgPipeline", cross_attention_dim=1280)
    pipeline(models / "two", cross_attention_dim=1024)
    pipeline(models / "edit", class_name="StableDiffusionInstructPix2PixPipeline", in_channels=8)
    component(models / "vae", VAE, _class_name="AutoencoderKL", scaling_factor=0.13025)
    component(models / "unet", {"conv_in.weight": (1,)}, _class_name="UNet2DConditionModel")
    found = {entry.title: entry for entry in looked(models).page().models}
    assert (found["inpaint"].family, found["inpaint"].traits) == (FamilyId.SD15, ("inpainting",))
    assert found["lcm"].traits == ("distilled", "v-prediction", "zero-terminal SNR")
    assert (found["xl"].family, found["xl"].problem) == (FamilyId.SDXL, "")
    assert "refiner" in found["refiner"].problem
    assert found["two"].family is FamilyId.SD2
    assert "instruct-pix2pix" in found["edit"].problem
    assert (found["vae"].kind, found["vae"].family) == (K.VAE, FamilyId.SDXL)
    assert {entry.precision for title, entry in found.items()} == {"float16"}


@pytest.mark.parametrize("variant", ["fp16", "non_ema", "bf16"])
def test_weights_in_any_variant_are_found(models: Path, variant: str) -> None:
    folder = pipeline(models / "a")
    for file in folder.glob("*/*.safetensors"):
        file.rename(file.with_name(f"{file.stem}.{variant}.safetensors"))
    assert [(entry.problem, entry.precision) for entry in looked(models).page().models] == [("", "float16")]


def test_a_part_that_may_not_be_read_is_told(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the system's answer is put in place of its own."""
    folder = pipeline(models / "a")
    real = Path.glob

    def glob(path: Path, pattern: str) -> object:
        if path == folder / "vae":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, pattern)

    monkeypatch.setattr(Path, "glob", glob)
    assert "can't be read (Permission denied)" in looked(models).page().models[0].problem


def test_a_file_that_is_being_written_is_looked_at_again(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(models / "a.safetensors", LORA)
    real, times = entries.read_header, list[int]()

    def read_header(path: Path, name: str) -> object:
        header = real(path, name)
        times.append(1)
        os.utime(path, ns=(0, len(times)))
        return header

    monkeypatch.setattr(entries, "read_header", read_header)
    one = looked(models)
    assert len(times) == 3
    assert "being written" in one.page().models[0].problem
    again = made(models)
    again.open()  # what was kept of it is not believed
    monkeypatch.setattr(entries, "read_header", real)
    again.look()
    assert again.page().models[0].problem == ""
    assert file.exists()


def test_a_mistake_of_ours_hides_no_other_model(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(models / "a.safetensors", LORA)
    write(models / "b.safetensors", VAE)
    real = entries.recognise

    def recognise(header: dict[str, object]) -> object:
        if "decoder.conv_in.weight" in header:
            raise ZeroDivisionError
        return real(header)

    monkeypatch.setattr(entries, "recognise", recognise)
    found = {entry.title: entry for entry in looked(models).page().models}
    assert found["a"].kind is K.LORA
    assert "log tells why" in found["b"].problem


def test_models_are_listed_by_kind_family_and_title(models: Path) -> None:
    for name, shapes in (("z", CHECKPOINT), ("B", LORA), ("a", LORA), ("m", VAE), ("k", EMBEDDING)):
        write(models / f"{name}.safetensors", shapes)
    assert [entry.title for entry in looked(models).page().models] == ["z", "m", "a", "B", "k"]


def test_the_hash_that_a_picture_needed_is_told(models: Path) -> None:
    file = write(models / "a.safetensors", LORA)
    folder = pipeline(models / "whole")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    hashes = Hashes(models)
    hashes.keep(file, FileState.of(file), "a" * 64)
    hashes.keep(weights, FileState.of(weights), "b" * 64)
    one = looked(models)
    told = {entry.title: entry.sha256 for entry in one.page().models}
    assert told == {"a": "a" * 64, "whole": of_folder([("unet/diffusion_pytorch_model.safetensors", "b" * 64)])}
    write(file, VAE)
    one.look()
    assert {entry.title: entry.sha256 for entry in one.page().models}["a"] == ""


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_changes_are_noticed_while_somebody_is_there(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_PAUSE_S", 0.05)
    monkeypatch.setattr(index, "_SHARE", 0.1)
    monkeypatch.setattr(index, "_TICK_S", 0.02)
    one, there = made(models), threading.Event()
    one.open()
    assert one.page().scanning
    one.start(there.is_set)
    try:
        until(lambda: not one.page().scanning)
        before = one.page().revision
        write(models / "a.safetensors", LORA)
        time.sleep(0.3)
        assert one.page().models == ()  # nobody wants to know
        one.rescan()
        until(lambda: len(one.page().models) == 1 and not one.page().scanning)
        there.set()
        write(models / "b.safetensors", LORA)
        until(lambda: len(one.page().models) == 2)
        there.clear()
        elsewhere = models.parent / "elsewhere"
        write(elsewhere / "c.safetensors", LORA)
        add_model_folder(models, elsewhere)
        until(lambda: len(one.page().models) == 3)
        assert one.page().revision > before
    finally:
        one.stop()


def test_thousands_of_files_are_listed_and_what_is_found_is_shown_meanwhile(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3000):
        write(models / f"{number % 11}" / f"{number}.safetensors", LORA if number % 2 else EMBEDDING)
    monkeypatch.setattr(index, "_PUBLISH_S", 0.0)
    one = made(models)
    seen: list[int] = []
    real = one._publish

    def publish(records: dict[str, object], *rest: object, **more: object) -> None:
        seen.append(len(records))
        real(records, *rest, **more)

    monkeypatch.setattr(one, "_publish", publish)
    one.look()
    assert len(one.page().models) == 3000
    assert seen[0] < 10
    assert seen[-1] == 3000
    again = made(models)
    again.open()
    assert again.page().models == one.page().models


def test_thumbnails_are_pictures_or_nothing(tmp_path: Path) -> None:
    picture = tmp_path / "x.png"
    for data, media_type in (
        (PNG, "image/png"),
        (b"\xff\xd8\xff" + bytes(9), "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    ):
        picture.write_bytes(data)
        found = thumbnails.beside(picture)
        assert found is not None
        assert (found.data, found.media_type) == (data, media_type)
    picture.write_bytes(b"<svg onload=alert(1)>")
    assert thumbnails.beside(picture) is None
    with picture.open("wb") as stream:
        stream.write(PNG)
        stream.truncate(thumbnails.MAX_BYTES + 1)
    assert thumbnails.beside(picture) is None
    picture.unlink()
    os.mkfifo(picture)
    assert thumbnails.beside(picture) is None


@pytest.mark.parametrize(
    ("uri", "is_there"),
    [
        ("data:image/jpeg;base64,/9j/4AAQSkZJRg==", True),
        ("data:image/png;base64,PHN2Zz4=", False),  # an SVG, whatever it says
        ("data:text/html;base64,/9j/4AAQSkZJRg==", False),
        ("data:image/jpeg;base64,###", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_a_thumbnail_in_the_metadata(models: Path, uri: str, is_there: bool) -> None:
    file = write(models / "a.safetensors", LORA, metadata={"modelspec.thumbnail": uri})
    assert (thumbnails.inside(file, "a") is not None) == is_there
    if is_there:
        assert looked(models).page().models[0].has_thumbnail


def test_what_a_name_says_is_not_believed(models: Path) -> None:
    write(models / "loras" / "sdxl checkpoint.safetensors", EMBEDDING)
    shutil.copy(models / "loras" / "sdxl checkpoint.safetensors", models / "flux controlnet.safetensors")
    assert {entry.kind for entry in looked(models).page().models} == {K.EMBEDDING}
