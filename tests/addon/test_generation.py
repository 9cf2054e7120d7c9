"""From settings and a capture to a request; no backend."""

import dataclasses
import math
from typing import Any

import bpy
import numpy as np
import pytest
from underpaint.addon import callbacks, controls, option_settings, option_values
from underpaint.addon.capture import Capture, People, Wants
from underpaint.addon.controls import ControlSettings, ImageIs
from underpaint.addon.generation import Settings, build_request, maps_request, pixels_of
from underpaint.addon.kinds import KINDS
from underpaint.protocol.arrays import AnyArray, ArrayRef, encode, reference
from underpaint.protocol.checks import OPTION_RANGES, SOURCES, check
from underpaint.protocol.errors import InvalidArray, InvalidRequest, MissingControlImage, NoArmature
from underpaint.protocol.geometry import Camera, Projection
from underpaint.protocol.options import (
    DepthEncoding,
    DepthOptions,
    DetectorOptions,
    HiddenJoints,
    LineOptions,
    NormalEncoding,
    NormalOptions,
    PictureOptions,
    PoseOptions,
    SegmentationOptions,
    SegmentColours,
)
from underpaint.protocol.request import Control, ControlKind, GenerateRequest, Scheduler
from underpaint.protocol.sources import (
    DepthPass,
    Detector,
    InpaintPass,
    LinesPass,
    NormalPass,
    Person,
    Photo,
    PicturePass,
    PosePass,
    ReadyMap,
    SegmentationPass,
)

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


def identified() -> Capture:
    """A capture with everything that any control wants: "a" on the left in "red", "b" on the right in nothing."""
    sides = np.repeat([[1, 2]], 32, axis=1).repeat(48, axis=0).reshape(48, 64).astype(np.int32)
    return dataclasses.replace(
        seen(1),
        object_ids=sides,
        object_names=("a", "b"),
        material_ids=np.where(sides == 1, 1, 0).astype(np.int32),
        material_names=("red",),
        beauty=np.full((48, 64, 3), 77, np.uint8),
    )


def one(scene: Any, capture: Capture) -> Control:
    (control,) = build_request(Settings.from_scene(scene), capture, upload).controls
    check(GenerateRequest(prompt="", size=capture.extent, controls=(control,)))
    return control


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
    data = bpy.data.images.new("Data", 2, 2, float_buffer=True, is_data=True)  # as a control map out of an EXR file
    data.pixels = image.pixels[:]
    np.testing.assert_array_equal(pixels_of(data)[0, 0], (55, 0, 255))


def test_an_image_without_its_file_is_named(scene: Any) -> None:
    image = bpy.data.images.new("Sketch", 4, 2)
    image.source, image.filepath = "FILE", "//moved/away.png"
    with pytest.raises(InvalidArray, match='no pixels of "Sketch"'):
        pixels_of(image)


def test_whatever_a_setting_can_be_is_accepted(scene: Any) -> None:
    item = scene.underpaint.controls.add()
    for kind, ranges in OPTION_RANGES.items():
        for name, (least, most) in ranges.items():
            setting = getattr(item, option_settings.GROUPS[kind]).bl_rna.properties[name]
            unit = 180 / math.pi if setting.subtype == "ANGLE" else 1.0
            assert least <= round(setting.hard_min * unit, 4), (kind, name)
            assert round(setting.hard_max * unit, 4) <= (most if setting.hard_max < 1e30 else math.inf), (kind, name)


def test_one_shade_of_grey_can_not_be_chosen(scene: Any) -> None:
    item = scene.underpaint.controls.add()
    for chosen, kept in ((1, 2), (0, 0), (5, 5)):
        item.lines.levels = chosen
        assert item.lines.levels == kept


@pytest.mark.parametrize("source", ["SEQUENCE", "MOVIE"])
def test_moving_images_are_refused(scene: Any, source: str) -> None:
    image = bpy.data.images.new("Walk", 4, 2)
    image.source = source
    assert not callbacks.is_usable_image(None, image)
    with pytest.raises(InvalidArray, match="choose a still image"):
        pixels_of(image)
    item = scene.underpaint.controls.add()
    item.image = image  # as a script may, or a file from before
    assert "choose a still image" in controls.problem_of(item)


@pytest.mark.parametrize("kind", [kind for kind, *_ in KINDS])
def test_a_scene_gives_every_kind_its_source(scene: Any, kind: str) -> None:
    item = scene.underpaint.controls.add()
    item.kind, item.mask_object = kind, scene.objects["Cube"]
    wants = Settings.from_scene(scene).wants()
    control = one(scene, identified())
    assert isinstance(control.source, SOURCES[ControlKind[kind]][0])
    assert wants.ids == isinstance(control.source, LinesPass | SegmentationPass | InpaintPass | PosePass)
    assert wants.beauty == isinstance(control.source, PicturePass | InpaintPass)


@pytest.mark.parametrize("kind", [kind for kind, *_ in KINDS])
def test_an_image_may_be_the_map_itself(scene: Any, kind: str) -> None:
    item = scene.underpaint.controls.add()
    item.kind, item.image, item.image_is = kind, bpy.data.images.new("map", 64, 48), "MAP"
    assert Settings.from_scene(scene).wants() == Wants()
    control = one(scene, seen())
    assert isinstance(control.source, ReadyMap)
    assert control.options is None


def test_the_detector_is_one_for_the_kind(scene: Any) -> None:
    item = scene.underpaint.controls.add()
    item.kind, item.image = "SOFTEDGE", bpy.data.images.new("photo", 8, 8)
    assert [name for name, *_ in callbacks.detector_items(item, None)] == ["AUTO", "HED", "PIDINET", "TEED"]
    item.detector, item.detection.safe = "PIDINET", True
    control = one(scene, seen())
    assert control.source == Photo(image=upload(np.zeros((8, 8, 3), np.uint8)), detector=Detector.PIDINET)
    assert control.options == DetectorOptions(safe=True)
    item.kind = "MLSD"
    assert item.detector == "AUTO"
    assert one(scene, seen()).source.detector is Detector.MLSD


def test_what_is_auto_is_left_to_the_net_and_what_is_set_is_said(scene: Any) -> None:
    item = scene.underpaint.controls.add()
    assert one(scene, seen()).options == DepthOptions()
    depth = item.depth
    depth.encoding, depth.use_range, depth.near_m, depth.far_m = "LINEAR", True, 2.0, 8.0
    depth.use_floor, depth.floor, depth.invert = True, 0.25, True
    assert one(scene, seen()).options == DepthOptions(
        encoding=DepthEncoding.LINEAR, near_m=2.0, far_m=8.0, floor=0.25, invert=True
    )
    item.kind, item.normal.encoding = "NORMAL", "MIDAS"
    control = one(scene, seen())
    assert isinstance(control.source, DepthPass)
    assert control.options == NormalOptions(encoding=NormalEncoding.MIDAS)
    item.kind, item.lines.creases, item.lines.use_width_px, item.lines.width_px = "SCRIBBLE", False, True, 6.5
    assert one(scene, identified()).options == LineOptions(creases=False, width_px=6.5)


def test_near_stays_nearer_than_far(scene: Any) -> None:
    depth = scene.underpaint.controls.add().depth
    depth.near_m = 50.0
    assert depth.near_m == 50.0
    assert depth.far_m > 50.0
    depth.far_m = 3.0
    assert depth.near_m < depth.far_m == 3.0


def test_options_survive_a_round_trip(scene: Any) -> None:
    every = (
        DepthOptions(encoding=DepthEncoding.DISPARITY, near_m=60.0, far_m=80.0, outliers=0.125, floor=0.5, invert=True),
        NormalOptions(encoding=NormalEncoding.DIRECTX, swap_red_blue=True, background_threshold=0.25),
        PoseOptions(stick_px=7, joint_px=2, hidden=HiddenJoints.DROP, hands=False, face=False),
        LineOptions(
            silhouettes=False,
            creases=False,
            crease_deg=45.0,
            objects=False,
            materials=False,
            width_px=3.5,
            shortest_px=9.0,
            levels=0,
        ),
        SegmentationOptions(colours=SegmentColours.RANDOM, seed=4),
        PictureOptions(blur_px=2.5, shrink=8.0, grow_px=-3, seed=9),
        DetectorOptions(
            resolution_px=768,
            low=50.0,
            high=150.0,
            score=0.25,
            distance=2.0,
            safe=True,
            coarse=True,
            hands=False,
            face=False,
            seed=1,
        ),
    )
    item = scene.underpaint.controls.add()
    for options in every:
        option_values.write(item, options)
        assert option_values.read(item, type(options)) == options
        option_values.write(item, type(options)())
        assert option_values.read(item, type(options)) == type(options)()


def test_objects_are_painted_anew_where_the_camera_sees_them(scene: Any) -> None:
    item = scene.underpaint.controls.add()
    item.kind = "INPAINT"
    with pytest.raises(InvalidRequest, match=r"no mask\. Choose an object or a collection"):
        Settings.from_scene(scene)
    collection = bpy.data.collections.new("new ones")
    item.mask_collection = collection
    with pytest.raises(InvalidRequest, match='"new ones" is empty'):
        Settings.from_scene(scene)
    scene.objects["Cube"].name = "b"
    collection.objects.link(scene.objects["b"])
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 32:] = 255
    source = one(scene, identified()).source
    assert source == InpaintPass(image=upload(np.full((48, 64, 3), 77, np.uint8)), mask=upload(mask))
    item.image = bpy.data.images.new("half as large", 32, 24)
    assert one(scene, identified()).source.mask == upload(mask[::2, ::2].copy())


def test_a_mask_is_an_image_s_alpha_or_another_image(scene: Any) -> None:
    item = scene.underpaint.controls.add()
    item.kind, item.mask_from = "INPAINT", "ALPHA"
    with pytest.raises(InvalidRequest, match="Choose an image whose transparent parts"):
        Settings.from_scene(scene)
    item.image = bpy.data.images.new("cut out", 2, 1, alpha=True)
    item.image.pixels = (1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    assert one(scene, seen()).source.mask == upload(np.array([[0, 255]], np.uint8))
    item.image.alpha_mode = "NONE"
    assert "no alpha channel" in controls.problem_of(item)
    item.mask_from = "IMAGE"
    with pytest.raises(InvalidRequest, match="Choose a mask image"):
        Settings.from_scene(scene)
    item.mask_image = bpy.data.images.new("mask", 2, 1)
    item.mask_image.pixels = (1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    assert one(scene, seen()).source.mask == upload(np.array([[255, 0]], np.uint8))


def test_a_control_map_that_is_no_image_is_refused() -> None:
    with pytest.raises(MissingControlImage, match="Tile control has no image"):
        ControlSettings(kind=ControlKind.TILE, image_is=ImageIs.MAP)


def test_the_control_maps_are_those_of_the_picture(scene: Any) -> None:
    settings = Settings.from_scene(scene)
    picture = build_request(settings, seen(1), upload)
    maps = maps_request(settings, seen(1), upload)
    assert (maps.controls, maps.size, maps.checkpoint) == (picture.controls, picture.size, picture.checkpoint)


def test_a_file_of_before_means_what_it_meant(scene: Any) -> None:
    """The numbers that files keep for a kind never change."""
    numbers = {"DEPTH": 0, "NORMAL": 1, "OPENPOSE": 2, "CANNY": 3}
    assert {kind: number for kind, *_, number in KINDS[:4]} == numbers
    item = scene.underpaint.controls.add()
    for kind, number in numbers.items():
        item["kind"] = number
        assert item.kind == kind
    assert (item.image_is, item.detector) == ("PHOTO", "AUTO")
