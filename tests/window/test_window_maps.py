"""The inspector in a real window: shown in the Image Editor, following its settings, saying when it is old."""

import time
from collections.abc import Callable
from pathlib import Path

from blender_window import Window
from PIL import Image
from underpaint.protocol.ade20k import PALETTE
from underpaint.protocol.client import Connection
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobState
from underpaint.protocol.request import GenerateRequest
from window_steps import ARTEFACTS, assert_quiet

PREPARE = """
area = max(bpy.context.window_manager.windows[0].screen.areas, key=lambda area: area.width * area.height)
area.type = "IMAGE_EDITOR"
area.ui_type = "IMAGE_EDITOR"
area.spaces.active.show_region_ui = True
scene.underpaint.controls.clear()
for kind in ("DEPTH", "NORMAL", "LINEART", "SEGMENTATION"):
    bpy.ops.underpaint.control_add(kind=kind)
scene.underpaint.active_control = 0
bpy.data.objects["Cube"].underpaint.ade20k = "box"
"""
CHOOSE_TAB = """
sidebar = next(region for region in area.regions if region.type == "UI")
sidebar.active_panel_category = "Underpaint"
area.tag_redraw()
"""
PRESS = """
from bl_ext.user_default.underpaint.addon.inspector import state
with bpy.context.temp_override(area=area, region=area.regions[-1]):
    answer = list(bpy.ops.underpaint.preview_maps("INVOKE_DEFAULT"))
"""
MAPS = "[image.name for image in bpy.data.images if 'underpaint_control_map' in image]"


def _pixels(scene: Window, name: str) -> list[int]:
    """How often each byte occurs in a map's red channel."""
    return scene.call(
        f"""
import numpy
pixels = numpy.empty(len(bpy.data.images["{name}"].pixels), numpy.float32)
bpy.data.images["{name}"].pixels.foreach_get(pixels)
answer = numpy.bincount(numpy.rint(pixels[::4] * 255).astype(int), minlength=256).tolist()
"""
    )


def test_maps_are_shown_and_follow_their_settings(scene: Window) -> None:
    scene.call(PREPARE)
    time.sleep(1.0)
    scene.call(CHOOSE_TAB)
    for _ in range(2):  # the second time, the backend is warm
        assert scene.call(PRESS) == ["RUNNING_MODAL"]
        scene.wait("state.job is None and state.live")
        scene.wait("area.spaces.active.image.name == 'Control Depth'")
    took = scene.call("answer = state.shown_ms")
    assert scene.call(f"answer = {MAPS}") == [
        "Control Depth",
        "Control Line Art",
        "Control Normal",
        "Control Segmentation",
    ]
    assert scene.call("answer = state.look.stale") == ""
    time.sleep(1.5)
    scene.screenshot(ARTEFACTS / "window_maps.png")

    before = _pixels(scene, "Control Depth")
    scene.call("scene.underpaint.controls[0].depth.invert = True")
    scene.wait("state.look.settings.controls[0].options.invert")
    after = _pixels(scene, "Control Depth")
    assert after != before
    assert scene.call("answer = state.look.stale") == "", "a setting made the maps old"
    follow = scene.call("answer = state.shown_ms")

    scene.call("scene.underpaint.active_control = 3")
    scene.wait("area.spaces.active.image.name == 'Control Segmentation'")
    scene.call("bpy.data.objects['Cube'].underpaint.ade20k = 'bed'")
    scene.wait("state.look.settings.classes.objects['Cube'].ade20k == 7")
    assert scene.call("answer = state.look.stale") == ""
    scene.call("bpy.data.objects['Cube'].location.x = 1")
    scene.wait("state.look.stale != ''")
    time.sleep(1.5)
    picture = Image.open(scene.screenshot(ARTEFACTS / "window_maps_old.png")).convert("RGB")
    assert picture.getpixel((500, 330)) == PALETTE[2], "the map's bytes are not what the window draws"
    assert_quiet(scene)
    print(f"from the click to the maps {took:.0f} ms, from a setting to its map {follow:.0f} ms")


def test_esc_stops_a_preview_and_leaves_what_was_shown(scene: Window, service: Callable[[], Connection]) -> None:
    scene.call(PREPARE)
    before = scene.call(f"answer = {MAPS}")
    scene.call("scene.underpaint.controls.clear(); bpy.ops.underpaint.control_add(kind='NORMAL')")
    with service() as connection:
        busy = connection.submit(GenerateRequest(prompt="", size=Extent(width=512, height=512), steps=1000))
        while connection.job(busy.id).state is JobState.QUEUED:
            time.sleep(0.1)
        assert scene.call(PRESS) == ["RUNNING_MODAL"]  # and waits for the picture
        scene.point(600, 400)
        scene.press("Escape")
        scene.wait("state.job is None")
        assert connection.job(busy.id).state is JobState.RUNNING
        connection.cancel(busy.id)
    assert scene.call(f"answer = {MAPS}") == before
    assert scene.call("answer = state.error") == ""
    assert_quiet(scene)


def test_frames_are_saved_one_after_the_other_and_esc_stops(scene: Window, session: Path) -> None:
    scene.call(PREPARE)
    scene.call("scene.frame_start, scene.frame_end = 1, 200; scene.frame_set(9)")
    folder = session / "maps"
    scene.call(
        f"""
with bpy.context.temp_override(area=area, region=area.regions[-1]):
    answer = list(bpy.ops.underpaint.save_maps_of_frames("INVOKE_DEFAULT", directory={str(folder)!r}))
"""
    )
    while not list(folder.glob("*_0003.png")):
        time.sleep(0.1)
    scene.point(600, 400)
    scene.press("Escape")
    scene.wait("scene.frame_current == 9")
    saved = sorted(path.name for path in folder.iterdir())
    assert len(saved) % 4 == 0
    assert 12 <= len(saved) < 800
    scene.call(
        """
scene.frame_end = 3
with bpy.context.temp_override(area=area, region=area.regions[-1]):
    bpy.ops.underpaint.lock_depth_over_range("INVOKE_DEFAULT")
"""
    )
    scene.wait("scene.underpaint.controls[0].depth.use_range")
    assert scene.call("answer = scene.frame_current") == 9
    assert_quiet(scene)
