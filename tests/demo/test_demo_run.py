"""`demo/run.py` end to end, tiny: the zip installed into Blender, a real backend, every file it promises."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("golden_maps.png")  # 128 x 128 each, in the order of their names
CHANGED = 0.01  # of a map's pixels may differ: Cycles' denoiser and OpenCV round by the processor
PICTURES = ("render", "control_depth", "control_normal", "control_pose")
PHASES = {
    *("capture", "convert", "upload", "queue", "load", "conditioning", "encode"),
    *("step", "decode", "store", "download", "write_back", "other"),
}


def _main_python() -> Path:
    python = REPOSITORY / ".venvs" / "main" / "bin" / "python"
    if not python.is_file():
        pytest.skip("the main environment is not built (make test builds it)")
    return python


def _run(python: Path, out: Path) -> str:
    command = [python, REPOSITORY / "demo" / "run.py", "--out", out, "--blender-python", sys.executable]
    command += ["--size", "128", "--steps", "2", "--samples", "1", "--texture-size", "128", "--seed", "3"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UNDERPAINT_")}
    done = subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True, timeout=500, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", data[16:24])


def _png_pixels(path: Path) -> bytes:
    """The compressed pixels, without the dates and durations that Blender writes beside them."""
    data, at, pixels = path.read_bytes(), 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IDAT":
            pixels += data[at + 8 : at + 8 + length]
        at += 12 + length
    return pixels


def test_a_tiny_demo_leaves_everything_and_its_second_run_the_same_picture(tmp_path: Path) -> None:
    python = _main_python()
    said = _run(python, tmp_path)
    for name in PICTURES:
        assert _png_size(tmp_path / f"{name}.png") == (128, 128), name
    assert _png_size(tmp_path / "contact_sheet.png")[0] > 1000
    _hold_against_golden(tmp_path / "work" / "maps", tmp_path)
    assert (tmp_path / "scene.blend").stat().st_size > 100_000
    assert (tmp_path / "textured.blend").stat().st_size > (tmp_path / "scene.blend").stat().st_size

    report = json.loads((tmp_path / "report.json").read_text())
    assert {"underpaint", "blender", "torch", "diffusers"} <= set(report["versions"])
    assert report["seed"] == 3
    assert report["size"] == [128, 128]
    assert report["model"]
    assert report["plan"]
    assert [control["kind"] for control in report["controls"]] == ["depth", "normal", "openpose"]
    for click in (report["first_click"], report["second_click"]):
        assert set(click["phases_ms"]) == PHASES
        assert len(click["steps_ms"]) == 2
        assert click["phases_ms"]["step"] == pytest.approx(sum(click["steps_ms"]), abs=0.1)
        assert sum(click["phases_ms"].values()) == pytest.approx(click["click_ms"], abs=1.0)
        assert 0 < click["beside_the_model_ms"] < click["click_ms"]
    assert "from the click to the picture" in said
    assert report["scene"]["reused"] is False

    picture, made_at = _png_pixels(tmp_path / "render.png"), (tmp_path / "scene.blend").stat().st_mtime_ns
    _run(python, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["scene"]["reused"] is True
    assert (tmp_path / "scene.blend").stat().st_mtime_ns == made_at
    assert picture
    assert _png_pixels(tmp_path / "render.png") == picture


def _hold_against_golden(maps: Path, out: Path) -> None:
    """Every kind of map against the one that was looked at; a change that is meant replaces the golden sheet."""
    made = out / "golden_maps.png"
    program = "import sys; from underpaint.demo import sheet; sheet.grid(sys.argv[1], sys.argv[2], columns=4)"
    subprocess.run([_main_python(), "-c", program, str(maps), str(made)], check=True, timeout=60)
    compare = (
        "import sys, json, numpy; from PIL import Image;"
        "a, b = (numpy.asarray(Image.open(name).convert('RGB')).astype(int) for name in sys.argv[1:]);"
        "difference = abs(a - b).max(axis=2).reshape(4, 128, 4, 128);"
        "print(json.dumps((difference > 24).mean(axis=(1, 3)).ravel().tolist()))"
    )
    command = [_main_python(), "-c", compare, str(made), str(GOLDEN)]
    changed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)
    names = sorted(path.stem for path in maps.glob("*.png"))
    assert len(names) == 16
    off = {name: part for name, part in zip(names, changed, strict=True) if part > CHANGED}
    if off:
        keep = REPOSITORY / "tests" / "artefacts" / "golden_maps.png"
        keep.parent.mkdir(exist_ok=True)
        keep.write_bytes(made.read_bytes())
    assert not off, f"{off} of the pixels changed; look at {keep}, and put it in the place of {GOLDEN} if it is right"
