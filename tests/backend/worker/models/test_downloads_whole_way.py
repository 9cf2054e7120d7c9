"""From the command line to a picture: a real service, its real worker, and a hub on this computer."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import TOKEN, HubServer, hub_server
from underpaint.installer.diagnostics import diagnostics
from underpaint.protocol.client import Connection, Home, ensure_running, following
from underpaint.protocol.errors import BackendUnreachable, ModelGated
from underpaint.protocol.geometry import Extent, Projection
from underpaint.protocol.jobs import Job, JobState
from underpaint.protocol.request import Control, ControlKind, DownloadRequest, GenerateRequest
from underpaint.protocol.sources import DepthPass

PATIENCE_S = 120.0
BIG = np.random.default_rng(3).bytes(3_000_000)
SIZE = Extent(width=64, height=64)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def hub(models: Path) -> Iterator[HubServer]:
    """A hub with a checkpoint and a ControlNet that are real and tiny, and two LoRAs that are neither."""
    with hub_server() as hub:
        folder = next((models / "embedded").glob("*/model_index.json")).parent
        hub.add_folder("somebody/tiny", folder)
        for path in [path for path in hub.repositories["somebody/tiny"].files if path.startswith("controlnets/")]:
            del hub.repositories["somebody/tiny"].files[path]
        hub.add_folder("somebody/tiny-depth", folder / "controlnets" / "depth")
        for name in ("big", "slow"):
            hub.add(f"somebody/{name}", {f"{name}.safetensors": BIG + name.encode(), "README.md": b"a LoRA"})
        hub.add("somebody/gated", {"lora.safetensors": BIG[:50_000]}, gated=True)
        yield hub


class Backend:
    """A service of a home of its own, whose worker knows the local hub alone."""

    def __init__(self, folder: Path, hub: HubServer) -> None:
        self.home = Home(folder / "home")
        self.environment = {**hub.environment(folder / "hf"), "UNDERPAINT_BACKEND_PYTHON": sys.executable}

    def start(self, **environment: str) -> Connection:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.environment, **environment}.items():
                patch.setenv(name, value)
            return ensure_running(self.home, service_arguments=["--cancel-s", "20"])

    def command(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "underpaint.installer", "--home", str(self.home.folder), "download", *words],
            env={**os.environ, **self.environment, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def stop(self) -> None:
        try:
            with Connection.to(self.home) as connection:
                pid = connection.hello().pid
                connection.shutdown()
        except BackendUnreachable:
            return
        until(lambda: not Path(f"/proc/{pid}/cmdline").is_file() or not Path(f"/proc/{pid}/cmdline").read_bytes())

    def worker(self) -> int:
        """The process that fetches and paints."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if b"worker" in words and os.fsencode(self.home.blobs) in words:
                    return int(entry.name)
        raise AssertionError("there is no worker")


@pytest.fixture(scope="module")
def backend(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    backend = Backend(tmp_path_factory.mktemp("whole-way"), hub)
    backend.start().close()
    yield backend
    backend.stop()


@pytest.fixture
def connection(backend: Backend) -> Iterator[Connection]:
    with Connection.to(backend.home) as connection:
        yield connection


def fetching(connection: Connection, name: str, hub: HubServer) -> Job:
    """A download that is under way, with some of its bytes there."""
    hub.faults.bytes_per_s = 1_000_000
    sent = hub.sent[f"{name}.safetensors"]
    job = connection.submit(DownloadRequest(reference=f"somebody/{name}"))
    until(lambda: hub.sent[f"{name}.safetensors"] > sent + 200_000)
    hub.faults.bytes_per_s = 10_000
    return job


def depth(connection: Connection) -> DepthPass:
    rows = np.linspace(1, 9, 64, dtype=np.float32)[:, None].repeat(64, axis=1)
    return DepthPass(metres=connection.upload(rows), projection=Projection.PERSPECTIVE)


def picture(connection: Connection, **options: object) -> GenerateRequest:
    control = Control(kind=ControlKind.DEPTH, source=depth(connection), controlnet=str(options.pop("net", "")))
    return GenerateRequest(prompt="a room", size=SIZE, controls=(control,), steps=2, **options)  # type: ignore[arg-type]


def test_a_picture_is_painted_while_a_model_comes(connection: Connection, hub: HubServer) -> None:
    job = fetching(connection, "slow", hub)
    painted = following.run(connection, picture(connection))
    assert painted.state is JobState.SUCCEEDED
    assert connection.job(job.id).state is JobState.RUNNING
    connection.cancel(job.id)
    until(lambda: connection.job(job.id).state is JobState.CANCELLED)
    hub.faults.bytes_per_s = 0


def test_it_is_gone_on_with_after_its_worker_was_killed(
    connection: Connection, backend: Backend, hub: HubServer
) -> None:
    job = fetching(connection, "big", hub)
    os.kill(backend.worker(), signal.SIGKILL)
    until(lambda: connection.job(job.id).attempts == 2)
    hub.faults.bytes_per_s = 0
    done = following.wait(connection, connection.job(job.id))
    assert (Path(done.result.checkpoint) / "big.safetensors").read_bytes() == BIG + b"big"
    assert any(one.range for one in hub.asked if "big" in one.path)
    lost = 1 << 20  # of what was on its way when the worker died
    assert len(BIG) <= hub.sent["big.safetensors"] < len(BIG) + lost


def test_ctrl_c_ends_the_command_and_the_same_command_goes_on(backend: Backend, hub: HubServer) -> None:
    hub.faults.bytes_per_s = 1_000_000
    before = hub.sent["slow.safetensors"]
    # What runs in the background of a shell ignores Ctrl-C, and so does what it starts, unless it is told otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = backend.command("somebody/slow")
    until(lambda: hub.sent["slow.safetensors"] > before + 200_000)
    hub.faults.bytes_per_s = 10_000
    command.send_signal(signal.SIGINT)
    said, _ = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 130, said
    assert "Cancelled. What was fetched is kept" in said
    with Connection.to(backend.home) as connection:
        until(lambda: connection.jobs().jobs[0].state is JobState.CANCELLED)
    hub.faults.bytes_per_s = 0
    command = backend.command("somebody/slow")
    said, _ = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 0, said
    assert " were there." in said  # a part of it
    assert 'Choose it as "somebody/slow".' in said


def test_what_is_wrong_is_said_by_the_command(backend: Backend) -> None:
    command = backend.command("somebody/nothing")
    said, _ = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 1
    assert "no such repository" in said


def test_a_token_opens_a_gate_and_is_told_nobody(
    backend: Backend, hub: HubServer, connection: Connection, tmp_path: Path
) -> None:
    with pytest.raises(ModelGated, match="hf auth login"):
        following.run(connection, DownloadRequest(reference="somebody/gated"))
    # where `hf auth login` puts it
    Path(backend.environment["HF_HOME"], "token").write_text(TOKEN)
    following.run(connection, DownloadRequest(reference="somebody/gated"))
    assert TOKEN in {one.token for one in hub.asked}
    kept = b"".join(path.read_bytes() for path in backend.home.folder.rglob("*") if path.is_file())
    assert TOKEN.encode() not in kept
    assert TOKEN not in diagnostics(backend.home)
    Path(backend.environment["HF_HOME"], "token").unlink()


def test_what_was_downloaded_paints_offline(backend: Backend, hub: HubServer) -> None:
    for words in (("somebody/tiny",), ("somebody/tiny-depth", "--revision", "main")):
        command = backend.command(*words)
        said, _ = command.communicate(timeout=PATIENCE_S)
        assert command.returncode == 0, said
    backend.stop()
    asked = len(hub.asked)
    with backend.start(HF_HUB_OFFLINE="1") as connection:
        done = following.run(connection, picture(connection, checkpoint="somebody/tiny", net="somebody/tiny-depth"))
        again = following.run(connection, picture(connection))  # the embedded one: the same weights
        assert Path(backend.environment["HF_HOME"]) in Path(done.result.checkpoint).parents
        assert done.result.images == again.result.images
        listed = [entry.reference for entry in connection.models().models]
    assert len(hub.asked) == asked
    assert {"somebody/tiny", "somebody/tiny-depth"} <= set(listed)
