"""Nothing is left behind by a death: what a worker started, a worker whose service is gone, a service half started."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from service_process import FAKE_WORKER, Service, alive, until
from underpaint.backend.service.tether import Tether
from underpaint.backend.service.worker_process import WorkerProcess
from underpaint.protocol.client import Home

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

CHILD = """
import os, subprocess, sys
child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(child.pid, file=sys.stderr, flush=True)
os._exit(3)
"""
CLIENT = """
import json, sys
from pathlib import Path
from underpaint.protocol.client import Home, ensure_running
print("starting", flush=True)
ensure_running(Home(Path(sys.argv[1])), service_arguments=json.loads(sys.argv[2]))
print("started", flush=True)
"""
# PyDLL holds Python's lock while it calls, as a library that hangs would.
HANGING = """
import ctypes, time
from underpaint.backend.worker.channel import renew_last_resort
for _ in range(4):
    renew_last_resort(1.0)
    time.sleep(0.4)
print("alive", flush=True)
ctypes.PyDLL(None).sleep(60)
"""


def of_home(home: Home) -> set[int]:
    """The processes whose command line speaks of a home."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if os.fsencode(home.folder) in command and alive(int(entry.name)):
            found.add(int(entry.name))
    return found


def test_what_a_worker_started_ends_with_it() -> None:
    gone = threading.Event()
    worker = WorkerProcess(
        [sys.executable, "-c", CHILD], on_frame=lambda *_: None, on_gone=lambda _worker, _reason: gone.set()
    )
    assert gone.wait(20)
    (child,) = worker._tail
    until(lambda: not alive(int(child)))


def test_ending_what_has_ended_is_harmless() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True) as process:
        tether = Tether(process.pid)
    tether.end()
    tether.end()


def test_a_worker_that_a_library_hangs_does_not_wait_for_ever() -> None:
    """macOS' way, which works anywhere."""
    with subprocess.Popen(
        [sys.executable, "-c", HANGING], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout.readline() == b"alive\n", "as long as it is renewed it lives"
        assert process.wait(20) == 1


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.15, 0.3, 0.6])
def test_a_client_that_is_killed_while_it_starts_the_service_leaves_one_or_none(
    service: Service, after_s: float
) -> None:
    worker = [sys.executable, str(FAKE_WORKER), "--blobs", str(service.home.blobs)]
    arguments = json.dumps(["--worker-command", json.dumps(worker), "--idle-exit-s", "60"])
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(service.home.folder), arguments], stdout=subprocess.PIPE
    ) as client:
        assert client.stdout.readline() == b"starting\n"
        time.sleep(after_s)
        client.send_signal(signal.SIGKILL)
    connection = service.start()
    assert connection.hello().pid == service.pid
    # A second one that is still starting finds the home taken and leaves. Stopped before it has, the first would
    # leave the home to it, as to any other that starts late.
    until(lambda: of_home(service.home) == {service.pid})
    service.stop()
    assert of_home(service.home) == set()
