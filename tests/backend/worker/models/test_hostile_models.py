"""Model folders made to harm whoever opens them: refused in words, and nothing in them runs."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from underpaint.backend.library.headers import read_header
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.models.component_folders import find_weights
from underpaint.protocol.errors import ModelBroken, ModelPickled
from underpaint.protocol.request import GenerateRequest
from worker_runner import Job

Asked = Callable[..., GenerateRequest]


class Payload:
    """What a pickle runs when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> object:
        return Path.touch, (self.mark,)


def safetensors(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".ckpt", ".pth"])
@pytest.mark.parametrize(
    "part", ["unet/diffusion_pytorch_model", "text_encoder/pytorch_model", "vae/diffusion_pytorch_model"]
)
def test_a_pickle_with_a_payload_never_runs(
    runner: JobRunner, models: Path, asked: Asked, tmp_path: Path, part: str, suffix: str
) -> None:
    folder, mark = tmp_path / "hostile", tmp_path / "pwned"
    shutil.copytree(models / "sdxl", folder)
    weights = (folder / part).with_suffix(suffix)
    for sound in weights.parent.glob("*.safetensors"):
        sound.unlink()
    weights.write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(ModelBroken, match="underpaint convert"):
        Job(runner, asked(checkpoint=str(folder), controls=())).run()
    assert not mark.exists()
    pickle.loads(weights.read_bytes())
    assert mark.exists()  # the payload was a live one


def test_a_pickle_that_calls_itself_safetensors_never_runs(
    runner: JobRunner, models: Path, asked: Asked, tmp_path: Path
) -> None:
    folder, mark = tmp_path / "hostile", tmp_path / "pwned"
    shutil.copytree(models / "sdxl", folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(ModelPickled, match="is a pickle"):
        Job(runner, asked(checkpoint=str(folder), controls=())).run()
    assert not mark.exists()


TENSOR = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "content",
    [
        safetensors({"a": TENSOR}, bytes(4), length=2**63),
        safetensors({"a": TENSOR}, bytes(4), length=100 << 20),
        safetensors(b"[" * 50_000),
        safetensors(b'{"a":' * 50_000),
        safetensors([]),
        safetensors("text"),
        safetensors({"a": 1}),
        safetensors({"a": {}}),
        safetensors({"a": {**TENSOR, "data_offsets": [0]}}, bytes(4)),
        safetensors({"a": {**TENSOR, "data_offsets": ["0", "4"]}}, bytes(4)),
        safetensors({"a": {**TENSOR, "data_offsets": [0, 1e300]}}, bytes(4)),
        safetensors({"a": {**TENSOR, "data_offsets": [0, 10**40]}}, bytes(4)),
        safetensors({"a": {**TENSOR, "data_offsets": [-4, 4]}}, bytes(4)),
        safetensors({"a": {**TENSOR, "data_offsets": [4, 0]}}),
        safetensors({"a": {**TENSOR, "shape": [-1]}}, bytes(4)),
        safetensors({"a": {**TENSOR, "shape": ["x"]}}, bytes(4)),
        safetensors({"a": {**TENSOR, "dtype": 7}}, bytes(4)),
        safetensors({"a": TENSOR}, bytes(4_000)),
        safetensors(b"\xff" * 100),
        safetensors(b'{"a": NaN}'),
    ],
    ids=range(20),
)
def test_a_header_that_lies_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(ModelBroken, match=r"unet/diffusion_pytorch_model\.safetensors"):
        read_header(file, "hostile")


@pytest.mark.parametrize("side", [77, 2**40])
def test_a_shape_that_promises_more_than_there_is_ends_in_words(
    runner: JobRunner, models: Path, asked: Asked, tmp_path: Path, side: int
) -> None:
    """Lengths that agree and a shape that doesn't."""
    folder = tmp_path / "hostile"
    shutil.copytree(models / "sdxl", folder)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    header = read_header(file, "hostile")
    data = file.read_bytes()[-max(entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__") :]
    next(entry for key, entry in header.items() if key != "__metadata__")["shape"] = [side, side]
    file.write_bytes(safetensors(header, data))
    with pytest.raises(ModelBroken, match="don't fit its shape"):
        Job(runner, asked(checkpoint=str(folder), controls=())).run()


@pytest.mark.parametrize("shard", ["../secret.safetensors", "/etc/passwd", "shard.bin", "a/b.safetensors", ""])
def test_an_index_can_not_lead_elsewhere(tmp_path: Path, shard: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(ModelBroken, match="no file beside it"):
        find_weights(tmp_path, "model", "hostile")
