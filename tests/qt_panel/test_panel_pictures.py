"""Pictures through Qt: exact to the byte, whatever the file; and settings that come back."""

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QSettings
from PySide6.QtGui import QImage
from underpaint.protocol import record, wire
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import ControlKind, GenerateRequest, Request, Scheduler
from underpaint.protocol.sources import PosePass
from underpaint.qt_panel import pictures
from underpaint.qt_panel.form import ControlForm, Form, PictureUse, Reused
from underpaint.qt_panel.settings import Memory

NOISE = np.random.default_rng(3).integers(0, 256, (37, 53, 3), dtype=np.uint8)
REQUEST = GenerateRequest(
    prompt='Ein Leuchtturm \N{EM DASH} 灯台 🌊 \\ "quoted"\nline', size=Extent(width=56, height=40)
)


def test_pixels_survive_qt() -> None:
    assert np.array_equal(pictures.to_array(pictures.to_qimage(NOISE)), NOISE)
    assert np.array_equal(pictures.to_array(pictures.to_qimage(NOISE[:, ::-1])), NOISE[:, ::-1])


def test_a_saved_picture_carries_its_request(tmp_path: Path) -> None:
    path = tmp_path / "ünder paint.png"
    pictures.save(path, NOISE, record.texts(REQUEST, None, job_id="a" * 32))
    assert np.array_equal(pictures.read(path).pixels, NOISE)
    assert pictures.record_in(path).request == REQUEST
    assert pictures.record_in(path).job_id == "a" * 32
    image_module = pytest.importorskip("PIL.Image")
    with image_module.open(path) as image:
        assert image.text["parameters"].startswith("Ein Leuchtturm"), "other programs can read it"


def test_a_picture_without_or_with_a_strange_request(tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    pictures.save(path, NOISE, {})
    assert pictures.record_in(path) is None
    image = pictures.to_qimage(NOISE)
    image.save(str(tmp_path / "plain.bmp"))
    assert pictures.record_in(tmp_path / "plain.bmp") is None
    image.setText("underpaint_request", '{"type": "VideoRequest"}')
    image.save(str(path))
    with pytest.raises(pictures.PictureUnreadable, match="VideoRequest"):
        pictures.record_in(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(pictures.PictureUnreadable, match="cut off"):
        pictures.record_in(path)
    with pytest.raises(pictures.PictureUnreadable, match="no such file"):
        pictures.record_in(tmp_path / "gone.png")


def test_a_picture_saved_before_there_were_records_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "old.png"
    image = pictures.to_qimage(NOISE)
    image.setText("underpaint_request", wire.dumps(REQUEST, Request))
    image.save(str(path))
    assert pictures.record_in(path).request == REQUEST


def test_transparency_lies_on_black(tmp_path: Path) -> None:
    image = QImage(2, 1, QImage.Format.Format_RGBA8888)
    image.setPixel(0, 0, 0xFF336699)
    image.setPixel(1, 0, 0x00FFFFFF)
    path = tmp_path / "alpha.png"
    image.save(str(path))
    assert pictures.read(path).pixels.tolist() == [[[0x33, 0x66, 0x99], [0, 0, 0]]]


def test_sixteen_bit_grey_depth_maps_are_read(tmp_path: Path) -> None:
    image = QImage(3, 1, QImage.Format.Format_Grayscale16)
    np.frombuffer(image.bits(), np.uint16)[:3] = (0, 0x8000, 0xFFFF)
    path = tmp_path / "depth16.png"
    image.save(str(path))
    assert pictures.read(path).pixels[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("name", ["text.png", "missing.png", "folder"])
def test_what_is_no_picture_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "folder").mkdir()
    with pytest.raises(pictures.PictureUnreadable, match=name):
        pictures.read(tmp_path / name)


def test_a_folder_that_is_not_there_is_named_on_saving(tmp_path: Path) -> None:
    with pytest.raises(pictures.PictureNotSaved, match="nowhere"):
        pictures.save(tmp_path / "nowhere" / "a.png", NOISE, {})


def test_the_form_is_remembered(tmp_path: Path) -> None:
    file = tmp_path / "control.png"
    pictures.save(file, NOISE, {})
    shown = ArrayRef(sha256="d" * 64, shape=(8, 8, 3), dtype=DType.UINT8)
    reused = Reused(source=PosePass(people=()), size=Extent(width=8, height=8), shown=shown, origin="Blender render")
    form = Form(
        prompt="naïve\ntwo lines",
        negative_prompt="fog; rain",
        checkpoint="a/b",
        allow_download=True,
        size=Extent(width=72, height=80),
        controls=(
            ControlForm(kind=ControlKind.OPENPOSE, image=reused, conditioning_scale=0.35, start=0.25, end=0.5),
            ControlForm(kind=ControlKind.CANNY, image=pictures.read(file), use=PictureUse.PHOTO, enabled=False),
            ControlForm(controlnet="c/d"),
        ),
        steps=3,
        scheduler=Scheduler.HEUN,
        seed=2**60,
        random_seed=True,
    )
    path = str(tmp_path / "panel.ini")
    before = Memory(QSettings(path, QSettings.Format.IniFormat))
    before.save_form(form)
    before.remember_models(form)
    before.flush()
    memory = Memory(QSettings(path, QSettings.Format.IniFormat))
    again = memory.load_form()
    picture = again.controls[1].image
    assert np.array_equal(picture.pixels, NOISE)
    assert again.controls[0] == form.controls[0]
    assert again.controls[2] == form.controls[2]
    assert {**vars(again), "controls": ()} == {**vars(form), "controls": ()}
    assert memory.checkpoints() == ("a/b",)
    assert memory.controlnets() == ("c/d",)


def test_settings_that_nobody_can_read_leave_the_defaults(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = QSettings(str(tmp_path / "panel.ini"), QSettings.Format.IniFormat)
    settings.setValue("form", "{nonsense")
    assert Memory(settings).load_form() == Form()
    assert "can't be read" in caplog.text
