"""Switching the add-on on and off leaves nothing in Blender, however it goes."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import pytest
from underpaint import addon
from underpaint.addon import main_thread, presets

_ADDON = Path(addon.__file__).parent
_OURS = re.compile("UNDERPAINT", re.IGNORECASE)


def _traces() -> dict[str, Any]:
    """All places in Blender where something of ours could be left."""
    handlers = {
        name: [function for function in functions if function.__module__.startswith("underpaint")]
        for name, functions in ((name, getattr(bpy.app.handlers, name)) for name in dir(bpy.app.handlers))
        if isinstance(functions, list)
    }
    return {
        "classes": sorted(name for name in dir(bpy.types) if _OURS.match(name)),
        "operators": sorted(dir(bpy.ops.underpaint)),
        "handlers": {name: functions for name, functions in handlers.items() if functions},
        "timer": bpy.app.timers.is_registered(main_thread._turn),
        "presets": [path for path in bpy.utils.preset_paths(presets.SUBDIR) if "addon" in path],
        "properties": [
            kind.__name__ for kind in (bpy.types.Scene, bpy.types.WindowManager) if hasattr(kind, "underpaint")
        ],
        "engines": [
            panel.__name__
            for panel in bpy.types.Panel.__subclasses__()
            if "UNDERPAINT" in getattr(panel, "COMPAT_ENGINES", ())
        ],
    }


_NOTHING = {
    "classes": [],
    "operators": [],
    "handlers": {},
    "timer": False,
    "presets": [],
    "properties": [],
    "engines": [],
}


@pytest.fixture(autouse=True)
def registered_again() -> Iterator[None]:
    """The other tests find the add-on as it was."""
    yield
    addon.register()


def test_off_and_on_again_leaves_nothing_and_brings_everything_back() -> None:
    before = _traces()
    for _ in range(2):
        addon.unregister()
        assert _traces() == _NOTHING
        addon.register()
        assert _traces() == before


def test_registering_twice_is_registering_once() -> None:
    before = _traces()
    addon.register()
    assert _traces() == before
    addon.unregister()
    addon.unregister()
    assert _traces() == _NOTHING


@pytest.mark.parametrize("module", addon._MODULES)
def test_a_part_that_fails_takes_the_others_with_it(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("no canvas")

    addon.unregister()
    with monkeypatch.context() as patched:
        patched.setattr(f"underpaint.addon.{module}.register", fail)
        with pytest.raises(RuntimeError, match="no canvas"):
            addon.register()
    assert _traces() == _NOTHING


def test_a_part_that_will_not_go_does_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    real = addon.operators.unregister

    def fail() -> None:
        real()
        raise RuntimeError("stuck")

    monkeypatch.setattr("underpaint.addon.operators.unregister", fail)
    with pytest.raises(ExceptionGroup, match="could not be unregistered") as failure:
        addon.unregister()
    assert [str(error) for error in failure.value.exceptions] == ["stuck"]
    assert _traces() == _NOTHING


@pytest.mark.parametrize("ending", ["", "addon.unregister(); addon.register()", "addon.unregister()"])
def test_python_ends_well_with_the_add_on_on_or_off(ending: str) -> None:
    """bpy 4.5 hangs and 4.2 crashes at exit when an engine, or a callback that holds bpy, is left to it."""
    script = f"import bpy\nfrom underpaint import addon\naddon.register()\n{ending}\n"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr.decode()


def test_every_icon_is_known_to_this_blender() -> None:
    parameter = bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"]
    known = {item.identifier for item in parameter.enum_items}
    sources = "\n".join(path.read_text(encoding="utf-8") for path in _ADDON.rglob("*.py"))
    used = set(re.findall(r'icon="([A-Z0-9_]+)"', sources)) | {icon for *_, icon, _ in addon.properties.KINDS}
    used |= {icon for pair in re.findall(r'icon="(\w+)" if [^\n]+ else "(\w+)"', sources) for icon in pair}
    assert len(used) > 15
    assert used <= known


def test_everything_a_person_meets_explains_itself() -> None:
    """Every setting has a tooltip of its own, and every operator a label and a description."""
    for group in (
        bpy.types.Scene.bl_rna.properties["underpaint"].fixed_type,
        addon.properties.UNDERPAINT_PG_control.bl_rna,
    ):
        for item in group.properties:
            if item.identifier not in {"rna_type", "name"}:
                assert item.description, item.identifier
                assert not item.description.endswith("."), item.identifier
    for name in dir(bpy.ops.underpaint):
        rna = getattr(bpy.ops.underpaint, name).get_rna_type()
        assert rna.name, name
        assert rna.description, name
