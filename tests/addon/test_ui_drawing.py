"""Every panel drawn onto a layout that checks each call against what this Blender really has.

Blender makes real layouts only in a window; there, the panels are looked at. This finds what a drawing in the
background can: settings, operators, menus, icons and arguments that don't exist in one of the versions.
"""

from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest
from underpaint.addon import backend_state, callbacks, images, operators_install, preferences, properties
from underpaint.addon.backend_state import BackendState
from underpaint.addon.job_state import JobState
from underpaint.addon.ui import image_editor, lists, menus, painting, render_properties, sections, segmentation, view3d
from underpaint.installer.work import Progress, Stage
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import Control, ControlKind, CurvePoint, GenerateRequest
from underpaint.protocol.sources import PosePass

_FUNCTIONS = bpy.types.UILayout.bl_rna.functions


class CheckingLayout:
    """Takes every call a real layout takes, fails at every other, and remembers the texts."""

    def __init__(self, told: list[str]) -> None:
        object.__setattr__(self, "told", told)

    def __setattr__(self, name: str, value: object) -> None:
        known = bpy.types.UILayout.bl_rna.properties[name]
        if known.type == "ENUM":
            assert value in known.enum_items, (name, value)

    def __getattr__(self, name: str) -> Any:
        function = _FUNCTIONS[name]
        parameters = [item for item in function.parameters if not item.is_output]

        def call(*positional: Any, **named: Any) -> Any:
            given = dict(zip([item.identifier for item in parameters], positional, strict=False)) | named
            self._check(name, function, given)
            if name == "operator":
                module, _, operator = given["operator"].partition(".")
                rna = getattr(getattr(bpy.ops, module), operator).get_rna_type()
                return SimpleNamespace(**{item.identifier: None for item in rna.properties})
            return (CheckingLayout(self.told),) * 2 if name == "panel" else CheckingLayout(self.told)

        return call

    def _check(self, name: str, function: Any, given: dict[str, Any]) -> None:
        known = {item.identifier for item in function.parameters}
        assert set(given) <= known, f"layout.{name} has no {set(given) - known}"
        if "icon" in given:
            assert given["icon"] in function.parameters["icon"].enum_items, given["icon"]
        if "property" in given and "data" in given:
            assert given["property"] in given["data"].bl_rna.properties, (name, given["property"])
        if name == "menu":
            assert hasattr(bpy.types, given["menu"])
        if name == "template_list":
            assert hasattr(bpy.types, given["listtype_name"])
            assert given["propname"] in given["dataptr"].bl_rna.properties
            assert given["active_propname"] in given["active_dataptr"].bl_rna.properties
        self.told.append(str(given.get("text", "")))


class _System:
    """Blender's own, with the interface's scale that it has only in a window."""

    ui_scale = 1.0
    bl_rna = bpy.types.PreferencesSystem.bl_rna


class _Preferences:
    """The add-on's preferences as they are at first; Blender makes them for add-ons that are switched on."""

    memory_budget_gb = 0.0
    precision = "AUTO"

    def __init__(self, layout: CheckingLayout) -> None:
        self.layout = layout

    @property
    def bl_rna(self) -> Any:
        return preferences.UNDERPAINT_AP_preferences.bl_rna  # another one each time that the add-on is switched on


def _context(scene: Any, **more: Any) -> Any:
    window_manager = bpy.context.window_manager
    return SimpleNamespace(
        scene=scene,
        engine=scene.render.engine,
        region=SimpleNamespace(width=260),
        preferences=SimpleNamespace(system=_System()),
        window_manager=window_manager,
        **more,
    )


def _drawn(panel: Any, context: Any) -> str:
    told: list[str] = []
    own = {name: getattr(panel, name) for name in ("thing",) if hasattr(panel, name)}
    drawn_by = SimpleNamespace(layout=CheckingLayout(told), **own)
    if panel is preferences.UNDERPAINT_AP_preferences:
        drawn_by = _Preferences(CheckingLayout(told))
    panel.draw(drawn_by, context)
    return "\n".join(told)


def _panels(module: Any) -> list[Any]:
    return [
        item
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, (bpy.types.Panel, bpy.types.Menu))
        and hasattr(item, "draw")
        and item.__module__ == module.__name__
    ]


@pytest.fixture
def result(scene: Any) -> Any:
    curve = (CurvePoint(at=0, factor=1), CurvePoint(at=1, factor=0))
    control = Control(kind=ControlKind.OPENPOSE, source=PosePass(people=()), curve=curve, guess_mode=True)
    request = GenerateRequest(
        prompt="a quay", negative_prompt="fog", size=Extent(width=16, height=8), controls=(control,)
    )
    return images.new_result(np.zeros((8, 16, 3), np.uint8), request)


@pytest.mark.parametrize("kinds", [(), ("CANNY",), ("DEPTH", "INPAINT", "OPENPOSE")])
@pytest.mark.parametrize("module", [render_properties, view3d, image_editor, menus, segmentation])
def test_every_panel_draws(scene: Any, result: Any, module: Any, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        bpy.ops.underpaint.control_add(kind=kind)
    scene.underpaint.active_control = 0
    cube = scene.objects["Cube"]
    context = _context(
        scene,
        space_data=SimpleNamespace(image=result, type="IMAGE_EDITOR"),
        view_layer=scene.view_layers[0],
        object=cube,
        material=cube.active_material,
        collection=cube.users_collection[0],
    )
    panels = _panels(module)
    assert panels
    for panel in panels:
        _drawn(panel, context)


@pytest.mark.parametrize("way", ["START", "TILE"])
def test_what_is_painted_from_the_render_needs_persistent_data(scene: Any, way: str) -> None:
    context = _context(scene)

    def asked() -> bool:
        return "Use Persistent Data" in _drawn(render_properties.UNDERPAINT_PT_render, context)

    assert not asked()
    if way == "START":
        scene.underpaint.start.source = "RENDER"
    else:
        bpy.ops.underpaint.control_add(kind="TILE")
    assert asked()
    context.engine = "CYCLES"  # Generate does without
    assert not asked()
    context.engine = "UNDERPAINT"
    bpy.ops.underpaint.use_persistent_data()
    assert scene.render.use_persistent_data
    assert not asked()


def test_what_a_start_lacks_is_said_where_it_is_chosen(scene: Any) -> None:
    context = _context(scene)
    start = scene.underpaint.start
    assert _drawn(view3d.UNDERPAINT_PT_view3d_start, context) == "From"
    for source in ("RENDER", "IMAGE"):
        start.source, start.mask_from, start.image = source, "NONE", None
        assert ("Choose the picture" in _drawn(view3d.UNDERPAINT_PT_view3d_start, context)) == (source == "IMAGE")
        start.image = bpy.data.images.new("photo", 8, 8)
        for mask_from in start.bl_rna.properties["mask_from"].enum_items:
            start.mask_from = mask_from.identifier
            drawn = _drawn(view3d.UNDERPAINT_PT_view3d_start, context)
            named = {"OBJECTS": "an object or a", "MATERIAL": "a material", "IMAGE": "a mask image"}
            if mask_from.identifier in named:
                assert f"Choose {named[mask_from.identifier]}" in " ".join(drawn.splitlines())


def test_a_weight_curve_draws_its_points_and_what_is_wrong_with_them(scene: Any) -> None:
    bpy.ops.underpaint.control_add(kind="DEPTH")
    context = _context(scene)
    assert "The same at every step" in _drawn(view3d.UNDERPAINT_PT_view3d_controls, context)
    bpy.ops.underpaint.curve_shape(shape="MIDDLE")
    assert _drawn(view3d.UNDERPAINT_PT_view3d_controls, context).splitlines().count("At") == 3
    for point in scene.underpaint.controls[0].curve:
        point.at = 0.5
    assert "are at 50%" in " ".join(_drawn(view3d.UNDERPAINT_PT_view3d_controls, context).splitlines())


def test_the_plan_and_what_the_backend_had_to_say_are_shown(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_state, "_state", BackendState(installed=True))
    context = _context(scene)
    for told in ({"plan": "all in memory"}, {"plan_error": "no such model"}, {"checking": True}):
        monkeypatch.setattr(painting, "job", JobState(**told))
        drawn = _drawn(render_properties.UNDERPAINT_PT_render_backend, context)
        assert (next(iter(told.values())) if told != {"checking": True} else "Checking the memory") in drawn
    for module in (sections, painting):  # an error of an earlier test's would come first
        monkeypatch.setattr(module, "job", JobState(notes=("The memory ran out",)))
    assert "The memory ran out" in _drawn(view3d.UNDERPAINT_PT_view3d, context)


@pytest.mark.parametrize("kind", [kind for kind, *_ in properties.KINDS])
def test_every_kind_of_control_shows_its_own_choices(scene: Any, kind: str) -> None:
    bpy.ops.underpaint.control_add(kind=kind)
    item = scene.underpaint.controls[0]
    context = _context(scene)
    from_scene = _drawn(view3d.UNDERPAINT_PT_view3d_controls, context)
    assert "Control Map" in from_scene
    item.image = bpy.data.images.new("photo", 8, 8)
    for detector, *_ in callbacks.detector_items(item, None):
        item.detector = detector
        assert _drawn(view3d.UNDERPAINT_PT_view3d_controls, context)
    item.image_is = "MAP"
    assert "Control Map" not in _drawn(view3d.UNDERPAINT_PT_view3d_controls, context).splitlines()


def test_the_render_panels_are_there_for_our_engine_alone(scene: Any) -> None:
    assert render_properties.UNDERPAINT_PT_render.poll(_context(scene))
    scene.render.engine = "CYCLES"
    assert not render_properties.UNDERPAINT_PT_render.poll(_context(scene))


def test_what_is_in_the_way_is_said_with_its_remedy(scene: Any) -> None:
    context = _context(scene)
    assert _drawn(render_properties.UNDERPAINT_PT_render, context).count("Round to") == 0
    scene.render.resolution_x = 130
    scene.view_settings.view_transform = "AgX"
    scene.camera = None
    drawn = _drawn(render_properties.UNDERPAINT_PT_render, context)
    assert "Round to 128 × 96" in drawn
    assert "Use Standard View" in drawn
    assert "no active camera" in drawn


def test_a_running_job_shows_its_progress_and_an_error_its_sentence(
    scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = _context(scene)
    monkeypatch.setattr(sections, "job", JobState(running=True, progress=0.4, status="Painting, step 4 of 10"))
    assert "Painting, step 4 of 10" in _drawn(view3d.UNDERPAINT_PT_view3d, context)
    monkeypatch.setattr(sections, "job", JobState(error="The disk is full"))
    assert "The disk is full" in _drawn(view3d.UNDERPAINT_PT_view3d, context)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (BackendState(), "Not installed"),
        (BackendState(installed=True), "starts when needed"),
        (BackendState(installed=True, running=True, device="cpu"), "Running on cpu"),
        (BackendState(installed=True, problem="Two versions"), "Two versions"),
    ],
)
def test_the_backend_s_state_is_shown(
    scene: Any, monkeypatch: pytest.MonkeyPatch, state: BackendState, words: str
) -> None:
    monkeypatch.setattr(backend_state, "_state", state)
    assert words in _drawn(render_properties.UNDERPAINT_PT_render_backend, _context(scene))
    assert words in _drawn(preferences.UNDERPAINT_AP_preferences, _context(scene))


def test_the_preferences_show_an_installation_and_its_failure(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    going = Progress(stage=Stage.PACKAGES, fraction=0.3, line="Collecting torch")
    monkeypatch.setattr(operators_install, "progress", going)
    monkeypatch.setattr(operators_install, "problem", "no wheel fits")
    drawn = _drawn(preferences.UNDERPAINT_AP_preferences, _context(scene))
    for words in ("Fetching the packages", "Collecting torch", "no wheel fits"):
        assert words in drawn


def test_a_result_shows_what_made_it(scene: Any, result: Any) -> None:
    context = _context(scene, space_data=SimpleNamespace(image=result))
    assert image_editor.UNDERPAINT_PT_image_result.poll(context)
    drawn = _drawn(image_editor.UNDERPAINT_PT_image_result, context)
    for words in ("a quay", "Not: fog", "16 × 8", "UniPC", "Pose", "Curve, guess mode"):
        assert words in drawn
    plain = bpy.data.images.new("plain", 8, 8)
    assert not image_editor.UNDERPAINT_PT_image_result.poll(_context(scene, space_data=SimpleNamespace(image=plain)))


def test_the_history_lists_results_alone_and_newest_first(scene: Any, result: Any) -> None:
    bpy.data.images.new("a plain image", 8, 8)
    newer = images.new_result(
        np.zeros((8, 8, 3), np.uint8), GenerateRequest(prompt="zoo", size=Extent(width=8, height=8))
    )
    stub = SimpleNamespace(filter_name="", bitflag_filter_item=1 << 30)
    flags, order = lists.UNDERPAINT_UL_results.filter_items(stub, None, bpy.data, "images")
    shown = sorted((order[i], image) for i, image in enumerate(bpy.data.images) if flags[i])
    assert [image for _, image in shown] == [newer, result]
    stub.filter_name = "QUAY"
    flags, _ = lists.UNDERPAINT_UL_results.filter_items(stub, None, bpy.data, "images")
    assert [image for i, image in enumerate(bpy.data.images) if flags[i]] == [result]


def test_the_lists_draw_their_items(scene: Any, result: Any) -> None:
    bpy.ops.underpaint.add_default_controls()
    told: list[str] = []
    item = scene.underpaint.controls[0]
    lists.UNDERPAINT_UL_controls.draw_item(None, None, CheckingLayout(told), None, item, 0, None, "")
    lists.UNDERPAINT_UL_results.draw_item(None, None, CheckingLayout(told), None, result, 0, None, "")
    assert "Seed 0" in told
    result[images.REQUEST] = "tampered with"
    lists.UNDERPAINT_UL_results.draw_item(None, None, CheckingLayout([]), None, result, 0, None, "")
