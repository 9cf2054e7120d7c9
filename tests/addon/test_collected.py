"""The backend hears that a picture is in Blender's hands, and where in the queue its job belongs."""

import logging
from typing import Any

import pytest
from underpaint.addon import api
from underpaint.addon.controls import ControlSettings
from underpaint.protocol.client import Connection
from underpaint.protocol.errors import BackendUnreachable, InvalidRequest, JobUnknown, UnderpaintError
from underpaint.protocol.jobs import Priority
from underpaint.protocol.request import ControlKind

DEPTH = ControlSettings(kind=ControlKind.DEPTH)


def test_a_picture_that_came_is_said_to_have_come(
    scene: Any, fake_backend: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected: list[str] = []
    real = Connection.collected
    monkeypatch.setattr(
        Connection, "collected", lambda connection, job_id: (real(connection, job_id), collected.append(job_id))
    )
    result = api.generate(scene, prompt="steps=1", controls=[DEPTH])
    assert collected == [result.job_id]


@pytest.mark.parametrize("error", [BackendUnreachable(reason="it left"), JobUnknown(job_id="gone")])
def test_a_picture_comes_all_the_same_where_that_fails(
    scene: Any,
    fake_backend: Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: UnderpaintError,
) -> None:
    def fail(connection: Connection, job_id: str) -> None:
        raise error

    monkeypatch.setattr(Connection, "collected", fail)
    with caplog.at_level(logging.WARNING):
        result = api.generate(scene, prompt="steps=1", controls=[DEPTH])
    assert result.picture.shape[2] == 3
    assert "was not collected" in caplog.text


def test_a_batch_may_wait(scene: Any, fake_backend: Connection) -> None:
    for priority in ("low", "HIGH", Priority.NORMAL):
        result = api.generate(scene, prompt="steps=1", controls=[DEPTH], priority=priority)
        assert fake_backend.job(result.job_id).priority is Priority(str(priority).lower())
    with pytest.raises(InvalidRequest, match="LOW, NORMAL, HIGH"):
        api.generate(scene, prompt="steps=1", controls=[DEPTH], priority="soon")
