"""The picture that painting starts from: an image, or the scene's render; the whole of it, or a masked part."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest
from blend_dump import changes, dump
from test_generation import identified, seen, upload
from underpaint.addon import api, images, inspector, operators_generate, presets, starts
from underpaint.addon.capture import capture
from underpaint.addon.generation import OF_PAINTING, Settings, StartSettings, build_request, pixels_of
from underpaint.addon.passes import Wants
from underpaint.protocol.arrays import ArrayRef
from underpaint.protocol.checks import check
from underpaint.protocol.client import Connection
from underpaint.protocol.errors import InvalidArray, InvalidRequest
from underpaint.protocol.request import Start


def asked(scene: Any, capture: Any) -> Start | None:
    request = build_request(Settings.from_scene(scene), capture, upload)
    check(request)
    return request.start


def image(name: str, rows: list[list[float]]) -> Any:
    """A grey image of these rows, the topmost first."""
    made = bpy.data.images.new(name, len(rows[0]), len(rows), alpha=True)
    made.pixels = [value for row in reversed(rows) for grey in row for value in (grey, grey, grey, 1.0)]
    return made


def test_noise_is_the_start_unless_another_is_chosen(scene: Any) -> None:
    settings = Settings.from_scene(scene)
    assert settings.start is None
    assert not settings.wants().beauty
    assert asked(scene, seen()) is None


def test_an_image_is_started_from(scene: Any) -> None:
    group = scene.underpaint.start
    group.source, group.strength = "IMAGE", 0.6
    assert "Choose the picture" in starts.problem_of(group)
    with pytest.raises(InvalidRequest, match="no picture"):
        Settings.from_scene(scene)
    group.image = image("photo", [[0.0, 1.0], [1.0, 0.0]])
    assert starts.problem_of(group) == ""
    settings = Settings.from_scene(scene)
    assert settings.wants() == Settings.from_scene(scene, without=OF_PAINTING).wants()  # nothing more is rendered
    start = asked(scene, seen())
    assert start == Start(image=upload(pixels_of(group.image)), strength=pytest.approx(0.6))
    group.image.source, group.image.filepath = "FILE", "//gone.png"
    with pytest.raises(InvalidArray, match="no pixels"):
        Settings.from_scene(scene)


def test_the_render_is_started_from(scene: Any) -> None:
    group = scene.underpaint.start
    group.source, group.image = "RENDER", image("left over", [[0.5]])
    assert Settings.from_scene(scene).wants().beauty
    start = asked(scene, identified())
    assert start is not None
    assert start.image == upload(np.full((48, 64, 3), 77, np.uint8))
    assert start.mask is None
    group.mask_from = "ALPHA"  # that image is not the one that is started from
    with pytest.raises(InvalidRequest, match="Choose an image whose transparent parts"):
        Settings.from_scene(scene)


def left() -> ArrayRef:
    mask = np.zeros((48, 64), np.uint8)
    mask[:, :32] = 255
    return upload(mask)


@pytest.mark.parametrize("way", ["SELECTED", "OBJECTS", "COLLECTION", "MATERIAL", "IMAGE"])
def test_what_the_scene_shows_of_a_thing_is_the_mask(scene: Any, way: str) -> None:
    thing = scene.objects["Cube"]
    thing.name, thing.active_material.name = "a", "red"
    group = scene.underpaint.start
    group.source, group.mask_from = "RENDER", "OBJECTS" if way == "COLLECTION" else way
    group.mask_grow_px, group.mask_blur_px = 3, 2.5
    bpy.ops.object.select_all(action="DESELECT")
    with pytest.raises(InvalidRequest, match=r"the start has no mask\. (Select|Choose)"):
        Settings.from_scene(scene)
    if way == "SELECTED":
        thing.select_set(True)
    elif way == "OBJECTS":
        group.mask_object = thing
    elif way == "COLLECTION":
        group.mask_collection = bpy.data.collections.new("things")
        assert "is empty" in starts.problem_of(group)
        group.mask_collection.objects.link(thing)
    elif way == "MATERIAL":
        group.mask_material = thing.active_material
    else:
        group.mask_image = image("mask", [[1.0, 0.0]])
    settings = Settings.from_scene(scene)
    assert dataclasses.replace(settings, controls=()).wants() == Wants(ids=way != "IMAGE", beauty=True)
    start = asked(scene, identified())
    assert start is not None
    assert start.mask == left()
    assert (start.mask_grow_px, start.mask_blur_px) == (3, 2.5)


def test_a_mask_that_leaves_nothing_to_paint_is_refused_before_it_costs_time(scene: Any) -> None:
    group = scene.underpaint.start
    group.source, group.mask_from, group.mask_object = "RENDER", "OBJECTS", scene.objects["Light"]
    with pytest.raises(InvalidRequest, match="the camera sees nothing of what is masked"):
        asked(scene, identified())
    group.mask_from, group.mask_image = "IMAGE", image("mask", [[0.0]])
    with pytest.raises(InvalidRequest, match="the mask is black"):
        asked(scene, identified())


def test_generate_refuses_a_start_that_leaves_nothing_to_do_before_it_renders(
    scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = scene.underpaint.start
    start.source, start.strength, scene.underpaint.steps = "RENDER", 0.01, 20
    monkeypatch.setattr("underpaint.addon.capture.capture", lambda *_, **__: pytest.fail("the scene was rendered"))
    told: list[Exception] = []
    button = SimpleNamespace(_refuse=told.append)
    operators_generate.UNDERPAINT_OT_generate.invoke(button, bpy.context, None)
    assert "leaves none of 20 steps" in str(told[0])


def test_what_a_setting_can_be_is_accepted(scene: Any) -> None:
    group = scene.underpaint.start
    group.source, group.mask_from = "RENDER", "IMAGE"
    group.mask_image = image("mask", [[1.0]])
    for least_or_most in (-1e9, 1e9):
        group.strength, group.mask_blur_px, group.mask_grow_px = least_or_most, least_or_most, int(least_or_most)
        assert asked(scene, identified()) is not None


def test_control_maps_know_no_start(scene: Any, fake_backend: Connection) -> None:
    scene.underpaint.start.source = "IMAGE"  # and none is chosen
    assert len(api.control_maps(scene, pictures=3)) == 2
    settings = inspector.look(scene, scene.view_layers[0])
    inspector.finish(settings)
    assert inspector.is_true_of(scene, scene.view_layers[0])
    inspector.close()


@pytest.mark.parametrize("way", ["SELECTED", "OBJECTS", "MATERIAL"])
def test_a_script_and_a_click_start_from_the_same_render_and_leave_nothing(
    scene: Any, fake_backend: Connection, way: str
) -> None:
    scene.cycles.samples = 2
    cube = scene.objects["Cube"]  # which is selected
    group = scene.underpaint.start
    group.source, group.mask_from, group.mask_object, group.strength = "RENDER", way, cube, 0.5
    group.mask_material = cube.active_material
    scene.underpaint.prompt = "steps=1"
    capture(scene)  # the first render of any engine brings the start-up file's nodes up to date
    before = dump()
    result = api.generate(scene)
    changed = changes(before, dump())
    if bpy.app.version < (4, 3):  # a scene's copy leaves one user too many there; docs/blender-facts.md
        changed.pop("collections/Collection.users")
    assert all(path.startswith(f"images/{result.image.name}") for path in changed), changed

    start = result.request.start
    assert start is not None
    assert start.image.shape == (96, 128, 3)
    beauty, mask = fake_backend.download(start.image), fake_backend.download(start.mask)
    assert beauty.std() > 5
    assert set(np.unique(mask)) == {0, 255}
    assert 0.02 < mask.mean() / 255 < 0.5  # a cube in the middle
    assert mask[48, 64] == 255

    with pytest.raises(RuntimeError, match="Persistent Data"):
        bpy.ops.render.render()
    scene.render.use_persistent_data = True
    bpy.ops.render.render()
    assert fake_backend.jobs().jobs[0].request == result.request


def test_scripts_say_their_own_start(scene: Any, fake_backend: Connection) -> None:
    scene.underpaint.start.source = "IMAGE"  # and none is chosen: what the script says counts
    photo = np.full((30, 40, 3), 99, np.uint8)
    mask = np.zeros((3, 4), np.uint8)
    mask[0, 0] = 255
    start = StartSettings(image=photo, strength=0.25, mask=mask, mask_blur_px=4.0)
    request = api.generate(scene, prompt="steps=1", start=start).request
    assert request.start is not None
    np.testing.assert_array_equal(fake_backend.download(request.start.mask)[:10, :10], 255)
    assert request.start.mask.shape == (30, 40)
    assert (request.start.strength, request.start.mask_blur_px) == (0.25, 4.0)
    assert api.generate(scene, prompt="steps=1", start=None).request.start is None


@pytest.mark.parametrize("way", ["RENDER", "IMAGE", "OBJECTS", "NONE"])
def test_a_result_brings_its_start_back(scene: Any, fake_backend: Connection, way: str) -> None:
    scene.cycles.samples = 1
    group = scene.underpaint.start
    group.source, group.strength, group.mask_blur_px = "IMAGE", 0.4, 3.0
    group.image, group.mask_image = image("photo", [[0.1, 0.9] * 20] * 30), image("mask", [[0.0, 1.0] * 20] * 30)
    if way == "RENDER":
        group.source = "RENDER"
    elif way == "IMAGE":
        group.mask_from = "IMAGE"
    elif way == "OBJECTS":
        group.mask_from, group.mask_object = "OBJECTS", scene.objects["Cube"]
    else:
        group.source = "NONE"
    result = api.generate(scene, prompt="steps=1")
    photo, mask = group.image, group.mask_image
    for name in ("image", "mask_image", "mask_object"):
        setattr(group, name, None)
    group.source, group.strength, group.mask_from, group.mask_blur_px = "IMAGE", 0.9, "ALPHA", 0.0

    lost = images.restore(result.image, scene)

    if way == "OBJECTS":  # of which nothing is kept
        assert (lost, group.source, group.image) == (["Start"], "NONE", photo)
        return
    assert lost == []
    assert group.source == way
    if way != "NONE":
        assert (group.strength, group.mask_blur_px) == (pytest.approx(0.4), 3.0)
        assert group.mask_from == ("IMAGE" if way == "IMAGE" else "NONE")
        assert (group.image, group.mask_image) == ((photo, mask) if way == "IMAGE" else (None, None))
    again = api.generate(scene, prompt="steps=1")
    assert again.request.start == result.request.start


def test_a_picture_of_the_history_is_a_start(scene: Any, fake_backend: Connection) -> None:
    result = api.generate(scene, prompt="steps=1")
    bpy.ops.underpaint.start_from_result()
    request = api.generate(scene, prompt="steps=1 b").request
    assert request.start is not None
    np.testing.assert_array_equal(fake_backend.download(request.start.image), result.picture)
    with pytest.raises(RuntimeError, match='No image is called "elsewhere"'):
        bpy.ops.underpaint.start_from_result(image="elsewhere")


def test_a_preset_keeps_the_start_but_for_what_is_in_the_file(scene: Any, tmp_path: Path) -> None:
    settings = scene.underpaint
    settings.sigmas, settings.pictures, settings.batch_size, settings.scheduler = "BETA", 4, 2, "DPMPP_2M_SDE"
    group = settings.start
    group.source, group.strength, group.mask_from, group.mask_grow_px = "RENDER", 0.35, "SELECTED", -4
    presets.writing.write(tmp_path / "own.py", settings)
    bpy.ops.wm.read_factory_settings()
    bpy.ops.script.execute_preset(filepath=str(tmp_path / "own.py"), menu_idname="UNDERPAINT_PT_presets")
    settings = bpy.context.scene.underpaint
    kept = (settings.sigmas, settings.pictures, settings.batch_size, settings.scheduler)
    assert kept == ("BETA", 4, 2, "DPMPP_2M_SDE")
    group = settings.start
    assert (group.source, group.mask_from, group.mask_grow_px) == ("RENDER", "SELECTED", -4)
    assert group.strength == pytest.approx(0.35)
