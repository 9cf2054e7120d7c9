"""The guided model against diffusers' own modules: UNets of every family with plain nets, windows and guidance."""

import dataclasses
from typing import Any

import diffusers
import pytest
import torch
from guided_scene import ALWAYS, EXACT, Scene, control, distance, noise, same, savings
from tiny_models import Family, tiny_controlnet, tiny_unet, tiny_union
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from underpaint.backend.worker.sampling.guidance import Savings
from underpaint.backend.worker.sampling.prompts import Embeddings
from underpaint.protocol.errors import ModelBroken

WINDOWS = ((1.0, 0.7, 0.0), (0.5, 0.0, 0.0))  # the last evaluation is without any net
FAMILIES: tuple[Family, ...] = ("sd15", "sd21", "sdxl")


def scene(family: Family, *, pictures: int = 1, height: int = 8, width: int = 8, in_channels: int = 4) -> Scene:
    unet = tiny_unet(family, in_channels)
    controls = [
        control(tiny_controlnet(tiny_unet(family), seed), seed, weights, height=height, width=width)
        for seed, weights in enumerate(WINDOWS, start=1)
    ]
    return Scene(unet=unet, controls=controls, pictures=pictures, height=height, width=width)


def cast(one: Scene, dtype: torch.dtype) -> Scene:
    for module in (one.unet, *(each.use.net for each in one.controls)):
        module.to(dtype)
    return one


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("pictures", "height", "width"), [(1, 8, 8), (2, 9, 13)])  # odd sides need upsample sizes
def test_exact_savings_change_nothing_and_all_of_them_only_rounding(
    family: Family, pictures: int, height: int, width: int
) -> None:
    one = scene(family, pictures=pictures, height=height, width=width)
    stock = one.stock()
    assert same(one.ours(EXACT), stock)
    assert 0 < distance(one.ours(), stock) < 1e-5
    without = dataclasses.replace(one, controls=())
    assert distance(without.ours(), stock) > 0.01  # the nets do count


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_is_as_near_to_float32_as_diffusers_is(family: Family) -> None:
    exact = scene(family).ours()
    half = cast(scene(family), torch.bfloat16)
    stock = half.stock()
    assert same(half.ours(EXACT), stock)
    assert distance(half.ours(), exact) < 1.25 * distance(stock, exact)


@pytest.mark.parametrize("saving", [field.name for field in dataclasses.fields(Savings)])
def test_each_saving_alone(saving: str) -> None:
    one = scene("sd15", pictures=2)
    stock = one.stock()
    assert same(one.ours(savings()), stock)
    alone = one.ours(savings(saving))
    if getattr(EXACT, saving):
        assert same(alone, stock)
    else:
        assert 0 < distance(alone, stock) < 1e-5


def test_several_pictures_at_once_are_what_each_is_alone() -> None:
    both = scene("sdxl", pictures=2)
    text, pooled = both.embeddings.text, both.embeddings.pooled
    together = both.ours()
    for number in range(2):
        rows = [number, 2 + number]
        alone = dataclasses.replace(
            both,
            pictures=1,
            given_text=Embeddings(text=text[rows], pooled=pooled[rows]),
            given_sample=both.sample[number : number + 1],
        )
        assert distance([one[number : number + 1] for one in together], alone.ours()) < 1e-5


@pytest.mark.parametrize("guidance_scale", [1.0, 0.0])
def test_without_guidance_only_the_prompts_are_computed(guidance_scale: float) -> None:
    one = dataclasses.replace(scene("sd15", pictures=2), guidance_scale=guidance_scale)
    rows: list[int] = []
    one.unet.conv_out.register_forward_hook(lambda _module, inputs, _output: rows.append(len(inputs[0])))
    assert distance(one.ours(), one.stock()) < 1e-5
    assert rows == [2] * 6
    assert same(one.ours(EXACT), one.stock())


def test_embeddings_of_negative_prompts_are_left_alone_without_guidance() -> None:
    both = Scene(unet=tiny_unet("sd15")).embeddings
    one = Scene(unet=tiny_unet("sd15"), guidance_scale=1.0, given_text=both)
    positive = dataclasses.replace(one, given_text=Embeddings(text=both.text[1:], pooled=None))
    assert same(one.ours(), positive.ours())


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
@pytest.mark.parametrize("of_each_picture", [False, True])
def test_a_unet_for_inpainting_gets_its_further_channels(family: Family, of_each_picture: bool) -> None:
    extra = noise(2 if of_each_picture else 1, 5, 8, 8, seed=9)
    one = dataclasses.replace(scene(family, pictures=2, in_channels=9), extra_channels=extra)
    assert same(one.ours(EXACT), one.stock())
    assert distance(one.ours(), one.stock()) < 1e-5


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_unet_distilled_for_lcm_is_told_of_the_guidance_scale(family: Family) -> None:
    one = Scene(unet=tiny_unet(family, time_cond=True), pictures=2)
    assert same(one.ours(EXACT), one.stock())
    assert distance(one.ours(), one.stock()) < 1e-5
    weaker = dataclasses.replace(one, guidance_scale=2.0)
    assert distance(weaker.ours(), weaker.stock()) < 1e-5
    assert distance(weaker.ours(), one.ours()) > 1e-3


def test_what_is_active_is_known_beforehand() -> None:
    model = scene("sd15").model()
    assert [model.active(index) for index in range(3)] == [(0, 1), (0,), ()]
    model = scene("sd15").model(savings())
    assert [model.active(index) for index in range(3)] == [(0, 1)] * 3
    assert Scene(unet=tiny_unet("sd15")).model().active(2) == ()


def test_a_net_that_never_counts_is_not_even_prepared() -> None:
    net = tiny_controlnet(tiny_unet("sd15"), 1)
    one = Scene(unet=tiny_unet("sd15"), controls=[control(net, 1, (0.0, 0.0, 0.0))])
    called: list[object] = []
    for module in net.modules():
        module.register_forward_pre_hook(lambda module, _inputs: called.append(module))
    assert same(one.ours(), dataclasses.replace(one, controls=()).ours())
    assert called == []


def test_one_plain_net_may_serve_two_controls() -> None:
    net = tiny_controlnet(tiny_unet("sd15"), 1)
    one = Scene(unet=tiny_unet("sd15"), controls=[control(net, 1, ALWAYS), control(net, 2, (0.5, 0.5, 0.5))])
    assert same(one.ours(EXACT), one.stock())
    assert distance(one.ours(), one.stock()) < 1e-5


def test_a_net_may_want_its_colours_the_other_way_round() -> None:
    net = tiny_controlnet(tiny_unet("sd15"), 1, controlnet_conditioning_channel_order="bgr")
    one = Scene(unet=tiny_unet("sd15"), controls=[control(net, 1)])
    assert same(one.ours(EXACT), one.stock())
    plain = Scene(unet=one.unet, controls=[control(tiny_controlnet(tiny_unet("sd15"), 1), 1)])
    assert distance(plain.ours(), one.ours()) > 1e-3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class_embed_type", "timestep"),
        ("only_cross_attention", (True, False, False, False)),
        ("resnet_time_scale_shift", "scale_shift"),
    ],
)
def test_a_network_of_another_build_is_refused_by_name(key: str, value: object) -> None:
    unet = tiny_unet("sd15")
    config = {name: each for name, each in unet.config.items() if not name.startswith("_")}
    other = diffusers.UNet2DConditionModel(**{**config, key: value})
    with pytest.raises(ModelBroken, match=rf'"UNet2DConditionModel".*{key}: '):
        Scene(unet=other).ours()
    net = tiny_controlnet(unet, 1, **{key: value})
    with pytest.raises(ModelBroken, match=rf'"ControlNetModel".*{key}: '):
        Scene(unet=unet, controls=[control(net, 1)]).ours()


class OnDevice(TorchDispatchMode):
    """Counts the operations on "meta", and collects those that have to do with any other device."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: list[str] = []
        self.there = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        devices = {each.device.type for each in tree_leaves((args, kwargs, result)) if isinstance(each, torch.Tensor)}
        if devices <= {"meta"}:
            self.there += 1
        else:
            self.elsewhere.append(str(func))
        return result


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_an_evaluation_never_leaves_the_device(family: Family) -> None:
    """On "meta" a tensor has no value that could be asked for, as a GPU has none that could be without waiting."""
    unet = tiny_unet(family)
    nets = [tiny_controlnet(unet, 1), tiny_controlnet(unet, 2), tiny_controlnet(unet, 3, global_pool_conditions=True)]
    controls = [control(nets[0], 1, (1.0, 0.5, 0.0)), control(nets[1], 2, guess=True), control(nets[2], 3)]
    if family == "sdxl":
        union = tiny_union(unet, 8)
        controls += [control(union, 4, mode=0), control(union, 5, (0.3, 0.2, 0.1), mode=3)]
    one = Scene(unet=unet, controls=controls, pictures=2)
    for module in (unet, *(each.use.net for each in controls)):
        module.to("meta")
    model = one.model(device="meta")
    sample = one.sample.to("meta")
    with OnDevice() as watch:
        shapes = [model(sample, index).shape for index in range(3)]
    assert shapes == [sample.shape] * 3
    assert watch.elsewhere == []
    assert watch.there > 1000
