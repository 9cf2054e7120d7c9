"""Several pictures a job, the memory check, and what a job has to say afterwards."""

import dataclasses
from pathlib import Path

import numpy as np
from panel_driver import SIZE, WAIT_MS, OpenWindow, depth_map, generate, until_connected, until_state
from PySide6.QtWidgets import QToolButton
from pytestqt.qtbot import QtBot
from underpaint.protocol import record
from underpaint.protocol.client import Connection, wait
from underpaint.protocol.events import WorkerState
from underpaint.protocol.jobs import JobState
from underpaint.protocol.request import GenerateRequest, PlanRequest, Variant
from underpaint.qt_panel import pictures
from underpaint.qt_panel.form import ControlForm, Form, Picture, StartForm
from underpaint.qt_panel.notices import Severity
from underpaint.qt_panel.window import Window


def until_shown(qtbot: QtBot, window: Window) -> None:
    until_state(qtbot, window, JobState.SUCCEEDED)
    qtbot.waitUntil(lambda: window.presenter.picture() is not None, timeout=WAIT_MS)


def test_every_picture_of_a_job_is_shown_with_its_seed(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection, tmp_path: Path
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    said: set[str] = set()
    window.presenter.table_changed.connect(lambda: said.add(window.run_bar.progress_words))
    generate(qtbot, window, Form(prompt="four steps=6 pause=0.1", size=SIZE, seed=7, pictures=4))
    until_shown(qtbot, window)
    job = window.presenter.job()
    assert [picture.seed for picture in job.request.pictures] == [7, 8, 9, 10]
    assert any("Painting picture 2 of 4, step" in words for words in said)
    assert [button.text() for button in window.result._buttons] == [f"Picture {number}" for number in range(1, 5)]
    assert "Seed 9" in window.result._buttons[2].toolTip()
    assert "seed 7" in window.result._words.full_text
    window.result._buttons[2].click()
    qtbot.waitUntil(lambda: window.presenter.picture() is not None, timeout=WAIT_MS)
    assert "seed 9" in window.result._words.full_text
    pixels, _, _ = window.presenter.picture()
    assert np.array_equal(pixels, fake_service.download(job.result.images[2]))
    window.saved.save(tmp_path / "third.png")
    found = pictures.record_in(tmp_path / "third.png")
    assert (found.request, found.picture, found.job_id) == (job.request, 2, job.id)
    again = record.replay(found).request
    assert (again.seed, again.variants) == (9, ()), "what makes this one again"
    assert window.saved.file_name(job) == "four-steps-6-pause-0-1-9.png"
    window.form_panel.fill(Form())
    window._restore(job.id)
    assert (window.form_panel.form.pictures, window.form_panel.form.seed) == (4, 7)


def test_pictures_by_prompts_of_their_own_come_back_with_the_job_and_can_be_let_go(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    variants = (Variant(prompt="one steps=1", seed=5), Variant(prompt="a fox steps=1", seed=3))
    request = GenerateRequest(prompt="one steps=1", seed=4, size=SIZE, variants=variants)
    job = wait(fake_service, fake_service.submit(request, client="script"))
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    qtbot.waitUntil(lambda: window.presenter.table.row(job.id) is not None, timeout=WAIT_MS)
    window._restore(job.id)
    panel = window.form_panel
    assert (panel.form.pictures, panel.form.variants) == (2, variants[1:])
    assert "and 1 kept" in panel._pictures_note.text()
    assert "a fox" in panel._pictures_note.toolTip()
    window.result._buttons[2].click()
    assert "“a fox steps=1”" in window.result._words.full_text
    panel._pictures_note.linkActivated.emit("#")
    assert (panel.form.pictures, panel.form.variants) == (2, ())
    assert "Seeds 4 to 5" in panel._pictures_note.text()


def test_several_prompts_are_gathered_for_one_job(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    panel = window.form_panel
    panel.fill(Form(prompt="a fox steps=1", negative_prompt="grey", size=SIZE, seed=3))
    (keep,) = (button for button in panel.findChildren(QToolButton) if button.toolTip().startswith("Keep this prompt"))
    keep.click()
    qtbot.keyClicks(panel._prompt, "an owl steps=1")
    panel._seed.setText("8")
    generate(qtbot, window, panel.form)
    until_shown(qtbot, window)
    fox = Variant(prompt="a fox steps=1", negative_prompt="grey", seed=3)
    owl = Variant(prompt="an owl steps=1", negative_prompt="grey", seed=8)
    assert window.presenter.job().request.pictures == (owl, fox)


def test_a_result_is_the_start_of_the_next_without_being_sent(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    assert not window.result.begin.isEnabled()
    mask = Picture(name="m", pixels=np.full((4, 4, 3), 255, np.uint8))
    image = Picture(name="p", pixels=np.full((4, 4, 3), 90, np.uint8))
    control = ControlForm(image=depth_map())
    start = StartForm(image=image, mask=mask)
    generate(qtbot, window, Form(prompt="steps=1", size=SIZE, pictures=2, controls=(control,), start=start))
    until_shown(qtbot, window)
    window.result._buttons[1].click()
    qtbot.waitUntil(window.result.begin.isEnabled, timeout=WAIT_MS)
    window.result.begin.trigger()
    images = window.presenter.job().result.images
    assert (window.form_panel.form.start.image, window.form_panel.form.start.mask) == (images[1], None)
    qtbot.waitUntil(lambda: window.form_panel.start._image_thumb._image is not None, timeout=WAIT_MS)
    first = window.presenter.looked_at
    generate(qtbot, window, window.form_panel.form)
    qtbot.waitUntil(lambda: window.presenter.looked_at != first, timeout=WAIT_MS)
    until_shown(qtbot, window)
    assert window.presenter.job().request.start.image == images[1]
    window.result._buttons[2].click()
    qtbot.waitUntil(lambda: window.result.save.isEnabled(), timeout=WAIT_MS)
    assert not window.result.begin.isEnabled(), "a control map is no picture"


def test_the_plan_is_told_when_it_is_asked_for_and_follows_the_form(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    machine = window.form_panel.machine
    window.form_panel.fill(Form(prompt="x", size=SIZE))
    assert machine.plan_words == ""
    machine._check.click()
    qtbot.waitUntil(lambda: machine.plan_words.startswith("0 ControlNets at 64 x 64"), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: window.presenter.table.worker.state is WorkerState.READY, timeout=WAIT_MS)
    asked = len(window.presenter.table.rows)
    window.form_panel._prompt.setPlainText("another prompt")
    machine._budget.choose(4)
    qtbot.waitUntil(lambda: "in 4 GB" in machine.plan_words, timeout=WAIT_MS)
    assert len(window.presenter.table.rows) == asked + 1, "the prompt changes no plan"
    assert isinstance(window.presenter.table.rows[0].job.request, PlanRequest)
    assert fake_service.jobs().jobs == (), "it is in no history"
    assert window.presenter.looked_at == "", "there is nothing to see of it"


def test_the_plan_starts_no_worker_by_itself(qtbot: QtBot, open_window: OpenWindow, fake_service: Connection) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    window.form_panel.fill(Form(size=SIZE))
    window.form_panel.machine._budget.choose(2)
    qtbot.wait(600)
    assert window.presenter.table.rows == ()
    machine = window.form_panel.machine
    machine._check.click()
    qtbot.waitUntil(lambda: "64 x 64" in machine.plan_words, timeout=WAIT_MS)
    window.presenter.table = dataclasses.replace(window.presenter.table, worker=None)
    machine._budget.choose(3)
    assert "changed since the check" in machine.plan_words


def test_a_form_that_will_not_do_has_no_plan(qtbot: QtBot, open_window: OpenWindow, fake_service: Connection) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    grey = np.zeros((8, 8, 3), np.uint8)
    mask = Picture(name="m", pixels=grey[:4])
    window.form_panel.fill(Form(size=SIZE, start=StartForm(image=Picture(name="p", pixels=grey), mask=mask)))
    window.form_panel.machine._check.click()
    (notice,) = window.messages.notices
    assert "mask of the start picture" in notice.text
    assert window.form_panel.machine.plan_words == ""


def test_what_a_job_has_to_say_is_said(qtbot: QtBot, open_window: OpenWindow, fake_service: Connection) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    generate(qtbot, window, Form(prompt="steps=1 notes=2", size=SIZE))
    until_shown(qtbot, window)
    (notice,) = window.messages.notices
    assert (notice.text, notice.severity) == ("Note 1 of the fake Note 2 of the fake", Severity.INFO)
    assert window.result._words.toolTip().splitlines()[1:] == ["no model", "Note 1 of the fake", "Note 2 of the fake"]


def test_a_start_picture_goes_to_the_service_and_comes_back(
    qtbot: QtBot, open_window: OpenWindow, fake_service: Connection
) -> None:
    window = open_window(fake_service.home)
    until_connected(qtbot, window)
    image = Picture(name="p", pixels=np.full((16, 16, 3), 90, np.uint8))
    mask = Picture(name="m", pixels=np.full((16, 16, 3), 255, np.uint8))
    generate(qtbot, window, Form(prompt="steps=1", size=SIZE, start=StartForm(image=image, mask=mask, strength=0.5)))
    until_shown(qtbot, window)
    start = window.presenter.job().request.start
    assert np.array_equal(fake_service.download(start.image), image.pixels)
    assert np.array_equal(fake_service.download(start.mask), mask.pixels[..., 0])
    window._restore(window.presenter.looked_at)
    assert window.form_panel.form.start.image == start.image
    area = window.form_panel.start
    qtbot.waitUntil(lambda: area._mask_thumb._image is not None, timeout=WAIT_MS)
    assert area._mask_thumb._image.pixelColor(3, 3).red() == 255
