"""A plan by the real worker, through the service: told while a picture is being painted."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from underpaint.backend import bootstrap
from underpaint.protocol.client import Connection, Home, ensure_running
from underpaint.protocol.errors import DoesNotFit
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import Job, JobState
from underpaint.protocol.request import Control, ControlKind, ControlMapsRequest, GenerateRequest, PlanRequest
from underpaint.protocol.sources import Person, PosePass

PATIENCE_S = 240.0
SIZE = Extent(width=64, height=64)
CONTROL = Control(kind=ControlKind.OPENPOSE, source=PosePass(people=(Person(body=(None,) * 18, depth_m=1.0),)))
PICTURE = GenerateRequest(prompt="a room", size=SIZE, controls=(CONTROL,), steps=900)


@pytest.fixture
def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A service of the test's own with the worker that is shipped."""
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
    home = Home(tmp_path / "home")
    command = [sys.executable, "-P", str(Path(bootstrap.__file__)), "worker", "--blobs", str(home.blobs)]
    command += ["--models", str(tmp_path / "models")]
    with ensure_running(home, service_arguments=["--worker-command", json.dumps(command)]) as connection:
        yield connection
        connection.shutdown()


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition as long as importing torch on a busy machine may take."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def ended(connection: Connection, job: Job) -> Job:
    until(lambda: connection.job(job.id).state.ended)
    return connection.job(job.id)


def test_a_plan_is_told_while_a_picture_is_painted(connection: Connection) -> None:
    # Before torch is there a plan has to wait, and the control images that were asked for after it don't.
    plan = connection.submit(PlanRequest(picture=PICTURE), transient=True)
    maps = connection.submit(ControlMapsRequest(size=SIZE, controls=(CONTROL,)), transient=True)
    maps, plan = ended(connection, maps), ended(connection, plan)
    assert maps.state is plan.state is JobState.SUCCEEDED
    assert maps.ended_at is not None
    assert plan.started_at is not None
    assert maps.ended_at <= plan.started_at
    result = plan.result
    assert result is not None
    assert result.plan.startswith("SD 1.5 + 1 ControlNet in ")
    assert (result.images, result.control_maps) == ((), ())

    picture = connection.submit(PICTURE)
    until(lambda: connection.preview(picture.id) is not None)
    again = ended(connection, connection.submit(PlanRequest(picture=PICTURE), transient=True))
    assert again.state is JobState.SUCCEEDED
    assert connection.job(picture.id).state is JobState.RUNNING
    connection.cancel(picture.id)
    assert ended(connection, picture).state is JobState.CANCELLED

    large = GenerateRequest(prompt="", size=Extent(width=2048, height=2048), memory_budget_gb=0.2)
    failed = ended(connection, connection.submit(PlanRequest(picture=large), transient=True))
    assert failed.error is not None
    assert failed.error.code == DoesNotFit.code
    assert "what would fit" in str(failed.error.error())
