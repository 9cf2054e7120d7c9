"""Run by the environment's own Python: `python -I inside.py packages|whole PINS`, `torch`, `imports NAME...`.

It prints JSON. A program of its own: it imports nothing of ours, and what it imports of others it may find broken.
"""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any


def packages(pins: str) -> dict[str, Any]:
    """Which pinned packages are missing, of another version, or damaged: {name: what is wrong}."""
    requirement = _requirement()
    wrong: dict[str, str] = {}
    versions: dict[str, str] = {}
    for line in Path(pins).read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        wanted = requirement(line.strip())
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            found = importlib.metadata.distribution(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            wrong[wanted.name] = "missing"
            continue
        versions[wanted.name] = found.version
        if not wanted.specifier.contains(found.version, prereleases=True):
            wrong[wanted.name] = f"{found.version} where {str(wanted.specifier).lstrip('=')} is wanted"
        else:
            damage = _damage(found)
            if damage:
                wrong[wanted.name] = damage
    pip = importlib.util.find_spec("pip") is not None
    return {"python": sys.version.split()[0], "pip": pip, "wrong": wrong, "versions": versions}


def whole(pins: str) -> dict[str, Any]:
    """Nothing, where all packages are as they should be; else the program ends with what is wrong."""
    wrong = packages(pins)["wrong"]
    if wrong:
        sys.exit("; ".join(f"{name}: {what}" for name, what in wrong.items()))
    return {}


def _requirement() -> Any:
    """packaging's class that reads a pin; pip's own copy where there is one, as the package itself may be broken."""
    for name in ("pip._vendor.packaging.requirements", "packaging.requirements"):
        try:
            return importlib.import_module(name).Requirement
        except ImportError as error:
            missing = error
    raise missing


def _damage(found: importlib.metadata.Distribution) -> str:
    """The first installed file that is gone or of another size than the package's list says."""
    files = found.files
    if files is None:
        return "its list of files is gone"
    for file in files:
        if file.size is None or file.suffix == ".pyc" or ".." in file.parts:  # scripts are rewritten when installed
            continue
        try:
            size = os.stat(str(file.locate())).st_size  # noqa: PTH116 - 60,000 of them
        except OSError:
            return f"{file} is gone"
        if size != file.size:
            return f"{file} is damaged"
    return ""


def torch() -> dict[str, Any]:
    """Where torch would paint."""
    found = importlib.import_module("torch")
    said: dict[str, Any] = {"version": found.__version__, "cuda": found.version.cuda, "rocm": found.version.hip}
    if found.cuda.is_available():
        free, total = found.cuda.mem_get_info(0)
        name = found.cuda.get_device_name(0)
        said |= {"device": "cuda", "name": name, "free": free, "total": total, "cards": found.cuda.device_count()}
    elif found.backends.mps.is_available():
        said |= {"device": "mps", "name": "Apple's graphics processor", "total": found.mps.recommended_max_memory()}
    else:
        said |= {"device": "cpu", "threads": found.get_num_threads()}
    return said


def imports(*names: str) -> dict[str, Any]:
    """What can't be imported, and why: {name: error}."""
    failed: dict[str, str] = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    return {"failed": failed}


def main() -> None:
    """Print one line of JSON as the last, whatever else is printed before."""
    what, *arguments = sys.argv[1:]
    said = {"packages": packages, "whole": whole, "torch": torch, "imports": imports}[what](*arguments)
    print("\n" + json.dumps(said), flush=True)
    os._exit(0)  # a library's own end must not turn an answer into a failure


if __name__ == "__main__":
    main()
