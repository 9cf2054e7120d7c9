"""Whoever uses the keyboard or a screen reader finds everything; and a long list comes page by page."""

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QAbstractButton, QWidget
from pytestqt.qtbot import QtBot
from underpaint.protocol.client import Connection, Home, wait
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import ControlKind, Embedding, GenerateRequest, SecondPass
from underpaint.qt_panel.extras_form import Extras, ImagePromptForm, LoraForm
from underpaint.qt_panel.form import ControlForm, Form, Picture, StartForm
from underpaint.qt_panel.link import LinkState
from underpaint.qt_panel.window import Window

WAIT_MS = 20_000
CHOOSE = "Choose the file or folder of the Checkpoint, or refresh the list"


def spoken(widget: QWidget) -> str:
    """What a screen reader calls it."""
    return QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name)


def test_the_tab_key_reaches_every_field_once_and_each_has_a_name_and_a_tooltip(
    qtbot: QtBot, open_window: Callable[[Home], Window], fake_service: Connection
) -> None:
    window = open_window(fake_service.home)
    picture = Picture(name="p", pixels=np.zeros((8, 8, 3), np.uint8), rgba=np.zeros((8, 8, 4), np.uint8))
    controls = (ControlForm(), ControlForm(kind=ControlKind.CANNY))
    extras = Extras(
        loras=(LoraForm(),),
        image_prompts=(ImagePromptForm(),),
        use_second_pass=True,
        second_pass=SecondPass(tile_px=512, tile_controlnet="a"),
        embeddings=(Embedding(embedding="b"),),
    )
    window.form_panel.fill(Form(controls=controls, start=StartForm(image=picture), extras=extras))
    for fold in window.form_panel.extras.folds:
        fold.open()
    window.form_panel.controls.rows[1].weight.fold.open()
    window.form_panel.machine.fold.open()
    qtbot.wait(1)  # rows are shown when they are laid out
    window.form_panel.focus_prompt()
    visited: list[QWidget] = []
    while (focused := window.focusWidget()) not in visited:
        visited.append(focused)
        qtbot.keyClick(focused, Qt.Key.Key_Tab)
    names = [spoken(widget) for widget in visited]
    assert all(names), [widget for widget in visited if not spoken(widget)]
    assert names[:4] == ["Prompt", "Negative prompt", "Checkpoint", CHOOSE]
    for name in ("Depth control image", "Conditioning scale", "Steps", "Seed", "Generate", "Picture", "Jobs"):
        assert name in names
    # of a box with choices the name is what is chosen
    eye = ("LoRAs", "LoRA enabled", "LoRA", "Remove this LoRA", "Weight slider", "Weight", "Weight for text")
    eye += ("Add a LoRA", "Image prompts", "Picture of the image prompt", "Image prompt enabled", "IP-Adapter")
    eye += ("Image encoder", "Image prompt scale", "Image prompt start", "Add an image prompt", "Second pass")
    eye += ("Two passes", "Factor", "Second pass strength", "Second pass steps", "Tile size", "Tile overlap")
    eye += ("Tile ControlNet scale", "a", "More", "VAE", "Clip skip", "Off", "Safety checker")
    eye += ("Plain prompt", "b", "Token", "Embedding")
    eye += ("Add", "Depth control image", "Guess mode", "Canny control image", "Weight curve", "Fade out curve")
    eye += ("Start picture", "Mask of the start picture", "Denoising strength", "Transparent parts are painted anew")
    eye += ("Grow the mask", "Blur the mask", "Width", "UniPC", "Default", "Seed", "Pictures", "Check Memory")
    eye += ("Advanced", "Pictures at once", "Auto", "Memory budget", "Generate")
    order = [names.index(name) for name in eye]
    assert order == sorted(order), "the keyboard goes as the eye does"
    without_tooltip = [
        spoken(widget)
        for widget in visited
        if not widget.toolTip() and (isinstance(widget, QAbstractButton) or spoken(widget) not in ("Picture", "Jobs"))
    ]
    assert without_tooltip == []


def test_a_long_job_list_comes_page_by_page(
    qtbot: QtBot, open_window: Callable[[Home], Window], fake_service: Connection
) -> None:
    size = Extent(width=64, height=64)
    for number in range(53):
        job = fake_service.submit(GenerateRequest(prompt="steps=0", seed=number, size=size), client="script")
    wait(fake_service, job)
    window = open_window(fake_service.home)
    qtbot.waitUntil(lambda: window.presenter.link.state is LinkState.CONNECTED, timeout=WAIT_MS)
    assert window.jobs.model.rowCount() == 50
    qtbot.wait(1)  # the view learns of its length when it is laid out
    bar = window.jobs._view.verticalScrollBar()
    bar.setValue(bar.maximum())
    qtbot.waitUntil(lambda: window.jobs.model.rowCount() == 53, timeout=WAIT_MS)
    seeds = [row.job.request.seed for row in window.presenter.table.rows]
    assert seeds == list(range(52, -1, -1))
