"""How long it takes from the click on "Preview Control Maps" to the maps on the screen, and from a setting to its map.

Needs Blender's Python and the backend's, each in its own environment:

    UNDERPAINT_BACKEND_PYTHON=.venvs/main/bin/python .venvs/bpy-5.0/bin/python bench/inspector.py

The scene is the demo's, the backend warm; all it writes lies in a temporary folder and goes.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from statistics import median

import bpy
from surroundings import service, silence
from underpaint import addon
from underpaint.demo import scene

KINDS = ("DEPTH", "NORMAL", "OPENPOSE", "LINEART", "SEGMENTATION")


def main() -> None:
    """Look several times at each size and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024], help="pixels each side")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--runs", type=int, default=5, help="after one to warm up")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UNDERPAINT_HOME"] = folder
        addon.register()
        try:
            with service():
                print(f"Blender {bpy.app.version_string}, {os.cpu_count()} cores; milliseconds, median (least)")
                print(f"{'':22}{'three default controls':>26}{'with ' + ', '.join(options.kinds[3:]).lower():>36}")
                for size in options.sizes:
                    _measure(size, options.kinds, options.runs)
        finally:
            addon.unregister()


def _measure(size: int, kinds: list[str], runs: int) -> None:
    with silence():
        scene.build(size)
    opened = bpy.context.scene
    opened.render.resolution_x = opened.render.resolution_y = size
    rows: dict[str, list[list[float]]] = {"click to maps": [], "of it, rendering": [], "setting to map": []}
    for listed in (kinds[:3], kinds):
        opened.underpaint.controls.clear()
        for kind in listed:
            bpy.ops.underpaint.control_add(kind=kind)
        found = [_look() for _ in range(runs + 1)][1:]
        for name, values in zip(rows, zip(*found, strict=True), strict=True):
            rows[name].append(list(values))
    for name, (few, more) in rows.items():
        shown = "".join(
            f"{f'{median(values):.0f} ({min(values):.0f})':>{width}}" for values, width in ((few, 26), (more, 36))
        )
        print(f"{size:5} {name:16}{shown}")


def _look() -> tuple[float, float, float]:
    from underpaint.addon import inspector

    with silence():
        whole = _timed(bpy.ops.underpaint.preview_maps)
        captured = inspector.state.look.sent.capture
        depth = bpy.context.scene.underpaint.controls[0].depth
        depth.invert = not depth.invert
        follow = _timed(lambda: inspector.follow(bpy.context.scene))
    return whole, captured.capture_ms + captured.convert_ms, follow


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    main()
