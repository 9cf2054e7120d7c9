"""From settings and a capture to a request; no backend."""

from typing import Any

import bpy
import numpy as np
import pytest
from underpaint.addon.capture import Capture, People
from underpaint.addon.generation import Settings, build_request, pixels_of
from underpaint.protocol.arrays import AnyArray, ArrayRef, encode, reference
from underpaint.protocol.errors import InvalidArray, NoArmature
from underpaint.protocol.geometry import Camera, Projection
from underpaint.protocol.request import ControlKind, Scheduler
from underpaint.protocol.sources import DepthPass, Detector, NormalPass, Person, Photo, PosePass

CAMERA = Camera(
    projection=Projection.PERSPECTIVE,
    fx_px=100.0,
    fy_px=100.0,
    cx_px=32.0,
    cy_px=24.0,
    world_from_camera=tuple(np.eye(4).ravel().tolist()),
    clip_start_m=0.1,
    clip_end_m=100.0,
)


def seen(people: int = 0) -> Capture:
    return Capture(
        width=64,
        height=48,
        depth_m=np.full((48, 64), 3, np.float32),
        normal_camera=np.zeros((48, 64, 3), np.float32),
        position_m=np.zeros((48, 64, 3), np.float32),
        alpha=np.ones((48, 64), np.float32),
        camera=CAMERA,
        people=(Person(body=(None,) * 18, depth_m=3.0),) * people,
        capture_ms=1.0,
        convert_ms=1.0,
    )


def upload(array: AnyArray) -> ArrayRef:
    return reference(array, encode(array))


def kinds(settings: Settings, people: int) -> list[ControlKind]:
    return [control.kind for control in build_request(settings, seen(people), upload).controls]


def test_a_scene_without_a_list_is_painted_with_all_three(scene: Any) -> None:
    settings = Settings.from_scene(scene)
    assert settings.default_controls
    assert settings.people is People.WISHED
    assert kinds(settings, 1) == [ControlKind.DEPTH, ControlKind.NORMAL, ControlKind.OPENPOSE]
    assert kinds(settings, 0) == [ControlKind.DEPTH, ControlKind.NORMAL]


def test_a_pose_control_that_was_asked_for_needs_a_person(scene: Any) -> None:
    scene.underpaint.controls.add().kind = "OPENPOSE"
    settings = Settings.from_scene(scene)
    assert settings.people is People.REQUIRED
    assert kinds(settings, 2) == [ControlKind.OPENPOSE]
    with pytest.raises(NoArmature):
        kinds(settings, 0)
    scene.underpaint.controls[0].enabled = False
    assert kinds(Settings.from_scene(scene), 0) == []


def test_everything_of_the_scene_is_in_the_request(scene: Any) -> None:
    group = scene.underpaint
    group.prompt, group.negative_prompt, group.checkpoint = "an attic", "people", "/models/x"
    group.steps, group.guidance_scale, group.seed, group.scheduler = 9, 4.5, 11, "EULER"
    item = group.controls.add()
    item.kind, item.controlnet, item.conditioning_scale = "NORMAL", "/models/n", 0.75
    item.start, item.end = 0.25, 0.5
    request = build_request(Settings.from_scene(scene), seen(), upload)
    assert (request.prompt, request.negative_prompt, request.checkpoint) == ("an attic", "people", "/models/x")
    assert (request.steps, request.guidance_scale, request.seed) == (9, 4.5, 11)
    assert request.scheduler is Scheduler.EULER
    assert request.camera == CAMERA
    (control,) = request.controls
    assert isinstance(control.source, NormalPass)
    assert (control.controlnet, control.conditioning_scale, control.start, control.end) == (
        "/models/n",
        0.75,
        0.25,
        0.5,
    )


def test_sources_are_physical(scene: Any) -> None:
    depth, normal, pose = build_request(Settings.from_scene(scene), seen(1), upload).controls
    assert isinstance(depth.source, DepthPass)
    assert depth.source.metres == upload(seen().depth_m)
    assert isinstance(normal.source, NormalPass)
    assert isinstance(pose.source, PosePass)
    assert len(pose.source.people) == 1


@pytest.mark.parametrize(("kind", "detector"), [("CANNY", Detector.CANNY), ("DEPTH", Detector.MIDAS)])
def test_an_image_goes_through_a_detector(scene: Any, kind: str, detector: Detector) -> None:
    item = scene.underpaint.controls.add()
    item.kind = kind
    item.image = bpy.data.images.new("Photo", 4, 2)
    item.image.pixels[:4] = (1.0, 0.5, 0.0, 1.0)  # bottom left
    expected = np.zeros((2, 4, 3), np.uint8)
    expected[1, 0] = (255, 128, 0)
    np.testing.assert_array_equal(pixels_of(item.image), expected)
    (control,) = build_request(Settings.from_scene(scene), seen(), upload).controls
    assert control.source == Photo(image=upload(expected), detector=detector)


def test_a_float_image_is_encoded_for_display(scene: Any) -> None:
    image = bpy.data.images.new("Linear", 2, 2, float_buffer=True)
    image.pixels = (0.2158605, 0.0, 7.0, 1.0) * 4
    np.testing.assert_array_equal(pixels_of(image)[0, 0], (128, 0, 255))


def test_an_image_without_its_file_is_named(scene: Any) -> None:
    image = bpy.data.images.new("Sketch", 4, 2)
    image.source, image.filepath = "FILE", "//moved/away.png"
    with pytest.raises(InvalidArray, match='no pixels of "Sketch"'):
        pixels_of(image)
