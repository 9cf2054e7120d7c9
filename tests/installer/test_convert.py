"""`underpaint convert`, with real pickles: sound ones, and ones made to harm whoever opens them."""

import json
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from underpaint.installer import convert_command
from underpaint.installer.command import main
from underpaint.installer.convert_command import convert
from underpaint.protocol.errors import ConversionFailed

PYTHON = Path(sys.executable)
PROGRAM = Path(convert_command.__file__).parents[1] / "backend" / "worker" / "models" / "converting.py"


class Calls:
    """What a pickle calls when it is opened."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def weights() -> dict[str, torch.Tensor]:
    made = {f"layer.{number}.weight": torch.randn(8, 6) for number in range(3)}
    made["half"] = torch.randn(3).half()
    made["brain"] = torch.randn(3, dtype=torch.bfloat16)
    made["number"] = torch.tensor(875000)
    made["turned"] = made["layer.0.weight"].T  # shares its memory, and lies across it
    return made


def converted(source: Path, to: Path | None = None) -> Path:
    told: list[float] = []
    (job,) = convert(PYTHON, source, to, lambda share, _: told.append(share))
    assert told == sorted(told)
    assert told
    return job.target


@pytest.mark.parametrize("legacy", [False, True])
def test_the_weights_are_the_same(tmp_path: Path, legacy: bool) -> None:
    made, source = weights(), tmp_path / "model.ckpt"
    content = made if legacy else {"state_dict": made, "epoch": 3, "hyper_parameters": {"lr": 0.1}}
    torch.save(content, source, _use_new_zipfile_serialization=not legacy)
    target = converted(source)
    assert target == tmp_path / "model.safetensors"
    found = load_file(target)
    assert found.keys() == made.keys()
    for name, tensor in made.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert sorted(tmp_path.iterdir()) == [source, target]


def test_a_textual_inversion_and_an_ip_adapter_get_the_names_that_their_readers_know(tmp_path: Path) -> None:
    vector = torch.randn(2, 8)
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": vector}, "name": "cat"}, tmp_path / "cat.pt")
    assert torch.equal(load_file(converted(tmp_path / "cat.pt"))["emb_params"], vector)
    torch.save({"image_proj": {"proj.weight": vector}, "ip_adapter": {"1.to_k_ip.weight": vector}}, tmp_path / "ip.bin")
    assert set(load_file(converted(tmp_path / "ip.bin"))) == {"image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"}


def test_a_folder_is_converted_part_by_part(tmp_path: Path) -> None:
    folder, to = tmp_path / "model", tmp_path / "converted"
    for part, name in (("unet", "diffusion_pytorch_model.fp16"), ("text_encoder", "pytorch_model-00001-of-00001")):
        (folder / part).mkdir(parents=True)
        torch.save(weights(), folder / part / f"{name}.bin")
        (folder / part / "config.json").write_text("{}")
    index = {"weight_map": {"half": "pytorch_model-00001-of-00001.bin"}}
    (folder / "text_encoder" / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    (folder / "model_index.json").write_text("{}")
    assert len(list(convert(PYTHON, folder, to, lambda *_: None))) == 2
    names = {str(file.relative_to(to)) for file in to.rglob("*") if file.is_file()}
    assert names == {
        "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/config.json", "text_encoder/model-00001-of-00001.safetensors",
        "text_encoder/model.safetensors.index.json",
    }  # fmt: skip
    shards = json.loads((to / "text_encoder" / "model.safetensors.index.json").read_text())["weight_map"]
    assert set(shards.values()) == {"model-00001-of-00001.safetensors"}


def test_what_trainers_pickle_beside_the_weights_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class ModelCheckpoint:
        pass

    ModelCheckpoint.__module__ = "pytorch_lightning.callbacks.model_checkpoint"
    ModelCheckpoint.__qualname__ = "ModelCheckpoint"
    names = ("pytorch_lightning", "pytorch_lightning.callbacks", ModelCheckpoint.__module__)
    for name in names:
        monkeypatch.setitem(sys.modules, name, type(sys)(name))
    sys.modules[names[-1]].ModelCheckpoint = ModelCheckpoint  # type: ignore[attr-defined]
    torch.save({"state_dict": weights(), "callbacks": {ModelCheckpoint: {"best": 1.0}}}, tmp_path / "sd.ckpt")
    assert set(load_file(converted(tmp_path / "sd.ckpt"))) == set(weights())


def hostile(kind: str, source: Path, mark: Path) -> None:
    touch = Calls(os.system, f"touch '{mark}'")
    match kind:
        case "beside weights":
            torch.save({"state_dict": weights(), "a": touch}, source)
        case "legacy":
            torch.save({"state_dict": weights(), "a": touch}, source, _use_new_zipfile_serialization=False)
        case "evaluates":
            torch.save({"a": Calls(eval, f"open({str(mark)!r}, 'w')")}, source)
        case "huge":
            torch.save({"a": Calls(bytearray, 1 << 40)}, source)
        case "zip bomb":
            whole = source.with_suffix(".whole")
            torch.save({"a": torch.zeros(50_000_000 // 4)}, whole)
            with zipfile.ZipFile(whole) as read, zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as write:
                for name in read.namelist():
                    write.writestr(name, read.read(name))
            whole.unlink()
        case "nonsense":
            source.write_bytes(os.urandom(4096))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("beside weights", "posix.system|nt.system"),
        ("legacy", "posix.system|nt.system"),
        ("evaluates", "eval"),
        ("huge", "far more memory"),
        ("zip bomb", "unpacks to"),
        ("nonsense", "isn't read as weights|asks for something"),
    ],
)
def test_a_harmful_pickle_does_nothing_and_is_said_to_be_one(tmp_path: Path, kind: str, words: str) -> None:
    source, mark = tmp_path / "model.ckpt", tmp_path / "pwned"
    hostile(kind, source, mark)
    with pytest.raises(ConversionFailed, match=words) as caught:
        converted(source)
    assert str(source) in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["model.ckpt"]


FENCED = """
import sys, importlib.util, pathlib
spec = importlib.util.spec_from_file_location("converting", sys.argv[1])
converting = importlib.util.module_from_spec(spec)
spec.loader.exec_module(converting)
import os, socket, subprocess, ctypes, shutil
source, target = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
converting._warm_up()
converting._limit(1000)
converting._fence(source, target)
attempts = {
    "socket": lambda: socket.create_connection(("127.0.0.1", int(sys.argv[4]))),
    "name": lambda: socket.getaddrinfo("example.org", 80),
    "process": lambda: subprocess.run(["true"]),
    "system": lambda: os.system("true"),
    "fork": lambda: os.fork(),
    "exec": lambda: exec("1"),
    "eval": lambda: eval("1"),
    "write": lambda: open(target.with_name("other"), "w"),
    "append to the source": lambda: open(source, "a"),
    "low write": lambda: os.open(target.with_name("other"), os.O_CREAT | os.O_WRONLY),
    "read": lambda: open("/etc/passwd"),
    "remove": lambda: os.remove(source),
    "rename": lambda: os.rename(source, target),
    "link": lambda: os.symlink(source, target.with_name("link")),
    "import": lambda: __import__("sqlite3"),
    "memory": lambda: bytearray(1 << 42),
    "library": lambda: ctypes.CDLL(None),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except (converting.Refused, MemoryError):
        continue
    print(name)
open(target, "x").close()
print("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="fork and limits are Unix's")
def test_the_fences_hold_by_themselves(tmp_path: Path) -> None:
    source = tmp_path / "model.ckpt"
    source.write_bytes(bytes(1000))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        arguments = [str(PROGRAM), str(source), str(tmp_path / "out"), str(server.getsockname()[1])]
        done = subprocess.run([sys.executable, "-c", FENCED, *arguments], capture_output=True, text=True)
        with pytest.raises(TimeoutError):
            server.accept()
    assert done.stdout.split() == ["done"], done.stdout + done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.ckpt", "out"]


def test_nothing_is_written_over(tmp_path: Path) -> None:
    source = tmp_path / "model.pt"
    torch.save(weights(), source)
    (tmp_path / "model.safetensors").write_bytes(b"mine")
    with pytest.raises(ConversionFailed, match="there already"):
        converted(source)
    assert (tmp_path / "model.safetensors").read_bytes() == b"mine"


def test_not_even_what_came_meanwhile(tmp_path: Path) -> None:
    source, target = tmp_path / "model.pt", tmp_path / "model.safetensors"
    torch.save(weights(), source)
    with pytest.raises(ConversionFailed, match="there by now"):
        list(convert(PYTHON, source, None, lambda *_: target.write_bytes(b"mine")))
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("name", "words"),
    [("nothing.ckpt", "no such file"), ("model.safetensors", "already"), ("empty", "no pickled weights")],
)
def test_what_there_is_nothing_to_do_for(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConversionFailed, match=words):
        converted(tmp_path / name)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_command, "backend_python", lambda _home: PYTHON)
    torch.save(weights(), tmp_path / "model.pt")
    assert (
        main(["--home", str(tmp_path / "home"), "convert", str(tmp_path / "model.pt"), "--to", str(tmp_path / "to")])
        == 0
    )
    assert str(tmp_path / "to" / "model.safetensors") in capsys.readouterr().out
    assert main(["--home", str(tmp_path / "home"), "convert", str(tmp_path / "nothing.pt")]) == 1
    assert "nothing.pt was not converted: there is no such file" in capsys.readouterr().err


def test_nothing_of_the_users_reaches_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    seen: list[dict[str, str]] = []
    real = subprocess.Popen

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append(options["env"])
        return real(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", watched)
    torch.save(weights(), tmp_path / "model.pt")
    converted(tmp_path / "model.pt")
    assert set(seen[0]) <= {"HOME", "TMPDIR", "OMP_NUM_THREADS", "SYSTEMROOT", "LD_LIBRARY_PATH"}
