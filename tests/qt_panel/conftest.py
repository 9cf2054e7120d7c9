"""A panel on a real service process, and a check that no thread outlives a test."""

import gc
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytest.importorskip("PySide6", reason="the panel's tests run where the panel runs")

from PySide6.QtCore import QSettings, QThread
from pytestqt.qtbot import QtBot
from underpaint.protocol import client
from underpaint.protocol.client import Connection, Home
from underpaint.protocol.client.file_lock import FileLock
from underpaint.qt_panel.session import Session
from underpaint.qt_panel.settings import Memory
from underpaint.qt_panel.window import Window

ROOT = Path(__file__).resolve().parents[2]
FAKE_WORKER = ROOT / "tests" / "backend" / "fake_worker.py"
ARTEFACTS = ROOT / "tests" / "artefacts"


def backend_python() -> Path:
    """The interpreter with the backend's packages: the one named in the environment, or the project's own."""
    chosen = os.environ.get("UNDERPAINT_BACKEND_PYTHON")
    return Path(chosen) if chosen else ROOT / ".venvs" / "main" / "bin" / "python"


@pytest.fixture(autouse=True)
def no_leaked_threads(qapp: object) -> Iterator[None]:
    """Fail the test that leaves a QThread running."""
    yield
    gc.collect()
    running = [thread for thread in gc.get_objects() if issubclass(type(thread), QThread) and _runs(thread)]
    for thread in running:
        thread.quit()
    assert not running, f"left running: {[thread.objectName() or thread for thread in running]}"


def _runs(thread: QThread) -> bool:
    try:
        return thread.isRunning() and not thread.isCurrentThread()
    except RuntimeError:  # its C++ half is gone
        return False


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A data folder of the test's own; the service that runs for it at the end is stopped."""
    python = backend_python()
    if not python.exists():
        pytest.skip(f"no backend environment at {python}")
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", str(python))
    found = Home(tmp_path / "home")
    yield found
    if found.endpoint_file.exists():
        with Connection.to(found) as connection:
            connection.shutdown()
    if found.folder.exists():
        with FileLock(found.lock_file) as lock:
            assert lock.acquire(timeout_s=10), "a service outlives the test that it was started for"


@pytest.fixture
def fake_service(home: Home) -> Iterator[Connection]:
    """The real service with the worker that does what the prompt says."""
    command = [str(backend_python()), str(FAKE_WORKER), "--blobs", str(home.blobs)]
    with client.ensure_running(home, service_arguments=("--worker-command", json.dumps(command))) as connection:
        yield connection


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(QSettings(str(tmp_path / "panel.ini"), QSettings.Format.IniFormat))


@pytest.fixture
def open_window(qtbot: QtBot, memory: Memory, home: Home) -> Iterator[Callable[[Home], Window]]:
    """Opens a panel on a home; it is closed at the test's end, whatever runs.

    Before the service of `home` is stopped: a window that is open could start another.
    """
    opened: list[Window] = []

    def open_on(home: Home) -> Window:
        session = Session(home)
        window = Window(session, memory)
        opened.append(window)
        window.show()
        session.start()
        return window

    yield open_on
    for window in opened:
        if window.isVisible():
            close_whatever_runs(window)
        window.deleteLater()
    qtbot.wait(1)


def close_whatever_runs(window: Window) -> None:
    """Close, and answer what may be asked."""
    window.close()
    if window.question is not None:
        window.question.defaultButton().click()


@pytest.fixture
def artefact() -> Callable[[str], Path]:
    """Where pictures for people to look at go, by name."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    return ARTEFACTS.joinpath
