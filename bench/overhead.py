"""What a click on Render costs beside the model's own work: medians of each phase, printed and kept nowhere.

Needs Blender's Python and the backend's, each in its own environment:

    UNDERPAINT_BACKEND_PYTHON=.venvs/main/bin/python .venvs/bpy-5.0/bin/python bench/overhead.py

The scene is the demo's, the model the built-in one; all it writes lies in a temporary folder and goes.
"""

import argparse
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median

import bpy
from surroundings import service, silence
from underpaint import addon
from underpaint.demo import report, scene


def main() -> None:
    """Render several times and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="pixels each side")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7, help="after one to warm up")
    parser.add_argument("--blend", type=Path, help="a scene; default: build the demo's")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UNDERPAINT_HOME"] = folder
        addon.register()
        try:
            _open(options)
            with service():
                clicks = [_click(seed) for seed in range(options.runs + 1)][1:]
        finally:
            addon.unregister()
    _print(clicks, options)


def _open(options: argparse.Namespace) -> None:
    if options.blend is None:
        with silence():
            scene.build(options.size)
    else:
        bpy.ops.wm.open_mainfile(filepath=str(options.blend))
    opened = bpy.context.scene
    opened.render.engine = "UNDERPAINT"
    opened.render.resolution_x = opened.render.resolution_y = options.size
    opened.underpaint.steps = options.steps


def _click(seed: int) -> report.Click:
    from underpaint.addon import images

    bpy.context.scene.underpaint.seed = seed
    with silence():
        began = time.perf_counter()
        bpy.ops.render.render()
        click_ms = (time.perf_counter() - began) * 1e3
    details = images.details_of(images.results()[0])
    if details.request.seed != seed:
        raise SystemExit("the render made no picture; run it without this bench to see why")
    return report.click({"click_ms": click_ms, "timings": [asdict(timing) for timing in details.timings]})


def _print(clicks: list[report.Click], options: argparse.Namespace) -> None:
    print(
        f"{options.size} x {options.size}, {options.steps} steps, {len(clicks)} clicks, "
        f"Blender {bpy.app.version_string}, {os.cpu_count()} cores; milliseconds"
    )
    print(f"{'':34}{'median':>10}{'least':>10}{'most':>10}")

    def row(words: str, values: list[float]) -> None:
        print(f"{words:34}{median(values):10.1f}{min(values):10.1f}{max(values):10.1f}")

    for name in (*report.BESIDE, "other"):
        row(f"  {report.WORDS[name]}", [entry.phases_ms[name] for entry in clicks])
    row("beside the model", [entry.beside_ms for entry in clicks])
    row("the model's own work", [entry.click_ms - entry.beside_ms for entry in clicks])
    row("from the click to the picture", [entry.click_ms for entry in clicks])


if __name__ == "__main__":
    main()
