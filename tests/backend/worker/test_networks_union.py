"""Union nets in the guided model: diffusers' own numbers where diffusers can do the same, and what it can't."""

import dataclasses
from typing import Any

import pytest
import torch
from guided_scene import ALWAYS, EXACT, Scene, control, distance, same
from tiny_models import tiny_controlnet, tiny_unet, tiny_union
from underpaint.backend.worker.sampling.guidance import ControlInput

UNET = tiny_unet("sdxl")


@pytest.fixture(scope="module")
def union() -> Any:
    return tiny_union(UNET, 6, seed=1)


@pytest.fixture(scope="module")
def promax() -> Any:
    return tiny_union(UNET, 8, seed=2)


@pytest.fixture(scope="module")
def plain() -> Any:
    return tiny_controlnet(UNET, 3)


def scene(*controls: ControlInput, pictures: int = 1) -> Scene:
    return Scene(unet=UNET, controls=controls, pictures=pictures)


def always(scale: float) -> tuple[float, ...]:
    return (scale,) * len(ALWAYS)


def as_diffusers(one: Scene) -> bool:
    stock = one.stock()
    return same(one.ours(EXACT), stock) and distance(one.ours(), stock) < 1e-5


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_one_image_in_a_union(union: Any, scale: float) -> None:
    one = scene(control(union, 1, always(scale), mode=4))
    assert as_diffusers(one)
    other_mode = scene(control(union, 1, always(scale), mode=3))
    assert distance(other_mode.ours(), one.ours()) > 1e-3


def test_several_images_in_a_union_are_one_run(promax: Any) -> None:
    controls = [
        control(promax, seed, always(scale), mode=mode)
        for seed, (scale, mode) in enumerate([(1, 0), (0.8, 1), (0.5, 7)])
    ]
    runs: list[object] = []
    handle = promax.conv_in.register_forward_hook(lambda *_: runs.append(None))
    ours = scene(*controls).ours()
    handle.remove()
    assert len(runs) == len(ours)
    assert as_diffusers(scene(*controls))


def test_two_unions_as_diffusers_adds_them(union: Any, promax: Any) -> None:
    assert as_diffusers(scene(control(union, 1, mode=1), control(promax, 2, always(0.5), mode=6)))


def test_a_union_is_told_of_those_that_count_and_no_others(promax: Any) -> None:
    """diffusers goes on to tell it of a control whose window is over, with an image of nothing."""
    first, second = control(promax, 1, (1.0, 0.8, 0.6), mode=0), control(promax, 2, (0.0, 0.5, 0.7), mode=3)
    alone, together = scene(first).stock(), scene(first, second).stock()
    expected = [alone[0], together[1], together[2]]
    assert same(scene(first, second).ours(EXACT), expected)
    assert distance(scene(first, second).ours(), expected) < 1e-5
    assert not torch.equal(alone[0], together[0])
    assert [scene(first, second).model().active(index) for index in range(3)] == [(0,), (0, 1), (0, 1)]


def test_a_union_is_not_run_where_nothing_counts(union: Any) -> None:
    one = scene(control(union, 1, (0.0, 0.0, 1.0), mode=1), control(union, 2, (0.0, 0.5, 0.0), mode=2))
    nothing = dataclasses.replace(one, controls=())
    runs: list[object] = []
    handle = union.conv_in.register_forward_hook(lambda *_: runs.append(None))
    ours = one.ours()
    handle.remove()
    assert len(runs) == 2
    assert torch.equal(ours[0], nothing.ours()[0])
    assert distance(ours[1:2], scene(one.controls[1]).stock()[1:2]) < 1e-5
    assert distance(ours[2:], scene(one.controls[0]).stock()[2:]) < 1e-5


def test_a_union_beside_a_plain_net(union: Any, plain: Any) -> None:
    """diffusers has no class for both. What they change in the states adds up, so the order is no matter."""
    one, other, depth = control(union, 1, mode=1), control(union, 2, mode=4), control(plain, 3, always(0.7))
    mixed = scene(one, depth, other)
    assert distance(mixed.ours(EXACT), mixed.ours()) < 1e-5
    assert distance(scene(depth, one, other).ours(), mixed.ours()) < 1e-5
    for part in (scene(one, other), scene(depth), scene(one, depth)):
        assert distance(part.ours(), mixed.ours()) > 1e-3


def test_several_pictures_keep_to_themselves(promax: Any) -> None:
    """diffusers' union lets the pictures of a batch look at each other."""
    both = scene(control(promax, 1, mode=0), control(promax, 2, always(0.5), mode=3), pictures=2)
    text, pooled, together = both.embeddings.text, both.embeddings.pooled, both.ours()
    assert pooled is not None
    for number in range(2):
        rows = [number, 2 + number]
        embeddings = dataclasses.replace(both.embeddings, text=text[rows], pooled=pooled[rows])
        alone = dataclasses.replace(
            both, pictures=1, given_text=embeddings, given_sample=both.sample[number : number + 1]
        )
        assert distance([one[number : number + 1] for one in together], alone.stock()) < 1e-5
    assert as_diffusers(both)


def test_of_controls_that_share_a_union_some_may_guess(union: Any) -> None:
    one, other = control(union, 1, mode=1), control(union, 2, mode=4, guess=True)
    assert as_diffusers(scene(other))
    mixed = scene(one, other)
    rows: list[int] = []
    handle = union.controlnet_mid_block.register_forward_hook(
        lambda _module, inputs, _output: rows.append(len(inputs[0]))
    )
    ours = mixed.ours()
    handle.remove()
    assert rows == [2, 1] * 3
    assert distance(mixed.ours(EXACT), ours) < 1e-5
    for part in (scene(one), scene(other), scene(one, dataclasses.replace(other, guess_mode=False))):
        assert distance(part.ours(), ours) > 1e-4
