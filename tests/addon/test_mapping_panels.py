"""The mapping editor, drawn onto a layout that checks each call, and what it says of every point."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import pytest
from bl_ui.utils import PresetPanel
from test_mapping import invented, numbered
from test_ui_drawing import CheckingLayout
from underpaint.addon import inspector, operators_generate
from underpaint.addon.job_state import JobState
from underpaint.addon.ui import mapping as panel
from underpaint.addon.ui import maps, sections
from underpaint.protocol.errors import UnmappedRig


class _System:
    ui_scale = 1.0
    bl_rna = bpy.types.PreferencesSystem.bl_rna


def context(**more: Any) -> Any:
    given = {"object": bpy.context.object, "scene": bpy.context.scene} | more
    return SimpleNamespace(
        region=SimpleNamespace(width=260),
        preferences=SimpleNamespace(system=_System()),
        window_manager=bpy.context.window_manager,
        **given,
    )


def drawn(draw: Any, *arguments: Any) -> str:
    told: list[str] = []
    draw(CheckingLayout(told), *arguments)
    return "\n".join(told)


def editor(rig: Any) -> str:
    return drawn(panel.editor, context(), rig.data)


def test_it_leads_from_unknown_names_to_a_mapping(scene: Any) -> None:
    rig = invented(numbered())
    told = editor(rig)
    assert "map them by hand" in told.replace("\n", " ")
    assert "By Hand" in told
    bpy.ops.underpaint.map_bones()
    told = editor(rig)
    assert "By Hand" not in told
    assert "a person can't be drawn without it" in told.replace("\n", " ")
    for point, bone in numbered().items():
        rig.data.underpaint.bones[point].bone = bone
    told = editor(rig).replace("\n", " ")
    assert "13 points found, 13 of them by hand" in told
    assert 'Left shoulder: Mapped by you to "Knochen_07"' in told


def test_what_is_found_without_the_user_is_said(scene: Any) -> None:
    rig = invented({point: point for point in numbered() if point != "right_wrist"})
    told = editor(rig).replace("\n", " ")
    assert "12 points found" in told
    rig.data.bones["left_knee"].name = "x"
    told = editor(rig).replace("\n", " ")
    assert "Not found" in told
    assert "left knee" in told


@pytest.mark.parametrize(
    ("point", "bone", "icon"),
    [
        ("left_hip", "Bein", "CHECKMARK"),
        ("left_hip", "gone", "ERROR"),
        ("nose", "", "AUTO"),
        ("left_hip", "", "CANCEL"),
        ("left_ear", "", "BLANK1"),
    ],
)
def test_every_state_of_a_point(point: str, bone: str, icon: str) -> None:
    assert panel.state(point, bone, {"Bein": 1}, {"nose": "Nase"})[0] == icon


def test_the_list_shows_one_group_and_its_bones(scene: Any) -> None:
    rig = invented(numbered())
    bpy.ops.underpaint.map_bones()
    group = rig.data.underpaint
    told: list[str] = []
    for mode in ("OBJECT", "EDIT"):
        bpy.ops.object.mode_set(mode=mode)
        for item in group.bones:
            panel.UNDERPAINT_UL_points.draw_item(None, None, CheckingLayout(told), group, item, 0, None, "")
    assert "L Shoulder" in told
    stub = SimpleNamespace(filter_name="", bitflag_filter_item=1 << 30)
    for name, first in (("BODY", "left_shoulder"), ("HEAD", "head"), ("RIGHT_HAND", "right_thumb_1")):
        group.group = name
        flags, _ = panel.UNDERPAINT_UL_points.filter_items(stub, None, group, "bones")
        shown = [item.name for item, flag in zip(group.bones, flags, strict=True) if flag]
        assert shown[0] == first
    stub.filter_name = "INDEX"
    flags, _ = panel.UNDERPAINT_UL_points.filter_items(stub, None, group, "bones")
    assert [item.name for item, flag in zip(group.bones, flags, strict=True) if flag] == [
        f"right_index_{joint}" for joint in (1, 2, 3, 4)
    ]


def test_both_panels_and_the_menus_are_there_for_armatures_alone(scene: Any) -> None:
    assert not panel.UNDERPAINT_PT_view3d_armature.poll(context())
    assert not panel.UNDERPAINT_PT_armature.poll(context())
    rig = invented(numbered())
    for kind, where in (
        (panel.UNDERPAINT_PT_view3d_armature, context()),
        (panel.UNDERPAINT_PT_armature, context(armature=rig.data)),
    ):
        assert kind.poll(where)
        kind.draw(SimpleNamespace(layout=CheckingLayout([])), where)
    told: list[str] = []
    panel.UNDERPAINT_MT_bone_mapping.draw(SimpleNamespace(layout=CheckingLayout(told)), context())
    assert "Guess All Anew" in told


class _Popover(PresetPanel):
    """What Blender makes of the class when it draws it, with a layout of ours."""

    preset_subdir = panel.UNDERPAINT_PT_rig_presets.preset_subdir
    preset_operator = panel.UNDERPAINT_PT_rig_presets.preset_operator
    preset_add_operator = panel.UNDERPAINT_PT_rig_presets.preset_add_operator
    preset_extensions = panel.UNDERPAINT_PT_rig_presets.preset_extensions

    def __init__(self, layout: CheckingLayout) -> None:
        self.layout = layout


def test_the_presets_popover(scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpy.utils, "preset_paths", lambda _subdir: [])
    told: list[str] = []
    panel.UNDERPAINT_PT_rig_presets.draw(SimpleNamespace(layout=CheckingLayout(told)), context())
    assert "No presets yet" in told
    (tmp_path / "Die_Knochen.json").write_text("{}")
    monkeypatch.setattr(bpy.utils, "preset_paths", lambda _subdir: [str(tmp_path)])
    panel.UNDERPAINT_PT_rig_presets.draw(_Popover(CheckingLayout(told)), context())
    assert "Die Knochen" in told


def test_an_unknown_rig_s_error_has_a_button_to_the_editor(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pressed: list[str] = []

    class Layout(CheckingLayout):
        def __getattr__(self, name: str) -> Any:
            call = super().__getattr__(name)
            if name != "operator":
                return lambda *positional, **named: (call(*positional, **named), Layout(self.told))[1]
            return lambda operator, **named: (pressed.append(operator), call(operator, **named))[1]

    for module, section, state in (
        (sections, sections.generate, JobState()),
        (inspector, maps.section, inspector.State()),
    ):
        monkeypatch.setattr(module, "job" if module is sections else "state", state)
        state.error, state.armature = "Unknown", ""
        section(Layout([]), context())
        assert "underpaint.edit_mapping" not in pressed
        state.armature = "Figur"
        section(Layout([]), context())
        assert pressed.count("underpaint.edit_mapping") == 1
        pressed.clear()


def test_generate_remembers_whose_bones_are_unknown(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    state = JobState()
    monkeypatch.setattr(operators_generate, "state", state)
    operator = SimpleNamespace(report=lambda *_: None)
    operators_generate.UNDERPAINT_OT_generate._refuse(operator, UnmappedRig(armature="Figur", missing="left hip"))
    assert state.armature == "Figur"
    operators_generate.UNDERPAINT_OT_generate._refuse(operator, ValueError("another"))
    assert state.armature == ""
