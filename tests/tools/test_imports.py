"""Importing a package of ours does nothing and loads nothing heavy."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "PySide6",
    "accelerate",
    "bpy",
    "controlnet_aux",
    "cv2",
    "diffusers",
    "sqlite3",
    "starlette",
    "torch",
    "transformers",
    "uvicorn",
}

# What one import printed, changed or loaded, as the last line; the program then ends without cleaning up.
PROBE = """
import importlib, json, os, signal, sys, threading
before = dict(
    environment=dict(os.environ), path=list(sys.path), hooks=len(sys.meta_path), folder=os.getcwd(),
    handlers=[signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)], excepthook=sys.excepthook,
)
importlib.import_module(sys.argv[1])
after = dict(
    environment=dict(os.environ), path=list(sys.path), hooks=len(sys.meta_path), folder=os.getcwd(),
    handlers=[signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)], excepthook=sys.excepthook,
)
print(json.dumps(dict(
    changed=[name for name in before if before[name] != after[name]],
    threads=threading.active_count(),
    modules=list(sys.modules),
)))
"""

FACES = (
    "underpaint",
    "underpaint.addon",
    "underpaint.backend",
    "underpaint.backend.service",
    "underpaint.backend.worker",
    "underpaint.installer",
    "underpaint.protocol",
    "underpaint.protocol.client",
    "underpaint.qt_panel",
)


@pytest.mark.parametrize("face", FACES)
def test_importing_a_package_has_no_side_effect(face: str) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE, face], capture_output=True, text=True, check=True
    )
    *printed, last = result.stdout.splitlines()
    seen = json.loads(last)
    assert printed == []
    assert result.stderr == ""
    assert seen["changed"] == []
    assert seen["threads"] == 1
    assert HEAVY.intersection(seen["modules"]) == set()
