"""`demo/run.py` end to end, tiny: the zip installed into Blender, a real backend, every file it promises."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
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
