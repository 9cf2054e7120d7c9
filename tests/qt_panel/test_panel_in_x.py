"""The panel as its user starts it: its own process, in a window of a real X server, typed into."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from underpaint.protocol.client import Connection
from underpaint.protocol.jobs import Job, JobState

NEEDED = ("Xvfb", "xdotool", "import")
WAIT_S = 60


@pytest.fixture
def display() -> Iterator[str]:
    """A screen that nobody sees."""
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing or not sys.platform.startswith("linux"):
        pytest.skip(f"no {', '.join(missing) or 'X'} here")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x900x24"],
        pass_fds=[write],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as numbers:
        number = numbers.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait(WAIT_S)


def until(reached: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not reached():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {WAIT_S} s in vain for {what}")
        time.sleep(0.05)


def test_typed_into_and_closed_by_keys(
    display: str, fake_service: Connection, tmp_path: Path, artefact: Callable[[str], Path]
) -> None:
    environment = {**os.environ, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "XDG_CONFIG_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "underpaint.qt_panel", "--home", str(fake_service.home.folder)]
    log = tmp_path / "panel.log"
    with log.open("wb") as stream:
        panel = subprocess.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT)

    def x(*words: str) -> str:
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False).stdout.strip()

    def window() -> str:
        assert panel.poll() is None, log.read_text()
        return x("xdotool", "search", "--onlyvisible", "--name", "Underpaint")

    def newest() -> Job | None:
        return next(iter(fake_service.jobs().jobs), None)

    try:
        until(window, "the window")
        x("xdotool", "windowfocus", "--sync", window().split()[-1])
        x("xdotool", "type", "a picture of X steps=3 pause=0.2")
        x("xdotool", "key", "ctrl+Return")
        until(lambda: (job := newest()) is not None and job.state.ended, "the picture")
        job = newest()
        assert job.state is JobState.SUCCEEDED
        assert job.client == "panel"
        assert job.request.prompt == "a picture of X steps=3 pause=0.2"
        time.sleep(0.5)  # for the eye: the screenshot below is looked at, not compared
        x("import", "-window", "root", str(artefact("panel_in_x.png")))
        x("xdotool", "key", "ctrl+q")
        assert panel.wait(WAIT_S) == 0, log.read_text()
        assert log.read_text() == ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            panel.kill()
        panel.wait(WAIT_S)
