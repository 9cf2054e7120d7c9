"""The demo's part inside Blender: install the zip, render through the engine, project, and render what came of it.

A program for a bpy wheel's Python, run by `demo.run`, which gives it its folders and a home of its own:

    python -m underpaint.demo.paint '{"steps": 12, ...}'
"""

import importlib
import json
import platform
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import bpy

from . import scene as scenes

MODULE = "bl_ext.user_default.underpaint"
PROMPT = "a young woman in an ochre jumper waves in her study, morning sun through the window, oil on canvas"
NEGATIVE_PROMPT = "blurry, extra fingers, text, watermark"
TEXTURED = ("Figure", "Table", "Chair", "Bookcase", "Plant Pot", "Rug")
REPAINTED = "Rug"  # by the inpaint control of the sheet of maps
CONTROLS = (("DEPTH", 1.0, 0.0, 1.0), ("NORMAL", 0.8, 0.0, 1.0), ("OPENPOSE", 1.0, 0.0, 0.8))


@dataclass(frozen=True, kw_only=True)
class Order:
    """What `demo.run` asks for; crosses the command line as JSON."""

    out: str  # where the results go
    work: str  # where what is kept between runs goes
    archive: str  # the extension's zip; empty to make the scene alone
    size: int = scenes.SIZE  # of the picture, pixels each side
    texture_size: int = 1024
    steps: int = 12
    seed: int = 7
    samples: int = 16  # of the plain Cycles renders
    rebuild: bool = True  # make scene.blend and its plain render first


def main(text: str) -> None:
    """Do what the JSON text orders."""
    given = json.loads(text)
    order = Order(**{field.name: given[field.name] for field in fields(Order) if field.name in given})
    out, work = Path(order.out), Path(order.work)
    if order.rebuild:
        began = time.perf_counter()
        scenes.save(out / "scene.blend", order.size)
        built_s = time.perf_counter() - began
        (work / "scene.json").write_text(
            json.dumps({"build_s": built_s, "cycles_s": _cycles(work / "plain.png", order)})
        )
    if not order.archive:
        return
    install_ms = _install(order.archive)
    try:
        report = _paint(order, out, work)
    finally:
        bpy.ops.preferences.addon_disable(module=MODULE)  # an engine left registered at exit hangs bpy 4.5
    report["install_ms"] = install_ms
    (work / "paint.json").write_text(json.dumps(report, indent=2))


def _install(archive: str) -> float:
    """Have Blender's extension system install and enable the zip; milliseconds."""
    began = time.perf_counter()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.extensions.package_install_files(
        repo="user_default", filepath=archive, enable_on_install=True, overwrite=True
    )
    if MODULE not in bpy.context.preferences.addons:
        raise SystemExit(f"Blender did not enable the extension in {archive}")
    return (time.perf_counter() - began) * 1e3


def _paint(order: Order, out: Path, work: Path) -> dict[str, Any]:
    client = importlib.import_module(f"{MODULE}.protocol.client")
    images = importlib.import_module(f"{MODULE}.addon.images")
    api = importlib.import_module(f"{MODULE}.addon.api")
    bpy.ops.wm.open_mainfile(filepath=str(out / "scene.blend"))
    scene = bpy.context.scene
    _settings(scene, order)
    began = time.perf_counter()
    connection = client.ensure_running()
    start_ms = (time.perf_counter() - began) * 1e3
    try:
        clicks = [_click(scene, out / "render.png", connection, images) for _ in range(2)]
        job = connection.jobs(limit=1).jobs[0]
        _save_maps(connection, job, images, out)
        maps_ms = _every_map(scene, api, work)
    finally:
        connection.shutdown()
        connection.close()
    began = time.perf_counter()
    api.project(images.results()[0], [bpy.data.objects[name] for name in TEXTURED], size=order.texture_size)
    project_ms = (time.perf_counter() - began) * 1e3
    bpy.context.preferences.filepaths.save_version = 0  # no .blend1 beside it
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "textured.blend"), compress=True)
    _cycles(work / "textured.png", order)
    return {
        "prompt": job.request.prompt,
        "seed": job.request.seed,
        "steps": job.request.steps,
        "size": [job.request.size.width, job.request.size.height],
        "scheduler": job.request.scheduler.value,
        "controls": [
            {"kind": control.kind.value, "conditioning_scale": control.conditioning_scale}
            for control in job.request.controls
        ],
        "model": _short(job.result.checkpoint, client.default_home().models),
        "plan": job.result.plan,
        "notes": list(job.result.notes),
        "versions": {
            "underpaint": importlib.import_module(MODULE).__version__,
            "blender": bpy.app.version_string,
            "blender_python": platform.python_version(),
            **job.result.versions,
        },
        "backend_start_ms": start_ms,
        "clicks": clicks,
        "project_ms": project_ms,
        "projected_onto": list(TEXTURED),
        "maps_ms": maps_ms,
    }


def _short(checkpoint: str, models: Path) -> str:
    """A checkpoint's name: its folder under the home's models, else as it is."""
    path = Path(checkpoint)
    return str(path.relative_to(models)) if path.is_relative_to(models) else checkpoint


def _settings(scene: Any, order: Order) -> None:
    scene.render.engine = "UNDERPAINT"
    scene.render.resolution_x = scene.render.resolution_y = order.size
    settings = scene.underpaint
    settings.prompt, settings.negative_prompt = PROMPT, NEGATIVE_PROMPT
    settings.seed, settings.steps = order.seed, order.steps
    settings.controls.clear()
    for kind, scale, start, end in CONTROLS:
        item = settings.controls.add()
        item.kind, item.conditioning_scale, item.start, item.end = kind, scale, start, end
        item.name = kind.title()


def _click(scene: Any, path: Path, connection: Any, images: Any) -> dict[str, Any]:
    """One F12: milliseconds from the click to the picture on disk, and of each phase in between."""
    scene.render.filepath = str(path)
    before = {job.id for job in connection.jobs(limit=5).jobs}
    began = time.perf_counter()
    bpy.ops.render.render(write_still=True)
    click_ms = (time.perf_counter() - began) * 1e3
    if all(job.id in before for job in connection.jobs(limit=1).jobs):
        raise SystemExit("the render made no job; Blender's messages above say why")
    return {
        "click_ms": click_ms,
        "timings": [asdict(entry) for entry in images.details_of(images.results()[0]).timings],
    }


def _save_maps(connection: Any, job: Any, images: Any, out: Path) -> None:
    png = importlib.import_module(f"{MODULE}.addon.png")
    names = {"depth": "control_depth", "normal": "control_normal", "openpose": "control_pose"}
    for control, ref in zip(job.request.controls, job.result.control_maps, strict=True):
        (out / f"{names[control.kind.value]}.png").write_bytes(png.encoded(connection.download(ref)))


def _every_map(scene: Any, api: Any, work: Path) -> float:
    """Every kind of control map of the scene into `work/maps`; milliseconds, for one capture and all of them."""
    controls = importlib.import_module(f"{MODULE}.addon.controls")
    pixels = importlib.import_module(f"{MODULE}.addon.pixels")
    png = importlib.import_module(f"{MODULE}.addon.png")
    kinds = importlib.import_module(f"{MODULE}.addon.kinds")
    request = importlib.import_module(f"{MODULE}.protocol.request")
    plain = bpy.data.images.load(str(work / "plain.png"))
    picture = pixels.pixels_of(plain)
    bpy.data.images.remove(plain)
    rows = [
        controls.ControlSettings(
            kind=kind,
            image=picture if kind in kinds.PICTURES else None,
            mask_objects=frozenset({REPAINTED}) if kind is request.ControlKind.INPAINT else None,
        )
        for kind in request.ControlKind
    ]
    began = time.perf_counter()
    made = api.control_maps(scene, controls=rows)
    took_ms = (time.perf_counter() - began) * 1e3
    folder = work / "maps"
    folder.mkdir(exist_ok=True)
    for entry in made:
        (folder / f"{entry.kind.value}.png").write_bytes(png.encoded(entry.bytes()))
    return took_ms


def _cycles(path: Path, order: Order) -> float:
    """Render what is open with plain Cycles; seconds."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = order.samples
    scene.render.filepath = str(path)
    began = time.perf_counter()
    bpy.ops.render.render(write_still=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(sys.argv[1])
