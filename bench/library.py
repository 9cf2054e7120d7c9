"""The list of models: how long a first look takes, how soon the list is there on a later start, and a look anew.

2,000 files with the headers of real models at full size, in ComfyUI's folders. The data are holes in sparse files, and
so cost neither disk nor time: none is ever read. A plain walk with `os.stat`, and reading the same headers with the
safetensors library, are measured beside it.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5


def main() -> int:
    """Make the files, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--open", nargs=3, metavar=("MODELS", "CACHE", "ASK"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        return open_once(*map(Path, options.open[:2]), ask=options.open[2] == "ask")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},"
          f" load {os.getloadavg()[0]:.1f}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_HUB_CACHE"] = str(Path(folder) / "no-cache")
        comfy, models = Path(folder) / "ComfyUI", Path(folder) / "home" / "models"
        models.mkdir(parents=True)
        print(f"{make(comfy, options.files)} files, {header_bytes(comfy) / 1e6:.0f} MB of headers")
        measure(comfy, models, Path(folder) / "home" / "models.json")
    return 0


def make(comfy: Path, count: int) -> int:
    """The files: mostly LoRAs, as people have them. In a process of its own, which needs torch."""
    script = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests" / "backend" / "library")!r})
import full_size_headers as full
from pathlib import Path
models = Path({str(comfy)!r}) / "models"
plan = (("loras", full.kohya_lora("sdxl"), 8), ("loras", full.kohya_lora("sd15"), 6),
        ("checkpoints", full.checkpoint("sdxl"), 2), ("checkpoints", full.checkpoint("sd15"), 1),
        ("controlnet", full.controlnet("sd15"), 1), ("controlnet", full.controlnet("sdxl"), 1),
        ("vae", full.vae(), 1))
turns = [(place, shapes) for place, shapes, share in plan for _ in range(share)]
for number in range({count}):
    place, shapes = turns[number % len(turns)]
    told = {{"ss_tag_frequency": '{{"1_x": {{"word %d": 20, "sky": 3}}}}' % number, "number": str(number)}}
    full.write(models / place / f"sub{{number % 7}}" / f"model {{number:05}}.safetensors", shapes, metadata=told)
(models / "vae").mkdir(exist_ok=True)
(models / "embeddings").mkdir()
"""
    subprocess.run([sys.executable, "-c", script], check=True, stderr=subprocess.DEVNULL)
    return sum(1 for _ in comfy.rglob("*.safetensors"))


def header_bytes(comfy: Path) -> int:
    """The length of all headers together."""
    total = 0
    for file in comfy.rglob("*.safetensors"):
        with file.open("rb") as stream:
            total += int.from_bytes(stream.read(8), "little")
    return total


def measure(comfy: Path, models: Path, cache: Path) -> None:
    """Each in turns, in this run; the first look in fresh processes."""
    from underpaint.backend.library.index import Index
    from underpaint.protocol import wire
    from underpaint.protocol.client.model_folders import add_model_folder
    from underpaint.protocol.models import ModelPage

    add_model_folder(models, comfy)
    before = peak_mb()
    times: dict[str, list[tuple[float, float]]] = {}
    for turn in range(ROUNDS):
        if turn < 3:
            cache.unlink(missing_ok=True)
            index = Index(models, cache)
            timed(times, "a first look: everything is read", index.look)
            timed(times, "  safetensors reads the same headers", lambda: read_with_safetensors(comfy))
        index = Index(models, cache)
        timed(times, "the list is there on a later start", index.open)
        text = timed(times, "  its answer as JSON", lambda index=index: wire.dumps(index.page()))
        timed(times, "  the client reads it", lambda text=text: wire.loads(ModelPage, text, ignore_unknown=True))
        timed(times, "a look anew: nothing has changed", index.look)
        timed(times, "  os.walk and os.stat of the same", lambda: walk(comfy))
        once(times, "a fresh Python: imports, list, JSON", models, cache)
    for what, taken in times.items():
        clock, processor = zip(*taken, strict=True)
        print(f"{what:<40} median {statistics.median(clock) * 1e3:7.1f} ms ({min(clock) * 1e3:.1f} to "
              f"{max(clock) * 1e3:.1f}), of the processor {statistics.median(processor) * 1e3:.1f}")  # fmt: skip
    print(f"{cache.stat().st_size / 1e6:.1f} MB are kept; peak memory {before:.0f} MB before, {peak_mb():.0f} MB after")
    index = Index(models, cache)
    index.open()
    assert len(index.page().models) == sum(1 for _ in comfy.rglob("*.safetensors"))
    assert not any(entry.problem for entry in index.page().models)


def timed(times: dict[str, list[tuple[float, float]]], what: str, call: Callable[[], object]) -> object:
    """Call, and note how long it took by the clock and of the processor's time, that of child processes with it."""
    start, busy = time.perf_counter(), _busy()
    answer = call()
    times.setdefault(what, []).append((time.perf_counter() - start, _busy() - busy))
    return answer


def _busy() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def once(times: dict[str, list[tuple[float, float]]], what: str, models: Path, cache: Path) -> None:
    """What a service does when it starts, in a process of its own."""
    command = [sys.executable, __file__, "--open", str(models), str(cache), "ask"]
    timed(times, what, lambda: subprocess.run(command, check=True))
    timed(times, "  the same without the list", lambda: subprocess.run([*command[:-1], "no"], check=True))


def open_once(models: Path, cache: Path, *, ask: bool) -> int:
    """Open the list and answer one question, as the first thing that a process does."""
    from underpaint.backend.library.index import Index
    from underpaint.protocol import wire

    index = Index(models, cache)
    if ask:
        index.open()
    wire.dumps(index.page())
    return 0


def read_with_safetensors(comfy: Path) -> None:
    """Open every file with the library that loads them."""
    from safetensors import safe_open

    for file in comfy.rglob("*.safetensors"):
        with safe_open(file, "np") as tensors:
            tensors.keys()


def walk(comfy: Path) -> None:
    """What can't be done without."""
    for folder, _, names in os.walk(comfy):
        for name in names:
            (Path(folder) / name).stat()


def peak_mb() -> float:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    sys.exit(main())
