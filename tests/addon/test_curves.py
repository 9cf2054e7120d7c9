"""Weight curves and guess mode: edited in Blender, read for the request, kept by presets and results."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from test_generation import one, seen
from underpaint.addon import controls, curves, images, presets
from underpaint.addon.controls import ControlSettings
from underpaint.protocol.checks import check
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import Control, ControlKind, CurvePoint, GenerateRequest
from underpaint.protocol.sources import PosePass


@pytest.fixture
def item(scene: Any) -> Any:
    bpy.ops.underpaint.control_add(kind="DEPTH")
    return scene.underpaint.controls[0]


def pairs(points: Any) -> list[tuple[float, float]]:
    return [(round(point.at, 4), round(point.factor, 4)) for point in points]


def test_a_control_counts_the_same_throughout_at_first(scene: Any, item: Any) -> None:
    control = one(scene, seen())
    assert (control.curve, control.guess_mode) == ((), False)
    assert ControlSettings(kind=ControlKind.DEPTH).curve == ()


def test_points_are_in_order_whatever_order_they_were_made_in(scene: Any, item: Any) -> None:
    item.guess_mode = True
    for at, factor in ((1.0, 0.1), (0.3, 1.25), (0.0, 0.7)):
        point = item.curve.add()
        point.at, point.factor = at, factor
    control = one(scene, seen())  # which also checks the request
    assert pairs(control.curve) == [(0.0, 0.7), (0.3, 1.25), (1.0, 0.1)]
    assert control.guess_mode


def test_two_points_at_one_place_are_refused_with_what_to_do(scene: Any, item: Any) -> None:
    for factor in (0.0, 1.0):
        point = item.curve.add()
        point.at, point.factor = 0.25, factor
    assert "at 25% of the steps: move or remove one" in controls.problem_of(item)
    with pytest.raises(InvalidRequest, match="at 25%"):
        controls.from_item(item)
    with pytest.raises(RuntimeError, match="at 25%"):
        bpy.ops.underpaint.curve_point_add()
    bpy.ops.underpaint.curve_point_remove(index=0)
    assert pairs(controls.from_item(item).curve) == [(0.25, 1.0)]


@pytest.mark.parametrize("shape", [name for name, *_ in curves.SHAPES])
def test_every_shape_is_a_curve_that_works(scene: Any, item: Any, shape: str) -> None:
    bpy.ops.underpaint.curve_shape(shape=shape)
    assert controls.from_item(item).curve == curves.shape(shape)
    one(scene, seen())
    bpy.ops.underpaint.curve_clear()
    assert controls.from_item(item).curve == ()


def test_another_point_leaves_the_curve_as_it_was(scene: Any, item: Any) -> None:
    bpy.ops.underpaint.curve_point_add()
    assert pairs(item.curve) == [(0.0, 1.0), (1.0, 1.0)]
    bpy.ops.underpaint.curve_shape(shape="MIDDLE")
    before = curves.read(item.curve)
    for places in ([0.0, 0.25, 0.5, 1.0], [0.0, 0.25, 0.5, 0.75, 1.0]):
        bpy.ops.underpaint.curve_point_add()
        after = curves.read(item.curve)
        assert [point.at for point in after] == places
        for at in np.linspace(0, 1, 21):
            assert curves.factor_at(after, at) == pytest.approx(curves.factor_at(before, at))


def test_a_curve_of_one_point_gets_its_ends(scene: Any) -> None:
    (point,) = (CurvePoint(at=0.5, factor=0.3),)
    assert pairs(curves.further((point,))) == [(0.5, 0.3), (1.0, 0.3)]
    assert pairs(curves.further(curves.further((point,)))) == [(0.0, 0.3), (0.5, 0.3), (1.0, 0.3)]


def test_what_a_point_can_be_is_accepted(scene: Any, item: Any) -> None:
    for at, factor in ((-1.0, -5.0), (2.0, 1e9)):
        point = item.curve.add()
        point.at, point.factor = at, factor
    check(GenerateRequest(prompt="", size=Extent(width=64, height=48), controls=(one(scene, seen()),)))
    assert pairs(item.curve) == [(0.0, 0.0), (1.0, 100.0)]


def test_a_result_brings_curve_and_guess_mode_back(scene: Any) -> None:
    control = Control(
        kind=ControlKind.OPENPOSE, source=PosePass(people=()), curve=curves.shape("FADE_OUT"), guess_mode=True
    )
    request = GenerateRequest(prompt="a barn", size=Extent(width=24, height=16), controls=(control,))
    images.restore(images.new_result(np.zeros((16, 24, 3), np.uint8), request), scene)
    (item,) = scene.underpaint.controls
    assert (curves.read(item.curve), item.guess_mode) == (control.curve, True)


def test_a_preset_keeps_them_and_one_of_before_has_none(scene: Any, item: Any, tmp_path: Path) -> None:
    item.guess_mode = True
    curves.write(item.curve, (CurvePoint(at=0.1, factor=0.9), CurvePoint(at=0.85, factor=0.05)))
    path = tmp_path / "own.py"
    presets.writing.write(path, scene.underpaint)
    bpy.ops.wm.read_factory_settings()
    bpy.ops.script.execute_preset(filepath=str(path), menu_idname="UNDERPAINT_PT_presets")
    (item,) = bpy.context.scene.underpaint.controls
    assert (pairs(item.curve), item.guess_mode) == ([(0.1, 0.9), (0.85, 0.05)], True)

    new = ("curve", "guess_mode", "sigmas", "pictures", "batch_size", "start", "point")
    kept = [line for line in path.read_text().splitlines() if not any(word in line for word in new)]
    path.write_text("\n".join(kept))
    bpy.ops.script.execute_preset(filepath=str(path), menu_idname="UNDERPAINT_PT_presets")
    (item,) = bpy.context.scene.underpaint.controls
    assert (pairs(item.curve), item.guess_mode) == ([], False)
