"""What the passes of a 64,000-face scene cost, and the passes with every control map; printed and kept nowhere.

    UNDERPAINT_BACKEND_PYTHON=.venvs/main/bin/python .venvs/bpy-5.0/bin/python bench/passes.py

"seconds" is the time on the clock, "processor" that of all threads of Blender together, which other work on the
machine does not stretch. The maps are made by the service's own worker, with the built-in model's family, as the
preview of the control maps asks for them; `--no-maps` leaves them out and needs no backend.
"""

import argparse
import contextlib
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import bpy
from surroundings import service, silence
from underpaint import addon
from underpaint.protocol import client
from underpaint.protocol.geometry import Extent

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure each size and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048], help="pixels each side")
    parser.add_argument("--runs", type=int, default=5, help="after one to warm up")
    parser.add_argument("--no-maps", action="store_true", help="the passes alone")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "addon" / "acceptance"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UNDERPAINT_HOME"] = folder
        addon.register()
        try:
            with silence():
                importlib.import_module("passes_stage").wide_stage()
            _head(options.runs)
            with contextlib.nullcontext() if options.no_maps else service() as connection:
                for side in options.sizes:
                    _size(side, connection, options.runs)
        finally:
            addon.unregister()


def _size(side: int, connection: Any, runs: int) -> None:
    from underpaint.addon.capture import NOTHING_MORE, Wants

    extent = Extent(width=side, height=side)
    _row(f"{side}: depth, normals, positions", runs, lambda: _capture(extent, NOTHING_MORE))
    _row(f"{side}: nine passes", runs, lambda: _capture(extent, Wants(ids=True, uv=True, motion=True)))
    if connection is not None:
        _row(f"{side}: passes and all maps", runs, lambda: _maps(extent, connection))


def _capture(extent: Extent, wants: Any) -> Any:
    from underpaint.addon.capture import People, capture

    return capture(bpy.context.scene, extent=extent, people=People.LEFT_OUT, wants=wants)


def _maps(extent: Extent, connection: Any) -> None:
    """Capture once, and have every map made that needs no picture."""
    from underpaint.addon.capture import Wants
    from underpaint.addon.controls import ControlSettings
    from underpaint.addon.generation import Settings, maps_request
    from underpaint.protocol.request import ControlKind

    kinds = [kind for kind in ControlKind if kind.name in _FROM_GEOMETRY]
    scene = bpy.context.scene
    scene.underpaint.controls.clear()
    settings = _replace(Settings.from_scene(scene), tuple(ControlSettings(kind=kind) for kind in kinds))
    seen = _capture(extent, Wants(ids=True))
    request = maps_request(settings, seen, connection.upload)
    job = client.wait(connection, connection.submit(request, client="blender"))
    assert job.result is not None
    for ref in job.result.control_maps:
        connection.download(ref)


_FROM_GEOMETRY = (
    "DEPTH", "NORMAL", "CANNY", "LINEART", "LINEART_ANIME", "SOFTEDGE", "SCRIBBLE", "MLSD", "SEGMENTATION"
)  # fmt: skip


def _replace(settings: Any, controls: tuple[Any, ...]) -> Any:
    import dataclasses

    from underpaint.addon import segmentation

    classes = segmentation.classes(bpy.context.scene)
    return dataclasses.replace(settings, controls=controls, default_controls=False, classes=classes)


def _head(runs: int) -> None:
    load = os.getloadavg()[0]
    print(f"Blender {bpy.app.version_string}, {os.cpu_count()} cores, load {load:.1f}, {runs} runs each; seconds")
    print(f"{'':34}{'median':>10}{'least':>10}{'most':>10}{'processor':>12}")


def _row(words: str, runs: int, work: Callable[[], object]) -> None:
    seconds: list[float] = []
    processor: list[float] = []
    for _ in range(runs + 1):
        with silence():
            began, spent = time.perf_counter(), time.process_time()
            work()
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - spent)
    wall = seconds[1:]
    print(f"{words:34}{median(wall):10.3f}{min(wall):10.3f}{max(wall):10.3f}{median(processor[1:]):12.3f}", flush=True)


if __name__ == "__main__":
    main()
