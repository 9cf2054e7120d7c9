"""The plan before the run, and what the preferences say of this computer."""

from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np
import pytest
from test_generation import seen, upload
from underpaint.addon import api, machine, operators_painting, plans
from underpaint.addon.generation import Settings, build_request
from underpaint.addon.job_state import JobState, state
from underpaint.addon.plan_job import PlanJob
from underpaint.addon.starts import StartSettings
from underpaint.protocol.checks import check
from underpaint.protocol.client import Connection
from underpaint.protocol.errors import InvalidSize, JobCancelled
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import Precision


@pytest.fixture
def preferences(scene: Any) -> Iterator[Any]:
    """The add-on's, as where it is switched on in the preferences."""
    entry = bpy.context.preferences.addons.new()
    entry.module = "underpaint"
    yield entry.preferences
    bpy.context.preferences.addons.remove(entry)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    vars(state).update(vars(JobState()))


def test_a_script_has_no_preferences_and_leaves_the_choice_to_the_backend(scene: Any) -> None:
    assert machine.preferences() is None
    settings = Settings.from_scene(scene)
    assert (settings.precision, settings.memory_budget_gb) == (Precision.AUTO, None)


def test_the_preferences_are_in_every_request(preferences: Any, scene: Any, fake_backend: Connection) -> None:
    request = build_request(Settings.from_scene(scene), seen(), upload)
    assert (request.precision, request.memory_budget_gb) == (Precision.AUTO, None)
    preferences.memory_budget_gb, preferences.precision = 6.1, "FLOAT16"
    request = build_request(Settings.from_scene(scene), seen(), upload)
    check(request)
    assert (request.precision, request.memory_budget_gb) == (Precision.FLOAT16, 6.1)
    scene.underpaint.prompt = "steps=1"
    bpy.ops.render.render()  # which reads them in the render thread
    clicked = fake_backend.jobs().jobs[0].request
    assert (clicked.precision, clicked.memory_budget_gb) == (Precision.FLOAT16, 6.1)
    own = api.generate(scene, precision="bfloat16", memory_budget_gb=3.5).request
    assert (own.precision, own.memory_budget_gb) == (Precision.BFLOAT16, 3.5)


def test_a_plan_is_a_sentence_and_leaves_no_job(scene: Any, fake_backend: Connection) -> None:
    assert api.plan(scene) == "2 ControlNets at 128 x 96: no model"  # nobody is there, so no pose
    bpy.ops.object.armature_add()
    assert api.plan(scene, size=(64, 72), memory_budget_gb=2) == "3 ControlNets at 64 x 72 in 2 GB: no model"
    start = StartSettings(image=np.zeros((8, 8, 3), np.uint8), mask_objects=frozenset({"Cube"}))
    assert api.plan(scene, controls=[], pictures=3, start=start).startswith("0 ControlNets")
    with pytest.raises(InvalidSize):
        api.plan(scene, size=(65, 72))
    assert fake_backend.jobs().jobs == ()


def test_every_kind_of_control_is_planned_without_what_it_is_shown(scene: Any, fake_backend: Connection) -> None:
    for kind in ("DEPTH", "LINEART", "SEGMENTATION", "TILE", "INPAINT", "NORMAL"):
        bpy.ops.underpaint.control_add(kind=kind)
        scene.underpaint.controls[-1].mask_object = scene.objects["Cube"]
    scene.underpaint.controls[0].depth.use_range = True
    assert api.plan(scene).startswith("6 ControlNets")


def test_the_button_shows_the_plan(scene: Any, fake_backend: Connection) -> None:
    assert bpy.ops.underpaint.check_memory() == {"FINISHED"}
    assert state.plan == "2 ControlNets at 128 x 96: no model"
    assert state.plan_key == plans.key(scene)
    bpy.ops.underpaint.control_add(kind="DEPTH")
    assert state.plan_key != plans.key(scene)  # it is one of other settings now
    scene.render.resolution_x = 129
    with pytest.raises(RuntimeError, match="multiples of 8"):
        bpy.ops.underpaint.check_memory()
    assert state.plan == ""
    assert "multiples of 8" in state.plan_error
    assert operators_painting._running == []


def test_a_plan_is_made_beside_a_picture_that_is_painted(scene: Any, fake_backend: Connection) -> None:
    picture = fake_backend.submit(build_request(Settings.from_scene(scene), seen(), fake_backend.upload))
    settings = plans.for_scene(Settings.from_scene(scene), scene)
    job = PlanJob(settings, Extent(width=64, height=64))
    job.start()
    job.join(60.0)
    assert job.ended
    assert (job.plan, job.error) == ("2 ControlNets at 64 x 64: no model", None)
    assert fake_backend.cancel(picture.id)


def test_a_plan_is_cancelled(scene: Any, fake_backend: Connection) -> None:
    job = PlanJob(Settings.from_scene(scene), Extent(width=64, height=64))
    job.cancel()
    job.start()
    job.join(60.0)
    assert job.ended
    assert job.plan or isinstance(job.error, JobCancelled)
