"""The preferences and the operators behind their buttons."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import pytest
from underpaint.addon import backend_state, install, operators_backend, preferences
from underpaint.protocol import client


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
    defaults = install.Plan.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "base_python", tmp_path / "no python")
    monkeypatch.setitem(defaults, "needed_bytes", 0)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="could not be installed"):
            bpy.ops.underpaint.install_backend()
        assert "no python" in operators_backend.problem
        assert operators_backend._running == []


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
