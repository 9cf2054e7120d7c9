"""The queue in the user's hands: the order that is shown, and what changes it."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from panel_driver import SIZE, WAIT_MS, OpenWindow, generate, until_connected, until_state
from PySide6.QtCore import QMimeData, QModelIndex, Qt
from PySide6.QtWidgets import QMenu
from pytestqt.qtbot import QtBot
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.client import Connection, Home
from underpaint.protocol.events import JobChanged
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import Job, JobResult, JobState, Priority
from underpaint.protocol.request import GenerateRequest, Variant
from underpaint.qt_panel import messages as m
from underpaint.qt_panel import queue_order
from underpaint.qt_panel.collecting import Collector
from underpaint.qt_panel.form import Form
from underpaint.qt_panel.job_table import JobTable, with_jobs
from underpaint.qt_panel.session import Session
from underpaint.qt_panel.window import Window

Waiting = Callable[..., list[Job]]


def job(name: str, state: JobState = JobState.QUEUED, **more: object) -> Job:
    made = Job(
        id=name,
        client="panel",
        state=state,
        request=GenerateRequest(prompt=name, size=Extent(width=64, height=64)),
        revision=1,
        created_at=100.0,
    )
    return dataclasses.replace(made, **more)


def queue(names: str) -> tuple[Job, ...]:
    """Jobs in their order, such as "H1 N1 N2 L1"; the letter is the priority."""
    letters = {"H": Priority.HIGH, "N": Priority.NORMAL, "L": Priority.LOW}
    made = [job(name, priority=letters[name[0]], place=float(place)) for place, name in enumerate(names.split())]
    return queue_order.waiting(reversed(made))


def after(jobs: tuple[Job, ...], move: m.MoveJob | None) -> str:
    """The order once the service has done what was asked for."""
    if move is None:
        return "no move"
    moving = next(job for job in jobs if job.id == move.job_id)
    if move.before:
        target = next(job for job in jobs if job.id == move.before)
        moving = dataclasses.replace(moving, priority=target.priority, place=target.place - 0.5)
    else:
        moving = dataclasses.replace(moving, priority=move.priority or moving.priority, place=1000)
    others = [job for job in jobs if job.id != move.job_id]
    return " ".join(job.id for job in queue_order.waiting([*others, moving]))


def test_what_runs_is_above_what_waits_and_that_above_what_is_over() -> None:
    table = with_jobs(
        JobTable(),
        (
            job("old", JobState.SUCCEEDED, created_at=1),
            job("new", JobState.FAILED, created_at=99),
            job("low", priority=Priority.LOW, place=1.0),
            job("second", place=3.0, created_at=1),
            job("first", place=2.5, created_at=50),
            job("runs", JobState.RUNNING, created_at=2),
            job("high", priority=Priority.HIGH, place=9.0),
        ),
    )
    assert [row.job.id for row in table.rows] == ["runs", "high", "first", "second", "low", "new", "old"]


@pytest.mark.parametrize(
    ("names", "who", "places", "order"),
    [
        ("N1 N2 N3", "N2", -1, "N2 N1 N3"),
        ("N1 N2 N3", "N2", 1, "N1 N3 N2"),
        ("N1 N2 N3", "N1", 1, "N2 N1 N3"),
        ("N1 N2 N3", "N1", -1, "no move"),
        ("N1 N2 N3", "N3", 1, "no move"),
        ("H1 N1", "H1", 1, "N1 H1"),
        ("H1 N1", "N1", -1, "N1 H1"),
        ("H1 H2 N1", "H1", 1, "H2 H1 N1"),
        ("H1 N1 L1", "H1", 1, "N1 H1 L1"),
        ("H1 N1 L1", "L1", -1, "H1 L1 N1"),
        ("H1 N1 N2", "N2", -1, "H1 N2 N1"),
        ("N1", "other", 1, "no move"),
    ],
)
def test_a_step_up_or_down_is_one_place(names: str, who: str, places: int, order: str) -> None:
    jobs = queue(names)
    assert after(jobs, queue_order.step(jobs, who, places)) == order


def test_between_two_priorities_a_job_keeps_its_own() -> None:
    jobs = queue("H1 H2 N1 N2 L1")
    assert queue_order.moved(jobs, "H1", 2) == m.MoveJob(job_id="H1", priority=Priority.HIGH)
    assert queue_order.moved(jobs, "N2", 2) == m.MoveJob(job_id="N2", before="N1")
    assert queue_order.moved(jobs, "L1", 2) == m.MoveJob(job_id="L1", priority=Priority.HIGH)
    assert after(jobs, queue_order.moved(jobs, "L1", 0)) == "L1 H1 H2 N1 N2"
    assert after(jobs, queue_order.moved(jobs, "H1", 5)) == "H2 N1 N2 L1 H1"


def test_what_can_be_done_with_which_job() -> None:
    assert queue_order.can_move(job("a"))
    assert not queue_order.can_move(job("a", transient=True))
    assert not queue_order.can_move(job("a", JobState.RUNNING))
    assert queue_order.can_retry(job("a", JobState.SUCCEEDED))
    assert not queue_order.can_retry(job("a"))


@pytest.fixture
def busy(fake_service: Connection) -> list[str]:
    """A job that runs, and three that wait, by their ids."""
    prompts = ("then=hang", "steps=1 a", "steps=1 b", "steps=1 c")
    return [fake_service.submit(GenerateRequest(prompt=prompt, size=SIZE), client="script").id for prompt in prompts]


def shown(window: Window) -> list[str]:
    model = window.jobs.model
    return [str(model.index(row).data()) for row in range(model.rowCount())]


def opened(qtbot: QtBot, open_window: OpenWindow, connection: Connection, chosen: str) -> Window:
    window = open_window(connection.home)
    until_connected(qtbot, window)
    qtbot.waitUntil(
        lambda: any(row.job.state is JobState.RUNNING for row in window.presenter.table.rows), timeout=WAIT_MS
    )
    window.presenter.look_at(chosen)
    window.jobs.select(chosen)
    return window


def test_the_keys_move_a_waiting_job(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection, busy: list[str]
) -> None:
    window = opened(qtbot, open_window, fake_service, busy[3])
    assert shown(window) == ["then=hang", "steps=1 a", "steps=1 b", "steps=1 c"]
    alt = Qt.KeyboardModifier.AltModifier
    for key, order in (
        (Qt.Key.Key_Up, ["a", "c", "b"]),
        (Qt.Key.Key_Home, ["c", "a", "b"]),
        (Qt.Key.Key_Down, ["a", "c", "b"]),
    ):
        qtbot.keyClick(window.jobs._view, key, alt)
        qtbot.waitUntil(lambda: shown(window)[1:] == [f"steps=1 {name}" for name in order], timeout=WAIT_MS)  # noqa: B023
        assert window.jobs._current().job.id == busy[3], "it stays the chosen one"
    fake_service.cancel(busy[0])
    qtbot.waitUntil(lambda: all(row.job.state.ended for row in window.presenter.table.rows), timeout=WAIT_MS)
    began = sorted((row.job for row in window.presenter.table.rows), key=lambda job: job.started_at)
    assert [job.id for job in began] == [busy[0], busy[1], busy[3], busy[2]]


def test_the_menu_gives_another_priority(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection, busy: list[str]
) -> None:
    window = opened(qtbot, open_window, fake_service, busy[3])
    menu = QMenu()
    window.jobs._fill_menu(menu, window.jobs._current().job)
    texts = [action.text() for action in menu.actions()]
    assert texts == ["Bring Settings Back", "Retry", "Move to Front", "Move Up", "Move Down", "Cancel", "Priority"]
    enabled = [action.text() for action in menu.actions() if action.isEnabled()]
    assert enabled == ["Bring Settings Back", "Move to Front", "Move Up", "Cancel", "Priority"]
    high, normal, low = menu.actions()[-1].menu().actions()
    assert (normal.isChecked(), high.isChecked(), low.isChecked()) == (True, False, False)
    high.trigger()
    qtbot.waitUntil(lambda: shown(window)[1] == "steps=1 c", timeout=WAIT_MS)
    assert fake_service.job(busy[3]).priority is Priority.HIGH
    assert "high priority" in str(window.jobs.model.index(1).data(Qt.ItemDataRole.AccessibleTextRole))
    menu.deleteLater()


def test_a_row_is_dragged_to_another_place(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection, busy: list[str]
) -> None:
    window = opened(qtbot, open_window, fake_service, busy[1])
    model = window.jobs.model
    assert not model.flags(model.index(0)) & Qt.ItemFlag.ItemIsDragEnabled, "it runs"
    assert model.flags(model.index(1)) & Qt.ItemFlag.ItemIsDragEnabled
    data = model.mimeData([model.index(3)])
    assert not model.dropMimeData(data, Qt.DropAction.MoveAction, 1, 0, QModelIndex())
    qtbot.waitUntil(lambda: shown(window)[1:] == ["steps=1 c", "steps=1 a", "steps=1 b"], timeout=WAIT_MS)
    model.dropMimeData(model.mimeData([model.index(1)]), Qt.DropAction.MoveAction, 4, 0, QModelIndex())
    qtbot.waitUntil(lambda: shown(window)[1:] == ["steps=1 a", "steps=1 b", "steps=1 c"], timeout=WAIT_MS)
    model.dropMimeData(QMimeData(), Qt.DropAction.MoveAction, 1, 0, QModelIndex())


def test_a_job_that_is_over_is_tried_again(qtbot: QtBot, open_window: OpenWindow, fake_service: Connection) -> None:
    first = fake_service.submit(GenerateRequest(prompt="steps=1", seed=5, size=SIZE), client="script")
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    qtbot.waitUntil(lambda: all(row.job.state.ended for row in window.presenter.table.rows), timeout=WAIT_MS)
    window.jobs.select(first.id)
    qtbot.keyClick(window.jobs._view, Qt.Key.Key_F5)
    qtbot.waitUntil(lambda: window.jobs.model.rowCount() == 2, timeout=WAIT_MS)
    again = window.presenter.table.rows[0].job
    assert (again.request, again.client) == (first.request, "panel")


def test_what_has_waited_for_long_is_in_the_list(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    """A page of jobs that came later, and are over, lies between it and the newest."""
    request = GenerateRequest(prompt="steps=0", size=SIZE)
    running = fake_service.submit(GenerateRequest(prompt="then=hang", size=SIZE)).id
    qtbot.waitUntil(lambda: fake_service.job(running).state is JobState.RUNNING, timeout=WAIT_MS)
    waits = fake_service.submit(request, priority=Priority.LOW).id
    for _ in range(60):
        fake_service.cancel(fake_service.submit(request).id)
    assert waits not in [job.id for job in fake_service.jobs().jobs]
    assert [job.id for job in fake_service.queue().jobs] == [waits]
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    assert [job.id for job in window.jobs.model.waiting()] == [waits]
    fake_service.cancel(running)


def test_a_job_that_began_in_the_meantime_is_said(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection, busy: list[str]
) -> None:
    window = opened(qtbot, open_window, fake_service, busy[0])
    with qtbot.waitSignal(window.presenter.noticed, timeout=WAIT_MS) as said:
        window.jobs.asked.emit(m.MoveJob(job_id=busy[0], before=busy[2]))
    assert "does not wait in the queue" in said.args[0].text


def test_the_service_hears_that_the_pictures_are_here(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected: list[str] = []
    real = Connection.collected

    def counted(connection: Connection, job_id: str) -> None:
        real(connection, job_id)
        collected.append(job_id)

    monkeypatch.setattr(Connection, "collected", counted)
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    others = fake_service.submit(GenerateRequest(prompt="steps=1", size=SIZE, seed=8), client="script")
    generate(qtbot, window, Form(prompt="steps=1", size=SIZE, seed=7))
    until_state(qtbot, window, JobState.SUCCEEDED)
    own = window.presenter.job().id
    qtbot.waitUntil(lambda: collected == [own], timeout=WAIT_MS)
    window.presenter.look_at(others.id)
    qtbot.waitUntil(lambda: window.presenter.picture() is not None, timeout=WAIT_MS)
    several = GenerateRequest(prompt="steps=1", size=SIZE, seed=1, variants=(Variant(prompt="x", seed=2),))
    two = fake_service.submit(several, client="panel")
    window.presenter.look_at(two.id)
    qtbot.waitUntil(lambda: collected == [own, two.id], timeout=WAIT_MS)


def test_one_of_two_pictures_is_not_all_of_them(home: Home) -> None:
    session = Session(home)
    sent: list[m.Command] = []
    session.send = sent.append
    collector = Collector(session)
    refs = [ArrayRef(sha256=digit * 64, shape=(8, 8, 3), dtype=DType.UINT8) for digit in "ab"]
    result = JobResult(images=tuple(refs), control_maps=(), timings=(), checkpoint="", plan="", versions={})
    done = job("two", JobState.SUCCEEDED, result=result)
    for heard in (done, dataclasses.replace(done, id="theirs", client="blender")):
        collector._hear(m.Happened(event=JobChanged(revision=1, job=heard)))
    pixels = np.zeros((8, 8, 3), np.uint8)
    collector._hear(m.PictureLoaded(ref=refs[0], pixels=pixels))
    assert sent == []
    for _ in range(2):
        collector._hear(m.PictureLoaded(ref=refs[1], pixels=pixels))
        collector._hear(m.Submitted(job=done))
    assert sent == [m.CollectJob(job_id="two")]
