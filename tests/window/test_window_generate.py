"""The Generate button in a real window: previews in the Image Editor, Esc, and what is left behind."""

import time
from collections.abc import Callable

from blender_window import Window
from underpaint.protocol.client import Connection
from underpaint.protocol.jobs import JobState
from window_steps import ARTEFACTS, assert_quiet, newest_state

OPEN_IMAGE_EDITOR = """
area = max(bpy.context.window_manager.windows[0].screen.areas, key=lambda area: area.width * area.height)
area.type = "IMAGE_EDITOR"
area.ui_type = "IMAGE_EDITOR"
area.spaces.active.image = bpy.data.images.get("before") or bpy.data.images.new("before", 64, 64)
area.spaces.active.show_region_ui = True
"""
PRESS_GENERATE = """
with bpy.context.temp_override(area=area, region=area.regions[-1]):
    answer = list(bpy.ops.underpaint.generate("INVOKE_DEFAULT"))
"""
SHOWN = "area.spaces.active.image.name"
RESULTS = "[image.name for image in bpy.data.images if 'underpaint_request' in image]"


def test_generate_shows_its_steps_and_leaves_one_picture(scene: Window, service: Callable[[], Connection]) -> None:
    scene.call(OPEN_IMAGE_EDITOR)
    before = scene.call(f"answer = {RESULTS}")
    scene.call("scene.render.engine = 'CYCLES'; scene.underpaint.steps = 40")
    assert scene.call(PRESS_GENERATE) == ["RUNNING_MODAL"]
    scene.wait(f"{SHOWN} == 'Underpaint Preview'")
    scene.screenshot(ARTEFACTS / "window_generate_middle.png")
    scene.wait(f"len({RESULTS}) == {len(before) + 1}")
    time.sleep(1.0)
    scene.screenshot(ARTEFACTS / "window_generate_end.png")
    assert newest_state(service) is JobState.SUCCEEDED
    assert scene.call(f"answer = {SHOWN}") in set(scene.call(f"answer = {RESULTS}")) - set(before)
    assert not scene.call("answer = 'Underpaint Preview' in bpy.data.images")
    assert_quiet(scene)


def test_esc_stops_generate_and_brings_back_what_was_shown(scene: Window, service: Callable[[], Connection]) -> None:
    scene.call(OPEN_IMAGE_EDITOR)
    images = scene.call("answer = sorted(image.name for image in bpy.data.images)")
    scene.call("scene.underpaint.steps = 400")
    scene.call(PRESS_GENERATE)
    scene.wait(f"{SHOWN} == 'Underpaint Preview'")
    scene.point(600, 400)
    scene.press("Escape")
    scene.wait("'Underpaint Preview' not in bpy.data.images")
    assert newest_state(service) is JobState.CANCELLED
    assert scene.call(f"answer = {SHOWN}") == "before"
    left = scene.call("answer = sorted(image.name for image in bpy.data.images)")
    assert set(left) - set(images) <= {"Render Result", "Viewer Node"}
