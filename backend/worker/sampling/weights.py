"""How much each control counts at each evaluation of the model. No torch."""

from collections.abc import Sequence

from ....protocol.request import Control, CurvePoint, ImagePrompt


def step_weights(controls: Sequence[Control], evaluations: int) -> tuple[tuple[float, ...], ...]:
    """For each control its weight at every evaluation; 0 where it doesn't count.

    The weight is the conditioning scale, times the curve, within the window. The window is diffusers': an
    evaluation counts where all of it lies between start and end (`pipeline_controlnet.py`, "controlnet_keep").
    The curve runs from the first evaluation (0) to the last (1).
    """
    return tuple(tuple(_weight(control, index, evaluations) for index in range(evaluations)) for control in controls)


def window_weights(prompts: Sequence[ImagePrompt], evaluations: int) -> tuple[tuple[float, ...], ...]:
    """For each image prompt its scale at every evaluation within its window, by the same rule; 0 elsewhere."""
    return tuple(
        tuple(prompt.scale if _within(prompt, index, evaluations) else 0.0 for index in range(evaluations))
        for prompt in prompts
    )


def _within(window: Control | ImagePrompt, index: int, evaluations: int) -> bool:
    return not (index / evaluations < window.start or (index + 1) / evaluations > window.end)


def _weight(control: Control, index: int, evaluations: int) -> float:
    if not _within(control, index, evaluations):
        return 0.0
    at = index / (evaluations - 1) if evaluations > 1 else 0.0
    return control.conditioning_scale * _factor(control.curve, at)


def _factor(curve: Sequence[CurvePoint], at: float) -> float:
    """Straight between the points, level before the first and after the last; of two in one place the later one."""
    if not curve:
        return 1.0
    before = [point for point in curve if point.at <= at]
    after = [point for point in curve if point.at > at]
    if not before:
        return after[0].factor
    if not after:
        return before[-1].factor
    left, right = before[-1], after[0]
    return left.factor + (right.factor - left.factor) * (at - left.at) / (right.at - left.at)
