"""Where things lie, the lock, and the files that say where the service is."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from underpaint.protocol.client import Home, default_home
from underpaint.protocol.client import endpoint as endpoints
from underpaint.protocol.client.endpoint import Endpoint
from underpaint.protocol.client.file_lock import FileLock
from underpaint.protocol.errors import BackendUnreachable

HERE = Endpoint(host="127.0.0.1", port=1234, pid=42, software_version="1")
HOLD = """
import sys
from pathlib import Path
from underpaint.protocol.client.file_lock import FileLock
assert FileLock(Path(sys.argv[1])).try_acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_the_home_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("UNDERPAINT_HOME", str(tmp_path / "mine"))
    assert default_home() == Home(tmp_path / "mine")


def test_an_empty_choice_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("UNDERPAINT_HOME", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_home() == Home(tmp_path / "underpaint")


def test_each_platform_has_its_place(monkeypatch, tmp_path):
    monkeypatch.delenv("UNDERPAINT_HOME", raising=False)
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "win32")
    assert default_home() == Home(tmp_path / "Underpaint")
    assert default_home().python.name == "python.exe"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_home().folder.parts[-3:] == ("Library", "Application Support", "Underpaint")


def test_a_lock_keeps_others_out_and_dies_with_its_process(tmp_path):
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout.readline() == b"held\n"
        assert not FileLock(path).try_acquire()
        assert not FileLock(path).acquire(timeout_s=0.05)
        holder.kill()
        holder.wait()
        with FileLock(path) as lock:
            assert lock.acquire(timeout_s=5)
            assert not FileLock(path).try_acquire()
    with FileLock(path) as again:
        assert again.try_acquire()


def test_what_is_published_is_read(tmp_path):
    home = Home(tmp_path)
    endpoints.publish(home, HERE, "secret")
    assert endpoints.read(home) == (HERE, "secret")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["service.json", "token"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file modes; the profile's folder is private")
def test_a_token_is_its_owners_even_where_an_open_file_lay(tmp_path):
    home = Home(tmp_path)
    home.token_file.write_text("old")
    home.token_file.chmod(0o644)
    endpoints.publish(home, HERE, "secret")
    assert stat.S_IMODE(home.token_file.stat().st_mode) == 0o600


def test_only_ones_own_files_are_withdrawn(tmp_path):
    home = Home(tmp_path)
    endpoints.withdraw(home, 42)
    endpoints.publish(home, HERE, "secret")
    endpoints.withdraw(home, 41)
    assert endpoints.read(home)
    endpoints.withdraw(home, 42)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "127.0.0.1"}', '{"host": 1, "port": 1, "pid": 1}'])
def test_a_file_that_says_nothing_is_unreachable(tmp_path, text):
    home = Home(tmp_path)
    endpoints.publish(home, HERE, "secret")
    home.endpoint_file.write_text(text)
    with pytest.raises(BackendUnreachable, match=r"service\.json"):
        endpoints.read(home)


def test_the_client_needs_numpy_and_nothing_else():
    script = "import sys; import underpaint.protocol.client; print(*{m.partition('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    foreign = {"starlette", "uvicorn", "torch", "diffusers", "PySide6", "bpy", "httpx", "anyio", "sqlite3", "PIL"}
    assert "numpy" in loaded
    assert not foreign & set(loaded)
    assert Path(sys.executable).exists()
