"""The picture to begin with: what becomes of it, its mask and its transparency."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, QSettings, Qt, QUrl
from PySide6.QtGui import QDropEvent, QImage
from pytestqt.qtbot import QtBot
from underpaint.protocol.arrays import AnyArray, ArrayRef, DType, encode, reference
from underpaint.protocol.checks import check
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import GenerateRequest
from underpaint.qt_panel import pictures
from underpaint.qt_panel.form import Form, Picture, StartForm, generate_request, problems, restored
from underpaint.qt_panel.form_panel import FormPanel
from underpaint.qt_panel.settings import Memory
from underpaint.qt_panel.start_area import StartArea
from underpaint.qt_panel.start_form import is_masked
from underpaint.qt_panel.thumbnail import Thumbnail

SIZE = Extent(width=64, height=64)
PIXELS = np.arange(8 * 16 * 3, dtype=np.uint8).reshape(8, 16, 3)
IMAGE = Picture(name="room.png", pixels=PIXELS)
MASK = Picture(name="mask.png", pixels=np.tile(np.repeat(np.uint8([0, 255]), 8)[None, :, None], (8, 1, 3)))
REF = ArrayRef(sha256="a" * 64, shape=(8, 16, 3), dtype=DType.UINT8)
MASK_REF = ArrayRef(sha256="b" * 64, shape=(8, 16), dtype=DType.UINT8)


class Uploads(dict[str, AnyArray]):
    def __call__(self, array: AnyArray) -> ArrayRef:
        ref = reference(array, encode(array))
        self[ref.sha256] = array
        return ref


def asked(start: StartForm, uploads: Uploads | None = None) -> GenerateRequest:
    request = generate_request(Form(size=SIZE, start=start), Uploads() if uploads is None else uploads)
    check(request)
    return request


def erased(folder: Path) -> Path:
    """A picture whose left half has been erased, its colours still below."""
    rgba = np.full((8, 16, 4), 200, np.uint8)
    rgba[..., 3] = np.repeat(np.uint8([0, 255]), 8)
    file = folder / "erased.png"
    QImage(rgba.tobytes(), 16, 8, QImage.Format.Format_RGBA8888).save(str(file))
    return file


def drop(thumbnail: Thumbnail, file: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(file))])
    position = QPointF(QPoint(5, 5))
    nothing = Qt.KeyboardModifier.NoModifier
    thumbnail.dropEvent(QDropEvent(position, Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, nothing))


def test_without_a_picture_there_is_no_start() -> None:
    assert asked(StartForm(strength=0.3)).start is None


def test_image_to_image_says_nothing_of_a_mask() -> None:
    uploads = Uploads()
    start = asked(StartForm(image=IMAGE, strength=0.35, mask_grow_px=4, mask_blur_px=2.0), uploads).start
    assert (start.strength, start.mask, start.mask_grow_px, start.mask_blur_px) == (0.35, None, 0, 0.0)
    assert np.array_equal(uploads[start.image.sha256], PIXELS)


def test_white_is_painted_anew() -> None:
    uploads = Uploads()
    start = asked(StartForm(image=IMAGE, mask=MASK, mask_grow_px=-2, mask_blur_px=1.5), uploads).start
    assert np.array_equal(uploads[start.mask.sha256], MASK.pixels[..., 0])
    assert (start.mask_grow_px, start.mask_blur_px) == (-2, 1.5)


def test_what_is_transparent_is_painted_anew(tmp_path: Path) -> None:
    picture = pictures.read(erased(tmp_path))
    uploads = Uploads()
    start = asked(StartForm(image=picture), uploads).start
    mask, image = uploads[start.mask.sha256], uploads[start.image.sha256]
    assert np.array_equal(np.unique(mask[:, :8]), [255])
    assert np.array_equal(np.unique(mask[:, 8:]), [0])
    assert np.array_equal(np.unique(image), [200]), "its colours below what was erased"
    assert asked(StartForm(image=picture, use_alpha=False)).start.mask is None
    own = asked(StartForm(image=picture, mask=MASK), uploads).start.mask
    assert np.array_equal(uploads[own.sha256], MASK.pixels[..., 0]), "a mask goes before transparency"


def test_an_opaque_picture_has_no_mask_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "opaque.png"
    QImage(np.full((8, 16, 4), 255, np.uint8).tobytes(), 16, 8, QImage.Format.Format_RGBA8888).save(str(file))
    assert pictures.read(file).rgba is None


def test_a_mask_of_another_size_is_refused_before_anything_is_sent() -> None:
    small = Picture(name="small.png", pixels=MASK.pixels[:4])
    form = Form(size=SIZE, start=StartForm(image=IMAGE, mask=small))
    (problem,) = problems(form)
    assert isinstance(problem, InvalidRequest)
    assert "is 16 x 4, the picture is 16 x 8" in str(problem)
    assert problems(form, maps_only=True) != (problem,), "control maps don't need it"


def test_a_start_comes_back_with_a_jobs_settings_and_is_not_sent_again() -> None:
    request = asked(StartForm(image=IMAGE, mask=MASK, strength=0.123456, mask_blur_px=0.5))
    form = restored(Form(), request, origin="Earlier job")

    def no_upload(_: AnyArray) -> ArrayRef:
        raise AssertionError("nothing may be sent again")

    assert generate_request(form, no_upload) == request
    without = restored(form, asked(StartForm()), origin="Earlier job")
    assert without.start.image is None


@pytest.mark.parametrize(
    "start",
    [
        StartForm(),
        StartForm(image=IMAGE, strength=1 / 3),
        StartForm(image=IMAGE, mask=MASK, mask_grow_px=-7, mask_blur_px=0.125, use_alpha=False),
        StartForm(image=REF, mask=MASK_REF, strength=0.0),
    ],
)
def test_the_area_gives_back_what_was_filled_in(qtbot: QtBot, start: StartForm) -> None:
    area = StartArea()
    qtbot.addWidget(area)
    area.fill(start)
    assert area.start == start


def test_a_dropped_picture_is_the_start_and_shows_what_can_be_done_with_it(qtbot: QtBot, tmp_path: Path) -> None:
    panel = FormPanel()
    qtbot.addWidget(panel)
    panel.show()
    area = panel.start
    assert not area._strength.isVisible()
    with qtbot.waitSignal(panel.changed):
        drop(area._image_thumb, erased(tmp_path))
    assert area._strength.isVisible()
    assert area._alpha.isVisible()
    assert area._grow.isVisible()
    assert is_masked(panel.form.start)
    shown = area._mask_thumb._image
    assert (shown.pixelColor(2, 4).red(), shown.pixelColor(12, 4).red()) == (255, 0), "what is erased is white"
    area._take_size.click()
    assert panel.form.size == Extent(width=16, height=8)
    area._alpha.setChecked(False)
    assert not area._grow.isVisible()
    assert area._mask_thumb._image is None
    file = tmp_path / "mask.png"
    pictures.to_qimage(MASK.pixels).save(str(file))
    drop(area._mask_thumb, file)
    assert not area._alpha.isVisible()
    assert area._grow.isVisible()
    qtbot.keyClick(area._image_thumb, Qt.Key.Key_Delete)
    assert (panel.form.start.image, panel.form.start.mask) == (None, None)
    assert not area._mask_thumb.isVisible()


def test_a_pose_is_no_start(qtbot: QtBot, tmp_path: Path) -> None:
    area = StartArea()
    qtbot.addWidget(area)
    file = tmp_path / "notes.json"
    file.write_text("{}")
    with qtbot.waitSignal(area.refused):
        drop(area._image_thumb, file)
    assert area.start.image is None


def test_pictures_of_the_service_are_asked_for_and_shown(qtbot: QtBot) -> None:
    area = StartArea()
    qtbot.addWidget(area)
    wanted: list[ArrayRef] = []
    area.wanted.connect(wanted.append)
    area.fill(StartForm(image=REF, mask=MASK_REF))
    assert wanted == [REF, MASK_REF]
    area.show_picture(REF, pictures.to_qimage(PIXELS))
    assert area._image_thumb._image.width() == 16
    assert area._mask_thumb._image is None


def test_a_start_is_remembered_by_its_files(tmp_path: Path) -> None:
    memory = Memory(QSettings(str(tmp_path / "panel.ini"), QSettings.Format.IniFormat))
    file = erased(tmp_path)
    start = StartForm(image=pictures.read(file), mask=MASK_REF, strength=0.1 + 0.2, mask_grow_px=3)
    memory.save_form(Form(start=start))
    back = memory.load_form().start
    assert dataclasses.replace(back, image=None) == dataclasses.replace(start, image=None)
    assert np.array_equal(back.image.rgba, start.image.rgba)
    file.unlink()
    assert memory.load_form().start.image is None
