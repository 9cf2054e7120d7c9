"""A program of its own that turns one pickled model into a safetensors file: `python -I converting.py FILE TARGET`.

It imports nothing of ours, and is run by `underpaint convert` with a clean environment. A pickle may ask for any
program to be run when it is opened. So it is opened in four fences: torch's loader for weights alone, which calls
nothing that isn't known to be harmless; a hook that refuses sockets, processes, code, and files other than the two;
limits on memory and on what is written; and a process that knows nothing worth taking. Each would do.

It prints a line of JSON for each step: {"progress": 0..1, "doing": "..."}, at last {"tensors": n, "dropped": [...]} or
{"error": "..."}. TARGET must not exist; what calls this gives it its final name when all went well.
"""

import json
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import safetensors
import torch

_MIB = 1 << 20
_DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.int64: "I64", torch.int32: "I32",
    torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
# What trainers pickle beside the weights; it holds settings, and is left out by giving it a class that does nothing.
_HARMLESS = ("pytorch_lightning.", "lightning.", "lightning_fabric.", "omegaconf.", "numpy.", "argparse.Namespace")
_WRAPPERS = ("state_dict", "model_state_dict", "module", "params_ema", "params")
_REFUSED = (
    "_winapi.", "code.__new__", "compile", "ctypes.", "exec", "fcntl.", "ftplib.", "function.__new__", "gc.", "http.",
    "import", "marshal.", "mmap.__new__", "msvcrt.", "nntplib.", "os.", "pathlib.", "pickle.", "poplib.", "pty.",
    "resource.", "shutil.", "signal.", "smtplib.", "socket.", "sqlite3.", "subprocess.", "sys._", "sys.addaudithook",
    "sys.set", "syslog.", "tempfile.", "urllib.", "webbrowser.", "winreg.",
)  # fmt: skip
_MAPPED_MIB = 1024  # of addresses beside the model's own: the libraries' buffers


class Refused(Exception):
    """Something that converting doesn't need was asked for; the message says what."""


class Inert:
    """Stands for a class of a trainer's: takes anything and does nothing."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def main() -> int:
    """Convert; 0 when it went well."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        size = source.stat().st_size
        _check_archive(source, size)
        _allow_harmless(source)
        _warm_up()
        _limit(size)
        _fence(source, target)
        _tell(0.02, "Reading")
        tensors, dropped = _weights(_loaded(source))
        _write(target, tensors, {"format": "pt", "converted_from": source.name, "converted_by": "underpaint convert"})
        _compare(target, tensors)
    except MemoryError:
        return _fail("it asks for far more memory than a model of its size needs")
    except Exception as error:
        return _fail(_reason(error))
    print(json.dumps({"tensors": len(tensors), "dropped": dropped[:20]}), flush=True)
    return 0


def _fail(reason: str) -> int:
    print(json.dumps({"error": reason}), flush=True)
    return 1


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split())
    if isinstance(error, Refused):
        return f"{words}, which no model needs. Nothing of it was run; don't use this file"
    if "alloc" in words and ("memory" in words or "bytes" in words):
        return "it asks for far more memory than a model of its size needs"
    if "Unsupported global" in words or "GLOBAL " in words or "Unsupported operand" in words:
        found = words.partition("GLOBAL ")[2].split(" ")[0] or "something"
        return f"it asks for {found} to be called when it is opened. Nothing of it was run; don't use this file"
    if isinstance(error, OSError):
        return f"{error.strerror or words}"
    return f"it isn't read as weights alone ({words[:200] or type(error).__name__})"


def _check_archive(source: Path, size: int) -> None:
    """Refuse archives that would unpack to more than they are: torch stores what it saves as it is."""
    if not zipfile.is_zipfile(source):
        return
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
        packed = next((entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED), None)
        if packed is not None or sum(entry.file_size for entry in entries) > size:
            raise Refused(f"it unpacks to {sum(entry.file_size for entry in entries)} bytes from {size}")


def _allow_harmless(source: Path) -> None:
    """Let trainers' settings pass, as nothings. Raises Refused, naming it, for anything else that isn't weights."""
    if not zipfile.is_zipfile(source):
        return
    asked = torch.serialization.get_unsafe_globals_in_checkpoint(str(source))
    for name in asked:
        if not name.startswith(_HARMLESS):
            raise Refused(f"it asks for {name} to be called when it is opened")
        stand_in = type(name.rpartition(".")[2], (Inert,), {})
        serialization: Any = torch.serialization
        serialization.add_safe_globals([(stand_in, name)])


def _warm_up() -> None:
    """Have torch import what it needs while that is still allowed."""
    import io

    torch.set_num_threads(1)
    held = io.BytesIO()
    torch.save({"a": torch.zeros(2, dtype=torch.bfloat16)}, held)
    for legacy in (False, True):
        held = io.BytesIO()
        torch.save({"a": torch.zeros(2)}, held, _use_new_zipfile_serialization=not legacy)
        held.seek(0)
        torch.load(held, map_location="cpu", weights_only=True)


def _limit(size: int) -> None:
    """Bound memory by the file's size, what is written by little more, and leave no image of a crash."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; the other fences stand
        return
    soft_files = size + 64 * _MIB
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft_files, soft_files))
    pages = Path("/proc/self/statm")
    if pages.is_file():
        used = int(pages.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        most = used + 4 * size + _MAPPED_MIB * _MIB
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _fence(source: Path, target: Path) -> None:
    """Refuse, from here on and for good, whatever converting doesn't need."""
    readable, writable = {str(source), str(target)}, str(target)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path = arguments[0]
            mode = arguments[1] if isinstance(arguments[1], str) else "r"
            shown = os.fsdecode(path) if isinstance(path, str | bytes) else path
            if isinstance(path, int) or (shown == writable or (shown in readable and not set(mode) & set("wax+"))):
                return
            raise Refused(f"it opens {str(shown)[:200]}")
        if event.startswith(_REFUSED):
            raise Refused(f"it asks for {event}")

    sys.addaudithook(watch)


def _loaded(source: Path) -> Any:
    path = str(source)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_archive(source))


def _is_archive(source: Path) -> bool:
    """Whether torch wrote it in its newer format, which can be mapped."""
    with source.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def _weights(content: Any) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The tensors by name, and the names of what is no tensor. Raises ValueError where there is none."""
    if isinstance(content, Mapping):
        inside = cast("Mapping[str, Any]", content)
        for wrapper in _WRAPPERS:
            if isinstance(inside.get(wrapper), Mapping):
                inside = cast("Mapping[str, Any]", inside[wrapper])
                break
        if isinstance(inside.get("string_to_param"), Mapping):  # a textual inversion of A1111's
            vectors = list(cast("Mapping[str, Any]", inside["string_to_param"]).values())
            inside = {"emb_params": vectors[0]}
        content = inside
    tensors: dict[str, torch.Tensor] = {}
    dropped: list[str] = []
    for name, value in _flat(content, ""):
        if not isinstance(value, torch.Tensor):
            dropped.append(name)
        elif value.layout is not torch.strided or value.dtype not in _DTYPES:
            raise ValueError(f"{name} is {value.dtype}, {value.layout}")
        else:
            tensors[name] = value.detach()
    if not tensors:
        raise ValueError("there are no weights in it")
    return tensors, dropped


def _flat(content: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(content, Mapping):
        for key, value in cast("Mapping[object, Any]", content).items():
            yield from _flat(value, f"{name}.{key}" if name else str(key))
    else:
        yield name or "tensor", content


def _bytes(tensor: torch.Tensor) -> memoryview:
    flat: Any = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(flat)


def _write(target: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """One tensor after the other, so that no second copy of the model is in memory."""
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # as the format wants them aligned
    header: dict[str, Any] = {"__metadata__": metadata}
    place = 0
    for name in order:
        end = place + tensors[name].numel() * tensors[name].element_size()
        header[name] = {
            "dtype": _DTYPES[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [place, end],
        }
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with target.open("xb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        done = 0
        for number, name in enumerate(order):
            done += stream.write(_bytes(tensors[name])) if tensors[name].numel() else 0
            if number % 50 == 0:
                _tell(0.05 + 0.65 * done / max(place, 1), "Writing")
        stream.flush()
        os.fsync(stream.fileno())


def _compare(target: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Read back what was written. Raises OSError where it isn't what was read."""
    opened: Any = safetensors
    with opened.safe_open(str(target), framework="pt") as written:
        if set(cast("list[str]", written.keys())) != set(tensors):
            raise OSError("what was written is not what was read; look at the disk")
        for number, name in enumerate(tensors):
            found: torch.Tensor = written.get_tensor(name)
            same = found.dtype == tensors[name].dtype and found.shape == tensors[name].shape
            if not same or _bytes(found) != _bytes(tensors[name]):
                raise OSError(f"what was written of {name} is not what was read; look at the disk")
            if number % 50 == 0:
                _tell(0.7 + 0.3 * number / len(tensors), "Comparing")


def _tell(progress: float, doing: str) -> None:
    print(json.dumps({"progress": round(progress, 3), "doing": doing}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
