"""The zip in real Blenders: installed by Blender's extension system, rendering against a real backend."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import blender_window
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("render_installed.py")
PYTHON = Path(os.environ["UNDERPAINT_BACKEND_PYTHON"])


def check(picture: Path, report: Path, version: str, resources: Path) -> None:
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert pixels.shape == (64, 128, 3)
    assert pixels.std() > 5, "the picture is flat"
    said: dict[str, Any] = json.loads(report.read_text())
    assert said["blender"].startswith(version)
    assert said["enabled"]
    assert Path(said["loaded_from"]) == resources / "extensions" / "user_default" / "underpaint"
    assert said["of_the_checkout"] == [], "the checkout's own copy ran instead"


@pytest.mark.parametrize("version", ["4.2", "4.5", "5.0"])
def test_installs_and_renders(version: str, archive: Path, shared: Path, tmp_path: Path) -> None:
    picture, report = tmp_path / "picture.png", tmp_path / "report.json"
    done = subprocess.run(
        [ROOT / f".venvs/bpy-{version}/bin/python", SCRIPT, "--", picture, report, archive],
        cwd=tmp_path,
        env={
            **os.environ,
            "BLENDER_USER_RESOURCES": str(tmp_path / "resources"),
            "UNDERPAINT_HOME": str(shared / "home"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    check(picture, report, version, tmp_path / "resources")


def test_installs_and_renders_from_the_command_line(archive: Path, shared: Path) -> None:
    """Blender 5.2, installed with `blender --command extension`, switched on as the user's preference."""
    try:
        blender_window.ensure_tree()
    except blender_window.NoWindow as reason:
        if os.environ.get("CI") and os.geteuid() == 0:
            raise
        pytest.skip(str(reason))
    session = shared  # what this Blender can see, the data folder included
    shutil.copyfile(archive, session / "underpaint.zip")
    shutil.copyfile(SCRIPT, session / SCRIPT.name)
    said = blender_window.run_blender(
        session, ["--command", "extension", "install-file", "-r", "user_default", "-e", str(session / "underpaint.zip")]
    )
    picture, report = session / "picture.png", session / "report.json"
    said += blender_window.run_blender(
        session,
        [
            "--background",
            "--python-exit-code",
            "1",
            "--python",
            str(session / SCRIPT.name),
            "--",
            *map(str, (picture, report)),
        ],
        environment={
            "UNDERPAINT_HOME": str(session / "home"),
            "UNDERPAINT_BACKEND_PYTHON": str(blender_window.outside_python(session, PYTHON)),
        },
        timeout_s=300.0,
    )
    assert "Traceback" not in said
    check(picture, report, "5.2", session / "blender")
