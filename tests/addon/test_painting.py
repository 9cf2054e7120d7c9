"""What the new settings do to a picture, with the real worker and the embedded model."""

from typing import Any

import numpy as np
import pytest
from underpaint.addon import api, curves, images
from underpaint.addon.controls import ControlSettings
from underpaint.addon.generation import StartSettings
from underpaint.protocol.client import Connection
from underpaint.protocol.request import ControlKind, Scheduler


@pytest.fixture
def still(scene: Any) -> Any:
    """The default cube at a size and at samples that take no time."""
    scene.render.resolution_x, scene.render.resolution_y = 96, 64
    scene.cycles.samples = 4
    scene.underpaint.prompt, scene.underpaint.steps = "a red cube", 3
    return scene


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Per pixel, the largest of the three channels'."""
    return np.abs(one.astype(int) - other.astype(int)).max(axis=2)


def test_strength_says_how_much_of_the_render_is_left(still: Any, backend: Connection) -> None:
    untouched = api.generate(still, start=StartSettings(strength=0.0))
    assert untouched.request.start is not None
    render = backend.download(untouched.request.start.image)
    np.testing.assert_array_equal(untouched.picture, render)
    further = [difference(api.generate(still, start=StartSettings(strength=k)).picture, render) for k in (0.4, 1.0)]
    assert further[0].mean() > 0
    assert not np.array_equal(further[0], further[1])


@pytest.mark.parametrize("blur_px", [0.0, 3.0])
def test_one_object_is_painted_anew_and_the_rest_stays_to_the_byte(
    still: Any, backend: Connection, blur_px: float
) -> None:
    start = StartSettings(strength=1.0, mask_objects=frozenset({"Cube"}), mask_grow_px=0, mask_blur_px=blur_px)
    result = api.generate(still, start=start)
    assert result.request.start is not None
    assert result.request.start.mask is not None
    render, mask = (backend.download(ref) for ref in (result.request.start.image, result.request.start.mask))
    changed = difference(result.picture, render)
    rows, columns = np.nonzero(mask)
    margin = round(blur_px * 4)
    top, left = max(0, rows.min() - margin), max(0, columns.min() - margin)
    far = np.ones_like(mask, bool)
    far[top : rows.max() + margin + 1, left : columns.max() + margin + 1] = False
    assert changed[mask == 255].mean() > 5
    assert changed[far].max() == 0
    if not blur_px:
        assert changed[mask == 0].max() == 0


def test_pictures_of_one_job_are_those_of_jobs_of_their_own(still: Any, backend: Connection) -> None:
    together = api.generate(still, pictures=3, seed=8)
    for number, (image, picture) in enumerate(zip(together.images, together.pictures, strict=True)):
        alone = api.generate(still, seed=8 + number)
        np.testing.assert_array_equal(alone.picture, picture)
        assert images.request_of(image) == alone.request
    at_once = api.generate(still, pictures=3, seed=8, batch_size=3)
    for one, other in zip(together.pictures, at_once.pictures, strict=True):
        assert difference(one, other).max() <= 4  # rounding
    assert together.plan
    assert together.notes == ()


def test_a_curve_and_guess_mode_change_the_picture(still: Any, backend: Connection) -> None:
    def painted(**more: Any) -> np.ndarray:
        return api.generate(still, controls=[ControlSettings(kind=ControlKind.DEPTH, **more)]).picture

    plain = painted()
    np.testing.assert_array_equal(plain, painted(curve=curves.further(())))  # a level curve is none
    assert difference(plain, painted(curve=curves.shape("FADE_OUT"))).max() > 0
    assert difference(plain, painted(guess_mode=True)).max() > 0


@pytest.mark.parametrize("scheduler", ["DPMPP_2M_SDE", "HEUN", "LCM"])
def test_schedulers_of_every_sort_paint(still: Any, backend: Connection, scheduler: str) -> None:
    still.underpaint.scheduler, still.underpaint.sigmas = scheduler, "DEFAULT" if scheduler == "LCM" else "KARRAS"
    result = api.generate(still)
    assert result.request.scheduler is Scheduler[scheduler]
    assert result.picture.std() > 1


def test_the_plan_is_told_before_and_after(still: Any, backend: Connection) -> None:
    told = (api.plan(still), api.generate(still).plan)
    assert all("SD 1.5 + 2 ControlNets" in words for words in told), told
