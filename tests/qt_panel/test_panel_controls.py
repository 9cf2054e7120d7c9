"""A control's row: what it offers for each kind, and the request that comes of it."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QUrl
from pytestqt.qtbot import QtBot
from underpaint.protocol.arrays import AnyArray, ArrayRef, DType, encode, reference
from underpaint.protocol.checks import DETECTORS, OPTION_RANGES, check
from underpaint.protocol.errors import InvalidRequest, UnderpaintError
from underpaint.protocol.geometry import Extent, Projection
from underpaint.protocol.openpose_json import people_to_json
from underpaint.protocol.options import (
    DepthEncoding,
    DepthOptions,
    DetectorOptions,
    HiddenJoints,
    LineOptions,
    PictureOptions,
    PoseOptions,
)
from underpaint.protocol.request import Control, ControlKind, ControlMapsRequest
from underpaint.protocol.sources import (
    DepthPass,
    Detector,
    InpaintPass,
    Keypoint,
    Person,
    Photo,
    PicturePass,
    PosePass,
    ReadyMap,
)
from underpaint.qt_panel import drops, words
from underpaint.qt_panel.control_form import options_type, uses
from underpaint.qt_panel.control_row import ControlRow
from underpaint.qt_panel.form import (
    ControlForm,
    Form,
    Picture,
    PictureUse,
    PoseFile,
    Reused,
    maps_request,
    problems,
    restored,
    with_dropped,
)
from underpaint.qt_panel.option_area import OptionArea
from underpaint.qt_panel.option_words import _FIELDS, Number, fields

SIZE = Extent(width=64, height=64)
GREY = Picture(name="grey.png", pixels=np.full((8, 16, 3), 128, np.uint8))
MASK = Picture(name="mask.png", pixels=np.tile(np.repeat(np.uint8([0, 255]), 8)[None, :, None], (8, 1, 3)))
REF = ArrayRef(sha256="a" * 64, shape=(64, 64), dtype=DType.FLOAT32)
DEPTH = Reused(source=DepthPass(metres=REF, projection=Projection.PERSPECTIVE), size=SIZE, origin="Blender render")
ALL_OPTIONS = (DepthOptions, DetectorOptions, LineOptions, PictureOptions, PoseOptions)


def upload(array: AnyArray) -> ArrayRef:
    return reference(array, encode(array))


def asked(row: ControlForm) -> Control:
    """The control of the request, which the service would take."""
    request = maps_request(Form(size=SIZE, controls=(row,)), upload)
    check(request)
    return request.controls[0]


def pose_file(folder: Path) -> Path:
    body = tuple(Keypoint(x_px=10.0 + place, y_px=20.0) for place in range(18))
    path = folder / "two.json"
    people = [Person(body=body, depth_m=depth) for depth in (3.0, 2.0)]
    path.write_text(json.dumps(people_to_json(people, Extent(width=32, height=32))))
    return path


@pytest.mark.parametrize("kind", ControlKind)
def test_every_kind_and_detector_has_a_name_and_every_use_makes_a_valid_request(kind: ControlKind) -> None:
    assert words.KINDS[kind]
    for use in uses(kind):
        row = ControlForm(kind=kind, image=GREY, use=use, mask=MASK)
        for found in DETECTORS.get(kind, (None,)) if use is PictureUse.PHOTO else (None,):
            assert found is None or words.DETECTORS[found]
            chosen = dataclasses.replace(row, detector=found)
            kind_of_options = options_type(chosen)
            options = None if kind_of_options is None else kind_of_options()
            assert asked(dataclasses.replace(chosen, options=options)).options == options


def test_a_picture_is_what_its_use_says() -> None:
    tile = ControlForm(kind=ControlKind.TILE, image=GREY)
    assert isinstance(asked(tile).source, ReadyMap)
    assert isinstance(asked(dataclasses.replace(tile, use=PictureUse.PICTURE)).source, PicturePass)
    edges = ControlForm(kind=ControlKind.SOFTEDGE, image=GREY, use=PictureUse.PHOTO, detector=Detector.PIDINET)
    assert asked(edges).source == Photo(image=upload(GREY.pixels), detector=Detector.PIDINET)
    stale = dataclasses.replace(edges, detector=Detector.MIDAS)  # of another kind: the usual one
    assert asked(stale).source == Photo(image=upload(GREY.pixels), detector=DETECTORS[ControlKind.SOFTEDGE][0])


def test_inpainting_takes_a_mask_as_large_as_the_picture() -> None:
    row = ControlForm(kind=ControlKind.INPAINT, image=GREY, use=PictureUse.PICTURE, mask=MASK)
    source = asked(row).source
    assert source == InpaintPass(image=upload(GREY.pixels), mask=upload(MASK.pixels[:, :, 0]))
    small = Picture(name="small.png", pixels=MASK.pixels[:4])
    for wrong, words_of_it in ((None, "has no mask"), (small, "mask is 16 x 4, its picture is 16 x 8")):
        with pytest.raises(InvalidRequest, match=words_of_it):
            asked(dataclasses.replace(row, mask=wrong))


def test_options_of_another_source_stay_out() -> None:
    row = ControlForm(kind=ControlKind.DEPTH, image=DEPTH, options=DepthOptions(floor=0.25))
    assert asked(row).options == DepthOptions(floor=0.25)
    assert asked(dataclasses.replace(row, image=GREY)).options is None  # a ready map has none


def test_a_reused_pass_keeps_its_options() -> None:
    control = Control(kind=ControlKind.DEPTH, source=DEPTH.source, options=DepthOptions(invert=True))
    request = ControlMapsRequest(size=SIZE, controls=(control,))
    assert maps_request(restored(Form(), request, origin="Earlier job"), upload) == request


def test_a_pose_file_becomes_people_in_pixels_of_the_picture(tmp_path: Path) -> None:
    pose = drops.read(pose_file(tmp_path))
    assert isinstance(pose, PoseFile)
    form = with_dropped(Form(size=SIZE, controls=(ControlForm(kind=ControlKind.DEPTH),)), pose)
    assert [row.kind for row in form.controls] == [ControlKind.DEPTH, ControlKind.OPENPOSE]
    source = asked(form.controls[1]).source
    assert isinstance(source, PosePass)
    assert len(source.people) == 2
    assert source.people[0].body[0] == Keypoint(x_px=20.0, y_px=40.0)  # from a canvas of 32
    wrong = dataclasses.replace(form.controls[1], kind=ControlKind.CANNY)
    assert "holds a pose" in str(problems(Form(controls=(wrong,)))[0])


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"people": 3}', b"\xff\xfe\x00"])
def test_a_file_that_is_no_pose_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pose.json"
    path.write_bytes(content)
    with pytest.raises(UnderpaintError):
        drops.read(path)


def test_a_pose_file_dropped_on_a_row(qtbot: QtBot, tmp_path: Path) -> None:
    row = ControlRow(ControlForm(kind=ControlKind.OPENPOSE))
    qtbot.addWidget(row)
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(pose_file(tmp_path)))])
    row._thumbnail._give(lambda: drops.from_mime(mime))
    assert isinstance(row.control.image, PoseFile)
    assert "2 people" in row._thumbnail.toolTip()
    refused: list[object] = []
    row.refused.connect(refused.append)
    row._mask._give(lambda: drops.from_mime(mime))  # a mask is a picture
    assert len(refused) == 1
    assert row.control.mask is None


@pytest.mark.parametrize("kind", ALL_OPTIONS)
def test_the_fields_give_back_what_is_filled_in(qtbot: QtBot, kind: type) -> None:
    filled = {
        DepthOptions: DepthOptions(encoding=DepthEncoding.LINEAR, near_m=0.5, floor=0.0, invert=True),
        LineOptions: LineOptions(creases=False, width_px=2.5, levels=0, crease_deg=45.0),
        PoseOptions: PoseOptions(stick_px=7, hidden=HiddenJoints.DROP, face=False),
        PictureOptions: PictureOptions(grow_px=-3),
        DetectorOptions: DetectorOptions(low=50.0, high=120.0, resolution_px=768),
    }[kind]
    of = {PictureOptions: ControlKind.INPAINT, LineOptions: ControlKind.SOFTEDGE}.get(kind, ControlKind.CANNY)
    area = OptionArea()
    qtbot.addWidget(area)
    area.show_fields(kind, fields(kind, of, detector=Detector.CANNY))
    assert area.options is None  # every default
    area.fill(filled)
    assert area.options == filled
    area.fill(None)
    assert area.options is None


def test_whatever_a_field_can_hold_is_accepted() -> None:
    for kind, ranges in OPTION_RANGES.items():
        for field in _FIELDS[kind]:
            if isinstance(field, Number):
                least, most = ranges[field.name]
                assert least <= field.low < field.high <= most, (kind, field.name)


def test_what_nobody_has_touched_stays_exact(qtbot: QtBot) -> None:
    exact = DepthOptions(near_m=0.123456, far_m=1.5e7, outliers=0.005)  # none of which the fields can show
    row = ControlRow(ControlForm(kind=ControlKind.DEPTH, image=DEPTH, options=exact))
    qtbot.addWidget(row)
    assert row.control.options == exact
    row.options.field("floor").choose(0.25)
    assert row.control.options == dataclasses.replace(exact, floor=0.25)
    row.options.field("near_m").choose(0.5)
    assert row.control.options == dataclasses.replace(exact, floor=0.25, near_m=0.5)
    row.options.fill(None)
    assert row.control.options is None


def test_the_row_offers_what_goes_with_its_image(qtbot: QtBot) -> None:
    row = ControlRow(ControlForm(kind=ControlKind.TILE))
    qtbot.addWidget(row)
    row.show()
    assert not row.options.isVisible()  # nothing to choose for no image
    row.fill(ControlForm(kind=ControlKind.SOFTEDGE, image=GREY, use=PictureUse.PHOTO))
    names = {row._detector.itemText(index) for index in range(row._detector.count())}
    assert names == {"HED", "PiDiNet", "TEED"}
    assert row._detector_line.isVisible()
    row.options.open()
    assert row.options.field("safe").isVisible()
    row._detector.choose(Detector.TEED)
    assert "safe" not in row.options._widgets
    row.fill(ControlForm(kind=ControlKind.INPAINT, image=GREY, use=PictureUse.PICTURE))
    assert row._mask.isVisible()
    assert not row._detector_line.isVisible()
    assert list(row.options._widgets) == ["grow_px"]
    row.fill(ControlForm(kind=ControlKind.DEPTH, image=DEPTH, options=DepthOptions(far_m=9.0)))
    assert row.control.options == DepthOptions(far_m=9.0)
    assert not row._kind.isEnabled()
    row.fill(ControlForm(kind=ControlKind.DEPTH, image=GREY))
    assert not row.options.isVisible()  # a ready map is used as it is


def test_choosing_a_kind_chooses_what_its_picture_is(qtbot: QtBot) -> None:
    row = ControlRow(ControlForm(kind=ControlKind.DEPTH, image=GREY, use=PictureUse.PHOTO))
    qtbot.addWidget(row)
    changes: list[None] = []
    row.changed.connect(lambda: changes.append(None))
    row._kind.set_value(ControlKind.TILE)
    assert (row.control.use, row.control.detector) == (PictureUse.PICTURE, None)
    row._kind.set_value(ControlKind.NORMAL)
    assert row.control.use is PictureUse.MAP
    assert len(changes) == 2


def test_numbers_of_a_row_stay_exact_until_they_are_changed(qtbot: QtBot) -> None:
    given = ControlForm(kind=ControlKind.DEPTH, conditioning_scale=2.345678, start=0.123, end=0.777)
    row = ControlRow(given)
    qtbot.addWidget(row)
    assert (row.control.conditioning_scale, row.control.start, row.control.end) == (2.345678, 0.123, 0.777)
    row._end.setValue(50)
    row._scale.setValue(1.5)
    assert (row.control.conditioning_scale, row.control.start, row.control.end) == (1.5, 0.123, 0.5)
