"""Finding and starting the service: from nothing, from anywhere, only once, and what is said when it fails."""

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from service_process import alive, until
from underpaint.backend.service.__main__ import _listen
from underpaint.protocol.client import Connection, Home, connect, ensure_running, run
from underpaint.protocol.client import endpoint as endpoints
from underpaint.protocol.client.endpoint import Endpoint
from underpaint.protocol.errors import BackendNotInstalled, BackendNotStarted, BackendUnreachable

PACKAGE = Path(__file__).parents[3]

LOAD_LIKE_BLENDER = """
import importlib.util, json, sys
from pathlib import Path
package, home = Path(sys.argv[1]), sys.argv[2]
spec = importlib.util.spec_from_file_location("ext_of_blender", package / "__init__.py",
                                              submodule_search_locations=[str(package)])
module = importlib.util.module_from_spec(spec)
sys.modules["ext_of_blender"] = module
spec.loader.exec_module(module)
from ext_of_blender.protocol import client
with client.ensure_running(client.Home(Path(home))) as connection:
    print(json.dumps([client.__file__, connection.hello().pid]))
"""


def test_nothing_runs_and_nothing_is_left_behind_to_find(tmp_path):
    with pytest.raises(BackendUnreachable, match="not running"):
        connect(Home(tmp_path))


def test_the_second_call_finds_what_the_first_started(service):
    first = service.start().hello()
    with ensure_running(service.home) as second:
        assert second.hello().pid == first.pid


def test_many_clients_at_once_start_one_service(service):
    pids = []

    def client():
        with ensure_running(service.home) as connection:
            pids.append(connection.hello().pid)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    service.start()
    assert pids == [service.pid] * 4


def test_a_second_service_on_the_same_home_leaves_politely(shared):
    before = shared.home.endpoint_file.read_bytes()
    command = [sys.executable, "-P", PACKAGE / "backend" / "bootstrap.py", "service", "--home", shared.home.folder]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 0
    assert "not needed" in second.stderr
    assert shared.home.endpoint_file.read_bytes() == before


def test_it_starts_from_a_folder_of_any_name_beside_anything(tmp_path, monkeypatch):
    folder = tmp_path / "extensions" / "under-paint 0.1 (copy)"
    hidden = shutil.ignore_patterns("__pycache__", "worker")
    for room in ("protocol", "backend"):
        shutil.copytree(PACKAGE / room, folder / room, ignore=hidden)
    shutil.copy(PACKAGE / "__init__.py", folder)
    for parent in (folder.parent, folder, folder / "backend"):
        (parent / "numpy").mkdir()
        (parent / "numpy" / "__init__.py").write_text("raise ImportError('a stranger numpy')")
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
    home = Home(tmp_path / "home")
    command = [sys.executable, "-E", "-P", "-c", LOAD_LIKE_BLENDER, str(folder), str(home.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    where, pid = json.loads(done.stdout)
    assert Path(where).is_relative_to(folder)
    assert str(folder) in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    with Connection.to(home) as connection:
        connection.shutdown()
    until(lambda: not alive(pid))


def test_it_outlives_who_started_it_and_holds_no_terminal(service):
    service.start()
    fields = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
    session, terminal = int(fields[3]), int(fields[4])
    assert (session, terminal) == (service.pid, 0)


def test_whoever_started_it_leaves_without_a_warning(service):
    script = (
        "import sys; from pathlib import Path; from underpaint.protocol.client import Home, ensure_running\n"
        "with ensure_running(Home(Path(sys.argv[1]))) as connection: connection.hello()"
    )
    command = [sys.executable, "-W", "error", "-c", script, str(service.home.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    service.start()
    assert done.stderr == ""


def test_small_answers_do_not_wait_for_acknowledgements(service):
    connection = service.start()
    with _listen() as listener:
        assert listener.proto == socket.IPPROTO_TCP  # what asyncio looks at
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert connection._http.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_lies_in_the_home_is_its_owners_alone(service, told):
    service.home.folder.mkdir(mode=0o755)
    run(service.start(), told())
    readable = [path for path in service.home.folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert [path.name for path in readable if path.suffix != ".log"] == []


def test_an_endpoint_that_a_killed_service_left_does_not_mislead(service):
    service.start()
    service.kill()
    old = service.pid
    with pytest.raises(BackendUnreachable):
        connect(service.home)
    assert service.start().hello().pid != old


def test_a_stranger_on_the_old_port_does_not_mislead(service):
    service.home.create()
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        threading.Thread(target=_greet_like_ssh, args=(stranger,), daemon=True).start()
        endpoints.publish(service.home, Endpoint(host="127.0.0.1", port=port, pid=1), "old token")
        service.start()
        assert endpoints.read(service.home)[0].port != port


def _greet_like_ssh(server):
    while True:
        try:
            peer, _ = server.accept()
        except OSError:
            return
        with peer:
            peer.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")


def test_without_an_environment_the_button_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("UNDERPAINT_BACKEND_PYTHON", raising=False)
    with pytest.raises(BackendNotInstalled, match="Install Backend"):
        ensure_running(Home(tmp_path))


def test_a_service_that_falls_at_its_start_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
    home = Home(tmp_path / "home")
    home.create()
    with closing(sqlite3.connect(home.database)) as newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(BackendNotStarted, match=r"queue\.sqlite3 was written by a newer version .*move the file away"):
        ensure_running(home)
    with closing(sqlite3.connect(home.database)) as newer:  # left as it was
        assert newer.execute("PRAGMA user_version").fetchone() == (99,)
        assert newer.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_a_home_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
    (tmp_path / "file").touch()
    with pytest.raises(BackendNotStarted, match="file"):
        ensure_running(Home(tmp_path / "file" / "home"))


def test_a_service_that_nobody_needs_leaves(service):
    service.start(idle_exit_s=1)
    service.connection.close()
    until(lambda: not alive(service.pid))
    assert "nobody has needed" in service.home.service_log.read_text()


def test_a_listener_keeps_it_from_leaving(service):
    connection = service.start(idle_exit_s=1)
    events = connection.events()
    for _ in range(60):  # three seconds, more than its patience
        next(events)
    assert alive(service.pid)
    events.close()
    until(lambda: not alive(service.pid))


def test_one_that_is_just_leaving_makes_room_for_the_next(service):
    connection = service.start()
    old = service.pid
    connection.shutdown()
    assert service.start().hello().pid != old
    until(lambda: not alive(old))


def test_a_service_whose_home_was_removed_leaves(service):
    service.start()
    shutil.rmtree(service.home.folder)
    until(lambda: not alive(service.pid))


def test_a_service_whose_endpoint_was_removed_can_be_found_again(service):
    service.start()
    service.home.endpoint_file.unlink()
    service.home.token_file.unlink()
    with ensure_running(service.home) as again:
        assert again.hello().pid == service.pid


@pytest.mark.parametrize(("file", "content"), [("token_file", "0" * 64), ("token_file", "ä"), ("endpoint_file", "{")])
def test_a_service_whose_files_were_spoiled_writes_them_anew(service, file, content):
    service.start()
    path = getattr(service.home, file)
    right = path.read_bytes()
    path.write_text(content, encoding="utf-8")
    until(lambda: path.read_bytes() == right)
    with ensure_running(service.home) as again:
        assert again.hello().pid == service.pid


def test_the_service_is_light():
    script = (
        "import sys; import underpaint.backend.service.__main__; print(*{m.partition('.')[0] for m in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "diffusers", "transformers", "PIL", "cv2", "bpy", "PySide6"} & set(loaded)
