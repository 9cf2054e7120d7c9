"""LoRAs, image prompts, the second pass and the rest: from the scene into a request, and back."""

import json
from typing import Any

import bpy
import numpy as np
import pytest
from test_generation import seen, upload
from test_ui_drawing import CheckingLayout, _context, _drawn
from underpaint.addon import api, callbacks, extras, images, model_list, operators_extras, plans
from underpaint.addon.generation import ImagePromptSettings, Settings, build_request
from underpaint.addon.presets import writing
from underpaint.addon.ui import extras as drawing
from underpaint.addon.ui import render_properties, view3d
from underpaint.protocol.arrays import encode, reference
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.models import Advice, FamilyId, Layout, ModelEntry, ModelFolder, ModelKind, ModelPage, Origin
from underpaint.protocol.request import Embedding, GenerateRequest, Lora, Scheduler, Seamless, SecondPass


def request_of(scene: Any) -> GenerateRequest:
    return build_request(Settings.from_scene(scene), seen(), upload)


@pytest.fixture
def photo() -> Any:
    image = bpy.data.images.new("photo", 8, 8)
    image.pixels.foreach_set(np.tile(np.array([0.2, 0.4, 0.6, 1.0], np.float32), 64))
    return image


@pytest.fixture
def full(scene: Any, photo: Any) -> Any:
    """A scene with one of everything."""
    group = scene.underpaint.extras
    for weight, text_weight in ((0.7, None), (-0.25, 0.5)):
        bpy.ops.underpaint.extra_add(list="loras", model=f"styles/{weight}.safetensors")
        item = group.loras[-1]
        item.weight, item.use_text_weight, item.text_weight = weight, text_weight is not None, text_weight or 1.0
    bpy.ops.underpaint.extra_add(list="embeddings", model="owner/cat-toy")
    group.embeddings[0].token = "<cat>"
    bpy.ops.underpaint.extra_add(list="image_prompts", model="ip-adapter_sd15")
    item = group.image_prompts[0]
    item.image, item.scale, item.start, item.end, item.image_encoder = photo, 0.5, 0.25, 0.75, "encoder"
    second = group.second_pass
    second.use, second.factor, second.strength, second.steps = True, 1.5, 0.25, 12
    second.use_tiles, second.tile_px, second.overlap_px, second.tile_controlnet = True, 640, 96, "tile"
    group.vae, group.clip_skip, group.plain_prompt, group.seamless = "vae.safetensors", 1, True, "X"
    group.safety_checker = "checker"
    return scene


def test_a_scene_that_asks_for_nothing_gets_the_request_of_before(scene: Any) -> None:
    request = request_of(scene)
    plain = GenerateRequest(prompt="", size=request.size)
    for name in ("loras", "embeddings", "image_prompts", "second_pass", "vae", "clip_skip", "plain_prompt", "seamless"):
        assert getattr(request, name) == getattr(plain, name)


def test_numbers_are_those_that_were_typed(full: Any) -> None:
    """Of ten steps 0.7 are seven, and six are what single precision's 0.699999988 leaves of them."""
    group = full.underpaint
    group.guidance_scale = 6.1
    bpy.ops.underpaint.control_add(kind="CANNY")
    control = group.controls[0]
    control.conditioning_scale, control.start, control.end = 0.9, 0.1, 0.7
    control.image = group.extras.image_prompts[0].image
    group.start.source, group.start.image, group.start.strength = "IMAGE", control.image, 0.7
    prompt, second = group.extras.image_prompts[0], group.extras.second_pass
    prompt.scale, prompt.start, prompt.end = 0.7, 0.1, 0.9
    second.factor, second.strength, second.tile_scale = 1.7, 0.35, 0.7
    request = request_of(full)
    assert request.guidance_scale == 6.1
    (shown,) = request.controls
    assert (shown.conditioning_scale, shown.start, shown.end) == (0.9, 0.1, 0.7)
    assert request.start is not None
    assert request.start.strength == 0.7
    (found,) = request.image_prompts
    assert (found.scale, found.start, found.end) == (0.7, 0.1, 0.9)
    assert request.second_pass is not None
    again = request.second_pass
    assert (again.factor, again.strength, again.tile_scale) == (1.7, 0.35, 0.7)


def test_everything_reaches_the_request_and_comes_back(full: Any) -> None:
    request = request_of(full)
    assert request.loras == (
        Lora(lora="styles/0.7.safetensors", weight=0.7),
        Lora(lora="styles/-0.25.safetensors", weight=-0.25, text_weight=0.5),
    )
    assert request.embeddings == (Embedding(embedding="owner/cat-toy", token="<cat>"),)
    (prompt,) = request.image_prompts
    assert (prompt.adapter, prompt.scale, prompt.start, prompt.end) == ("ip-adapter_sd15", 0.5, 0.25, 0.75)
    assert (prompt.image.shape, prompt.image_encoder) == ((8, 8, 3), "encoder")
    assert request.second_pass == SecondPass(
        factor=1.5, strength=0.25, steps=12, tile_px=640, overlap_px=96, tile_controlnet="tile"
    )
    assert (request.vae, request.clip_skip, request.plain_prompt) == ("vae.safetensors", 1, True)
    assert (request.seamless, request.safety_checker) == (Seamless.X, "checker")

    result = images.new_result(np.zeros((8, 8, 3), np.uint8), request)
    group = full.underpaint.extras
    for rows in (group.loras, group.embeddings, group.image_prompts):
        rows.clear()
    group.second_pass.use = group.plain_prompt = False
    group.vae, group.clip_skip, group.seamless, group.safety_checker = "", 0, "OFF", ""
    assert request_of(full) != request
    images.restore(result, full)
    again = request_of(full)
    for name in ("loras", "embeddings", "image_prompts", "second_pass", "vae", "clip_skip", "seamless"):
        assert getattr(again, name) == getattr(request, name), name
    assert (again.plain_prompt, again.safety_checker) == (True, "checker")


def test_a_picture_that_is_gone_is_named_and_switched_off(full: Any, photo: Any) -> None:
    result = images.new_result(np.zeros((8, 8, 3), np.uint8), request_of(full))
    bpy.data.images.remove(photo)
    assert "Image Prompt" in images.restore(result, full)
    assert request_of(full).image_prompts == ()


def test_what_is_switched_off_takes_no_part(full: Any) -> None:
    group = full.underpaint.extras
    group.loras[0].enabled = group.image_prompts[0].enabled = group.second_pass.use = False
    request = request_of(full)
    assert [lora.weight for lora in request.loras] == [-0.25]
    assert (request.image_prompts, request.second_pass) == ((), None)


@pytest.mark.parametrize("rows", ["loras", "embeddings", "image_prompts"])
def test_a_row_without_a_model_is_refused_by_name(scene: Any, rows: str) -> None:
    bpy.ops.underpaint.extra_add(list=rows)
    with pytest.raises(InvalidRequest, match=r"Choose|choose"):
        Settings.from_scene(scene)
    assert Settings.from_scene(scene, without={rows})  # nobody reads it where it doesn't count
    bpy.ops.underpaint.extra_remove(list=rows)
    assert Settings.from_scene(scene)


def test_what_an_image_prompt_lacks_is_said(scene: Any, photo: Any) -> None:
    bpy.ops.underpaint.extra_add(list="image_prompts")
    item = scene.underpaint.extras.image_prompts[0]
    assert "IP-Adapter" in extras.problem_of(item)
    item.adapter = "a"
    assert "picture" in extras.problem_of(item)
    item.image = photo
    assert extras.problem_of(item) == ""
    item.start = item.end = 0.5
    assert "Start or End" in extras.problem_of(item)


def test_a_further_picture_takes_the_adapter_of_the_one_before(scene: Any) -> None:
    bpy.ops.underpaint.extra_add(list="image_prompts", model="adapter")
    bpy.ops.underpaint.extra_add(list="image_prompts")
    assert scene.underpaint.extras.image_prompts[1].adapter == "adapter"


def test_a_plan_is_of_other_settings_once_the_extras_change(full: Any) -> None:
    key = plans.key(full)
    full.underpaint.extras.loras[0].enabled = False
    assert plans.key(full) != key
    key = plans.key(full)
    full.underpaint.extras.second_pass.tile_px = 512
    assert plans.key(full) != key
    plans.check(Settings.from_scene(full), seen().extent)


def test_a_preset_keeps_models_and_passes(full: Any, tmp_path: Any) -> None:
    preset = tmp_path / "preset.py"
    writing.write(preset, full.underpaint)
    before = request_of(full)
    group = full.underpaint.extras
    group.loras.clear()
    group.embeddings.clear()
    group.second_pass.use, group.vae, group.seamless = False, "", "OFF"
    exec(compile(preset.read_text(), str(preset), "exec"))
    after = request_of(full)
    assert (after.loras, after.embeddings, after.second_pass) == (before.loras, before.embeddings, before.second_pass)
    assert (after.vae, after.seamless) == (before.vae, before.seamless)


def test_a_script_may_give_each_of_them(scene: Any) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    given = {
        "loras": [Lora(lora="a")],
        "embeddings": [Embedding(embedding="b")],
        "image_prompts": [ImagePromptSettings(adapter="c", image=picture)],
        "second_pass": SecondPass(factor=1.5),
        "seamless": "both",
        "clip_skip": 2,
    }
    settings = api._overridden(Settings.from_scene(scene), given, scene)
    request = build_request(settings, seen(), upload)
    assert (request.loras, request.embeddings) == (tuple(given["loras"]), tuple(given["embeddings"]))
    assert request.image_prompts[0].image == reference(picture, encode(picture))
    assert (request.seamless, request.clip_skip, request.second_pass) == (Seamless.BOTH, 2, SecondPass(factor=1.5))
    for name, wrong in (("loras", ["a"]), ("image_prompts", [picture]), ("second_pass", 2.0), ("seamless", "round")):
        with pytest.raises(InvalidRequest, match=name):
            api._overridden(Settings.from_scene(scene), {name: wrong}, scene)


LCM = Advice(scheduler=Scheduler.LCM.value, steps=4, guidance_scale=1.0)


def entry(kind: ModelKind, reference: str, **more: Any) -> ModelEntry:
    return ModelEntry(
        reference=reference, id="0" * 32, title=reference.upper(), kind=kind, layout=Layout.FILE,
        origin=Origin.UNDERPAINT, size_bytes=2_100_000_000, changed_at=0.0, **more,
    )  # fmt: skip


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModelPage:
    found = ModelPage(
        models=(
            entry(ModelKind.CHECKPOINT, "dream", family=FamilyId.SD15, precision="float16", traits=("EMA",)),
            entry(ModelKind.CHECKPOINT, "torn", problem="It is cut off"),
            entry(ModelKind.LORA, "lcm", advice=LCM, words=("sks",), licence="openrail"),
        ),
        folders=(
            ModelFolder(path="models", origin=Origin.UNDERPAINT),
            ModelFolder(path="ComfyUI", origin=Origin.COMFYUI, problem="It can't be read"),
        ),
        scanning=False,
        revision=1,
    )
    monkeypatch.setattr(model_list, "_page", model_list.page())
    monkeypatch.setattr(model_list, "_asked_at", 0.0)
    model_list.take(found)
    return found


def test_a_field_offers_what_works_and_says_what_it_is(page: ModelPage) -> None:
    assert callbacks.search_checkpoints(None, None, "") == [("dream", "SD 1.5, EMA, float16, 2.1 GB")]
    assert callbacks.search_checkpoints(None, None, "DRE") == callbacks.search_checkpoints(None, None, "")
    assert callbacks.search_checkpoints(None, None, "other") == []
    assert callbacks.search_loras(None, None, "") == [("lcm", "2.1 GB, openrail")]
    assert callbacks.search_vaes(None, None, "") == []
    assert set(model_list.FAMILIES) == {family.value for family in FamilyId}


def test_a_few_step_lora_brings_its_settings_and_says_so(scene: Any, page: ModelPage) -> None:
    bpy.ops.underpaint.extra_add(list="loras", model="lcm")
    settings = scene.underpaint
    assert (settings.scheduler, settings.steps, settings.guidance_scale) == ("LCM", 4, 1.0)
    assert operators_extras.advised(scene) == []
    settings.steps = 30
    assert [found.reference for found in operators_extras.advised(scene)] == ["lcm"]
    assert "4 steps" in " ".join(_drawn(render_properties.UNDERPAINT_PT_render, _context(scene)).split())
    bpy.ops.underpaint.use_advice(model="lcm", kind="LORA")
    assert settings.steps == 4
    settings.steps = 30
    settings.extras.loras[0].enabled = False
    assert operators_extras.advised(scene) == []


def test_every_panel_draws_with_everything_on(full: Any, page: ModelPage) -> None:
    full.underpaint.extras.loras[1].lora = "lcm"
    context = _context(full)
    for panel in (
        view3d.UNDERPAINT_PT_view3d_extras,
        render_properties.UNDERPAINT_PT_render_loras,
        render_properties.UNDERPAINT_PT_render_image_prompts,
        render_properties.UNDERPAINT_PT_render_second_pass,
        render_properties.UNDERPAINT_PT_render_more,
    ):
        _drawn(panel, context)
    told: list[str] = []
    drawing.loras(CheckingLayout(told), context)
    assert "Called up by: sks" in told
    told.clear()
    drawing.folders(CheckingLayout(told), context)
    assert {"ComfyUI", "2 models that work, 1 that don't"} <= set(told)
    assert any("read" in line for line in told)


def test_the_lists_draw_their_rows(full: Any) -> None:
    group = full.underpaint.extras
    told: list[str] = []
    for kind, rows in zip(drawing.LISTS, (group.loras, group.embeddings, group.image_prompts), strict=True):
        for item in rows:
            kind.draw_item(None, None, CheckingLayout(told), None, item, 0, None, "")
    assert {"0.7", "-0.25", "<cat>", "photo"} <= set(told)


def test_models_are_chosen_into_their_fields(full: Any) -> None:
    group = full.underpaint.extras
    bpy.ops.underpaint.control_add(kind="DEPTH")
    places = {
        "CHECKPOINT": lambda: full.underpaint.checkpoint,
        "CONTROLNET": lambda: full.underpaint.controls[0].controlnet,
        "LORA": lambda: group.loras[1].lora,
        "EMBEDDING": lambda: group.embeddings[0].embedding,
        "ADAPTER": lambda: group.image_prompts[0].adapter,
        "IMAGE_ENCODER": lambda: group.image_prompts[0].image_encoder,
        "VAE": lambda: group.vae,
        "TILE_CONTROLNET": lambda: group.second_pass.tile_controlnet,
        "SAFETY_CHECKER": lambda: group.safety_checker,
    }
    for target, read in places.items():
        assert bpy.ops.underpaint.choose_model(filepath=f"/models/{target}.safetensors", target=target) == {"FINISHED"}
        assert read() == f"/models/{target}.safetensors"
    group.loras.clear()
    with pytest.raises(RuntimeError, match="No row is active"):
        bpy.ops.underpaint.choose_model(filepath="/a", target="LORA")


def test_a_models_folder_is_added_and_removed(scene: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERPAINT_HOME", str(tmp_path / "home"))
    comfy = tmp_path / "ComfyUI"
    comfy.mkdir()
    bpy.ops.underpaint.add_models_folder(directory=str(comfy))
    listed = tmp_path / "home" / "models" / "folders.json"
    assert json.loads(listed.read_text())["folders"] == [str(comfy)]
    bpy.ops.underpaint.remove_models_folder(folder=str(comfy))
    assert json.loads(listed.read_text())["folders"] == []
    with pytest.raises(RuntimeError, match="no such folder"):
        bpy.ops.underpaint.add_models_folder(directory=str(tmp_path / "nowhere"))
    assert comfy.is_dir(), "the folder itself stays"
