"""Controls' weights at each evaluation: scale, window and curve."""

import pytest
from underpaint.backend.worker.sampling.weights import step_weights
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.request import Control, ControlKind, CurvePoint
from underpaint.protocol.sources import ReadyMap


def weights(evaluations: int, *points: tuple[float, float], **fields: float) -> tuple[float, ...]:
    image = ArrayRef(sha256="0" * 64, shape=(8, 8, 3), dtype=DType.UINT8)
    curve = tuple(CurvePoint(at=at, factor=factor) for at, factor in points)
    control = Control(kind=ControlKind.DEPTH, source=ReadyMap(image=image), curve=curve, **fields)  # type: ignore[arg-type]
    (only,) = step_weights([control], evaluations)
    return only


def test_a_control_as_it_comes_counts_everywhere_by_its_scale() -> None:
    assert weights(3) == (1.0, 1.0, 1.0)
    assert weights(2, conditioning_scale=0.6) == (0.6, 0.6)
    assert weights(1, conditioning_scale=0.0) == (0.0,)


@pytest.mark.parametrize("evaluations", [1, 2, 3, 7, 20])
@pytest.mark.parametrize(("start", "end"), [(0, 1), (0, 0.5), (0.5, 1), (0.05, 0.2), (0.3, 0.75), (0.9, 1)])
def test_the_window_is_the_one_that_diffusers_keeps(evaluations: int, start: float, end: float) -> None:
    keep = [1.0 - float(i / evaluations < start or (i + 1) / evaluations > end) for i in range(evaluations)]
    assert list(weights(evaluations, start=start, end=end)) == keep


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0.0, 1.0), (1.0, 0.0)], (1.0, 0.75, 0.5, 0.25, 0.0)),
        ([(0.5, 2.0)], (2.0,) * 5),
        ([(0.25, 1.0), (0.75, 0.0)], (1.0, 1.0, 0.5, 0.0, 0.0)),
        ([(0.0, 0.0), (0.5, 1.0), (1.0, 0.0)], (0.0, 0.5, 1.0, 0.5, 0.0)),
        ([(0.0, 1.0), (0.5, 1.0), (0.5, 0.2), (1.0, 0.2)], (1.0, 1.0, 0.2, 0.2, 0.2)),  # a step in it
    ],
)
def test_a_curve_is_straight_between_its_points_and_level_beyond_them(
    points: list[tuple[float, float]], expected: tuple[float, ...]
) -> None:
    assert weights(5, *points) == pytest.approx(expected)


def test_scale_curve_and_window_multiply() -> None:
    got = weights(5, (0.0, 1.0), (1.0, 0.0), conditioning_scale=2.0, start=0.2, end=0.8)
    assert got == pytest.approx((0.0, 1.5, 1.0, 0.5, 0.0))


def test_of_one_evaluation_the_curve_is_at_its_beginning() -> None:
    assert weights(1, (0.0, 0.3), (1.0, 0.9)) == (0.3,)
    assert step_weights([], 4) == ()
