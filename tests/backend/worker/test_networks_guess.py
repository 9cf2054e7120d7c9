"""Guess mode and nets that pool, each by itself and side by side with ordinary nets."""

import dataclasses
from typing import Any

import pytest
import torch
from guided_scene import EXACT, Scene, control, distance, same
from tiny_models import Family, tiny_controlnet, tiny_unet
from underpaint.backend.worker.sampling.guidance import ControlInput

UNET = tiny_unet("sd15")
WINDOW = (1.0, 0.6, 0.3)


@pytest.fixture(scope="module")
def plain() -> Any:
    return tiny_controlnet(UNET, 1)


@pytest.fixture(scope="module")
def shuffle() -> Any:
    return tiny_controlnet(UNET, 2, global_pool_conditions=True)


def scene(*controls: ControlInput, **changes: Any) -> Scene:
    return Scene(unet=UNET, controls=controls, **changes)


def halves(one: Scene) -> list[torch.Tensor]:
    """The UNet's prediction for the negative prompts and for the prompts, before guidance brings them together."""
    both = dataclasses.replace(one, guidance_scale=2.0)
    found: list[torch.Tensor] = []
    handle = one.unet.conv_out.register_forward_hook(lambda _module, _inputs, output: found.append(output.clone()))
    both.ours()
    handle.remove()
    return found


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
@pytest.mark.parametrize("pictures", [1, 2])
def test_guess_mode_as_diffusers_has_it(family: Family, pictures: int) -> None:
    unet = tiny_unet(family)
    nets = [tiny_controlnet(unet, seed) for seed in (1, 2)]
    controls = [control(net, seed, WINDOW, guess=True) for seed, net in enumerate(nets)]
    one = Scene(unet=unet, controls=controls, pictures=pictures)
    stock = one.stock()
    assert same(one.ours(EXACT), stock)
    assert distance(one.ours(), stock) < 1e-5
    without = dataclasses.replace(one, controls=[dataclasses.replace(each, guess_mode=False) for each in controls])
    assert distance(without.ours(), stock) > 1e-3


def test_guess_mode_without_guidance_still_grades_the_residuals(plain: Any) -> None:
    one = scene(control(plain, 1, WINDOW, guess=True), guidance_scale=1.0)
    assert same(one.ours(EXACT), one.stock())
    assert distance(one.ours(), one.stock()) < 1e-5


def test_a_net_that_guesses_or_pools_leaves_the_negative_prompts_alone(plain: Any, shuffle: Any) -> None:
    nothing = halves(scene())
    for one in (control(plain, 1, guess=True), control(shuffle, 2)):
        for with_it, without in zip(halves(scene(one)), nothing, strict=True):
            assert (with_it[:1] - without[:1]).abs().max() < 1e-5
            assert (with_it[1:] - without[1:]).abs().max() > 1e-3


def test_a_net_that_pools_as_diffusers_runs_it_by_itself(shuffle: Any) -> None:
    """diffusers' pipelines take such a net for guess mode, whose grading it then leaves away."""
    one = scene(control(shuffle, 1, WINDOW))
    stock = scene(control(shuffle, 1, WINDOW, guess=True)).stock()
    assert same(one.ours(EXACT), stock)
    assert distance(one.ours(), stock) < 1e-5
    assert same(scene(control(shuffle, 1, WINDOW, guess=True)).ours(), one.ours())  # it guesses as it is


@pytest.mark.parametrize("pictures", [1, 2])
def test_side_by_side_each_control_is_as_it_asks(plain: Any, shuffle: Any, pictures: int) -> None:
    """diffusers decides for all nets by the first one, or by the pipeline's argument."""
    ordinary, guessing, pooling = control(plain, 1), control(plain, 2, WINDOW, guess=True), control(shuffle, 3)
    all_three = scene(ordinary, guessing, pooling, pictures=pictures)
    ours = all_three.ours()
    assert distance(all_three.ours(EXACT), ours) < 1e-5
    assert distance(scene(pooling, guessing, ordinary, pictures=pictures).ours(), ours) < 1e-5
    negative = halves(scene(ordinary, pictures=pictures))
    for got, expected in zip(halves(all_three), negative, strict=True):
        assert (got[:pictures] - expected[:pictures]).abs().max() < 1e-5
        assert (got[pictures:] - expected[pictures:]).abs().max() > 1e-3
    for left_out in ((ordinary, guessing), (ordinary, pooling), (guessing, pooling)):
        assert distance(scene(*left_out, pictures=pictures).ours(), ours) > 1e-4


def test_nets_that_guess_or_pool_run_on_half_the_rows(plain: Any, shuffle: Any) -> None:
    rows: list[int] = []
    handles = [
        net.controlnet_mid_block.register_forward_hook(lambda _module, inputs, _output: rows.append(len(inputs[0])))
        for net in (plain, shuffle)
    ]
    scene(control(plain, 1), control(plain, 2, guess=True), control(shuffle, 3), pictures=2).ours()
    for handle in handles:
        handle.remove()
    assert rows == [4, 2, 2] * 3
