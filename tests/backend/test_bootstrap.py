"""The script that runs the backend's programs from wherever the package lies."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2]

DEAF_WORKER = """
import sys, time
from ...protocol.client.home import Home
def main():
    sys.stdout.write(__name__ + "\\n")
    sys.stdout.flush()
    time.sleep(600)
"""

PARENT = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-P", *sys.argv[1:], "worker"])
print(worker.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def bootstrap(tmp_path):
    """The script in a copy of the package whose worker never looks at its stdin."""
    folder = tmp_path / "some-name"
    shutil.copytree(PACKAGE / "protocol", folder / "protocol", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "backend" / "worker").mkdir(parents=True)
    for name in ("__init__.py", "backend/__init__.py", "backend/bootstrap.py"):
        shutil.copy(PACKAGE / name, folder / name)
    (folder / "backend" / "worker" / "__init__.py").touch()
    (folder / "backend" / "worker" / "__main__.py").write_text(DEAF_WORKER)
    return folder / "backend" / "bootstrap.py"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can end a child with its parent")
def test_a_worker_ends_with_its_service_even_if_it_is_deaf(bootstrap):
    with subprocess.Popen([sys.executable, "-c", PARENT, str(bootstrap)], stdout=subprocess.PIPE, text=True) as parent:
        worker = Path("/proc") / parent.stdout.readline().strip()
        assert parent.stdout.readline() == "underpaint.backend.worker.__main__\n"
        assert worker.exists()
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while worker.exists() and "Z" not in (worker / "stat").read_text().rpartition(")")[2]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("arguments", [[], ["torch"], ["--help"]])
def test_it_says_how_it_is_used(bootstrap, arguments):
    done = subprocess.run([sys.executable, bootstrap, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "service|worker" in done.stderr
