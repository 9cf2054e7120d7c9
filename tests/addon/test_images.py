"""Results as image datablocks: exact, packed, newest first, and able to bring their settings back."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from underpaint.addon import generation, images, png
from underpaint.addon.generation import Settings
from underpaint.protocol import arrays
from underpaint.protocol.errors import InvalidRequest, NoPicture
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import Phase, Timing
from underpaint.protocol.options import PictureOptions, SegmentationOptions, SegmentColours
from underpaint.protocol.request import Control, ControlKind, GenerateRequest, Scheduler
from underpaint.protocol.sources import Detector, InpaintPass, Photo, PicturePass, PosePass, ReadyMap, SegmentationPass


def _picture(width: int = 40, height: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _request(**changes: Any) -> GenerateRequest:
    values = {"prompt": "a lighthouse  at\ndusk", "size": Extent(width=40, height=24)} | changes
    return GenerateRequest(**values)


def test_every_byte_of_the_picture_survives_a_saved_file(scene: Any, tmp_path: Path) -> None:
    picture = _picture()
    image = images.new_result(picture, _request())
    assert np.array_equal(generation.pixels_of(image), picture)
    assert image.name == "a lighthouse at dusk"
    assert image.packed_file is not None

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    bpy.ops.wm.read_factory_settings()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))

    (again,) = images.results()
    assert np.array_equal(generation.pixels_of(again), picture)
    assert images.request_of(again) == _request()


def test_the_png_is_one_that_blender_reads_and_saves_the_same(scene: Any, tmp_path: Path) -> None:
    picture = _picture(seed=3)
    path = tmp_path / "picture.png"
    path.write_bytes(png.encoded(picture))
    assert np.array_equal(generation.pixels_of(bpy.data.images.load(str(path))), picture)

    image = images.new_result(picture, _request())
    image.save(filepath=str(tmp_path / "saved.png"))
    assert np.array_equal(generation.pixels_of(bpy.data.images.load(str(tmp_path / "saved.png"))), picture)


def test_results_come_newest_first_and_other_images_are_none(scene: Any) -> None:
    bpy.data.images.new("not ours", 8, 8)
    made = [images.new_result(_picture(), _request(prompt=prompt)) for prompt in ("zebra", "ant", "")]
    assert images.results() == made[::-1]
    assert [image.name for image in made] == ["zebra", "ant", "Painting"]
    assert images.active_result() == made[2]
    bpy.context.window_manager.underpaint.result_name = "zebra"
    assert images.active_result() == made[0]


def test_the_details_are_what_was_said(scene: Any) -> None:
    timings = (Timing(phase=Phase.STEP, ms=12.5), Timing(phase=Phase.STEP, ms=13.0))
    image = images.new_result(_picture(), _request(), timings=timings, name="mine")
    details = images.details_of(image)
    assert (details.request, details.timings) == (_request(), timings)
    assert image.name == "mine"


def test_a_long_prompt_in_any_script_becomes_a_name(scene: Any) -> None:
    image = images.new_result(_picture(), _request(prompt="灯台" * 60))
    assert image.name.startswith("灯台灯台")
    assert image.name.strip("灯台") == ""


def test_restoring_brings_every_setting_back(scene: Any) -> None:
    photo = bpy.data.images.new("photo", 16, 8)
    photo.pixels.foreach_set(np.random.default_rng(1).random(16 * 8 * 4).astype(np.float32))
    pixels = generation.pixels_of(photo)
    ref = arrays.reference(pixels, arrays.encode(pixels))
    request = _request(
        negative_prompt="fog",
        checkpoint="/models/one",
        steps=11,
        guidance_scale=4.5,
        scheduler=Scheduler.HEUN,
        seed=2**31 - 1,
        controls=(
            Control(kind=ControlKind.OPENPOSE, source=PosePass(people=()), conditioning_scale=0.5, start=0.1, end=0.6),
            Control(kind=ControlKind.CANNY, source=Photo(image=ref, detector=Detector.CANNY), controlnet="a/net"),
        ),
    )
    image = images.new_result(_picture(), request)
    scene.underpaint.controls.add().name = "in the way"
    scene.render.resolution_percentage = 50

    images.restore(image, scene)

    settings = scene.underpaint
    assert (settings.prompt, settings.negative_prompt) == (request.prompt, "fog")
    assert (settings.checkpoint, settings.steps, settings.scheduler) == ("/models/one", 11, "HEUN")
    assert (settings.guidance_scale, settings.seed) == (4.5, 2**31 - 1)
    pose, edges = settings.controls
    assert (pose.kind, pose.name, pose.image) == ("OPENPOSE", "Pose", None)
    assert np.allclose([pose.conditioning_scale, pose.start, pose.end], [0.5, 0.1, 0.6])
    assert (edges.kind, edges.image, edges.controlnet) == ("CANNY", photo, "a/net")
    render = scene.render
    assert (render.resolution_x, render.resolution_y, render.resolution_percentage) == (40, 24, 100)


def test_restoring_brings_options_back_and_switches_off_what_lost_its_image(scene: Any) -> None:
    gone = arrays.ArrayRef(sha256="0" * 64, shape=(8, 16, 3), dtype=arrays.DType.UINT8)
    ids = arrays.ArrayRef(sha256="1" * 64, shape=(24, 40), dtype=arrays.DType.INT32)
    segments = SegmentationPass(indices=ids, segments=(), background=2)
    request = _request(
        controls=(
            Control(
                kind=ControlKind.SEGMENTATION,
                source=segments,
                options=SegmentationOptions(colours=SegmentColours.RANDOM),
            ),
            Control(kind=ControlKind.SOFTEDGE, source=Photo(image=gone, detector=Detector.TEED)),
            Control(kind=ControlKind.TILE, source=ReadyMap(image=gone)),
            Control(kind=ControlKind.BLUR, source=PicturePass(image=gone), options=PictureOptions(blur_px=3.0)),
        )
    )
    assert images.restore(images.new_result(_picture(), request), scene) == ["Soft Edges", "Tile"]
    segmentation, soft, tile, blur = scene.underpaint.controls
    assert (segmentation.segmentation.colours, segmentation.segmentation.background) == ("RANDOM", "sky")
    assert (soft.detector, soft.enabled, tile.image_is, tile.enabled) == ("TEED", False, "MAP", False)
    assert (blur.enabled, blur.picture.use_blur_px, blur.picture.blur_px) == (True, True, 3.0)


@pytest.mark.parametrize("way", ["ALPHA", "IMAGE", "OBJECTS"])
def test_restoring_finds_an_inpaint_s_mask_or_says_that_it_is_gone(scene: Any, way: str) -> None:
    photo, mask = bpy.data.images.new("photo", 40, 24, alpha=True), bpy.data.images.new("mask", 40, 24)
    photo.pixels = [0.5, 0.25, 1.0, 0.0] * (40 * 12) + [1.0] * (4 * 40 * 12)
    mask.pixels = [1.0] * (4 * 40 * 4) + [0.0, 0.0, 0.0, 1.0] * (40 * 20)
    bpy.ops.underpaint.control_add(kind="INPAINT")
    item = scene.underpaint.controls[0]
    item.image, item.mask_from, item.mask_image = photo, way, mask if way == "IMAGE" else None
    kept: np.ndarray = np.zeros((24, 40), np.uint8)
    if way == "OBJECTS":
        item.mask_object = scene.objects["Cube"]
    else:
        settings = Settings.from_scene(scene)
        assert settings.controls[0].mask is not None
        kept = settings.controls[0].mask
    source = InpaintPass(
        **{name: _ref(values) for name, values in (("image", generation.pixels_of(photo)), ("mask", kept))}
    )
    request = _request(controls=(Control(kind=ControlKind.INPAINT, source=source),))
    lost = images.restore(images.new_result(_picture(), request), scene)
    (item,) = scene.underpaint.controls
    assert lost == (["Inpaint"] if way == "OBJECTS" else [])
    assert (item.image, item.mask_from, item.enabled) == (photo, way, way != "OBJECTS")
    if way == "IMAGE":
        assert item.mask_image == mask


def _ref(values: np.ndarray) -> arrays.ArrayRef:
    return arrays.reference(values, arrays.encode(values))


def test_a_seed_of_an_option_that_blender_can_not_hold_leaves_the_scene_alone(scene: Any) -> None:
    options = SegmentationOptions(seed=2**40)
    ids = arrays.ArrayRef(sha256="1" * 64, shape=(24, 40), dtype=arrays.DType.INT32)
    source = SegmentationPass(indices=ids, segments=())
    request = _request(controls=(Control(kind=ControlKind.SEGMENTATION, source=source, options=options),))
    bpy.ops.underpaint.control_add(kind="DEPTH")
    with pytest.raises(InvalidRequest, match="larger than Blender's integers"):
        images.restore(images.new_result(_picture(), request), scene)
    assert [item.kind for item in scene.underpaint.controls] == ["DEPTH"]


def test_restoring_leaves_a_frame_of_the_right_size_alone(scene: Any) -> None:
    scene.render.resolution_x, scene.render.resolution_y = 80, 48
    scene.render.resolution_percentage = 50
    images.restore(images.new_result(_picture(), _request()), scene)
    assert (scene.render.resolution_x, scene.render.resolution_percentage) == (80, 50)


def test_a_picture_without_controls_is_restored_without_controls(scene: Any) -> None:
    images.restore(images.new_result(_picture(), _request(controls=())), scene)
    assert Settings.from_scene(scene).controls == ()


def test_a_seed_beyond_blender_changes_nothing(scene: Any) -> None:
    image = images.new_result(_picture(), _request(seed=2**40))
    with pytest.raises(InvalidRequest, match="seed"):
        images.restore(image, scene)
    assert scene.underpaint.prompt == ""


def test_an_image_without_a_request_is_refused(scene: Any) -> None:
    image = bpy.data.images.new("plain", 8, 8)
    with pytest.raises(NoPicture):
        images.request_of(image)
    with pytest.raises(NoPicture):
        images.active_result()
    image[images.REQUEST] = "{}"
    with pytest.raises(InvalidRequest):
        images.request_of(image)
