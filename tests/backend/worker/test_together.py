"""Several nets as one: diffusers' own numbers where diffusers can do the same, and what it can't."""

from pathlib import Path
from typing import Any

import accelerate
import diffusers
import pytest
import torch
from diffusers.models.controlnets.multicontrolnet_union import MultiControlNetUnionModel
from underpaint.backend.worker.models.together import NetUse, networks, together

ADDED = {"text_embeds": torch.zeros(2, 32), "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]] * 2)}


def tensors(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


SAMPLE, TEXT = tensors(2, 4, 8, 8, seed=1), tensors(2, 77, 64, seed=2)
HINTS = [tensors(1, 3, 64, 64, seed=seed).sigmoid().repeat(2, 1, 1, 1) for seed in (3, 4, 5)]
STEP = torch.tensor(500)


@pytest.fixture(scope="module")
def promax(models: Path) -> Any:
    return diffusers.ControlNetUnionModel.from_pretrained(models / "sdxl-promax").eval()


@pytest.fixture(scope="module")
def union(models: Path) -> Any:
    return diffusers.ControlNetUnionModel.from_pretrained(models / "sdxl-union").eval()


@pytest.fixture(scope="module")
def plain(models: Path) -> Any:
    return diffusers.ControlNetModel.from_pretrained(models / "sdxl-depth").eval()


def use(net: Any, mode: int | None = None) -> NetUse:
    return NetUse(net=net, mode=mode)


@torch.inference_mode()
def residuals(uses: list[NetUse], scales: list[float], **changes: Any) -> list[torch.Tensor]:
    inputs = {
        "encoder_hidden_states": TEXT, "controlnet_cond": HINTS[: len(uses)], "conditioning_scale": scales,
        "added_cond_kwargs": ADDED, "guess_mode": False, "return_dict": False, **changes,
    }  # fmt: skip
    down, mid = together(uses)(SAMPLE, STEP, **inputs)
    return [] if down is None else [*down, mid]


@torch.inference_mode()
def stock(model: Any, **inputs: Any) -> list[torch.Tensor]:
    down, mid = model(
        SAMPLE, STEP, encoder_hidden_states=TEXT, added_cond_kwargs=ADDED, return_dict=False, **inputs
    )  # fmt: skip
    return [*down, mid]


def types(count: int, *modes: int) -> torch.Tensor:
    return torch.zeros(2, count).index_fill_(1, torch.tensor(modes), 1)


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) > 0 and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_plain_nets_as_diffusers_runs_them(plain: Any) -> None:
    ours = residuals([use(plain), use(plain)], [1.0, 0.5])
    multi = diffusers.MultiControlNetModel([plain, plain])
    assert same(ours, stock(multi, controlnet_cond=HINTS[:2], conditioning_scale=[1.0, 0.5]))
    assert not same(ours, residuals([use(plain), use(plain)], [1.0, 0.6]))


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_one_image_in_a_union(union: Any, scale: float) -> None:
    expected = stock(
        union, controlnet_cond=HINTS[:1], control_type=types(6, 4), control_type_idx=[4], conditioning_scale=[scale]
    )
    assert same(residuals([use(union, 4)], [scale]), expected)
    assert not same(residuals([use(union, 3)], [scale]), expected)


def test_several_images_in_a_union_are_one_run(promax: Any) -> None:
    expected = stock(
        promax,
        controlnet_cond=HINTS,
        control_type=types(8, 0, 1, 7),
        control_type_idx=[0, 1, 7],
        conditioning_scale=[1.0, 0.8, 0.5],
    )
    assert same(residuals([use(promax, 0), use(promax, 1), use(promax, 7)], [1.0, 0.8, 0.5]), expected)


def test_two_unions_as_diffusers_adds_them(union: Any, promax: Any) -> None:
    expected = stock(
        MultiControlNetUnionModel([union, promax]),
        controlnet_cond=[[HINTS[0]], [HINTS[1]]],
        control_type=[types(6, 1), types(8, 6)],
        control_type_idx=[[1], [6]],
        conditioning_scale=[[1.0], [0.5]],
    )
    assert same(residuals([use(union, 1), use(promax, 6)], [1.0, 0.5]), expected)


def test_a_union_beside_a_plain_net(union: Any, plain: Any) -> None:
    """diffusers has no class for both; their residuals add up as those of any two nets do."""
    mixed = residuals([use(union, 1), use(plain), use(union, 4)], [1.0, 0.7, 1.0])
    alone = residuals([use(union, 1), use(union, 4)], [1.0, 1.0], controlnet_cond=[HINTS[0], HINTS[2]])
    depth = residuals([use(plain)], [0.7], controlnet_cond=[HINTS[1]])
    assert same(mixed, [one + other for one, other in zip(alone, depth, strict=True)])


@pytest.mark.parametrize("kind", ["union", "plain"])
def test_what_does_not_count_is_as_if_it_were_not_there(kind: str, union: Any, plain: Any) -> None:
    """diffusers runs a union net on with an image of nothing, and a plain one to multiply its residuals by 0."""
    silent = use(union, 4) if kind == "union" else use(plain)
    assert same(residuals([use(union, 1), silent], [0.8, 0.0]), residuals([use(union, 1)], [0.8]))
    assert residuals([silent, silent], [0.0, 0.0]) == []


def test_a_net_that_pools_guides_the_conditional_half_alone(plain: Any, models: Path) -> None:
    """As the shuffle net was trained, and whether it comes first, which is what diffusers decides by, or last."""
    shuffle = diffusers.ControlNetModel.from_pretrained(models / "sdxl-depth", global_pool_conditions=True).eval()
    depth = residuals([use(plain)], [1.0], controlnet_cond=HINTS[:1])
    for first in (True, False):
        uses, hints = [use(plain), use(shuffle)], HINTS[:2]
        if first:
            uses, hints = uses[::-1], hints[::-1]
        both = residuals(uses, [1.0, 1.0], controlnet_cond=hints)
        for with_shuffle, without in zip(both, depth, strict=True):
            assert torch.equal(with_shuffle[0], without[0])
            added = with_shuffle[1] - without[1]
            assert added.abs().max() > 0.01
            assert added.std(dim=(1, 2)).max() < 1e-4  # the same everywhere: pooled


def test_a_net_that_serves_twice_is_one_network(plain: Any, union: Any) -> None:
    assert networks(together([use(union, 1), use(plain), use(union, 3)])) == [union, plain]


@torch.inference_mode()
def test_offloading_brings_every_net_to_the_device(models: Path) -> None:
    """As `enable_model_cpu_offload` hooks it. "meta" is a device that every computer has; it computes nothing."""
    nets = [
        diffusers.ControlNetModel.from_pretrained(models / "sdxl-depth"),
        diffusers.ControlNetUnionModel.from_pretrained(models / "sdxl-promax"),
    ]
    model = together([use(nets[0]), use(nets[1], 0), use(nets[1], 1)])
    accelerate.cpu_offload_with_hook(model, torch.device("meta"))
    down, mid = model(
        SAMPLE, STEP, encoder_hidden_states=TEXT, controlnet_cond=HINTS, conditioning_scale=[0.0, 1.0, 1.0],
        added_cond_kwargs=ADDED,
    )  # fmt: skip
    assert {tensor.device.type for tensor in (*down, mid)} == {"meta"}
    assert {part.device.type for net in nets for part in net.parameters()} == {"meta"}
