"""What a picture was made with: the hash of every file, computed once, and the picture made again from its record."""

import dataclasses
import hashlib
import io
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.library.hashes import FILE, FileState, Hashes, of_folder, sha256_of
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.models.hashing import Hashing, LoadedModel, known_models
from underpaint.protocol import png_text, record
from underpaint.protocol.errors import JobCancelled
from underpaint.protocol.jobs import JobResult
from underpaint.protocol.models import ModelKind
from underpaint.protocol.request import GenerateRequest, PlanRequest, Request, Variant
from worker_runner import make_runner


def never() -> bool:
    return False


def check() -> None:
    """Nobody cancels."""


def run(runner: JobRunner, request: Request) -> JobResult:
    return runner.run("0" * 32, request, on_progress=lambda _: None, on_preview=lambda _, __: None, cancelled=never)


def saved(blobs: BlobStore, request: GenerateRequest, result: JobResult, picture: int) -> bytes:
    """A result as a client saves it."""
    stream = io.BytesIO()
    Image.fromarray(blobs.read_array(result.images[picture])).save(stream, "PNG")
    return png_text.with_texts(stream.getvalue(), record.texts(request, result, job_id="0" * 32, picture=picture))


def test_a_saved_picture_is_made_again_to_the_bit(
    blobs: BlobStore, models: Path, asked: Callable[..., GenerateRequest]
) -> None:
    request = asked(variants=(Variant(prompt="a barn", negative_prompt="fog", seed=11), Variant(prompt="b", seed=12)))
    first = run(make_runner(blobs, models), request)
    png = saved(blobs, request, first, 1)

    found = record.read(png)
    assert found is not None
    again = record.replay(found)
    second = run(make_runner(blobs, models), again.request)

    assert second.images[again.picture] == first.images[1]
    with Image.open(io.BytesIO(png)) as image:
        assert np.array_equal(np.asarray(image), blobs.read_array(second.images[again.picture]))
    assert record.changed(found, second.models) == ()


def test_pictures_painted_together_are_made_again_together(
    blobs: BlobStore, models: Path, asked: Callable[..., GenerateRequest]
) -> None:
    seeds = tuple(Variant(prompt="a barn", seed=seed) for seed in (11, 12, 13))
    request = asked(controls=(), variants=seeds, batch_size=2)
    first = run(make_runner(blobs, models), request)
    found = record.read(saved(blobs, request, first, 3))
    assert found is not None
    again = record.replay(found)
    assert (len(again.request.pictures), again.picture) == (2, 1)
    assert run(make_runner(blobs, models), again.request).images == first.images[2:]


def test_a_result_names_every_model_with_its_hash(
    runner: JobRunner, models: Path, asked: Callable[..., GenerateRequest]
) -> None:
    depth = asked().controls[0]
    request = asked(checkpoint="sdxl", controls=(dataclasses.replace(depth, controlnet="sdxl-depth"),))
    result = run(runner, request)

    checkpoint, net = result.models
    assert (checkpoint.kind, checkpoint.reference, checkpoint.title) == (ModelKind.CHECKPOINT, "sdxl", "sdxl")
    assert (net.kind, net.reference, net.title) == (ModelKind.CONTROLNET, "sdxl-depth", "sdxl-depth")
    files = sorted((models / "sdxl").glob("*/*.safetensors"), key=lambda file: file.as_posix())
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()} {file.parent.name}/{file.name}\n" for file in files]
    lines.sort(key=lambda line: line.split(" ")[1])
    assert len(lines) == 4
    assert checkpoint.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    text = record.parameters(request, result)
    assert f"Model hash: {checkpoint.sha256[:10]}, Model: sdxl" in text


def test_another_vae_is_named_and_the_checkpoint_stays_what_it_is(
    runner: JobRunner, models: Path, tmp_path: Path, asked: Callable[..., GenerateRequest]
) -> None:
    own = next((models / "embedded").iterdir()) / "vae"
    other = shutil.copytree(own, tmp_path / "vae")
    plain = run(runner, asked(controls=()))
    result = run(runner, asked(controls=(), vae=str(other)))
    told = {model.kind: model for model in result.models}
    assert told[ModelKind.CHECKPOINT] == plain.models[0]
    vae = told[ModelKind.VAE]
    digest = hashlib.sha256((other / "diffusion_pytorch_model.safetensors").read_bytes()).hexdigest()
    line = f"{digest} diffusion_pytorch_model.safetensors\n"
    assert (vae.reference, vae.sha256) == (str(other), hashlib.sha256(line.encode()).hexdigest())
    assert "VAE: vae" in record.parameters(asked(vae=str(other)), result)


def test_the_embedded_models_are_named_too(runner: JobRunner, asked: Callable[..., GenerateRequest]) -> None:
    result = run(runner, asked())
    assert [model.title for model in result.models] == [
        "Embedded", "Embedded depth", "Embedded normal", "Embedded openpose",
    ]  # fmt: skip
    assert all(len(model.sha256) == 64 for model in result.models)


def test_a_plan_tells_a_model_that_has_changed_before_anything_is_painted(
    blobs: BlobStore, models: Path, tmp_path: Path, asked: Callable[..., GenerateRequest]
) -> None:

    shutil.copytree(models / "sdxl", tmp_path / "sdxl")
    runner = make_runner(blobs, tmp_path)
    request = asked(checkpoint="sdxl", controls=())
    painted = run(runner, request)
    found = record.Record(request=request, models=painted.models)
    assert record.changed(found, run(runner, PlanRequest(picture=request)).models) == ()

    file = tmp_path / "sdxl" / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)

    unread = run(runner, PlanRequest(picture=request))
    assert [model.sha256 for model in unread.models] == [""]  # what isn't known is not told
    read = run(runner, PlanRequest(picture=request, hashes=True))
    (sentence,) = record.changed(found, read.models)
    assert "The checkpoint sdxl has changed" in sentence


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"first")
    model = LoadedModel(kind=ModelKind.LORA, reference="model.safetensors", files=(file,))
    assert known_models([model], Hashes(tmp_path))[0].sha256 == ""

    with Hashing([model], Hashes(tmp_path)) as hashing:
        (used,) = hashing.models(check)
    assert (used.title, used.sha256) == ("model", hashlib.sha256(b"first").hexdigest())

    state = FileState.of(file)
    file.write_bytes(b"other")  # of the same size and time: it isn't read again
    os.utime(file, ns=(state.changed_ns, state.changed_ns))
    assert known_models([model], Hashes(tmp_path)) == (used,)
    os.utime(file, ns=(state.changed_ns, state.changed_ns + 1))
    assert known_models([model], Hashes(tmp_path))[0].sha256 == ""
    with Hashing([model], Hashes(tmp_path)) as hashing:
        assert hashing.models(check)[0].sha256 == hashlib.sha256(b"other").hexdigest()


def test_a_file_that_was_renamed_keeps_its_hash(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"words")
    hashes = Hashes(tmp_path)
    hashes.keep(file, FileState.of(file), "a" * 64)
    other = file.rename(tmp_path / "other.safetensors")
    assert Hashes(tmp_path).known(other) == "a" * 64
    state = FileState.of(other)
    file.write_bytes(b"again")  # something is there by the old name: who knows which is which
    os.utime(file, ns=(state.changed_ns, state.changed_ns))
    assert Hashes(tmp_path).known(other) == ""


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"a": 3, "b": ["x", 1, 2], "c": [1, 2, "short"]}', b"[" * 10**5]
)
def test_a_damaged_memory_of_hashes_costs_no_more_than_time(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"words")
    hashes = Hashes(tmp_path)
    assert hashes.known(file) == ""
    hashes.keep(file, FileState.of(file), "a" * 64)
    assert Hashes(tmp_path).known(file) == "a" * 64
    assert list(json.loads((tmp_path / FILE).read_bytes())) == [str(file)]


def test_a_folder_that_cant_be_written_still_gives_hashes(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"words")
    hashes = Hashes(tmp_path / "model.safetensors")  # no folder can be made there
    hashes.keep(file, FileState.of(file), "a" * 64)
    assert hashes.known(file) == "a" * 64


def test_a_file_that_is_gone_has_no_hash_and_ends_nothing(tmp_path: Path) -> None:
    model = LoadedModel(kind=ModelKind.VAE, reference="gone", files=(tmp_path / "gone",))
    with Hashing([model], Hashes(tmp_path)) as hashing:
        assert hashing.models(check)[0].sha256 == ""


def test_a_file_that_changes_while_it_is_read_has_no_hash(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(bytes(9 << 20))

    def grow() -> bool:
        if file.stat().st_size == 9 << 20:
            with file.open("ab") as stream:
                stream.write(b"more")
        return False

    assert sha256_of(file, stopped=grow)[0] == ""


def test_a_cancelled_job_does_not_wait_for_its_hashes(tmp_path: Path) -> None:
    file = tmp_path / "large.safetensors"
    with file.open("wb") as stream:
        stream.truncate(8 << 30)  # sparse: seconds to read, nothing to store
    model = LoadedModel(kind=ModelKind.CHECKPOINT, reference="large", files=(file,))

    def cancelled() -> None:
        raise JobCancelled

    with pytest.raises(JobCancelled), Hashing([model], Hashes(tmp_path)) as hashing:
        hashing.models(cancelled)
    assert not any(thread.name == "hashing" for thread in threading.enumerate())
    assert Hashes(tmp_path).known(file) == ""


def test_a_folder_without_one_of_its_hashes_has_none() -> None:
    assert of_folder([("a", "1" * 64), ("b", "")]) == ""
    assert of_folder([("b", "2" * 64), ("a", "1" * 64)]) == of_folder([("a", "1" * 64), ("b", "2" * 64)])
