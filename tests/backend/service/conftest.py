"""A real service process with the fake worker behind the real pipe."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from service_process import Service, until
from underpaint.protocol.client import Connection, Home
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import GenerateRequest


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service of the test's own, not started yet."""
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
    service = Service(Home(tmp_path / "home"))
    yield service
    service.stop()
    until(lambda: not service.workers())


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service for tests that leave it as it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
        service = Service(Home(tmp_path_factory.mktemp("shared") / "home"))
        service.start(idle_exit_s=600.0)  # longer than the tests that leave it alone take on a busy machine
    yield service
    service.stop()
    assert not service.workers()


@pytest.fixture
def connection(shared: Service) -> Iterator[Connection]:
    """A conversation with the shared service."""
    with Connection.to(shared.home) as connection:
        yield connection


@pytest.fixture
def told() -> Callable[..., GenerateRequest]:
    """Make a request that tells the fake worker what to do."""

    def request(prompt: str = "", seed: int = 0) -> GenerateRequest:
        return GenerateRequest(prompt=prompt, size=Extent(width=32, height=16), seed=seed)

    return request
