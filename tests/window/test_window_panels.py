"""What is asked of a picture beyond prompt and controls, drawn in a real window."""

import time

from blender_window import Window
from window_steps import ARTEFACTS, assert_quiet

PREPARE = """
from bl_ext.user_default.underpaint.addon import model_list
from bl_ext.user_default.underpaint.addon.ui import render_properties
from bl_ext.user_default.underpaint.protocol.models import Advice, FamilyId, Layout, ModelEntry, ModelKind, ModelPage
from bl_ext.user_default.underpaint.protocol.models import Origin
from bl_ext.user_default.underpaint.protocol.request import Scheduler

def entry(kind, reference, **more):
    return ModelEntry(reference=reference, id="0" * 32, title=reference, kind=kind, family=FamilyId.SD15,
        precision="float16", layout=Layout.FILE, origin=Origin.COMFYUI, size_bytes=142_000_000, changed_at=0.0, **more)

page = ModelPage(models=(
    entry(ModelKind.LORA, "lcm-lora", advice=Advice(scheduler=Scheduler.LCM.value, steps=4, guidance_scale=1.0)),
    entry(ModelKind.LORA, "watercolour", words=("aquarelle", "wash")),
    entry(ModelKind.IP_ADAPTER, "ip-adapter_sd15"),
), folders=(), scanning=False, revision=1)
model_list._asked_at = float("inf")
model_list.take(page)
model_list._asked_at = float("inf")
settings = scene.underpaint
for reference in ("lcm-lora", "watercolour"):
    bpy.ops.underpaint.extra_add(list="loras", model=reference)
settings.steps = 20
bpy.ops.underpaint.extra_add(list="image_prompts", model="ip-adapter_sd15")
settings.extras.image_prompts[0].image = bpy.data.images.new("style", 64, 64, alpha=False)
settings.extras.second_pass.use = settings.extras.second_pass.use_tiles = True
opened = [render_properties.UNDERPAINT_PT_render_loras, render_properties.UNDERPAINT_PT_render_image_prompts,
    render_properties.UNDERPAINT_PT_render_second_pass, render_properties.UNDERPAINT_PT_render_more]
others = [render_properties.UNDERPAINT_PT_render_controls, render_properties.UNDERPAINT_PT_render_sampling,
    render_properties.UNDERPAINT_PT_render_backend]
for panel in (*opened, *others):
    bpy.utils.unregister_class(panel)
for panel in opened:  # as a user opens them; no script can
    panel.bl_options = set()
    bpy.utils.register_class(panel)
area = max(bpy.context.window_manager.windows[0].screen.areas, key=lambda area: area.width * area.height)
before = area.type
area.type = "PROPERTIES"
area.spaces.active.context = "RENDER"
"""
PUT_BACK = """
for panel in opened:
    bpy.utils.unregister_class(panel)
    panel.bl_options = {"DEFAULT_CLOSED"}
for panel in render_properties_order:
    if not panel.is_registered:
        bpy.utils.register_class(panel)
area.type = before
for rows in (settings.extras.loras, settings.extras.image_prompts):
    rows.clear()
settings.extras.second_pass.use = False
settings.scheduler, settings.guidance_scale = "UNIPC", 7.5  # the LoRA brought its own
model_list._asked_at = float("-inf")
"""


def test_every_panel_is_drawn_without_a_word_in_the_console(scene: Window) -> None:
    scene.call(PREPARE)
    try:
        time.sleep(1.5)
        scene.screenshot(ARTEFACTS / "extras.png")
        for _ in range(30):
            scene.click(600, 600, button=5)  # the wheel
        time.sleep(0.5)
        scene.screenshot(ARTEFACTS / "extras_below.png")
        assert_quiet(scene)
    finally:
        order = "render_properties_order = [*others, *opened]\n"
        scene.call(order + PUT_BACK)
