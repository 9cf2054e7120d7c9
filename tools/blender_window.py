"""A real Blender 5.2 with a real window: Debian sid's, in a folder of its own, on a virtual screen.

The folder is made once by debootstrap. Everything that is mounted into it is mounted in a private mount
namespace that ends with the program inside, so no mount is ever seen by the rest of the system, nothing has
to be unmounted, and removing the folder can reach nothing but the folder.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

ROOT = Path(__file__).resolve().parents[1]
TREE = ROOT / ".cache" / "blender-sid"

_SUITE = "sid"  # the only one of Debian's with Blender 5.2
_PACKAGES = (
    "blender",
    "libgl1",  # opened at run time, so no package asks for it
    "libgl1-mesa-dri",
    "python3-cattr",
    "python3-numpy",
    "python3-requests",
)
_COMPLETE = "underpaint-complete"  # the file in the folder that says it is whole

# Run as `sh -c SCRIPT inside TREE SESSION COMMAND...`, in namespaces of its own. /tmp is a file system in memory,
# so that the folders made in it as mount points leave nothing behind. /host is the system outside: Blender's
# Python can't run the backend's environment, which belongs to the system that made it.
_INSIDE = """
set -e
tree=$1; session=$2; shift 2
mount -t proc proc "$tree/proc"
mount --bind /dev "$tree/dev"
mount -t tmpfs tmpfs "$tree/tmp"
mkdir -p "$tree/tmp/.X11-unix" "$tree$session" "$tree/host"
mount --bind /tmp/.X11-unix "$tree/tmp/.X11-unix"
mount --bind "$session" "$tree$session"
mount --rbind / "$tree/host"
mount -t proc proc "$tree/host/proc"
exec chroot "$tree" env "$@"
"""


class NoWindow(Exception):
    """This machine can't show the window; the message says what it lacks."""


class BlenderSaid(AssertionError):
    """Code that ran inside Blender raised; the message is its traceback."""


def require() -> None:
    """Raise NoWindow unless this machine can make and run the folder."""
    if not sys.platform.startswith("linux"):
        raise NoWindow("the real window needs Linux")
    if os.geteuid() != 0:
        raise NoWindow("the real window needs root, for debootstrap and chroot")
    for program in ("debootstrap", "unshare", "Xvfb", "xdotool", "import"):
        if not shutil.which(program):
            raise NoWindow(f"the real window needs {program}")
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True)
    if tried.returncode:
        raise NoWindow(f"the real window needs namespaces of its own: {tried.stderr.strip()}")


def ensure_tree() -> Path:
    """The folder with Blender in it; made when it isn't there yet, which takes minutes."""
    require()
    if (TREE / _COMPLETE).exists():
        return TREE
    partial = TREE.with_name(TREE.name + ".partial")
    for stale in (TREE, partial):
        _remove_tree(stale)
    partial.mkdir(parents=True)
    bootstrap = ["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, str(partial)]
    log = TREE.with_name(TREE.name + ".log")
    with log.open("wb") as output:
        # Debian's unstable suite often ends debootstrap with packages unconfigured; the second command finishes them.
        _in_private_mounts(bootstrap, output)
        repair = ["chroot", str(partial), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-f", "install", "-y"]
        repaired = _in_private_mounts(repair, output)
    if repaired or not (partial / "usr/bin/blender").exists():
        raise NoWindow(f"the folder with Blender could not be made; {log} has what was said")
    shutil.rmtree(partial / "var/cache/apt/archives", ignore_errors=True)
    (partial / _COMPLETE).write_text("yes\n")
    partial.rename(TREE)
    return TREE


def run_blender(
    session: Path,
    arguments: Sequence[str],
    *,
    environment: dict[str, str] | None = None,
    timeout_s: float = 180.0,
) -> str:
    """Run Blender without a window to its end, and give what it printed. Fails with it."""
    command = [*_command(session, environment or {}), "blender", *arguments]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
    )
    if done.returncode:
        raise AssertionError(f"blender left with {done.returncode}:\n{done.stdout}")
    return done.stdout


class Window:
    """Blender in its window. Runs code in it, presses its keys, looks at it."""

    def __init__(self, session: Path, display: str, log: Path) -> None:
        self.session = session
        self.display = display
        self.log = log
        self._calls = 0

    def call(self, code: str, *, timeout_s: float = 60.0) -> Any:
        """Run statements in Blender's main thread; gives what they leave in `answer` (JSON can carry it)."""
        self._calls += 1
        stem = self.session / "calls" / f"{self._calls:04d}"
        stem.with_suffix(".tmp").write_text(code, encoding="utf-8")
        stem.with_suffix(".tmp").rename(stem.with_suffix(".py"))
        reply = stem.with_suffix(".json")
        deadline = time.monotonic() + timeout_s
        while not reply.exists():
            if time.monotonic() > deadline:
                raise AssertionError(f"Blender did not answer in {timeout_s:.0f} s; it said:\n{self.said()[-4000:]}")
            time.sleep(0.01)
        answer = json.loads(reply.read_text(encoding="utf-8"))
        if answer["error"]:
            raise BlenderSaid(answer["error"])
        return answer["answer"]

    def wait(self, expression: str, *, timeout_s: float = 120.0) -> None:
        """Wait until a Python expression is true in Blender."""
        deadline = time.monotonic() + timeout_s
        while not self.call(f"answer = bool({expression})"):
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"in vain for {timeout_s:.0f} s: {expression}; Blender said:\n{self.said()[-4000:]}"
                )
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Press a key, by xdotool's name for it, over the window that the pointer is in."""
        self._tool("xdotool", "key", key)

    def point(self, x: int, y: int) -> None:
        """Move the pointer, in pixels of the screen from its top left corner."""
        self._tool("xdotool", "mousemove", str(x), str(y))

    def click(self, x: int, y: int, button: int = 1) -> None:
        """Move the pointer there and click."""
        self._tool("xdotool", "mousemove", str(x), str(y), "sleep", "0.1", "click", str(button))

    def screenshot(self, path: Path) -> Path:
        """Write what is on the screen as a PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._tool("import", "-window", "root", str(path))
        return path

    def said(self) -> str:
        """What Blender has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def _tool(self, *command: str) -> None:
        environment = {**os.environ, "DISPLAY": self.display}
        subprocess.run(command, env=environment, check=True, timeout=30.0, stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def open_window(
    session: Path, display: str, *, environment: dict[str, str] | None = None, arguments: Sequence[str] = ()
) -> Generator[Window]:
    """Blender's window on a virtual screen, until the block ends; then it and all that it started are gone."""
    calls = session / "calls"
    shutil.rmtree(calls, ignore_errors=True)
    calls.mkdir(parents=True)
    remote = session / "remote.py"
    shutil.copyfile(Path(__file__).with_name("blender_remote.py"), remote)
    window = Window(session, display, session / "blender.log")
    variables = {"DISPLAY": display, "LIBGL_ALWAYS_SOFTWARE": "1", **(environment or {})}
    command = [*_command(session, variables), "blender", *arguments, "--python", str(remote), "--", str(calls)]
    with window.log.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        window.call("answer = bpy.app.version_string", timeout_s=120.0)
        yield window
    finally:
        # unshare has --kill-child: with it goes the first process of the namespace, and with that all others.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30.0)


@contextlib.contextmanager
def screen(size: str = "1600x900") -> Generator[str]:
    """A virtual screen; gives its display name."""
    Path("/tmp/.X11-unix").mkdir(mode=0o1777, exist_ok=True)
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{size}x24", "-nolisten", "tcp", "-noreset"]
    process = subprocess.Popen(
        command, pass_fds=[writing], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as numbers:
            number = numbers.readline().strip()
        if not number:
            raise NoWindow("Xvfb did not start")
        yield f":{number}"
    finally:
        process.terminate()
        process.wait(timeout=30.0)


def outside_python(session: Path, python: Path) -> Path:
    """A program for inside the folder that runs an interpreter of the system outside it."""
    program = session / "outside-python"
    program.write_text(f'#!/bin/sh\nexec chroot /host "{python}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program


def _command(session: Path, variables: dict[str, str]) -> list[str]:
    inside = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(session),
        "TMPDIR": str(session),
        "PYTHONUNBUFFERED": "1",
        "BLENDER_USER_RESOURCES": str(session / "blender"),
        "HF_HUB_OFFLINE": "1",
        **variables,
    }
    assignments = [f"{name}={value}" for name, value in inside.items()]
    private = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    return [*private, "sh", "-c", _INSIDE, "inside", str(ensure_tree()), str(session), "-i", *assignments]


def _in_private_mounts(command: Sequence[str], output: BinaryIO) -> int:
    """Run something that mounts; its mounts are gone when it ends."""
    private = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.run(
        [*private, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
    ).returncode


def _remove_tree(tree: Path) -> None:
    """Remove a folder that was meant to hold a system, unless anything is mounted in it."""
    if not tree.exists():
        return
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    inside = [place for place in mounted if Path(place).is_relative_to(tree)]
    if inside:
        raise NoWindow(f"{tree} has something mounted in it, so it stays: {', '.join(inside)}")
    subprocess.run(["rm", "-rf", "--one-file-system", str(tree)], check=True)


if __name__ == "__main__":
    print(ensure_tree())
