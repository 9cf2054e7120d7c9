"""The README's script, run as it is written."""

import re
from pathlib import Path

import bpy
import numpy as np
import pytest
from underpaint.addon import images
from underpaint.protocol.client import Connection

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_script_in_the_readme(backend: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))  # as a shell's cd does; it is where Blender looks
    bpy.ops.wm.read_factory_settings()  # a cube with a UV map, selected, before a camera
    bpy.context.scene.render.resolution_x = bpy.context.scene.render.resolution_y = 64
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"))

    exec(compile(script, str(README), "exec"), {})

    picture = bpy.data.images.load(str(tmp_path / "attic.png"))
    assert tuple(picture.size) == (64, 64)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "room_painted.blend"))
    (result,) = images.results()
    request = images.request_of(result)
    assert (request.prompt, request.seed, request.steps) == ("a sunlit attic, oil on canvas", 7, 12)
    cube = bpy.data.objects["Cube"]
    shown = [
        node.image for slot in cube.material_slots for node in slot.material.node_tree.nodes if node.type == "TEX_IMAGE"
    ]
    assert shown, "the cube shows no texture"
    texels = np.empty(len(shown[0].pixels), np.float32)
    shown[0].pixels.foreach_get(texels)
    assert texels.reshape(-1, 4)[:, :3].std() > 0.01, "the texture is blank"
