"""Checkpoints of real sizes with random weights, painted on this machine: peak memory, seconds by phase, the plan.

    .venvs/main/bin/python bench/full_size.py sd15 --size 512 --steps 2
    .venvs/main/bin/python bench/full_size.py sdxl --size 256 --steps 1 --budget 12

SD 1.5 comes with three ControlNets, SDXL with two. The folders are written to a temporary place (SD 1.5 4.2 GB, SDXL
12 GB) and removed; the job runs in a process of its own through the worker's JobRunner.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "backend" / "worker"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

NETS = {"sd15": 3, "sdxl": 2, "mid": 2}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=NETS)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1, help="the same job again, with the models in memory")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--budget", type=float, help="GiB")
    parser.add_argument("--folder", type=Path, help="keep the models here, or find them here")
    parser.add_argument("--paint", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.paint:
        paint(options)
        return 0
    with tempfile.TemporaryDirectory(prefix="underpaint-full-size-") as temporary:
        models = options.folder or Path(temporary)
        build(options.kind, models)
        command = [sys.executable, __file__, *sys.argv[1:], "--paint", "--folder", str(models)]
        return subprocess.run(command, check=False).returncode


def build(kind: str, models: Path) -> None:
    """The folders, unless they are there; in this process, so that the other one's peak is the job's alone."""
    from full_size_models import build_checkpoint, build_controlnet

    started = time.perf_counter()
    if not (models / kind).is_dir():
        build_checkpoint(kind, models / kind)
    for index in range(NETS[kind]):
        if not (models / f"{kind}-net{index}").is_dir():
            build_controlnet(kind, models / f"{kind}-net{index}", seed=1000 * (index + 1))
    size = sum(file.stat().st_size for file in models.rglob("*.safetensors"))
    print(f"models: {size / 1e9:.1f} GB on disk, built in {time.perf_counter() - started:.0f} s", flush=True)


def paint(options: argparse.Namespace) -> None:
    import numpy as np
    from underpaint.backend.blobstore import BlobStore
    from underpaint.protocol.geometry import Extent
    from underpaint.protocol.request import Control, ControlKind, GenerateRequest, Precision
    from underpaint.protocol.sources import ReadyMap
    from worker_runner import Job, make_runner

    with tempfile.TemporaryDirectory() as folder:
        blobs = BlobStore(Path(folder))
        runner = make_runner(blobs, options.folder)
        image = np.random.default_rng(0).integers(0, 256, (options.size, options.size, 3), dtype=np.uint8)
        controls = tuple(
            Control(
                kind=ControlKind.TILE,
                source=ReadyMap(image=blobs.write_array(image)),
                controlnet=f"{options.kind}-net{index}",
            )
            for index in range(NETS[options.kind])
        )
        request = GenerateRequest(
            prompt="a room",
            negative_prompt="blurry",
            checkpoint=options.kind,
            size=Extent(width=options.size, height=options.size),
            controls=controls,
            steps=options.steps,
            precision=Precision(options.precision),
            memory_budget_gb=options.budget,
        )
        before, watch = memory(), Watch()
        for _ in range(options.jobs):
            started = time.perf_counter()
            result = Job(runner, request).run()
            took = time.perf_counter() - started
            phases: Counter[str] = Counter()
            for timing in result.timings:
                phases[timing.phase] += timing.ms / 1000
            assert result.image is not None
            picture = blobs.read_array(result.image)
            print(result.plan)
            for note in result.notes:
                print("note:", note)
            print("seconds:", json.dumps({name: round(value, 1) for name, value in phases.items()}), f"all {took:.1f}")
            print(f"picture: mean {picture.mean():.1f}, deviation {picture.std():.1f}")
        watch.stop()
        of_this = "; ".join(f"{name} {watch.peak[name]:.2f} GiB" for name in ("RssAnon", "VmRSS"))
        print(f"peak: {of_this} (before the job {before['RssAnon']:.2f} and {before['VmRSS']:.2f})", flush=True)


def memory() -> dict[str, float]:
    """GiB of this process: VmRSS, and of it RssAnon, which is without files that are mapped and may go at any time."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {words[0][:-1]: int(words[1]) / (1 << 20) for words in lines if words[0] in ("VmRSS:", "RssAnon:")}


class Watch:
    """Looks at the memory fifty times a second."""

    def __init__(self) -> None:
        self.peak = memory()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopped.wait(0.02):
            for name, value in memory().items():
                self.peak[name] = max(self.peak[name], value)


if __name__ == "__main__":
    sys.exit(main())
