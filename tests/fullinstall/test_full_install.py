"""The whole backend, installed for real from inside Blender into a fresh folder; it takes gigabytes and minutes.

What is installed is the CPU variant of the ordinary packages, on Linux with NVIDIA's libraries. It is fetched as
pip is configured here. Needs 11 GB of disk while it lasts.
"""

import faulthandler
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy", reason="this test runs with the Python of a bpy wheel")

from underpaint import addon  # noqa: E402 - it imports bpy
from underpaint.addon import api, operators_install  # noqa: E402
from underpaint.installer import repair  # noqa: E402
from underpaint.installer.doctor import Verdict, as_text, examine  # noqa: E402
from underpaint.installer.install import PINS, read_made  # noqa: E402
from underpaint.installer.plan import Plan  # noqa: E402
from underpaint.installer.variants import Build  # noqa: E402
from underpaint.protocol import client  # noqa: E402


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[client.Home]:
    """A fresh folder for Blender with the add-on; whatever runs in it is stopped in the end, and all of it deleted."""
    monkeypatch.setenv("UNDERPAINT_HOME", str(tmp_path / "home"))
    for name in ("UNDERPAINT_BACKEND_PYTHON", "UNDERPAINT_TORCH_INDEX"):
        monkeypatch.delenv(name, raising=False)
    addon.register()
    before = bpy.context.preferences.system.use_online_access
    bpy.context.preferences.system.use_online_access = True
    home = client.default_home()
    yield home
    bpy.ops.underpaint.uninstall_backend(with_data=True)
    bpy.context.preferences.system.use_online_access = before
    addon.unregister()
    assert list(home.folder.glob("environment*")) == []


def test_the_cpu_variant_is_installed_from_inside_blender_and_paints(
    home: client.Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(operators_install, "plan_for", _for_the_processor(operators_install.plan_for))
    faulthandler.cancel_dump_traceback_later()  # pytest's, which is for tests that hang: this one takes longer
    started = time.monotonic()
    assert bpy.ops.underpaint.install_backend() == {"FINISHED"}
    seconds = time.monotonic() - started

    size = sum(file.lstat().st_size for file in home.environment.rglob("*") if not file.is_dir())
    with capsys.disabled():
        print(f"\ninstalled in {seconds:.0f} s: {size / 1e9:.2f} GB")
    plan = operators_install._plan()
    assert size < plan.installed_bytes * 1.1, "it takes more than was said"
    assert read_made(home.environment)["build"] == "cpu"
    assert not any(line.startswith("triton") for line in (home.environment / PINS).read_text().splitlines())
    assert repair.diagnose(plan) == {}
    found = list(examine(home))
    assert [as_text(finding) for finding in found if finding.verdict is Verdict.PROBLEM] == []

    bpy.ops.wm.read_factory_settings()
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 128, 96, 100
    result = api.generate(prompt="a small room", seed=3, steps=2)
    assert result.picture.shape == (96, 128, 3)
    assert result.picture.std() > 1
    assert len(result.maps) > 0

    with client.connect(home) as connection:
        pid = connection.hello().pid
    if Path("/proc").is_dir():
        assert Path(f"/proc/{pid}/exe").resolve() == home.python.resolve()
        (worker,) = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True).stdout.split()
        command = Path(f"/proc/{worker}/cmdline").read_bytes().split(b"\0")
        assert Path(os.fsdecode(command[0])) == home.python


def _for_the_processor(plan_for: Callable[..., Plan]) -> Callable[..., Plan]:
    """On a computer with a graphics card, too, it is the CPU's that is tested."""
    return lambda home, **options: plan_for(home, **options, wanted=Build.CPU)
