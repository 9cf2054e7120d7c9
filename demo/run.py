"""`make demo`: build the scene, paint it through the installed extension, and lay out what came of it.

Runs in the project's main environment; Blender (a bpy wheel) and the backend are processes of their own.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from underpaint.demo import report, sheet
from underpaint.protocol import client
from underpaint.protocol.client import Home
from underpaint.protocol.errors import BackendError

ROOT = Path(__file__).resolve().parents[1]
_MAKES_THE_SCENE = ("scene", "figure", "body", "weights", "room", "shapes", "materials", "paint")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when everything was made."""
    options = _options(arguments)
    out: Path = options.out.resolve()
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    stamp = _stamp(options)
    fresh = not (_reusable(out, work) and (work / "scene.stamp").read_text() == stamp)
    archive = options.archive or _build_archive()
    order: dict[str, object] = {
        "out": str(out),
        "work": str(work),
        "archive": str(archive),
        "size": options.size,
        "texture_size": options.texture_size,
        "steps": options.steps,
        "seed": options.seed,
        "samples": options.samples,
    }
    print("demo: " + ("building the scene, then painting it ..." if fresh else "painting the scene ..."), flush=True)
    (work / "scene.stamp").unlink(missing_ok=True)
    for name in ("paint.json", *(("scene.json",) if fresh else ())):
        (work / name).unlink(missing_ok=True)
    (work / "blender.log").unlink(missing_ok=True)
    if fresh and not _in_blender(options, {**order, "archive": ""}, work, leaves="scene.json"):
        return 1
    if not _in_blender(options, {**order, "rebuild": False}, work, leaves="paint.json"):
        return 1
    (work / "scene.stamp").write_text(stamp)
    painted = json.loads((work / "paint.json").read_text())
    result = report.as_json(painted)
    result["demo_s"] = round(time.perf_counter() - began, 1)
    result["scene"] = json.loads((work / "scene.json").read_text()) | {"reused": not fresh}
    _contact_sheet(out, work, result)
    _map_sheet(out, work, result)
    (out / "report.json").write_text(json.dumps(result, indent=2) + "\n")
    print(_summary(result, out))
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "demo" / "out", help="folder for the results")
    parser.add_argument("--size", type=int, default=512, help="pixels each side")
    parser.add_argument("--texture-size", type=int, default=1024, help="pixels each side of each texture")
    parser.add_argument("--steps", type=int, default=12, help="denoising steps")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--samples", type=int, default=16, help="of the plain Cycles renders")
    parser.add_argument("--archive", type=Path, help="an extension zip; default: build one")
    parser.add_argument(
        "--blender-python", type=Path, default=ROOT / ".venvs" / "bpy-5.0" / "bin" / "python", help="with a bpy wheel"
    )
    parser.add_argument(
        "--backend-python",
        type=Path,
        default=Path(os.environ.get("UNDERPAINT_BACKEND_PYTHON", sys.executable)),
        help="with torch and diffusers",
    )
    return parser.parse_args(arguments)


def _stamp(options: argparse.Namespace) -> str:
    """Changes when the scene would."""
    digest = hashlib.sha256(f"{options.size} {options.samples} {options.blender_python}".encode())
    for name in _MAKES_THE_SCENE:
        digest.update((ROOT / "demo" / f"{name}.py").read_bytes())
    return digest.hexdigest()


def _reusable(out: Path, work: Path) -> bool:
    needed = (out / "scene.blend", work / "plain.png", work / "scene.json", work / "scene.stamp")
    return all(path.is_file() for path in needed)


def _build_archive() -> Path:
    done = subprocess.run([sys.executable, ROOT / "tools" / "build_extension.py"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit("demo: the extension could not be built")
    return ROOT / done.stdout.strip().splitlines()[-1]


def _in_blender(options: argparse.Namespace, order: dict[str, object], work: Path, *, leaves: str) -> bool:
    """Run `demo.paint` in a Blender and a home of its own; whether it left its file. What it printed is logged."""
    home = Home(work / "home")
    shutil.rmtree(work / "blender", ignore_errors=True)
    environment = {
        **os.environ,
        "BLENDER_USER_RESOURCES": str(work / "blender"),
        "UNDERPAINT_HOME": str(home.folder),
        "UNDERPAINT_BACKEND_PYTHON": str(options.backend_python),
    }
    command = [str(options.blender_python), "-m", "underpaint.demo.paint", json.dumps(order)]
    log = work / "blender.log"
    try:
        with log.open("a") as stream:
            done = subprocess.run(command, env=environment, cwd=work, stdout=stream, stderr=subprocess.STDOUT)
    finally:
        _stop_backend(home)
    if done.returncode or not (work / leaves).is_file():
        print(f"demo: it failed in Blender; the end of {log}:\n" + "\n".join(log.read_text().splitlines()[-15:]))
        return False
    return True


def _stop_backend(home: Home) -> None:
    """Leave no service behind when the part in Blender fell."""
    try:
        with client.connect(home) as connection:
            connection.shutdown()
    except BackendError:
        return  # it has ended, as it should


def _contact_sheet(out: Path, work: Path, result: dict[str, object]) -> None:
    tiles = (
        (work / "plain.png", "The scene", "plain Cycles"),
        (out / "control_depth.png", "Depth", "inverse distance, near is white"),
        (out / "control_normal.png", "Normals", "camera space"),
        (out / "control_pose.png", "Pose", "body, hands and face, from the Rigify rig"),
        (out / "render.png", "The picture", "painted by the built-in model, whose weights are random"),
        (work / "textured.png", "The textured scene", "the picture projected onto six meshes, plain Cycles"),
    )
    width, height = result["size"]  # type: ignore[misc]
    note = f"{width} x {height}, {result['steps']} steps, seed {result['seed']}, three ControlNets"
    sheet.compose(out / "contact_sheet.png", tiles, title="Underpaint", note=note)


def _map_sheet(out: Path, work: Path, result: dict[str, object]) -> None:
    """Every kind of control map of the scene, as the nets for Stable Diffusion 1.5 are shown it."""
    captions = (
        ("depth", "Depth", "disparity, near is white"),
        ("normal", "Normals", "red faces left, green up"),
        ("openpose", "Pose", "body, hands and face, from the rig"),
        ("segmentation", "Segmentation", "ADE20K colours, by the objects' names"),
        ("canny", "Canny", "one pixel wide, from the geometry"),
        ("lineart", "Line art", "silhouettes heavier than creases"),
        ("lineart_anime", "Anime line art", "thinner, all alike"),
        ("mlsd", "Straight lines", "what is straight in the geometry"),
        ("softedge", "Soft edges", "blurred, in few shades"),
        ("scribble", "Scribble", "wide, rounded"),
        ("inpaint", "Inpaint", "the rug is to be painted anew"),
        ("tile", "Tile", "the picture itself"),
        ("blur", "Blur", "of the plain render"),
        ("low_quality", "Low quality", "shrunk and enlarged"),
        ("gray", "Gray", "without colours"),
        ("shuffle", "Shuffle", "colours without shapes"),
    )
    tiles = [(work / "maps" / f"{name}.png", caption, remark) for name, caption, remark in captions]
    width, height = result["size"]  # type: ignore[misc]
    note = f"{width} x {height}; the last six start from a plain Cycles render, the others from the scene"
    sheet.compose(out / "control_maps.png", tiles, title="Every control map", note=note, columns=4, tile_px=340)


def _summary(result: dict[str, object], out: Path) -> str:
    made = "scene.blend textured.blend render.png control_depth.png control_normal.png control_pose.png"
    place = out.relative_to(ROOT) if out.is_relative_to(ROOT) else out
    return (
        f"\n{report.table(result)}\n\n{result['model']}: {result['plan']}\n"
        f"In {place}/: {made} contact_sheet.png control_maps.png report.json   ({result['demo_s']} s in all)"
    )


if __name__ == "__main__":
    sys.exit(main())
