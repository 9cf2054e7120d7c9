"""Work that the render thread posts."""

import pytest
from underpaint.addon import main_thread


def test_a_task_that_fails_costs_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[int] = []
    main_thread.post(lambda: done.append(1))
    main_thread.post(lambda: 1 // 0)
    main_thread.post(lambda: done.append(2))
    main_thread.drain()
    assert done == [1, 2]
    assert "ZeroDivisionError" in capsys.readouterr().err
