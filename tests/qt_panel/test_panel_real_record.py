"""The panel with the real worker: a LoRA from the list, a picture, its file, and the same picture from that file."""

from pathlib import Path

import numpy as np
from model_files import embedded_lora
from panel_driver import OpenWindow, drop, generate, until_connected
from PySide6.QtCore import QMimeData, Qt, QUrl
from pytestqt.qtbot import QtBot
from underpaint.protocol import record
from underpaint.protocol.arrays import ArrayRef
from underpaint.protocol.client import Home
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobState
from underpaint.protocol.models import ModelKind
from underpaint.qt_panel import pictures
from underpaint.qt_panel.extras_form import Extras, LoraForm
from underpaint.qt_panel.form import Form
from underpaint.qt_panel.notices import Severity
from underpaint.qt_panel.window import Window

WAIT_MS = 300_000  # the first start imports torch and builds the embedded model
SIZE = Extent(width=64, height=64)


def painted(qtbot: QtBot, window: Window) -> ArrayRef:
    """The picture that was asked for last, once it is here."""

    def here() -> bool:
        job = window.presenter.job()
        return job is not None and job.state.ended and (job.result is None or window.presenter.picture() is not None)

    qtbot.waitUntil(here, timeout=WAIT_MS)
    job = window.presenter.job()
    assert job.state is JobState.SUCCEEDED, job.error
    return job.result.image


def dropped(window: Window, file: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(file))])
    drop(window, mime)


def test_a_lora_from_the_list_a_saved_picture_and_the_same_picture_again(
    qtbot: QtBot, open_window: OpenWindow, home: Home, tmp_path: Path
) -> None:
    lora = embedded_lora(home.models / "loras" / "ink.safetensors")
    window = open_window(home)
    until_connected(qtbot, window)
    qtbot.waitUntil(lambda: bool(window.book.entries(ModelKind.LORA)), timeout=WAIT_MS)

    plain = Form(prompt="a lighthouse", size=SIZE, steps=3, seed=5)
    generate(qtbot, window, plain)
    without = painted(qtbot, window)

    window.form_panel.extras.folds[0].open()
    window.form_panel.extras.loras.add.click()
    row = window.form_panel.extras.loras.rows[0]
    box = row.model.parts[0]
    box.showPopup()
    assert [box.itemText(index) for index in range(box.count())] == [row.model.offered[0].reference]
    box.view().setCurrentIndex(box.model().index(0, 0))
    qtbot.keyClick(box.view(), Qt.Key.Key_Return)
    assert row.model.value == row.model.offered[0].reference
    row._weight.setValue(0.75)
    asked = window.form_panel.form
    assert asked.extras.loras[0].weight == 0.75

    generate(qtbot, window, asked)
    first = painted(qtbot, window)
    assert first != without, "the LoRA shows"
    saved = tmp_path / "lighthouse.png"
    window.saved.save(saved)
    found = pictures.record_in(saved)
    assert [model.title for model in found.models] == ["Embedded", "ink"]
    assert all(len(model.sha256) == 64 for model in found.models)

    window.form_panel.fill(Form())
    dropped(window, saved)
    assert window.form_panel.form == asked
    (notice,) = window.messages.notices
    assert notice.text == "The settings of lighthouse.png are filled in."
    window.run_bar.generate.trigger()
    qtbot.waitUntil(
        lambda: len([row for row in window.presenter.table.rows if not row.job.transient]) == 3, timeout=WAIT_MS
    )
    second = painted(qtbot, window)
    assert window.presenter.job().id != found.job_id
    assert second == first
    assert np.array_equal(pictures.read(saved).pixels, window.presenter.picture()[0])

    # another file by the same name is told before anything is painted
    embedded_lora(lora, seed=1)
    dropped(window, saved)
    qtbot.waitUntil(lambda: "ink has changed since" in window.messages.notices[0].text, timeout=WAIT_MS)
    assert window.messages.notices[0].severity is Severity.WARNING

    # the same file by another name is found by its hash
    embedded_lora(lora)
    dropped(window, saved)
    for _ in range(200):  # until the check has read the file, and the list was told
        window.book.refresh()
        qtbot.wait(300)
        if window.book.entries(ModelKind.LORA)[0].sha256:
            break
    assert window.book.entries(ModelKind.LORA)[0].sha256 == found.models[1].sha256
    lora.rename(lora.with_name("tusche.safetensors"))
    window.book.refresh()
    qtbot.waitUntil(
        lambda: [entry.title for entry in window.book.entries(ModelKind.LORA)] == ["tusche"], timeout=WAIT_MS
    )
    dropped(window, saved)
    assert "The LoRA ink is here as tusche, which is taken." in window.messages.notices[0].text
    lora.with_name("tusche.safetensors").unlink()
    window.book.refresh()
    qtbot.waitUntil(lambda: not window.book.entries(ModelKind.LORA), timeout=WAIT_MS)
    dropped(window, saved)
    assert "is not on this computer" in window.messages.notices[0].text
    assert window.form_panel.form == asked, "everything else is restored"
    assert record.is_ours(found)
    assert window.form_panel.form.extras == Extras(loras=(LoraForm(lora=asked.extras.loras[0].lora, weight=0.75),))
