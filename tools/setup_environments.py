"""Make the project's virtual environments under .venvs/, or do nothing when they are as they should be.

Run by the system's Python, so it imports the standard library alone. pip installs uv into a small
environment of its own, and uv does the rest: it is ten times as quick, and it asks only the registry.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import time
import tomllib
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from system_packages import ensure_system_packages

ROOT = Path(__file__).resolve().parents[1]
VENVS = ROOT / ".venvs"
CONSTRAINTS = ROOT / "constraints"
UV_PIN = CONSTRAINTS / "uv.txt"

_BLENDER_PYTHON = (3, 11)  # what bpy's wheels of 4.2 to 5.0 are built for


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One virtual environment: what is asked for, and the file that pins it."""

    name: str
    sources: tuple[str, ...]  # arguments of `uv pip compile`
    extras: tuple[str, ...] = ()  # of the project itself
    constraints: tuple[str, ...] = ()  # other pin files that it must agree with
    universal: bool = False  # pins for every platform and Python, not only these

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return VENVS / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def pins(self) -> Path:
        """Its pin file."""
        return CONSTRAINTS / f"{self.name}.txt"

    @property
    def stamp(self) -> Path:
        """Written last; says what it was made from."""
        return self.folder / "made-from"


# The backend's pins ship in the extension, whose button installs exactly them.
BACKEND_PINS = Environment(name="backend", sources=("pyproject.toml", "--extra", "backend"), universal=True)

# Backend, panel and developers' tools share an environment: their rooms are kept apart by the import
# contracts, and one copy of torch is enough.
MAIN = Environment(
    name="main",
    sources=("pyproject.toml", "--extra", "backend", "--extra", "panel", "--group", "dev"),
    extras=("backend", "panel"),
    constraints=("backend.txt",),
)
BLENDERS = tuple(
    Environment(name=f"bpy-{version}", sources=(f"constraints/bpy-{version}.in",)) for version in ("4.2", "4.5", "5.0")
)
ENVIRONMENTS = (MAIN, *BLENDERS)


class SetupFailed(Exception):
    """A step did not succeed; the message is for the person at the terminal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is missing or out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *(e.name for e in ENVIRONMENTS)], help="default: all")
    parser.add_argument("--compile", action="store_true", help="pin anew instead")
    parser.add_argument("--no-system", action="store_true", help="leave the system's packages alone")
    options = parser.parse_args(arguments)
    try:
        if options.compile:
            compile_pins()
            return 0
        _require_python()
        if not options.no_system:
            ensure_system_packages()
        for environment in ENVIRONMENTS:
            if not options.names or environment.name in options.names:
                make(environment)
    except SetupFailed as failure:
        sys.stderr.write(f"setup: {failure}\n")
        return 1
    return 0


def make(environment: Environment) -> None:
    """Bring one environment to its pins. Anything else that was in it goes."""
    wanted = _fingerprint(environment)
    if environment.python.exists() and environment.stamp.exists() and environment.stamp.read_text() == wanted:
        return
    started = time.monotonic()
    print(f"setup: making .venvs/{environment.name} ...", flush=True)
    uv = _uv()
    environment.stamp.unlink(missing_ok=True)
    if not environment.python.exists():
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment.folder)
    _run(uv, "pip", "sync", "--quiet", "--python", environment.python, environment.pins)
    project = "." + (f"[{','.join(environment.extras)}]" if environment.extras else "")
    _run(uv, "pip", "install", "--quiet", "--python", environment.python, "--no-deps", "--editable", project)
    environment.stamp.write_text(wanted)
    print(f"setup: .venvs/{environment.name} made in {time.monotonic() - started:.0f} s", flush=True)


def compile_pins() -> None:
    """Resolve every pin file anew. No file names the index that answered."""
    uv = _uv()
    for environment in (BACKEND_PINS, *ENVIRONMENTS):
        agreeing = [part for name in environment.constraints for part in ("--constraints", f"constraints/{name}")]
        _run(
            uv, "pip", "compile", "--quiet", "--upgrade", "--no-header", "--no-annotate",
            "--no-emit-index-url", "--no-emit-find-links",
            "--python-version", ".".join(map(str, _BLENDER_PYTHON)),
            *(["--universal"] if environment.universal else []),
            *agreeing,
            "--output-file", environment.pins.relative_to(ROOT),
            *environment.sources,
        )  # fmt: skip
        print(f"setup: wrote {environment.pins.relative_to(ROOT)}", flush=True)


def _fingerprint(environment: Environment) -> str:
    """What the environment depends on, as one line."""
    digest = hashlib.sha256()
    for part in (environment.pins, Path(__file__), UV_PIN):
        digest.update(part.read_bytes())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    # The rest of that file is the linters' and pytest's; no environment is made anew for those.
    digest.update(repr((project["build-system"], project["project"], project["tool"]["setuptools"])).encode())
    digest.update(f"{sys.version} {sys.executable} {ROOT}".encode())
    return digest.hexdigest() + "\n"


def _uv() -> Path:
    """uv at its pinned version, fetched by pip the first time."""
    folder = VENVS / "uv"
    stamp = folder / "made-from"
    wanted = UV_PIN.read_text() + sys.version
    if not (stamp.exists() and stamp.read_text() == wanted):
        venv.create(folder, clear=True, with_pip=True)
        _run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input", "--requirement", UV_PIN)
        stamp.write_text(wanted)
    return folder / "bin" / "uv"


def _require_python() -> None:
    if sys.version_info[:2] != _BLENDER_PYTHON:
        raise SetupFailed(
            f"Blender's Python modules are built for Python {'.'.join(map(str, _BLENDER_PYTHON))}, "
            f"and this is {sys.version.split()[0]}; install python3.11 or run `make PYTHON=/path/to/python3.11 ...`"
        )


def _run(*command: object) -> None:
    arguments = [str(part) for part in command]
    # The settings of the person at the terminal (another index, a cache elsewhere) stay in force.
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    if subprocess.run(arguments, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=False).returncode:
        raise SetupFailed(f"this did not succeed: {' '.join(arguments)}")


if __name__ == "__main__":
    sys.exit(main())
