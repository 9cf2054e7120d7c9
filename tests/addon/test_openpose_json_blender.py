"""OpenPose JSON in Blender: people for the pose control instead of the rigs, and the rigs' people for others."""

import json
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from test_mapping import invented, numbered
from test_ui_drawing import CheckingLayout, _context
from underpaint.addon import images, openpose_text
from underpaint.addon.capture import People, capture
from underpaint.addon.generation import Settings, build_request
from underpaint.addon.ui import control_options, menus
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.client import Connection
from underpaint.protocol.errors import InvalidPose, NoArmature
from underpaint.protocol.openpose_json import people_from_json
from underpaint.protocol.request import ControlKind
from underpaint.protocol.sources import PosePass

_BODY = [value for index in range(18) for value in (8.0 + index, 20.0 + 2 * index, 1.0)]


def people(count: int = 1, **more: Any) -> dict[str, Any]:
    return {"people": [{"pose_keypoints_2d": _BODY}] * count, "canvas_width": 64, "canvas_height": 48, **more}


def written(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def pose_of(scene: Any) -> PosePass:
    """What the pose net is sent for the scene as it is now."""
    settings = Settings.from_scene(scene)
    seen = capture(scene, people=settings.people, wants=settings.wants())
    sent: list[np.ndarray] = []

    def upload(array: Any) -> ArrayRef:
        sent.append(array)
        return ArrayRef(sha256="0" * 64, shape=array.shape, dtype=DType(array.dtype.name))

    request = build_request(settings, seen, upload)
    (source,) = (control.source for control in request.controls if control.kind is ControlKind.OPENPOSE)
    assert isinstance(source, PosePass)
    return source


@pytest.fixture
def rig(scene: Any) -> Any:
    """A mapped person before the camera, on a picture of 128 x 96."""
    rig = invented({point: point for point in numbered()})
    scene.camera.location = (0, -5, 1)
    scene.camera.rotation_euler = (np.pi / 2, 0, 0)
    return rig


def test_the_json_s_people_take_the_place_of_the_rigs(scene: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "two.json", people(2))
    assert bpy.ops.underpaint.import_openpose(filepath=path) == {"FINISHED"}
    settings = scene.underpaint
    assert [item.kind for item in settings.controls] == ["DEPTH", "NORMAL", "OPENPOSE"]
    assert settings.controls[settings.active_control].pose_text.name == "two.json"
    source = pose_of(scene)  # without any armature
    assert len(source.people) == 2
    nose = source.people[0].body[0]
    assert nose is not None
    assert (nose.x_px, nose.y_px) == (16.0, 40.0)  # from 64 x 48 to 128 x 96
    settings.controls[2].pose_text = None
    with pytest.raises(NoArmature):
        pose_of(scene)


def test_it_is_saved_with_the_file(scene: Any, tmp_path: Path) -> None:
    bpy.ops.underpaint.import_openpose(filepath=written(tmp_path / "one.json", people()))
    (tmp_path / "one.json").unlink()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.read_factory_settings()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert len(pose_of(bpy.context.scene).people) == 1


def test_frame_by_frame(scene: Any, tmp_path: Path) -> None:
    scene.frame_start, scene.frame_end = 10, 20
    path = written(tmp_path / "list.json", [people(1), people(3), people(2)])
    bpy.ops.underpaint.import_openpose(filepath=path)
    for frame, count in ((1, 1), (10, 1), (11, 3), (12, 2), (19, 2)):
        scene.frame_set(frame)
        assert len(pose_of(scene).people) == count


def test_a_file_for_each_frame(scene: Any, tmp_path: Path) -> None:
    for number, count in ((2, 3), (1, 2)):
        written(tmp_path / f"f_{number}.json", people(count))
    chosen = [{"name": "f_2.json"}, {"name": "f_1.json"}]
    bpy.ops.underpaint.import_openpose(directory=str(tmp_path), files=chosen)
    text = scene.underpaint.controls[2].pose_text
    assert [len(frame.people) for frame in openpose_text.frames_of(text)] == [2, 3]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"people": [{"pose_keypoints_2d": [1]}]}', "person 1, pose_keypoints_2d has 1 numbers"),
        ("no json", "line 1, column 1"),
        ('{"people": []}', "Nobody is in"),
    ],
)
def test_what_can_t_be_read_changes_nothing(scene: Any, tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    texts = len(bpy.data.texts)
    with pytest.raises(RuntimeError, match=reason):
        bpy.ops.underpaint.import_openpose(filepath=str(path))
    with pytest.raises(RuntimeError, match="No such file"):
        bpy.ops.underpaint.import_openpose(filepath=str(tmp_path / "none.json"))
    assert len(bpy.data.texts) == texts
    assert not len(scene.underpaint.controls)


def test_an_edited_text_that_is_no_pose_is_refused_where_it_is_used(scene: Any, tmp_path: Path) -> None:
    bpy.ops.underpaint.import_openpose(filepath=written(tmp_path / "one.json", people()))
    item = scene.underpaint.controls[2]
    item.pose_text.from_string("{")
    with pytest.raises(InvalidPose, match="line 1"):
        Settings.from_scene(scene)
    told: list[str] = []
    control_options.source(CheckingLayout(told), _context(scene), item)
    assert "can't be read" in " ".join(told)
    item.pose_text.from_string(json.dumps([people(0), people(1)]))
    with pytest.raises(InvalidPose, match="nobody is in frame 1"):
        Settings.from_scene(scene)


def test_undo_takes_the_import_back(scene: Any, tmp_path: Path) -> None:
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.underpaint.import_openpose(filepath=written(tmp_path / "one.json", people()))
    bpy.ops.ed.undo_push(message="Import")
    bpy.ops.ed.undo()
    assert not len(bpy.context.scene.underpaint.controls)
    assert not len(bpy.data.texts)


def test_the_panels_say_who_is_in_it(scene: Any, tmp_path: Path) -> None:
    bpy.ops.underpaint.import_openpose(filepath=written(tmp_path / "two.json", [people(2), people(1)]))
    told: list[str] = []
    control_options.source(CheckingLayout(told), _context(scene), scene.underpaint.controls[2])
    assert "2 people, of 2 frames" in told
    menus.UNDERPAINT_MT_controls.draw(type("Menu", (), {"layout": CheckingLayout(told)})(), _context(scene))


def test_a_result_restored_finds_its_people_again(scene: Any, tmp_path: Path) -> None:
    bpy.ops.underpaint.import_openpose(filepath=written(tmp_path / "one.json", people()))
    text = scene.underpaint.controls[2].pose_text
    settings = Settings.from_scene(scene)
    seen = capture(scene, people=settings.people, wants=settings.wants())
    ref = ArrayRef(sha256="0" * 64, shape=(96, 128), dtype=DType.FLOAT32)
    result = images.new_result(np.zeros((96, 128, 3), np.uint8), build_request(settings, seen, lambda _: ref))
    scene.underpaint.controls.clear()
    images.restore(result, scene)
    assert scene.underpaint.controls[2].pose_text == text


def test_what_is_exported_is_what_the_net_is_given(scene: Any, rig: Any, tmp_path: Path) -> None:
    path = tmp_path / "pose.json"
    assert bpy.ops.underpaint.export_openpose(filepath=str(path)) == {"FINISHED"}
    content = json.loads(path.read_text())
    assert (content["canvas_width"], content["canvas_height"]) == (128, 96)
    (frame,) = people_from_json(path.read_text())
    (person,) = capture(scene, people=People.REQUIRED).people
    for ours, theirs in zip(person.body, frame.people[0].body, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            assert (theirs.x_px, theirs.y_px) == pytest.approx((ours.x_px, ours.y_px), abs=1e-3)
    assert sum(point is not None for point in person.body) >= 13
    bpy.ops.underpaint.export_openpose(filepath=str(path), as_list=True)
    assert json.loads(path.read_text()) == [content]


def test_a_range_in_one_file_or_in_many(scene: Any, rig: Any, tmp_path: Path) -> None:
    scene.frame_start, scene.frame_end = 1, 3
    scene.frame_set(2)
    for frame, x in ((1, 0.0), (3, 0.4)):
        rig.location.x = x
        rig.keyframe_insert("location", index=0, frame=frame)
    bpy.ops.underpaint.export_openpose(filepath=str(tmp_path / "walk.json"), frames="LIST")
    necks = [frame.people[0].body[1] for frame in people_from_json((tmp_path / "walk.json").read_text())]
    assert len(necks) == 3
    assert necks[0].x_px < necks[1].x_px < necks[2].x_px
    bpy.ops.underpaint.export_openpose(filepath=str(tmp_path / "walk.json"), frames="FILES")
    for number, neck in enumerate(necks, 1):
        (frame,) = people_from_json((tmp_path / f"walk_{number:04d}.json").read_text())
        assert frame.people[0].body[1] == neck
    assert scene.frame_current == 2


def test_a_scene_without_people_is_not_exported(scene: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no armature"):
        bpy.ops.underpaint.export_openpose(filepath=str(tmp_path / "pose.json"))
    assert not (tmp_path / "pose.json").exists()


def test_the_round_trip_through_blender(scene: Any, rig: Any, tmp_path: Path) -> None:
    path = tmp_path / "pose.json"
    bpy.ops.underpaint.export_openpose(filepath=str(path))
    (before,) = capture(scene, people=People.REQUIRED).people
    bpy.data.objects.remove(rig)
    bpy.ops.underpaint.import_openpose(filepath=str(path))
    (after,) = pose_of(scene).people
    for one, other in zip((*before.body, *before.face), (*after.body, *after.face), strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert (other.x_px, other.y_px) == pytest.approx((one.x_px, one.y_px), abs=1e-3)


def test_an_animation_renders_the_frame_s_own_people(scene: Any, tmp_path: Path, fake_backend: Connection) -> None:
    scene.frame_start, scene.frame_end = 4, 6
    bpy.ops.underpaint.import_openpose(filepath=written(tmp_path / "list.json", [people(1), people(3), people(2)]))
    scene.underpaint.prompt = "steps=1"
    scene.render.filepath = str(tmp_path / "frame_")
    bpy.ops.render.render(animation=True)
    counts: list[int] = []
    for job in reversed(fake_backend.jobs().jobs):
        (source,) = (c.source for c in job.request.controls if c.kind is ControlKind.OPENPOSE)
        assert isinstance(source, PosePass)
        counts.append(len(source.people))
    assert counts == [1, 3, 2]
