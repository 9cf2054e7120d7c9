"""The command line, run as a user runs it, with small wheels in place of the shipped list's."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_wheels import Index
from underpaint.installer import command
from underpaint.installer.install import Installation
from underpaint.installer.plan import Plan
from underpaint.protocol.client import Home

SCRIPT = """
import sys
from pathlib import Path
from underpaint.installer import command, plan
pins, modules = Path(sys.argv[1]), tuple(sys.argv[2].split(","))
defaults = plan.Plan.__init__.__kwdefaults__
defaults["requirements"], defaults["modules"] = pins, modules
sys.exit(command.main(sys.argv[3:]))
"""
"""The program, with another list of pins."""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    listed = tmp_path / "pins.txt"
    listed.write_text("brushes==1.0\ncanvas==1.0\n")
    return [sys.executable, "-c", SCRIPT, str(listed), "brushes,canvas"]


def run(program: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*program, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=180)


def test_installed_examined_repaired_and_removed(program: list[str], home: Home, wheels: Path) -> None:
    asked = run(program, "install", "--wheels", str(wheels))
    assert asked.returncode == 1
    assert "Folder: " in asked.stdout
    assert "say --yes" in asked.stderr
    assert not home.folder.exists()

    done = run(program, "install", "--wheels", str(wheels), "--offline", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "To download: nothing" in done.stdout
    assert done.stdout.endswith("The backend is installed. It starts when it is needed.\n")
    assert "Nothing is wrong" in run(program, "install", "--repair", "--wheels", str(wheels), "--yes").stdout

    (lost,) = home.environment.glob("lib/python*/site-packages/canvas.py")
    lost.unlink()
    assert "canvas (canvas.py is gone)" in run(program, "doctor").stdout
    mended = run(program, "install", "--repair", "--wheels", str(wheels), "--yes")
    assert mended.returncode == 0
    assert "  canvas: canvas.py is gone\n" in mended.stdout
    assert lost.exists()

    assert run(program, "uninstall").returncode == 1
    removed = run(program, "uninstall", "--yes")
    assert removed.returncode == 0
    assert str(home.environment) in removed.stdout
    assert not home.environment.exists()
    assert "There is nothing to delete" in run(program, "uninstall", "--yes").stdout


def test_ctrl_c_leaves_everything_as_it_was(tmp_path: Path, home: Home, index: Index, wheels: Path) -> None:
    listed = tmp_path / "pins.txt"
    listed.write_text("slow_brushes==1.0\n")
    program = [sys.executable, "-c", SCRIPT, str(listed), "slow_brushes"]
    terminal, its_end = pty.openpty()
    environment = {**os.environ, "PIP_INDEX_URL": index.options[-1], "PIP_TRUSTED_HOST": index.options[2]}
    # What runs in the background of a shell ignores Ctrl-C, and so does what it starts, unless it is told otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(
        [*program, "install", "--yes"], stdin=its_end, stdout=its_end, stderr=its_end, env=environment
    )
    os.close(its_end)
    shown = b""
    deadline = time.monotonic() + 120
    while b"slow_brushes" not in shown.rpartition(b"Fetching the packages")[2]:
        assert time.monotonic() < deadline, shown.decode()
        shown += os.read(terminal, 4096)
    running.send_signal(signal.SIGINT)
    while True:
        try:
            more = os.read(terminal, 4096)
        except OSError:  # the terminal's other end is closed
            break
        if not more:
            break
        shown += more
    os.close(terminal)
    assert running.wait(30) == 130
    assert "Cancelled. What was there before is as it was" in shown.decode()
    assert b"Traceback" not in shown
    assert list(home.folder.glob("environment*")) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("install", "--offline"), "--offline needs a folder of wheels"),
        (("install", "--wheels", "/nowhere"), "there are no wheels in /nowhere"),
        (("install", "--variant", "mps"), "there is no PyTorch for Apple silicon"),
    ],
)
@pytest.mark.skipif(sys.platform == "darwin", reason="there is, on a Mac")
def test_what_can_t_be_is_said_in_a_sentence(
    home: Home, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments) == 1
    assert said in capsys.readouterr().err
    assert not home.folder.exists()


def test_another_python_and_another_folder_can_be_named(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[Plan] = []

    def begin(plan: Plan) -> Installation:
        begun.append(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "Installation", begin)
    other = tmp_path / "other"
    assert command.main(["--home", str(other), "install", "--yes", "--python", "/opt/python3.11"]) == 130
    assert (begun[0].home.folder, begun[0].base_python) == (other, Path("/opt/python3.11"))
    assert str(other) in capsys.readouterr().out


@pytest.mark.parametrize("name", ["install", "uninstall", "doctor", "diagnostics"])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.main([name, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: underpaint {name}")
