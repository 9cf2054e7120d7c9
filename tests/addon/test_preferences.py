"""The preferences and the operators behind their buttons."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import pytest
from test_ui_drawing import CheckingLayout
from underpaint.addon import backend_state, operators_backend, operators_install, preferences, program_log
from underpaint.installer.diagnostics import diagnostics
from underpaint.installer.doctor import QUICK
from underpaint.installer.install import Installation
from underpaint.installer.plan import Plan, plan_for
from underpaint.installer.variants import Hardware
from underpaint.installer.work import Stage
from underpaint.protocol import client
from underpaint.protocol.client import logs
from underpaint.protocol.client.logs import Program


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> client.Home:
    """A computer without a backend."""
    monkeypatch.setenv("UNDERPAINT_HOME", str(tmp_path))
    monkeypatch.delenv("UNDERPAINT_BACKEND_PYTHON", raising=False)
    return client.Home(tmp_path)


@pytest.fixture
def online() -> Iterator[None]:
    system = bpy.context.preferences.system
    before = system.use_online_access
    system.use_online_access = True
    yield
    system.use_online_access = before


def test_what_is_known_of_a_backend_that_is_not_there(empty_home: client.Home) -> None:
    state = backend_state.look()
    assert state == backend_state.BackendState()
    assert state.words == "Not installed"


def test_what_is_known_of_a_backend_that_runs(fake_backend: Any) -> None:
    state = backend_state.look()
    assert state.installed
    assert state.running
    assert state.version == fake_backend.hello().software_version
    assert state.words == "Running"


def test_what_is_known_of_a_backend_that_was_killed(empty_home: client.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", os.environ.get("UNDERPAINT_BACKEND_PYTHON", "/bin/sh"))
    empty_home.create()
    empty_home.endpoint_file.write_text('{"host": "127.0.0.1", "port": 9, "pid": 1}')
    empty_home.token_file.write_text("stale")
    state = backend_state.look()
    assert (state.installed, state.running, state.problem) == (True, False, "")


def test_installing_offline_names_the_switch(empty_home: client.Home) -> None:
    bpy.context.preferences.system.use_online_access = False
    with pytest.raises(RuntimeError, match="Allow Online Access"):
        bpy.ops.underpaint.install_backend()
    assert not list(empty_home.folder.iterdir())


def test_a_failed_installation_is_told_and_the_button_works_again(
    empty_home: client.Home, online: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(Plan.__init__.__kwdefaults__, "base_python", tmp_path / "no python")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="could not be installed"):
            bpy.ops.underpaint.install_backend()
        assert "no python" in operators_install.problem
        assert operators_install._running == []
        assert operators_install.progress is None
    assert "no python" in logs.last_lines(logs.log_file(empty_home, Program.BLENDER), 1)[0]


def test_repairing_installs_where_nothing_is_there(
    empty_home: client.Home, online: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(Plan.__init__.__kwdefaults__, "base_python", tmp_path / "no python")
    with pytest.raises(RuntimeError, match="no python"):
        bpy.ops.underpaint.repair_backend()


def test_an_installation_in_a_window_goes_on_by_itself_and_can_be_cancelled(
    empty_home: client.Home, online: None
) -> None:
    """What a timer of Blender's does in a window, done by hand: there are none in the background."""
    operators_install._begin(Installation(operators_install._plan()))
    assert operators_install._turn() == operators_install._TICK_S
    assert operators_install.progress is not None
    assert operators_install.progress.stage is Stage.ENVIRONMENT
    assert not bpy.ops.underpaint.install_backend.poll()
    assert bpy.ops.underpaint.cancel_install() == {"FINISHED"}
    assert operators_install._turn() is None
    assert operators_install.progress is None
    assert operators_install.told == "The installation was cancelled"
    assert list(empty_home.folder.glob("environment*")) == []


def test_the_dialogs_say_what_will_be_done(empty_home: client.Home) -> None:
    """Drawn where there is no region, as in a dialog."""
    told: list[str] = []
    plan = plan_for(empty_home, hardware=Hardware(system="linux", machine="x86_64"), torch_index="")
    operator = SimpleNamespace(layout=CheckingLayout(told), _plan=plan)
    operators_install.UNDERPAINT_OT_install_backend.draw(operator, SimpleNamespace(region=None))
    assert "To download: 2.4 GB; what pip has kept from before is not fetched again" in told
    assert all(len(line) <= operators_install._DIALOG_LETTERS for line in told)

    told.clear()
    rna = bpy.ops.underpaint.uninstall_backend.get_rna_type()
    asking = SimpleNamespace(layout=CheckingLayout(told), bl_rna=rna, with_data=False)
    operators_install.UNDERPAINT_OT_uninstall_backend.draw(asking, SimpleNamespace(region=None))
    assert "The backend is stopped" in " ".join(told)


def test_uninstalling_deletes_the_environment(empty_home: client.Home) -> None:
    empty_home.create()
    empty_home.environment.mkdir()
    empty_home.database.write_bytes(b"the queue")
    assert bpy.ops.underpaint.uninstall_backend() == {"FINISHED"}
    assert not empty_home.environment.exists()
    assert empty_home.database.exists()
    assert bpy.ops.underpaint.uninstall_backend(with_data=True) == {"FINISHED"}
    assert not empty_home.database.exists()


def test_the_diagnostics_name_this_blender_and_nothing_private(empty_home: client.Home, scene: Any) -> None:
    scene.underpaint.prompt = "a very private garden"
    empty_home.create()
    program_log.log.error("%s", f"it broke at a very private garden, with {'0123456789abcdef' * 4}")
    text = diagnostics(
        client.default_home(), about=operators_backend._about(), prompts=operators_backend._prompts(), checks=QUICK
    )
    assert f"Blender: {bpy.app.version_string}" in text
    assert "It is not installed in [data folder]" in text
    assert "it broke at [prompt], with [64 hex digits]" in text
    for private in ("private garden", str(empty_home.folder), str(Path.home())):
        assert len(private) < 3 or private not in text


def test_the_diagnostics_are_copied(empty_home: client.Home) -> None:
    assert bpy.ops.underpaint.copy_diagnostics() == {"FINISHED"}  # a clipboard is only where there is a window


def test_starting_what_is_not_installed_says_where_the_button_is(empty_home: client.Home) -> None:
    with pytest.raises(RuntimeError, match="Install Backend"):
        bpy.ops.underpaint.start_backend()


def test_stopping_what_does_not_run_is_no_error(empty_home: client.Home) -> None:
    assert bpy.ops.underpaint.stop_backend() == {"FINISHED"}


def test_a_backend_is_started_and_stopped(fake_backend: Any) -> None:
    assert bpy.ops.underpaint.stop_backend() == {"FINISHED"}
    fake_backend.close()
    assert bpy.ops.underpaint.start_backend() == {"FINISHED"}
    assert backend_state.look().running
    assert bpy.ops.underpaint.stop_backend() == {"FINISHED"}


def test_the_preferences_belong_to_the_package_that_blender_enables() -> None:
    assert preferences.UNDERPAINT_AP_preferences.is_registered
    assert preferences.UNDERPAINT_AP_preferences.bl_idname == "underpaint"
