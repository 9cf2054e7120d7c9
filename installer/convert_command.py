"""`underpaint convert`: pickled models to safetensors, in a locked-down process of the backend's Python.

That process is `backend/worker/models/converting.py`, a program of its own; this looks for the files, watches it, and
gives what it wrote its name. Nothing is ever written over.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..protocol.client import Home, backend_python
from ..protocol.errors import ConversionFailed

PICKLED = (".bin", ".ckpt", ".pt", ".pth")
_PROGRAM = Path(__file__).resolve().parents[1] / "backend" / "worker" / "models" / "converting.py"
_COPIED = (".json", ".txt", ".model", ".safetensors", ".md", ".yaml")  # beside the weights of a folder
_DESCRIPTION = """\
Pickled models (.ckpt, .pt, .pth, .bin) may run any program when they are opened, so
Underpaint reads safetensors alone. This makes those of them, in a process that can
do nothing but read the one file and write the other. The pickle stays as it is.
"""

Tell = Callable[[float, str], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file to convert."""

    source: Path
    target: Path


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    convert = commands.add_parser(
        "convert",
        help="make safetensors of a pickled model",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    convert.add_argument("model", type=Path, metavar="FILE", help="a pickled file, or a folder with such files")
    convert.add_argument("--to", type=Path, metavar="FOLDER", help="write there instead of beside it")
    convert.set_defaults(run=_run)


def _run(home: Home, options: argparse.Namespace) -> int:
    source: Path = options.model.expanduser().absolute()
    to: Path | None = options.to.expanduser().absolute() if options.to else None
    for job in convert(backend_python(home), source, to, _show):
        print(f"\r{job.target}{' ' * 20}")
    return 0


def _show(progress: float, doing: str) -> None:
    if sys.stdout.isatty():
        print(f"\r{progress * 100:3.0f} %  {doing:<40}", end="", flush=True)


def convert(python: Path, source: Path, to: Path | None, tell: Tell) -> Iterator[Job]:
    """Convert a file, or every pickled one in a folder; gives each job once it is done.

    Raises ConversionFailed. What was converted until then is kept.
    """
    jobs = list(plan(source, to))
    for number, job in enumerate(jobs):

        def told(progress: float, doing: str, number: int = number, job: Job = job) -> None:
            tell((number + progress) / len(jobs), f"{doing} {job.source.name}")

        _convert(python, job, told)
        yield job
    if source.is_dir():
        _complete(source, to or source)


def plan(source: Path, to: Path | None) -> Iterator[Job]:
    """What is to be done. Raises ConversionFailed where that is nothing, or something would be written over."""
    if source.is_dir():
        found = sorted(file for pattern in ("*", "*/*") for file in source.glob(pattern) if file.suffix in PICKLED)
        if not found:
            raise ConversionFailed(model=source, reason="there are no pickled weights in this folder or one below it")
        root = source
    elif source.is_file():
        if source.suffix == ".safetensors":
            raise ConversionFailed(model=source, reason="it is a safetensors file already, and can be used as it is")
        found, root = [source], source.parent
    else:
        raise ConversionFailed(model=source, reason="there is no such file or folder")
    for file in found:
        if not os.access(file, os.R_OK):
            raise ConversionFailed(model=file, reason="you aren't allowed to read it; change its permissions")
        target = (to or root) / file.relative_to(root).with_name(_renamed(file.name))
        if os.path.lexists(target):
            raise ConversionFailed(model=file, reason=f"{target} is there already. Use it, or move it away first")
        yield Job(source=file, target=target)


def _renamed(name: str) -> str:
    """transformers calls its pickles otherwise than its safetensors; diffusers keeps the name."""
    stem, suffix = Path(name).stem, Path(name).suffix
    if suffix == ".bin" and stem.split(".")[0].split("-")[0] == "pytorch_model":
        stem = stem.replace("pytorch_model", "model", 1)
    return f"{stem}.safetensors"


def _convert(python: Path, job: Job, tell: Tell) -> None:
    folder = job.target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=folder, prefix=".converting-"))
    except OSError as error:
        raise ConversionFailed(model=job.source, reason=f"{folder} can't be written to ({error.strerror})") from error
    try:
        written = aside / "model.safetensors"
        _watched(python, job.source, written, aside, tell)
        _named(written, job)
    except OSError as error:
        raise ConversionFailed(model=job.source, reason=f"{folder}: {error.strerror}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _watched(python: Path, source: Path, target: Path, folder: Path, tell: Tell) -> None:
    """Run the program. Raises ConversionFailed with what it says, or with how it ended."""
    command = [str(python), "-I", "-B", "-W", "ignore", str(_PROGRAM), str(source.resolve()), str(target)]
    # Nothing of the user's: neither tokens nor proxies nor places where Python would look for more code.
    kept = {name: os.environ[name] for name in ("SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ}
    environment = {**kept, "HOME": str(folder), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    last: dict[str, Any] = {}
    try:
        assert process.stdout is not None
        for line in process.stdout:
            last = _line(line)
            if "progress" in last:
                tell(float(last["progress"]), str(last["doing"]))
        code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if code == 0 and "tensors" in last:
        return
    raise ConversionFailed(model=source, reason=str(last["error"]) if "error" in last else _ending(code))


def _line(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _ending(code: int) -> str:
    if sys.platform != "win32" and code < 0:
        name = signal.Signals(-code).name
        if name == "SIGXFSZ":
            return "it would become larger than it is, which no model does; don't use this file"
        return f"the process that read it was ended by {name}: it asks for more memory than there is, or is damaged"
    return f"the process that read it ended with {code}; is the backend whole? See: underpaint doctor"


def _named(written: Path, job: Job) -> None:
    """Give the file its name, unless something has it by now."""
    try:
        if sys.platform == "win32":
            written.rename(job.target)  # which never replaces there
        else:
            try:
                job.target.hardlink_to(written)
            except OSError as error:
                if isinstance(error, FileExistsError) or os.path.lexists(job.target):
                    raise FileExistsError(*error.args) from error
                written.rename(job.target)  # a disk without hard links
    except FileExistsError as error:
        raise ConversionFailed(
            model=job.source, reason=f"{job.target} is there by now; nothing was replaced"
        ) from error


def _complete(source: Path, to: Path) -> None:
    """What a folder has besides its weights: copied where they went, and the names in the lists of shards changed."""
    for pattern in ("*", "*/*"):
        for file in sorted(source.glob(pattern)):
            if not file.is_file():
                continue
            if file.name.endswith(".bin.index.json"):
                _convert_index(file, to / file.relative_to(source))
            elif to != source and file.suffix in _COPIED and not (to / file.relative_to(source)).exists():
                (to / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, to / file.relative_to(source))


def _convert_index(file: Path, beside: Path) -> None:
    content = json.loads(file.read_bytes())
    content["weight_map"] = {key: _renamed(shard) for key, shard in content.get("weight_map", {}).items()}
    stem = file.name.removesuffix(".bin.index.json").replace("pytorch_model", "model", 1)
    target = beside.with_name(f"{stem}.safetensors.index.json")
    if not target.exists():
        target.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
