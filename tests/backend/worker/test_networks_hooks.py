"""Weights that come when a leaf is called, and layers that stand in for leaves: the numbers stay the same."""

from typing import Any

import accelerate
import pytest
import torch
from diffusers.hooks import apply_group_offloading
from guided_scene import Scene, control, distance, same
from tiny_models import tiny_controlnet, tiny_unet, tiny_union


def scene(*, union: bool = False) -> Scene:
    unet = tiny_unet("sdxl")
    controls = [control(tiny_controlnet(unet, 1), 1)]
    if union:
        net = tiny_union(unet, 6)
        controls += [control(net, 2, mode=0), control(net, 3, mode=4)]
    return Scene(unet=unet, controls=controls)


def networks(one: Scene) -> list[Any]:
    return [one.unet, *{id(each.use.net): each.use.net for each in one.controls}.values()]


def test_diffusers_group_offloading_leaf_by_leaf() -> None:
    one = scene(union=True)
    plain = one.ours()
    for net in networks(one):
        apply_group_offloading(net, onload_device="cpu", offload_device="cpu", offload_type="leaf_level")
    fresh = Scene(unet=one.unet, controls=one.controls)
    assert same(fresh.ours(), plain)


def test_accelerates_sequential_offloading_leaves_no_weight_behind() -> None:
    """Between calls the weights are on "meta", where nothing can be computed."""
    one = scene()
    plain = one.ours()
    for net in networks(one):
        accelerate.cpu_offload(net, execution_device=torch.device("cpu"))
        assert {weight.device.type for weight in net.parameters()} == {"meta"}
    fresh = Scene(unet=one.unet, controls=one.controls)
    assert same(fresh.ours(), plain)
    assert {weight.device.type for net in networks(one) for weight in net.parameters()} == {"meta"}


class Adapted(torch.nn.Module):
    """A layer with a low-rank one beside it, as peft puts them in a layer's place."""

    def __init__(self, base_layer: Any) -> None:
        super().__init__()
        self.base_layer = base_layer
        wide = isinstance(base_layer, torch.nn.Conv2d)
        if wide:
            channels, shape = base_layer.in_channels, {"stride": base_layer.stride, "padding": base_layer.padding}
            self.lora_A = torch.nn.Conv2d(channels, 2, base_layer.kernel_size, bias=False, **shape)
            self.lora_B = torch.nn.Conv2d(2, base_layer.out_channels, 1, bias=False)
        else:
            self.lora_A = torch.nn.Linear(base_layer.in_features, 2, bias=False)
            self.lora_B = torch.nn.Linear(2, base_layer.out_features, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.base_layer(hidden) + self.lora_B(self.lora_A(hidden))


@pytest.mark.parametrize("on_nets", [False, True])
def test_lora_layers_count(on_nets: bool) -> None:
    """On convolutions and linear layers, those of the text's keys and of the times among them."""
    one = scene()
    plain = one.ours()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        for net in networks(one) if on_nets else [one.unet]:
            for name, layer in list(net.named_modules()):
                if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) and "_embedding" not in name:
                    parent, _, own = name.rpartition(".")
                    setattr(net.get_submodule(parent), own, Adapted(layer).eval().requires_grad_(False))
    adapted = Scene(unet=one.unet, controls=one.controls)
    assert distance(adapted.ours(), plain) > 0.01
    assert distance(adapted.ours(), adapted.stock()) < 1e-5


def test_weights_that_change_between_jobs_are_the_new_ones() -> None:
    one = scene()
    before = one.ours()
    for name, weight in one.unet.named_parameters():
        if "attn2.to_k" in name or "time_emb_proj" in name:
            weight.mul_(1.5)
    assert distance(one.ours(), before) > 1e-3
    assert distance(one.ours(), one.stock()) < 1e-5
