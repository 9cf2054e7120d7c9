"""Models in the panel: the fields that offer them, the folders they lie in, and what is recommended."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
from model_files import embedded_lora
from panel_driver import WAIT_MS, OpenWindow, until_connected
from PySide6.QtCore import QBuffer, QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QImage
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot
from underpaint.protocol.client import Connection
from underpaint.protocol.jobs import JobState
from underpaint.protocol.models import (
    Advice,
    Catalogue,
    CatalogueEntry,
    FamilyId,
    Layout,
    ModelEntry,
    ModelKind,
    ModelPage,
    Origin,
)
from underpaint.protocol.request import DownloadRequest, Scheduler
from underpaint.qt_panel import messages as m
from underpaint.qt_panel.extras_form import Extras, LoraForm
from underpaint.qt_panel.form import ControlForm, Form
from underpaint.qt_panel.model_field import ModelField
from underpaint.qt_panel.model_words import details, size, tooltip
from underpaint.qt_panel.notices import Severity
from underpaint.qt_panel.session import Session
from underpaint.qt_panel.window import Window

PLAIN = ModelEntry(
    reference="", id="0" * 32, title="", kind=ModelKind.CHECKPOINT, family=FamilyId.SDXL, layout=Layout.FILE,
    origin=Origin.COMFYUI, precision="float16", size_bytes=6_900_000_000, changed_at=0.0,
)  # fmt: skip


def entry(kind: ModelKind, reference: str, title: str, **known: object) -> ModelEntry:
    known["id"] = hashlib.sha256(reference.encode()).hexdigest()[:32]
    return dataclasses.replace(PLAIN, kind=kind, reference=reference, title=title, **known)


PROBLEM = "cut.safetensors is cut off; fetch it again"
SD15 = entry(ModelKind.CHECKPOINT, "dreamy.safetensors", "Dreamy", family=FamilyId.SD15)
SDXL = entry(ModelKind.CHECKPOINT, "checkpoints/base.safetensors", "SDXL base", has_thumbnail=True)
CUT = entry(
    ModelKind.CHECKPOINT, "cut.safetensors", "cut", family=None, problem="cut.safetensors is cut off; fetch it again"
)
LIGHTNING = entry(
    ModelKind.LORA, "loras/lightning.safetensors", "Lightning",
    advice=Advice(scheduler="EulerDiscreteScheduler", steps=4, guidance_scale=1.0),
)  # fmt: skip
INK = entry(ModelKind.LORA, "loras/ink.safetensors", "Ink wash", family=FamilyId.SD15, words=("inkwash",))
ANY = entry(ModelKind.LORA, "loras/any.safetensors", "Any", family=None)
DEPTH = entry(ModelKind.CONTROLNET, "nets/depth.safetensors", "Depth", control_kinds=("depth",))
TILE = entry(ModelKind.CONTROLNET, "nets/tile.safetensors", "Tile", control_kinds=("tile",))
UNION = entry(ModelKind.CONTROLNET, "nets/union.safetensors", "Union")
PAGE = ModelPage(
    models=(SD15, SDXL, CUT, LIGHTNING, INK, ANY, DEPTH, TILE, UNION), folders=(), scanning=False, revision=1
)


@pytest.fixture
def window(qtbot: QtBot, open_window: OpenWindow, fake_service: Connection) -> Window:
    found = open_window(fake_service.home)
    until_connected(qtbot, found)
    qtbot.waitUntil(lambda: found.book.loaded, timeout=WAIT_MS)
    found.book.hear(m.ModelsLoaded(page=PAGE))
    return found


def references(field: ModelField) -> list[str]:
    return [offered.reference for offered in field.offered]


def files(*paths: Path) -> QMimeData:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return mime


def drop_on(field: ModelField, mime: QMimeData) -> None:
    place, copy = QPointF(QPoint(3, 3)), Qt.DropAction.CopyAction
    none = Qt.KeyboardModifier.NoModifier
    field.dropEvent(QDropEvent(place, copy, mime, Qt.MouseButton.LeftButton, none))


def test_fields_offer_what_goes_with_the_checkpoint(window: Window) -> None:
    panel = window.form_panel
    panel.fill(Form(checkpoint=SDXL.reference, controls=(ControlForm(),), extras=Extras(loras=(LoraForm(),))))
    lora, net = panel.extras.loras.rows[0].model, panel.controls.rows[0]._controlnet
    assert references(panel._checkpoint) == [SD15.reference, SDXL.reference, CUT.reference]
    assert references(lora) == [LIGHTNING.reference, ANY.reference]
    assert references(net) == [DEPTH.reference, UNION.reference]
    assert references(panel.extras.second._net) == [TILE.reference, UNION.reference]
    panel.fill(dataclasses.replace(panel.form, checkpoint=SD15.reference))
    assert references(lora) == [INK.reference, ANY.reference]
    assert references(net) == []
    panel.fill(dataclasses.replace(panel.form, checkpoint="/elsewhere/unknown.safetensors"))
    assert references(lora) == [LIGHTNING.reference, INK.reference, ANY.reference]


def test_a_broken_model_is_shown_and_cannot_be_chosen(window: Window) -> None:
    field = window.form_panel._checkpoint
    field._list()
    row = references(field).index(CUT.reference)
    item = field._items.item(row)
    assert not item.isEnabled()
    assert "cut.safetensors is cut off; fetch it again" in item.toolTip()


def test_typing_finds_a_model_by_its_title(qtbot: QtBot, window: Window) -> None:
    field = window.form_panel._checkpoint
    field.set_value("")
    field._edit.setFocus()
    qtbot.keyClicks(field._edit, "xl BA")
    found = field._completer
    assert found.completionCount() == 1
    assert found.pathFromIndex(found.completionModel().index(0, 0)) == SDXL.reference
    qtbot.keyClick(found.popup(), Qt.Key.Key_Down)
    qtbot.keyClick(found.popup(), Qt.Key.Key_Return)
    assert field.value == SDXL.reference


def test_a_few_step_lora_sets_what_it_needs_and_undo_takes_it_back(window: Window) -> None:
    panel = window.form_panel
    panel.fill(Form(checkpoint=SDXL.reference, extras=Extras(loras=(LoraForm(),))))
    field = panel.extras.loras.rows[0].model
    field._list()
    field._picked_row(references(field).index(LIGHTNING.reference))
    assert (panel.form.scheduler, panel.form.steps, panel.form.guidance_scale) == (Scheduler.EULER, 4, 1.0)
    (notice,) = window.messages.notices
    assert notice.text == "As Lightning was trained for it, Euler, 4 steps and a guidance scale of 1 are set now."
    next(button for button in window.messages.findChildren(QPushButton) if button.text() == "Undo").click()
    assert (panel.form.scheduler, panel.form.steps, panel.form.guidance_scale) == (Scheduler.UNIPC, 20, 7.5)
    assert panel.form.extras.loras[0].lora == LIGHTNING.reference, "what was chosen stays"


def test_a_file_is_dropped_onto_a_field(window: Window, tmp_path: Path) -> None:
    field = window.form_panel._checkpoint
    file = tmp_path / "my model.safetensors"
    drop_on(field, files(file))
    assert window.form_panel.form.checkpoint == str(file)
    drop_on(field, files(tmp_path))
    assert window.form_panel.form.checkpoint == str(tmp_path)
    drop_on(field, files(tmp_path / "picture.png"))
    assert window.form_panel.form.checkpoint == str(tmp_path), "a picture is no model"


def test_the_picture_beside_a_model_is_fetched_once(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[m.Command] = []
    monkeypatch.setattr(Session, "send", lambda _, command: sent.append(command))
    assert window.book.picture(SDXL) is None
    assert window.book.picture(SDXL) is None
    assert window.book.picture(SD15) is None, "it has none"
    assert sent == [m.LoadModelPicture(model_id=SDXL.id)]
    buffer = QBuffer()
    buffer.open(QBuffer.OpenModeFlag.WriteOnly)
    QImage(200, 100, QImage.Format.Format_RGB32).save(buffer, "PNG")
    window.book.hear(m.ModelPictureLoaded(model_id=SDXL.id, file=None))
    assert window.book.picture(SDXL) is None
    window.book.hear(m.ModelPictureLoaded(model_id=SDXL.id, file=bytes(buffer.data().data())))
    assert window.book.picture(SDXL).width() == 96


def test_models_in_words() -> None:
    assert details(dataclasses.replace(SDXL, traits=("v-prediction",))) == "SDXL, v-prediction, fp16, 6.9 GB"
    assert tooltip(INK).splitlines()[-1] == "Called up by: inkwash"
    assert [size(count) for count in (0, 900, 12_000_000, 2_130_000_000)] == ["", "1 kB", "12 MB", "2.1 GB"]


def test_a_folder_is_added_and_its_models_are_offered(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    comfy = tmp_path / "ComfyUI"
    embedded_lora(comfy / "models" / "loras" / "ink.safetensors")
    (comfy / "models" / "checkpoints").mkdir()
    dialog = window.show_folders()
    dialog.add(comfy)
    qtbot.waitUntil(lambda: any(model.title == "ink" for model in window.book.entries(ModelKind.LORA)), timeout=WAIT_MS)
    shown = [dialog.list.item(row).text() for row in range(dialog.list.count())]
    assert any(text.startswith(f"{comfy}\nComfyUI") for text in shown), shown
    dialog.list.setCurrentRow(next(row for row, text in enumerate(shown) if text.startswith(str(comfy))))
    assert dialog._remove.isEnabled()
    dialog.remove()
    qtbot.waitUntil(lambda: not window.book.entries(ModelKind.LORA), timeout=WAIT_MS)
    assert (comfy / "models" / "loras" / "ink.safetensors").exists()
    dialog.add(tmp_path / "nowhere")
    assert "no such folder" in dialog._said.text()
    dialog.reject()


ENTRIES = (
    CatalogueEntry(
        reference="owner/base", title="Base", kind=ModelKind.CHECKPOINT, family=FamilyId.SDXL,
        size_bytes=6_900_000_000, licence="openrail++", source="its card",
    ),
    CatalogueEntry(
        reference="owner/depth", file="then=succeed", title="Depth", kind=ModelKind.CONTROLNET, family=FamilyId.SDXL,
        control_kinds=("depth",), convention="Near is white.", size_bytes=2_500_000_000, licence="apache-2.0",
        gated=True, source="its card",
    ),
)  # fmt: skip


def test_a_recommended_model_is_found_and_fetched_as_a_job(qtbot: QtBot, window: Window) -> None:
    dialog = window.show_catalogue()
    qtbot.waitUntil(lambda: dialog.list.topLevelItemCount() > 10, timeout=WAIT_MS)  # the real one
    dialog.hear(m.CatalogueLoaded(catalogue=Catalogue(entries=ENTRIES)))
    dialog._search.setText("apache DEPTH")
    assert [dialog.list.topLevelItem(row).isHidden() for row in range(2)] == [True, False]
    dialog.choose("owner/depth")
    assert "Control images: Near is white." in dialog._words.text()
    assert "terms have to be accepted" in dialog._words.text()
    assert dialog._fetch.text() == "Download 2.5 GB"
    dialog.download()
    assert dialog.list.topLevelItem(1).text(5) == "Downloading…"
    assert not dialog._fetch.isEnabled()
    qtbot.waitUntil(lambda: bool(window.messages.notices), timeout=WAIT_MS)
    assert window.messages.notices[0].text == "owner/depth/then=succeed is on this computer now."
    assert window.messages.notices[0].severity is Severity.INFO
    (job,) = [row.job for row in window.presenter.table.rows]
    assert job.request == DownloadRequest(reference="owner/depth", file="then=succeed")
    assert job.state is JobState.SUCCEEDED
    assert dialog.list.topLevelItem(1).text(5) == ""
    dialog.reject()


def test_a_download_that_fails_says_why(qtbot: QtBot, window: Window) -> None:
    window.downloads.ask("owner/depth", "then=oom")
    qtbot.waitUntil(lambda: bool(window.messages.notices), timeout=WAIT_MS)
    assert window.messages.notices[0].severity is Severity.ERROR
    window.downloads.ask("no hub id")
    qtbot.waitUntil(lambda: "no hub id" in window.messages.notices[0].text, timeout=WAIT_MS)
    assert len(window.messages.notices) == 1
