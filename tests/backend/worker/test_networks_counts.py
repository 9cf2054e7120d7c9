"""What is computed how often, told by hooks on the leaves that compute it."""

from collections import Counter
from typing import Any

import pytest
from guided_scene import TIMESTEPS, Scene, control, savings
from tiny_models import tiny_controlnet, tiny_unet, tiny_union
from underpaint.backend.worker.sampling.guidance import Savings

WINDOWS = ((1.0, 0.7, 0.0), (0.5, 0.0, 0.0))


class Calls:
    """How often each leaf of some modules was called, and with how many rows at most."""

    def __init__(self, **modules: Any) -> None:
        self.count: Counter[str] = Counter()
        self.rows: dict[str, int] = {}
        for name, module in modules.items():
            for leaf_name, leaf in module.named_modules():
                if not list(leaf.children()):
                    leaf.register_forward_pre_hook(self._counting(f"{name}.{leaf_name}"))

    def of(self, *parts: str) -> int:
        """Of all leaves whose names have these parts."""
        return sum(count for name, count in self.count.items() if all(part in name for part in parts))

    def _counting(self, name: str) -> Any:
        def hook(_leaf: Any, inputs: tuple[Any, ...]) -> None:
            self.count[name] += 1
            self.rows[name] = max(self.rows.get(name, 0), len(inputs[0]))

        return hook


@pytest.fixture
def scene() -> Scene:
    unet = tiny_unet("sd15")
    nets = [tiny_controlnet(unet, seed) for seed in (1, 2)]
    return Scene(unet=unet, controls=[control(net, 1, weights) for net, weights in zip(nets, WINDOWS, strict=True)])


@pytest.fixture
def calls(scene: Scene) -> Calls:
    return Calls(unet=scene.unet, first=scene.controls[0].use.net, second=scene.controls[1].use.net)


def test_nets_run_as_often_as_they_count(scene: Scene, calls: Calls) -> None:
    scene.ours()
    assert [calls.count[f"{name}.conv_in"] for name in ("unet", "first", "second")] == [3, 2, 1]
    calls.count.clear()
    scene.ours(savings())
    assert [calls.count[f"{name}.conv_in"] for name in ("unet", "first", "second")] == [3, 3, 3]


def test_images_are_encoded_once_and_by_the_next_job_not_at_all(scene: Scene, calls: Calls) -> None:
    encoders = ("first.controlnet_cond_embedding.conv_in", "second.controlnet_cond_embedding.conv_in")
    scene.ours()
    assert [calls.count[name] for name in encoders] == [1, 1]
    assert [calls.rows[name] for name in encoders] == [1, 1]
    scene.ours()
    assert [calls.count[name] for name in encoders] == [1, 1]
    assert scene.hints.encoded == 2
    scene.ours(savings("skip_idle_nets"))
    assert [calls.count[name] for name in encoders] == [1 + 2, 1 + 1]


def test_keys_and_values_of_the_text_are_computed_once(scene: Scene, calls: Calls) -> None:
    scene.ours()
    counts = {name: count for name, count in calls.count.items() if "attn2.to_k" in name or "attn2.to_v" in name}
    assert set(counts.values()) == {1}
    assert len(counts) == 2 * (16 + 7 + 7)  # the cross-attentions of a UNet and of a ControlNet
    calls.count.clear()
    scene.ours(savings())
    assert calls.of("attn2.to_k") == len(TIMESTEPS) * (16 + 7 + 7)


def test_times_are_computed_before_the_first_evaluation(scene: Scene, calls: Calls) -> None:
    model = scene.model()
    counts = dict(calls.count)
    assert calls.of("time_embedding.linear_1") == 3
    assert {count for name, count in counts.items() if "time_emb_proj" in name} == {1}
    for index in range(len(TIMESTEPS)):
        model(scene.sample, index)
    assert calls.of("time_emb") == sum(count for name, count in counts.items() if "time_emb" in name)
    assert calls.of("to_k") > calls.of("attn2.to_k") == 16 + 7 + 7


def test_what_both_halves_have_in_common_is_computed_once(scene: Scene, calls: Calls) -> None:
    shared = [
        "conv_in", "down_blocks.0.resnets.0.conv2", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q",
    ]  # fmt: skip
    parted = ["down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_out.0", "down_blocks.0.resnets.1.conv1"]
    scene.ours()
    for net in ("unet", "first", "second"):
        assert [calls.rows[f"{net}.{name}"] for name in shared] == [1] * 4
        assert [calls.rows[f"{net}.{name}"] for name in parted] == [2] * 2
    assert calls.rows["first.controlnet_down_blocks.0"] == 1
    scene.ours(Savings(shared_prefix=False))
    assert calls.rows["unet.conv_in"] == calls.rows["first.controlnet_down_blocks.0"] == 2


def test_with_pooled_text_the_halves_part_at_the_first_time_embedding() -> None:
    unet = tiny_unet("sdxl")
    net = tiny_controlnet(unet, 1)
    scene = Scene(unet=unet, controls=[control(net, 1)], pictures=2)
    calls = Calls(unet=unet, net=net)
    scene.ours()
    for name in ("unet", "net"):
        block = f"{name}.down_blocks.0.resnets.0"
        assert [calls.rows[f"{block}.{leaf}"] for leaf in ("conv1", "norm2")] == [2, 4]


def test_of_a_net_that_serves_with_and_without_guessing_the_text_is_computed_once() -> None:
    unet = tiny_unet("sd15")
    net = tiny_controlnet(unet, 1)
    calls = Calls(net=net)
    Scene(unet=unet, controls=[control(net, 1, guess=True), control(net, 2)]).ours()
    assert calls.count["net.conv_in"] == 2 * len(TIMESTEPS)
    assert {count for name, count in calls.count.items() if "attn2.to_k" in name} == {1}


def test_a_union_mixes_its_images_in_before_the_first_evaluation() -> None:
    unet = tiny_unet("sdxl")
    net = tiny_union(unet, 8)
    scene = Scene(unet=unet, controls=[control(net, 1, WINDOWS[0], mode=0), control(net, 2, WINDOWS[1], mode=3)])
    calls = Calls(net=net)
    model = scene.model()
    assert calls.count["net.controlnet_cond_embedding.conv_in"] == 2
    mixed = calls.count["net.transformer_layes.0.mlp.c_fc"]
    assert mixed == 2  # both, and the first alone
    for index in range(len(TIMESTEPS)):
        model(scene.sample, index)
    assert calls.count["net.transformer_layes.0.mlp.c_fc"] == mixed
    assert calls.count["net.controlnet_cond_embedding.conv_in"] == 2
    assert calls.count["net.conv_in"] == 2
