"""Armatures that nobody knows beside people: told wherever a picture or a map is made, and silenced for good."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import pytest
from mathutils import Matrix
from test_mapping import invented, map_by_hand, numbered
from test_mapping_panels import context, drawn
from test_pose import L_WRIST, head_mesh, look, man
from underpaint.addon import api, engine, inspector, main_thread, operators_generate, operators_maps
from underpaint.addon.capture import People, capture
from underpaint.addon.job_state import JobState
from underpaint.addon.pose import observe
from underpaint.addon.ui import mapping as panel
from underpaint.addon.ui import maps, sections
from underpaint.protocol.client import Connection
from underpaint.protocol.errors import NoArmature, UnmappedRig
from underpaint.protocol.sources import Visibility


@pytest.fixture
def stage(scene: Any) -> Any:
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    look(scene, (0.6, -7, 1.4))
    return scene


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> JobState:
    state = JobState()
    for module in (engine, operators_generate):
        monkeypatch.setattr(module, "state", state)
    monkeypatch.setattr(sections, "job", state)
    monkeypatch.setattr("underpaint.addon.operators_mapping.job", state)
    return state


def somebody() -> Any:
    rig = man(bpy.context.scene)
    head_mesh(rig)
    return rig


def figure(x: float = 1.0) -> Any:
    """A skinned armature with 13 bones whose names say nothing."""
    rig = invented(numbered())
    skin = next(thing for thing in bpy.data.objects if any(m.object == rig for m in thing.modifiers))
    skin.parent = rig
    rig.location.x = x
    bpy.context.view_layer.update()
    return rig


def silenced(rig: Any) -> None:
    assert bpy.ops.underpaint.not_a_person(armature=rig.name) == {"FINISHED"}


def test_it_stops_no_picture_and_is_told_where_the_camera_sees_it(stage: Any) -> None:
    somebody()
    rig = figure()
    for people in (People.REQUIRED, People.WISHED):
        seen = capture(stage, people=people)
        assert len(seen.people) == 1
        assert seen.left_out == (rig.name,)
    assert capture(stage, people=People.LEFT_OUT).left_out == ()
    rig.location.x = 50
    assert capture(stage).left_out == ()


def test_every_object_of_the_same_armature_is_told_for_itself(stage: Any) -> None:
    somebody()
    rig = figure(50)
    (skin,) = rig.children
    twin, copy = rig.copy(), skin.copy()
    for thing in (twin, copy):
        stage.collection.objects.link(thing)
    twin.location.x, copy.parent, copy.modifiers["Armature"].object = 1.0, twin, twin
    assert capture(stage).left_out == (twin.name,)
    silenced(rig)
    assert capture(stage).left_out == ()


def test_one_that_is_mapped_is_a_person_and_one_that_is_silenced_nobody(stage: Any, tmp_path: Path) -> None:
    somebody()
    rig = figure()
    map_by_hand(rig, numbered())
    seen = capture(stage)
    assert (len(seen.people), seen.left_out) == (2, ())
    silenced(rig)
    path = tmp_path / "silenced.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_factory_settings()
    bpy.ops.wm.open_mainfile(filepath=str(path))
    seen = capture(bpy.context.scene)
    assert (len(seen.people), seen.left_out) == (1, ())
    bpy.data.objects["Figur"].data.underpaint.not_a_person = False
    assert len(capture(bpy.context.scene).people) == 2


def test_a_rig_of_which_half_is_known_stops_a_picture_until_it_is_settled(stage: Any) -> None:
    somebody()
    rig = figure()
    map_by_hand(rig, {point: name for point, name in numbered().items() if point != "left_knee"})
    with pytest.raises(UnmappedRig, match="left knee"):
        capture(stage)
    assert capture(stage, people=People.WISHED).left_out == (rig.name,)  # as a wish, it stops nothing
    silenced(rig)
    assert len(capture(stage).people) == 1


def test_alone_it_is_an_error_and_silenced_there_is_nobody(stage: Any) -> None:
    rig = figure()
    stage.underpaint.controls.add().kind = "OPENPOSE"
    with pytest.raises(UnmappedRig, match=rig.name):
        capture(stage)
    silenced(rig)
    assert capture(stage).people == ()
    with pytest.raises(NoArmature):
        api.control_maps(stage)


def test_a_person_by_its_names_may_be_none_either(stage: Any) -> None:
    statue = somebody()
    statue.data.underpaint.not_a_person = True
    assert capture(stage).people == ()
    statue.data.underpaint.not_a_person = False
    assert len(capture(stage).people) == 1


def test_a_render_says_it_in_its_status_and_reports_nothing(
    stage: Any, fake_backend: Connection, job: JobState, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody()
    rig = figure()
    said: list[str] = []
    reports: list[str] = []
    monkeypatch.setattr(engine.UnderpaintRenderEngine, "_tell", lambda _, words: said.append(words))
    monkeypatch.setattr(
        engine.UnderpaintRenderEngine, "report", lambda _, _kind, words: reports.append(words), raising=False
    )
    stage.underpaint.prompt = "a person"
    bpy.ops.render.render()
    assert said[-1] == f'Painted | "{rig.name}" is left out of the pose, as its bones are not known'
    assert reports == []
    main_thread.drain()
    assert job.left_out == (rig.name,)
    rig.data.underpaint.not_a_person = True
    bpy.ops.render.render()
    assert said[-1] == "Painted"
    main_thread.drain()
    assert job.left_out == ()


def test_generate_and_scripts_hear_of_it(stage: Any, fake_backend: Connection, job: JobState) -> None:
    somebody()
    rig = figure()
    told: list[tuple[set[str], str]] = []
    operator = SimpleNamespace(report=lambda kind, words: told.append((kind, words)))
    now = bpy.context
    given = SimpleNamespace(scene=now.scene, view_layer=now.view_layer, window_manager=now.window_manager)
    assert operators_generate.UNDERPAINT_OT_generate.execute(operator, given) == {"FINISHED"}
    assert told == [({"WARNING"}, f'"{rig.name}" is left out of the pose, as its bones are not known')]
    assert job.left_out == (rig.name,)
    silenced(rig)
    assert api.generate(stage).left_out == ()


def test_the_panels_name_it_with_two_ways_out_until_it_is_settled(
    stage: Any, job: JobState, backend: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody()
    rig = figure()
    stage.underpaint.controls.add().kind = "OPENPOSE"
    monkeypatch.setattr(inspector, "state", inspector.State())
    monkeypatch.setattr(operators_maps, "state", inspector.state)
    inspector.finish(inspector.look(stage, bpy.context.view_layer))
    job.left_out = (rig.name, "One that was deleted")
    for section in (sections.generate, maps.section):
        told = drawn(section, context()).replace("\n", " ")
        assert f'"{rig.name}" is left out of the pose' in told
        assert "deleted" not in told
        assert f'Map "{rig.name}"' in told
    map_by_hand(rig, numbered())
    for section in (sections.generate, maps.section):
        assert "left out" not in drawn(section, context())
    bpy.ops.underpaint.clear_bones()
    assert "left out" in drawn(sections.generate, context())
    silenced(rig)
    for section in (sections.generate, maps.section):
        assert "left out" not in drawn(section, context())
    inspector.close()


def test_the_editor_says_who_is_none(stage: Any) -> None:
    rig = figure()
    assert "map them by hand" in drawn(panel.editor, context(), rig.data).replace("\n", " ")
    rig.data.underpaint.not_a_person = True
    told = drawn(panel.editor, context(), rig.data)
    assert "Left out of the pose." in told
    assert "by hand." not in told


def test_silencing_settles_the_error_of_the_same_rig_and_refuses_what_is_none(stage: Any, job: JobState) -> None:
    rig = figure()
    job.error, job.armature = "Unknown", "Another"
    silenced(rig)
    assert job.error == "Unknown"
    job.armature = rig.name
    silenced(rig)
    assert job.error == job.armature == ""
    with pytest.raises(RuntimeError, match='No armature is called "Camera"'):
        bpy.ops.underpaint.not_a_person(armature="Camera")


def test_a_linked_armature_is_silenced_in_an_override(stage: Any, tmp_path: Path) -> None:
    rig = figure()
    (skin,) = rig.children
    cast = bpy.data.collections.new("Cast")
    stage.collection.children.link(cast)
    for thing in (rig, skin):
        for before in thing.users_collection:
            before.objects.unlink(thing)
        cast.objects.link(thing)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_factory_settings()
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_there, here):
        here.collections = ["Cast"]
    cast = bpy.data.collections["Cast"]
    bpy.context.scene.collection.children.link(cast)
    with pytest.raises(RuntimeError, match="is linked from another file"):
        bpy.ops.underpaint.not_a_person(armature="Figur")
    cast.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer)
    rig = next(thing for thing in bpy.data.objects if thing.type == "ARMATURE" and thing.override_library)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.underpaint.override_bones()
    rig.data.underpaint.not_a_person = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    rig = next(thing for thing in bpy.data.objects if thing.type == "ARMATURE" and thing.override_library)
    assert rig.data.underpaint.not_a_person


def test_a_rigged_thing_that_a_person_carries_is_the_person_s_and_no_stranger(stage: Any) -> None:
    """A bow with bones of its own, in the hand: it hides the wrist as the person's own, and is not spoken of."""
    holder = somebody()
    bow = figure(0.0)
    (skin,) = bow.children
    skin.matrix_world = Matrix.Translation((0.7, -0.4, 1.39))

    def wrist() -> Visibility:
        bpy.context.view_layer.update()
        (person,) = capture(stage).people
        point = person.body[L_WRIST]
        assert point is not None
        return point.visibility

    assert wrist() is Visibility.BEHIND_OTHERS
    assert capture(stage).left_out == (bow.name,)
    hand = bpy.data.objects.new("Hand", None)  # by way of an empty, as riggers do
    stage.collection.objects.link(hand)
    hand.parent, hand.parent_type, hand.parent_bone = holder, "BONE", "hand_l"
    before = bow.matrix_world.copy()
    bow.parent = hand
    bpy.context.view_layer.update()
    bow.matrix_world = before
    assert wrist() is Visibility.BEHIND_ITSELF
    assert capture(stage).left_out == ()


def test_a_person_who_is_carried_is_somebody_else(stage: Any) -> None:
    mother, child = somebody(), somebody()
    child.parent = mother
    child.location = (0.0, -0.6, 0.0)
    bpy.context.view_layer.update()
    seen = capture(stage)
    assert len(seen.people) == 2
    far, _near = seen.people
    assert Visibility.BEHIND_OTHERS in {point.visibility for point in far.body if point is not None}


@pytest.mark.parametrize("parented", [True, False])
def test_a_garment_with_the_body_s_skeleton_is_no_second_person(stage: Any, parented: bool) -> None:
    body = somebody()
    dress = man(stage)
    bpy.ops.mesh.primitive_cylinder_add(radius=0.3, depth=1.4, location=(0, 0, 0.8))
    cloth = bpy.context.object
    cloth.parent = dress
    cloth.modifiers.new("Armature", "ARMATURE").object = dress
    if parented:
        dress.parent = body
    bpy.context.view_layer.update()
    (figure_,) = observe(bpy.context.evaluated_depsgraph_get()).figures
    assert cloth.name in figure_.objects
    (person,) = capture(stage).people
    assert Visibility.BEHIND_OTHERS not in {point.visibility for point in person.body if point is not None}
    if parented:
        assert figure_.name == body.name
    dress.location.x = 0.05
    assert len(capture(stage).people) == 1
    dress.location.x = 0.3
    assert len(capture(stage).people) == 2
